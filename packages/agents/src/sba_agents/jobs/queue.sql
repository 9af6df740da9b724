revoke all on schema queue from public;
revoke all on all tables in schema queue from public;
revoke all on all sequences in schema queue from public;
revoke all on all functions in schema queue from public;

create or replace function queue.defer_run(tenant uuid, run_id uuid, traceparent text)
    returns bigint
    language plpgsql
    security definer
    set search_path = queue, pg_temp
as $$
declare
    job bigint;
begin
    if tenant is null or run_id is null
        or tenant is distinct from nullif(current_setting('app.tenant_id', true), '')::uuid
    then
        raise exception 'a run is queued in a transaction of its own tenant' using errcode = 'SB403';
    end if;
    select unnest(procrastinate_defer_jobs_v1(array[row(
        'runs', 'sba_agents.run', 0, null, null,
        jsonb_build_object('tenant_id', tenant, 'run_id', run_id, 'traceparent', left(traceparent, 128)), null
    )::procrastinate_job_to_defer_v1]))
    into job;
    return job;
end;
$$;

revoke all on function queue.defer_run(uuid, uuid, text) from public;
grant usage on schema queue to sba_app, sba_worker;
grant execute on function queue.defer_run(uuid, uuid, text) to sba_app;

grant select, insert, update, delete on queue.procrastinate_jobs to sba_worker;
grant select, insert on queue.procrastinate_events to sba_worker;
grant select, insert, update, delete on queue.procrastinate_workers to sba_worker;
grant select, insert, update, delete on queue.procrastinate_periodic_defers to sba_worker;
grant usage on queue.procrastinate_jobs_id_seq, queue.procrastinate_events_id_seq,
    queue.procrastinate_periodic_defers_id_seq to sba_worker;
grant execute on function
    queue.procrastinate_defer_jobs_v1(queue.procrastinate_job_to_defer_v1[]),
    queue.procrastinate_defer_periodic_job_v2(
        character varying, character varying, character varying, character varying, integer, character varying, bigint, jsonb
    ),
    queue.procrastinate_fetch_job_v2(character varying[], bigint),
    queue.procrastinate_finish_job_v1(bigint, queue.procrastinate_job_status, boolean),
    queue.procrastinate_retry_job_v2(bigint, timestamp with time zone, integer, character varying, character varying),
    queue.procrastinate_register_worker_v1(),
    queue.procrastinate_unregister_worker_v1(bigint),
    queue.procrastinate_update_heartbeat_v1(bigint),
    queue.procrastinate_prune_stalled_workers_v1(double precision)
    to sba_worker;
