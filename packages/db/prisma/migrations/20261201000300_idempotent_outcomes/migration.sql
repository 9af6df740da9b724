-- A key remembers what its request answered, or which run it made. Neither statement reads or rewrites a row.
ALTER TABLE "service"."idempotency_keys" ADD COLUMN "outcome" JSONB, ALTER COLUMN "resource_id" DROP NOT NULL;
