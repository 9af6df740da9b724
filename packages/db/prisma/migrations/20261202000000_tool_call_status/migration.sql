-- A call is stored when it starts. Alone in this migration: a new label can be used only once it is committed.
ALTER TYPE "service"."tool_call_status" ADD VALUE 'running' BEFORE 'succeeded';
ALTER TYPE "service"."tool_call_status" ADD VALUE 'lost' AFTER 'failed';
