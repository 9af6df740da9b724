"""The supervisor, with small services in the place of the real ones."""

import asyncio
import contextlib
import dataclasses
import os
import socket
import stat
import sys
import threading
from pathlib import Path

import httpx
import jwt
import psutil
import psycopg
import pytest
from redis import Redis

from sba_local.errors import DataDirLocked, EngineFailed, PortTaken, ServiceFailed, StackError
from sba_local.layout import Ports, read_admin_url, read_environment
from sba_local.ports import LOOPBACK, free_range
from sba_local.residents import ACME
from sba_local.revival import Rules
from sba_local.services import Service
from sba_local.stack import Plan, Stack, standard_services
from tests.integration.local.small import SERVER, small_services, unprepared

NAMES = [
    *("SBA_API_URL", "SBA_API_HOST", "SBA_API_PORT", "SBA_WS_URL", "SBA_WS_HOST", "SBA_WS_PORT"),
    *("SBA_DATABASE_URL", "SBA_MIGRATION_DATABASE_URL", "SBA_QUEUE_DATABASE_URL", "REDIS_URL"),
    *("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
    *("SBA_TENANT_A", "SBA_TENANT_B", "SBA_USER_A", "SBA_USER_B", "SBA_LOCAL_DATA_DIR"),
    *("SBA_EMAIL_A", "SBA_EMAIL_B", "SBA_USER_PASSWORD"),
]


QUICK = Rules(most=3, first_pause=0.05, longest_pause=0.2)


class Heard(list):
    def __call__(self, name, line):
        self.append((name, line))


def plan(**changes):
    settings = {
        "inherited": dict(os.environ),
        "listener": Heard(),
        "services": small_services,
        "preparation": unprepared,
    }
    return Plan(**(settings | changes))


async def test_everything_is_up_and_described(place):
    heard = Heard()
    async with Stack(plan(data_dir=place / "data", listener=heard)) as stack:
        environment = stack.environment
        assert set(environment) == set(NAMES)
        assert read_environment(place / "data") == environment
        assert stat.S_IMODE((place / "data" / "env").stat().st_mode) == 0o600
        assert heard == [("api", f"listening for {place / 'data'}")]
        async with httpx.AsyncClient() as client:
            keys = await client.get(f"{environment['SUPABASE_URL']}/auth/v1/.well-known/jwks.json")
        assert keys.json() == stack.issuer.jwks()
        with Redis.from_url(environment["REDIS_URL"]) as redis:
            assert redis.ping()
    assert heard == [("api", f"listening for {place / 'data'}")]


async def test_nothing_is_left_after_it_and_secrets_and_key_are_kept(place, nothing_left):
    async with Stack(plan(data_dir=place / "data")) as stack:
        first, kid = dict(stack.environment), stack.issuer.kid
    assert nothing_left(place)
    async with Stack(plan(data_dir=place / "data")) as stack:
        assert {name: value for name, value in stack.environment.items() if "KEY" in name} == {
            name: value for name, value in first.items() if "KEY" in name
        }
        assert stack.issuer.kid == kid


async def test_a_throwaway_leaves_no_files():
    async with Stack(plan()) as stack:
        data_dir = stack.data_dir
        assert (data_dir / "env").exists()
    assert not data_dir.exists()


async def test_given_ports_are_used_in_order(place):
    base = free_range(21000, 5)
    async with Stack(plan(data_dir=place / "data", ports=Ports.from_base(base))) as stack:
        environment = stack.environment
    assert environment["SBA_API_URL"].endswith(f":{base}")
    assert environment["SBA_WS_URL"].endswith(f":{base + 1}")
    assert environment["SUPABASE_URL"].endswith(f":{base + 2}")
    assert f":{base + 3}/" in environment["SBA_DATABASE_URL"]
    assert f":{base + 4}/" in environment["REDIS_URL"]


async def test_a_given_port_that_is_taken_is_named_with_its_use(place, nothing_left):
    ports = Ports.anywhere()
    taken = socket.create_server((LOOPBACK, ports.valkey))
    with taken, pytest.raises(PortTaken, match=f"port {ports.valkey} .*valkey"):
        await Stack(plan(data_dir=place / "data", ports=ports)).__aenter__()
    assert nothing_left(place)


async def test_two_on_one_directory_are_refused(place):
    async with Stack(plan(data_dir=place / "data")):
        with pytest.raises(DataDirLocked, match=f"process {os.getpid()}"):
            await Stack(plan(data_dir=place / "data")).__aenter__()


async def test_a_service_that_keeps_dying_is_named_with_its_last_lines(place):
    def dying(environment):
        code = "import time; print('no more coffee', flush=True); time.sleep(.5); raise SystemExit(3)"
        return [*small_services(environment), Service("ws", [sys.executable, "-c", code])]

    heard = Heard()
    changes = {"services": dying, "listener": heard, "rules": QUICK}
    async with Stack(plan(data_dir=place / "data", **changes)) as stack:
        failure = await stack.failure()
    assert isinstance(failure, ServiceFailed)
    assert (failure.service, failure.status, failure.lines) == ("ws", 3, "no more coffee")
    told = [line for name, line in heard if name == "stack"]
    assert told == ["ws ended with status 3; starting it again", "  no more coffee"] * QUICK.most


async def test_a_service_that_is_dead_when_the_rest_is_ready_ends_the_stack_at_once(place, nothing_left):
    def dying(environment):
        api, _ = small_services(environment)
        marker = place / "over"
        dead = f"open({str(marker)!r}, 'w'); raise SystemExit(3)"
        return [waiting_for(marker, api), Service("worker", [sys.executable, "-c", dead])]

    heard = Heard()
    with pytest.raises(ServiceFailed, match="worker ended with status 3"):
        await Stack(plan(data_dir=place / "data", services=dying, listener=heard)).__aenter__()
    assert not [line for name, line in heard if name == "stack"]
    assert nothing_left(place)


def waiting_for(marker, service):
    """`service`, started once a process that made `marker` has had time to end."""
    program, option, code, *rest = service.arguments
    wait = f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(.01)\ntime.sleep(1)\n"
    return dataclasses.replace(service, arguments=[program, option, wait + code, *rest])


@pytest.mark.parametrize("kept", [True, False])
async def test_killed_parts_come_back_at_the_same_addresses_with_their_data(place, kept, nothing_left):
    heard = Heard()
    changes = {"data_dir": place / "data" if kept else None, "listener": heard, "rules": QUICK}
    async with Stack(plan(**changes)) as stack:
        admin_url = read_admin_url(stack.data_dir).removesuffix("/sba") + "/postgres"
        async with await psycopg.AsyncConnection.connect(admin_url) as connection:
            await connection.execute("create table kept as select 42 as answer")
        watch = asyncio.create_task(stack.failure())
        for is_victim in (is_postgres, is_valkey, is_api):
            victim = next(process for process in processes() if is_victim(process, stack.data_dir))
            victim.kill()
            await until(lambda: is_back(stack, victim, is_victim))  # noqa: B023  # awaited here
        assert await until(lambda: answer(admin_url)) == 42
        await until(lambda: pong(stack))
        await until(lambda: http_ok(stack))
        assert not watch.done()
        watch.cancel()
        data_dir = stack.data_dir
    told = [line for name, line in heard if name == "stack" and line.endswith("starting it again")]
    assert told == [
        f"{name} ended with status 137; starting it again" for name in ("Postgres", "Valkey", "api")
    ]
    assert nothing_left(data_dir)
    assert data_dir.exists() == kept


async def test_the_real_services_recover_from_killed_engines_by_themselves(place):
    changes = {"data_dir": place / "data", "services": None, "preparation": None}
    async with Stack(plan(**changes)) as stack, httpx.AsyncClient() as client:
        watch = asyncio.create_task(stack.failure())
        ready = f"{stack.environment['SBA_API_URL']}/readyz"
        for is_victim in (is_postgres, is_valkey):
            next(process for process in processes() if is_victim(process, place)).kill()
            await until(lambda: says(client, ready, missing=True))
            await until(lambda: says(client, ready, missing=False))
        assert not watch.done()
        watch.cancel()


async def says(client, url, *, missing):
    return bool((await client.get(url)).json()["missing"]) == missing


async def until(condition):
    """The first true answer of `condition`."""
    async with asyncio.timeout(60):
        while not (found := await condition()):  # noqa: ASYNC110 - other processes send no event
            await asyncio.sleep(0.05)
    return found


async def is_back(stack, victim, is_victim):
    return (
        any(process.pid != victim.pid and is_victim(process, stack.data_dir) for process in processes())
        and not victim.is_running()
    )


async def answer(url):
    with contextlib.suppress(psycopg.OperationalError):
        async with await psycopg.AsyncConnection.connect(url) as connection:
            return (await (await connection.execute("select answer from kept")).fetchone())[0]


async def pong(stack):
    with contextlib.suppress(ConnectionError), Redis.from_url(stack.environment["REDIS_URL"]) as redis:
        return redis.ping()


async def http_ok(stack):
    with contextlib.suppress(httpx.TransportError):
        async with httpx.AsyncClient() as client:
            return (await client.get(stack.environment["SBA_API_URL"])).status_code == 200


async def test_an_engine_that_cannot_come_back_is_named(place, monkeypatch):
    heard = Heard()
    async with Stack(plan(data_dir=place / "data", listener=heard, rules=QUICK)) as stack:
        monkeypatch.setattr("sba_local.valkey.EmbeddedValkey._arguments", lambda _self: ["/bin/false"])
        next(process for process in processes() if is_valkey(process, place)).kill()
        failure = await stack.failure()
    assert isinstance(failure, EngineFailed)
    assert str(failure).startswith("Valkey ended while starting")
    assert ("stack", "Valkey ended with status 137; starting it again") in heard


async def test_a_stop_during_a_restart_leaves_nothing(place, nothing_left, monkeypatch):
    starting, go_on = threading.Event(), threading.Event()

    def wait(_self):
        starting.set()
        return go_on.wait(60)

    async with Stack(plan(data_dir=place / "data", rules=QUICK)) as stack:
        watch = asyncio.create_task(stack.failure())
        monkeypatch.setattr("sba_local.valkey.EmbeddedValkey._is_ready", wait)
        next(process for process in processes() if is_valkey(process, place)).kill()
        assert await asyncio.to_thread(starting.wait, 60)
        watch.cancel()
        go_on.set()
        await asyncio.wait([watch])
        assert watch.cancelled()
    assert nothing_left(place)


def processes():
    return psutil.process_iter(["cmdline"])


def is_valkey(process, place):
    line = process.info["cmdline"] or [""]
    return line[0].endswith("valkey-server") and any(str(place) in part for part in line)


def is_postgres(process, place):
    line = process.info["cmdline"] or [""]
    return line[0].endswith("bin/postgres") and any(str(place) in part for part in line)


def is_api(process, place):
    line = process.info["cmdline"] or [""]
    return SERVER in line and read_environment(place)["SBA_API_PORT"] in line


async def test_the_next_run_takes_the_same_ports_while_they_are_free(place):
    async with Stack(plan(data_dir=place / "data", ports=Ports.anywhere())) as stack:
        first = dict(stack.environment)
    async with Stack(plan(data_dir=place / "data")) as stack:
        assert stack.environment == first
        token = stack.issuer.mint(user_id=ACME.user_id, tenant_id=ACME.tenant_id)
    with socket.create_server((LOOPBACK, int(first["SBA_WS_PORT"]))):
        async with Stack(plan(data_dir=place / "data")) as stack:
            assert stack.environment["SUPABASE_URL"] != first["SUPABASE_URL"]
    assert jwt.decode(token, options={"verify_signature": False})["iss"].startswith(first["SUPABASE_URL"])


async def test_a_service_that_never_starts_stops_everything(place, nothing_left):
    def broken(environment):
        return [*small_services(environment), Service("ws", [place / "no-such-program"])]

    with pytest.raises(ServiceFailed, match="no-such-program"):
        await Stack(plan(data_dir=place / "data", services=broken)).__aenter__()
    assert nothing_left(place)


async def test_a_failed_preparation_stops_everything(place, nothing_left):
    async def fail(_server, _secrets):
        raise StackError("no")

    with pytest.raises(StackError):
        await Stack(plan(data_dir=place / "data", preparation=fail)).__aenter__()
    assert nothing_left(place)


async def test_a_start_that_is_cancelled_leaves_nothing_running(place, nothing_left):
    reached = asyncio.Event()

    async def hang(_server, _secrets):
        reached.set()
        await asyncio.Event().wait()

    starting = asyncio.create_task(Stack(plan(data_dir=place / "data", preparation=hang)).__aenter__())
    await asyncio.wait_for(reached.wait(), 60)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert nothing_left(place)


async def test_services_may_keep_bytecode_only_where_the_sources_may_not(place):
    def echo(_environment):
        code = "import os; print(os.environ.get('PYTHONPYCACHEPREFIX')); import time; time.sleep(600)"
        return [Service("api", [sys.executable, "-c", code])]

    for inherited, expected in (
        ({}, "None"),
        ({"PYTHONDONTWRITEBYTECODE": "1"}, str(place / "data" / "bytecode")),
    ):
        lines = asyncio.Queue()
        changes = {"services": echo, "inherited": inherited, "data_dir": place / "data"}
        async with Stack(plan(listener=lambda _name, line, lines=lines: lines.put_nowait(line), **changes)):
            async with asyncio.timeout(30):
                assert await lines.get() == expected


async def test_the_real_preparation_makes_roles_schemas_and_two_tenants_and_repeats(place):
    for _ in range(2):
        async with Stack(plan(data_dir=place / "data", preparation=None)) as stack:
            admin_url = read_admin_url(place / "data")
            async with await psycopg.AsyncConnection.connect(admin_url) as connection:
                cursor = await connection.execute(
                    "select t.id::text, m.user_id::text, m.role from public.tenants t"
                    " join public.memberships m on m.tenant_id = t.id order by slug"
                )
                rows = await cursor.fetchall()
            for name in ("SBA_DATABASE_URL", "SBA_QUEUE_DATABASE_URL", "SBA_MIGRATION_DATABASE_URL"):
                async with await psycopg.AsyncConnection.connect(stack.environment[name]) as connection:
                    assert (await (await connection.execute("select 1")).fetchone())[0] == 1
        wanted = [
            (stack.environment[f"SBA_TENANT_{x}"], stack.environment[f"SBA_USER_{x}"], "owner") for x in "AB"
        ]
        assert rows == wanted


async def test_an_edited_migration_is_reported_as_the_databases_trouble(place):
    async with Stack(plan(data_dir=place / "data", preparation=None)):
        admin_url = read_admin_url(place / "data")
        async with await psycopg.AsyncConnection.connect(admin_url) as connection:
            await connection.execute("update service._prisma_migrations set checksum = 'x'")
    with pytest.raises(StackError, match="could not be made ready"):
        await Stack(plan(data_dir=place / "data", preparation=None)).__aenter__()


def test_the_standard_services_are_told_what_they_need_and_no_more():
    environment = dict.fromkeys(NAMES, "x") | {"SBA_API_URL": "http://api", "SBA_WS_URL": "http://ws"}
    services = {service.name: service for service in standard_services(environment)}
    assert {name: [Path(part).name for part in service.arguments] for name, service in services.items()} == {
        "api": ["sba-api", "serve"],
        "worker": ["sba-api", "worker"],
        "ws": ["sba-ws", "serve"],
    }
    assert services["api"].ready_url == "http://api/readyz"
    assert services["ws"].ready_url == "http://ws/readyz"
    assert all("SBA_MIGRATION_DATABASE_URL" not in service.environment for service in services.values())
    assert [
        name for name, service in services.items() if "SBA_QUEUE_DATABASE_URL" in service.environment
    ] == ["worker"]


def test_a_plan_shows_no_environment():
    assert "hunter2" not in repr(plan(inherited={"PASSWORD": "hunter2"}))
    assert dataclasses.is_dataclass(Plan)
