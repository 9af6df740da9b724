-- Reads the calls there are, one partition after the other, while others read and write them.
ALTER TABLE "service"."tool_calls" VALIDATE CONSTRAINT "tool_calls_attempt";
ALTER TABLE "service"."tool_calls" VALIDATE CONSTRAINT "tool_calls_finish";
