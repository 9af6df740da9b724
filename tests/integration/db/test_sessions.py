"""What a reader and a transaction promise: one tenant, few round trips, clean ends."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sba_db import (
    AccessDenied,
    ConstraintViolated,
    Database,
    DatabaseSettings,
    DatabaseTimeout,
    DatabaseUnavailable,
    InvalidValue,
    MembershipDenied,
    MembershipGuardMissing,
    ReadOnlySession,
    StatementFailed,
    StatementRefused,
    TenantFilterMissing,
    UnsafeRole,
    agent_runs,
    open_database,
)
from tests.integration.db.conftest import new_run, until

COUNT = "select count(*) as n from service.agent_runs where tenant_id = %(tenant)s"
INSERT = """
insert into service.agent_runs (tenant_id, id, user_id, prompt)
values (%(tenant)s, %(id)s, %(id)s, 'raw')
"""


async def count(database: Database, tenant) -> int:
    return (await database.reader(tenant.id).fetch_one(COUNT))["n"]


async def test_what_a_block_wrote_is_there_once_it_ends(either, a):
    async with either.tenant(a.id) as session:
        assert await session.execute(INSERT, {"id": uuid.uuid4()}) == 1
        assert await count(either, a) == 0

    assert await count(either, a) == 1


async def test_a_block_that_raises_leaves_nothing(either, a):
    async def fail() -> None:
        async with either.tenant(a.id) as session:
            await session.execute(INSERT, {"id": uuid.uuid4()})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await count(either, a) == 0


async def test_a_cancelled_block_leaves_nothing_and_its_connection_serves_again(either, a):
    inside = asyncio.Event()

    async def write() -> None:
        async with either.tenant(a.id) as session:
            await session.execute(INSERT, {"id": uuid.uuid4()})
            inside.set()
            await session.fetch_one("select pg_sleep(60), %(tenant)s::uuid")

    task = asyncio.create_task(write())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await count(either, a) == 0


async def test_a_block_without_a_statement_needs_no_connection(database_urls, a):
    settings = DatabaseSettings(url="postgresql://nobody@127.0.0.1:9/none")
    async with open_database(settings) as nowhere, nowhere.tenant(a.id) as session:
        assert session.tenant_id == a.id


async def test_a_reader_cannot_write_even_by_raw_sql(either, a):
    with pytest.raises(ReadOnlySession):
        await either.reader(a.id).fetch_one(f"{INSERT} returning id", {"id": uuid.uuid4()})

    assert await count(either, a) == 0


async def test_a_live_member_is_let_in_and_sees_the_tenants_rows(either, a):
    async with either.tenant(a.id, member=a.user) as session:
        run = await agent_runs.create_run(session, user_id=a.user, prompt="hello")

    assert await agent_runs.get_run(either.reader(a.id, member=a.user), run.id) is not None
    await either.verify_member(a.id, a.user)


async def test_a_stranger_is_refused_and_the_query_does_not_run(either, a, b, superuser):
    superuser.execute("create sequence public.ran; grant usage on sequence public.ran to sba_app")
    query = "select nextval('public.ran'), %(tenant)s::uuid"
    for _ in range(8):
        with pytest.raises(MembershipDenied):
            await either.reader(a.id, member=b.user).fetch_one(query)
        with pytest.raises(MembershipDenied):
            async with either.tenant(a.id, member=b.user) as session:
                await session.fetch_one(query)
        with pytest.raises(MembershipDenied):
            await either.verify_member(a.id, b.user)

    assert superuser.execute("select is_called from public.ran").fetchone()["is_called"] is False


async def test_a_member_is_refused_as_soon_as_the_membership_ends(either, a, superuser):
    reader = either.reader(a.id, member=a.user)
    assert await reader.fetch_one(COUNT)

    superuser.execute("update public.memberships set revoked_at = now() where user_id = %s", (a.user,))

    with pytest.raises(MembershipDenied):
        await reader.fetch_one(COUNT)


async def test_naming_a_member_without_a_guard_is_refused_before_anything_is_sent(a):
    async with open_database(DatabaseSettings(url="postgresql://nobody@127.0.0.1:9/none")) as unguarded:
        with pytest.raises(MembershipGuardMissing):
            unguarded.reader(a.id, member=a.user)
        with pytest.raises(MembershipGuardMissing):
            async with unguarded.tenant(a.id, member=a.user):
                pass


@pytest.mark.parametrize(
    "query", ["select 1", "select * from service.agent_runs where tenant_id = '%%(tenant)s'"]
)
async def test_a_statement_without_the_tenant_filter_is_not_sent(either, a, query):
    with pytest.raises(TenantFilterMissing):
        await either.reader(a.id).fetch_all(query)
    with pytest.raises(TenantFilterMissing):
        async with either.tenant(a.id) as session:
            await session.execute(query)


async def test_a_caller_cannot_bind_the_tenant(either, a, b):
    with pytest.raises(StatementRefused):
        await either.reader(a.id).fetch_one(COUNT, {"tenant": b.id})
    with pytest.raises(StatementRefused):
        async with either.tenant(a.id) as session:
            await session.fetch_one(COUNT, {"tenant": b.id})


async def test_a_transaction_whose_error_was_swallowed_is_not_committed(either, a):
    async def swallow() -> None:
        async with either.tenant(a.id) as session:
            await session.execute(INSERT, {"id": uuid.uuid4()})
            with pytest.raises(ConstraintViolated):
                await session.execute("insert into service.usage_metrics values (%(tenant)s, now(), 'x', -1)")
            with pytest.raises(StatementRefused, match="has failed"):
                await session.execute(INSERT, {"id": uuid.uuid4()})

    with pytest.raises(StatementRefused, match="swallowed"):
        await swallow()

    assert await count(either, a) == 0


async def test_a_session_is_of_no_use_after_its_block(either, a):
    async with either.tenant(a.id) as session:
        pass

    with pytest.raises(StatementRefused, match="over"):
        await session.fetch_one(COUNT)


async def test_a_session_serves_one_statement_at_a_time(either, a):
    with pytest.raises(StatementRefused, match="one statement at a time"):
        async with either.tenant(a.id) as session:
            await asyncio.gather(session.fetch_one(COUNT), session.fetch_one(COUNT))


async def test_constraint_errors_name_the_constraint_and_no_values(either, a):
    run = await new_run(either, a)
    with pytest.raises(ConstraintViolated) as unique:
        async with either.tenant(a.id) as session:
            await session.execute(INSERT, {"id": run.id})
    with pytest.raises(ConstraintViolated) as foreign:
        async with either.tenant(a.id) as session:
            await session.execute(
                "insert into service.run_events values (%(tenant)s, %(id)s, 1, 'secret-value', '{}')",
                {"id": uuid.uuid4()},
            )
    with pytest.raises(ConstraintViolated) as missing:
        async with either.tenant(a.id) as session:
            await session.execute("insert into service.audit_logs (tenant_id) values (%(tenant)s)")

    assert (unique.value.kind, unique.value.constraint) == ("unique", "agent_runs_pkey")
    assert (foreign.value.kind, foreign.value.table) == ("foreign_key", "run_events")
    assert (missing.value.kind, missing.value.constraint) == ("not_null", "id")
    for raised in (unique, foreign, missing):
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__
        assert str(run.id) not in str(raised.value)
        assert "secret-value" not in str(raised.value)


async def test_what_the_server_cannot_store_is_an_invalid_value(either, a):
    for bad in ("nul \0 here", "\ud800"):
        with pytest.raises((InvalidValue, UnicodeEncodeError)):
            await either.reader(a.id).fetch_one("select %(text)s::text, %(tenant)s::uuid", {"text": bad})
    with pytest.raises(InvalidValue):
        await either.reader(a.id).fetch_one("select %(json)s::jsonb, %(tenant)s::uuid", {"json": '"\\u0000"'})


async def test_a_statement_with_a_defect_is_named_by_its_code_and_the_connection_goes_on(either, a):
    for _ in range(6):
        with pytest.raises(StatementFailed) as failed:
            await either.reader(a.id).fetch_one(
                "select nothing_like_it from service.agent_runs where %(tenant)s = ''"
            )
        assert failed.value.sqlstate == "42703"

    assert await count(either, a) == 0


async def test_what_the_application_was_not_granted_is_denied(either, a):
    with pytest.raises(AccessDenied):
        await either.reader(a.id).fetch_all(
            "select * from service._prisma_migrations where %(tenant)s::uuid is null"
        )


async def test_a_slow_statement_ends_at_its_time_limit_on_the_server(database_urls, a):
    settings = DatabaseSettings(url=database_urls.app, max_size=1, statement_timeout=0.2)
    async with open_database(settings) as database:
        with pytest.raises(DatabaseTimeout):
            await database.reader(a.id).fetch_one("select pg_sleep(30), %(tenant)s::uuid")
        with pytest.raises(DatabaseTimeout):
            async with database.tenant(a.id) as session:
                await session.fetch_one("select pg_sleep(30), %(tenant)s::uuid")
        assert await count(database, a) == 0


async def test_behind_a_pooler_the_client_ends_a_slow_statement(database_urls, a):
    settings = DatabaseSettings(
        url=database_urls.app, max_size=1, statement_timeout=0.2, grace=0.1, pooler=True
    )
    async with open_database(settings) as database:
        with pytest.raises(DatabaseTimeout):
            await database.reader(a.id).fetch_one("select pg_sleep(30), %(tenant)s::uuid")
        assert await count(database, a) == 0


@pytest.mark.parametrize("statements", [1, 2])
async def test_a_transaction_left_idle_too_long_is_ended_by_the_server(
    database_urls, a, superuser, statements
):
    async def idle(database: Database) -> None:
        async with database.tenant(a.id) as session:
            for _ in range(statements):
                row = await session.fetch_one("select pg_backend_pid() as pid, %(tenant)s::uuid")

            async def it_has_gone() -> bool:
                found = superuser.execute("select 1 from pg_stat_activity where pid = %s", (row["pid"],))
                return found.fetchone() is None

            await until(it_has_gone)
            await session.fetch_one(COUNT)

    async with open_database(DatabaseSettings(url=database_urls.app, idle_timeout=0.1)) as database:
        with pytest.raises((DatabaseTimeout, DatabaseUnavailable)):
            await idle(database)
        assert await count(database, a) == 0


async def test_a_read_is_one_round_trip_also_with_the_membership_check(wired, a):
    database, wire = wired
    run = await new_run(database, a)
    for reader in (database.reader(a.id), database.reader(a.id, member=a.user)):
        for _ in range(6):
            wire.round_trips = 0
            assert await agent_runs.get_run(reader, run.id)
            assert wire.round_trips == 1


async def test_a_transaction_of_one_statement_is_two_round_trips(wired, a):
    database, wire = wired
    await database.ping()
    for _ in range(6):
        wire.round_trips = 0
        await new_run(database, a, idempotency_key=str(uuid.uuid4()))
        assert wire.round_trips == 2


async def test_a_connection_lost_before_commit_is_unavailable_and_nothing_is_written(wired, database, a):
    through, wire = wired
    wire.cut_before = lambda data: b"commit" in data
    with pytest.raises(DatabaseUnavailable) as lost:
        await new_run(through, a)

    assert lost.value.in_doubt
    assert lost.value.retry_after > 0
    assert await count(database, a) == 0


async def test_a_connection_lost_after_commit_was_sent_is_in_doubt_too(wired, database, a):
    through, wire = wired
    wire.cut_after = lambda data: b"commit" in data
    with pytest.raises(DatabaseUnavailable) as lost:
        await new_run(through, a)

    assert lost.value.in_doubt


async def test_a_cancelled_commit_gives_the_connection_back_or_drops_it(wired, a):
    database, wire = wired
    wire.cut_before = None
    for _ in range(3):
        run = asyncio.create_task(new_run(database, a))
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert await count(database, a) >= 0


async def test_boot_accepts_the_application_and_refuses_every_stronger_login(database_urls, superuser):
    async with open_database(DatabaseSettings(url=database_urls.app)) as database:
        await database.verify_role()
    for url, words in ((database_urls.admin, "superuser"), (database_urls.migrator, "sba_owner")):
        async with open_database(DatabaseSettings(url=url)) as database:
            with pytest.raises(UnsafeRole, match=words):
                await database.verify_role()


@pytest.mark.parametrize(
    ("power", "words"),
    [
        ("create role {name} login bypassrls password 'x'", "bypasses row level security"),
        ("create role {name} login password 'x'; grant {other} to {name}", "may act as a role that bypasses"),
    ],
)
async def test_boot_refuses_logins_that_bypass_row_level_security(database_urls, superuser, power, words):
    name, other = f"h_{uuid.uuid4().hex[:8]}", f"h_{uuid.uuid4().hex[:8]}"
    superuser.execute(f"create role {other} bypassrls")
    try:
        superuser.execute(power.format(name=name, other=other))
        superuser.execute(f"grant connect on database {database_urls.name} to {name}")
        url = database_urls.app.replace("sba_app:app-pw", f"{name}:x")
        async with open_database(DatabaseSettings(url=url)) as database:
            with pytest.raises(UnsafeRole, match=words) as refused:
                await database.verify_role()
        assert refused.value.role == name
    finally:
        superuser.execute(f"revoke connect on database {database_urls.name} from {name}")
        superuser.execute(f"drop role {name}; drop role {other}")


async def test_no_secret_shows_in_what_is_printed_or_raised(database_urls, a):
    url = database_urls.app.replace("app-pw", "hunter2-secret")
    settings = DatabaseSettings(url=url)
    async with open_database(settings) as database:
        with pytest.raises(DatabaseUnavailable) as refused:
            await database.ping()
        shown = f"{settings!r} {database!r} {refused.value!r} {refused.value.__cause__!r}"

    assert "hunter2" not in shown


async def test_a_url_that_is_none_is_refused_without_showing_it():
    with pytest.raises(InvalidValue) as refused:
        async with open_database(DatabaseSettings(url="mysql://root:hunter2-secret@h/d")):
            pass

    assert "hunter2" not in str(refused.value)
    assert refused.value.field == "url"
