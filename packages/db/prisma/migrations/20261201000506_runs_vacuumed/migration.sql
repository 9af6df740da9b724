-- A run leaves an entry behind in the index of each status it had, which a list reads until it is vacuumed.
ALTER TABLE "service"."agent_runs" SET (autovacuum_vacuum_scale_factor = 0.05);
