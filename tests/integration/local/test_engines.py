"""The embedded engines, started for real."""

import contextlib
import os
import signal
import socket
import stat
import sys
import threading

import psutil
import psycopg
import pytest
from redis import AuthenticationError, Redis

from sba_local.directory import wait_until
from sba_local.errors import (
    DataDirCorrupt,
    DataDirLocked,
    DataDirPassword,
    DataDirVersion,
    EngineFailed,
    PlatformUnsupported,
    PortTaken,
)
from sba_local.ports import LOOPBACK, free_port
from sba_local.postgres import EmbeddedPostgres
from sba_local.valkey import EmbeddedValkey

ENGINES = [EmbeddedPostgres, EmbeddedValkey]

OWNER = """
import sys, time
from pathlib import Path
from sba_local.postgres import EmbeddedPostgres
from sba_local.valkey import EmbeddedValkey
place = Path(sys.argv[1])
postgres, valkey = EmbeddedPostgres(place / "pg"), EmbeddedValkey(place / "vk")
postgres.start()
valkey.start()
print(postgres.pid, valkey.pid, flush=True)
time.sleep(600)
"""


def query(url, statement="select 1"):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def damage(cluster):
    for path in (cluster / "global").glob("pg_control"):
        path.write_bytes(b"\0" * path.stat().st_size)


def test_postgres_has_what_the_platform_needs(place):
    with EmbeddedPostgres(place / "pg") as server:
        assert query(server.url(), "select current_setting('server_version_num')::int / 10000") == 18
        wanted = "vector", "pg_trgm", "unaccent", "pg_stat_statements"
        for name in wanted:
            query(server.url(), f"create extension {name}")
        assert int(query(server.url(), "show max_connections")) >= 200
        assert query(server.url(), "show fsync") == "on"
        assert query(server.url(), "show timezone") == "UTC"


def test_postgres_listens_on_loopback_alone_and_on_no_socket_file(place):
    with EmbeddedPostgres(place / "pg") as server:
        assert query(server.url(), "show unix_socket_directories") == ""
        listening = {c.laddr for c in psutil.Process(server.pid).net_connections() if c.status == "LISTEN"}
        assert listening == {(LOOPBACK, server.port)}


def test_postgres_wants_its_password(place):
    with EmbeddedPostgres(place / "pg") as server:
        for url in (
            server.url(user="postgres"),
            server.url(user="postgres", password="wrong"),
        ):
            with pytest.raises(psycopg.OperationalError, match="password"):
                query(url)
        rules = query(server.url(), "select string_agg(distinct auth_method, ',') from pg_hba_file_rules")
        assert rules == "scram-sha-256"


def test_valkey_wants_its_password():
    with (
        EmbeddedValkey() as server,
        Redis(port=server.port) as stranger,
        Redis.from_url(server.url) as client,
    ):
        with pytest.raises(AuthenticationError):
            stranger.ping()
        assert client.ping()
        assert client.config_get("bind") == {"bind": LOOPBACK}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_password_is_in_no_command_line_log_or_repr(place, engine):
    with engine(place / "data", password="hunter2-secret") as server:
        for process in psutil.process_iter(["cmdline"]):
            assert not any("hunter2-secret" in part for part in process.info["cmdline"] or [])
        assert "hunter2-secret" not in server.log.read_text()
        assert "hunter2-secret" not in repr(server)
        for path in (place / "data").glob("*"):
            if path.is_file() and path.suffix not in (".rdb",):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("engine", ENGINES)
def test_odd_passwords_work(place, engine):
    odd = """a'b"c\\d e@f/g:h%i#j"""
    with engine(place / "data", password=odd) as server:
        if engine is EmbeddedPostgres:
            assert query(server.url()) == 1
        else:
            with Redis.from_url(server.url) as client:
                assert client.ping()


def test_postgres_keeps_its_data_and_its_password(place):
    with EmbeddedPostgres(place / "pg") as server:
        query(server.url(), "create table kept as select 42 as answer")
        password = server.password
    with EmbeddedPostgres(place / "pg", password=password) as server:
        assert query(server.url(), "select answer from kept") == 42


def test_valkey_keeps_its_data(place):
    with EmbeddedValkey(place / "vk") as server, Redis.from_url(server.url) as client:
        client.set("answer", "42")
    with EmbeddedValkey(place / "vk") as server, Redis.from_url(server.url) as client:
        assert client.get("answer") == b"42"


@pytest.mark.parametrize("engine", ENGINES)
def test_another_password_than_the_kept_one_is_refused(place, engine):
    with engine(place / "data", password="one"):
        pass
    with pytest.raises(DataDirPassword, match="made with another password"):
        engine(place / "data", password="two").start()


def test_a_lost_postgres_password_is_named(place):
    with EmbeddedPostgres(place / "pg"):
        pass
    (place / "pg" / "password").unlink()
    with pytest.raises(DataDirPassword, match="is lost"):
        EmbeddedPostgres(place / "pg").start()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_throwaway_leaves_nothing(engine):
    with engine() as server:
        data_dir = server.data_dir
        assert data_dir.is_dir()
    assert not data_dir.exists()


def test_a_throwaway_trades_durability_for_speed(place):
    with EmbeddedPostgres(place / "pg", throwaway=True, settings={"work_mem": "9MB"}) as server:
        assert query(server.url(), "show fsync") == "off"
        assert query(server.url(), "show work_mem") == "9MB"


def test_valkey_takes_settings():
    with EmbeddedValkey(settings={"maxmemory": "64mb"}) as server, Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(64 * 1024 * 1024)}


@pytest.mark.parametrize("engine", ENGINES)
def test_two_starts_on_one_directory_are_refused(place, engine):
    with engine(place / "data") as first:
        with pytest.raises(DataDirLocked, match=f"process {os.getpid()}"):
            engine(place / "data").start()
        with pytest.raises(RuntimeError, match="running already"):
            first.start()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_taken_port_is_named(place, engine):
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)) as caught:
            engine(place / "data", port=port).start()
    assert caught.value.port == port


@pytest.mark.parametrize("engine", ENGINES)
def test_a_port_lost_at_the_last_moment_is_named_too(place, engine, monkeypatch):
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("sba_local.engine.is_free", lambda _port: True)
        with pytest.raises(PortTaken, match=str(port)):
            engine(place / "data", port=port).start()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_chosen_port_that_is_lost_is_chosen_again(place, engine, monkeypatch):
    with socket.create_server((LOOPBACK, 0)) as taken:
        good = free_port()
        choices = iter([taken.getsockname()[1], good])
        monkeypatch.setattr("sba_local.engine.free_port", lambda: next(choices))
        with engine(place / "data") as server:
            assert server.port == good


@pytest.mark.parametrize("engine", ENGINES)
def test_no_port_at_all_is_an_error_in_the_end(place, engine, monkeypatch):
    with socket.create_server((LOOPBACK, 0)) as taken:
        monkeypatch.setattr("sba_local.engine.free_port", lambda: taken.getsockname()[1])
        with pytest.raises(PortTaken):
            engine(place / "data").start()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_only_a_started_one_knows_cannot_be_asked_before(engine):
    server = engine()
    for name in ("port", "password", "pid", "process"):
        with pytest.raises(RuntimeError):
            getattr(server, name)
    server.stop()


def test_a_damaged_postgres_says_so(place):
    with EmbeddedPostgres(place / "pg"):
        pass
    damage(place / "pg" / "cluster")
    with pytest.raises(DataDirCorrupt, match=r"(?s)is damaged.*incompatible"):
        EmbeddedPostgres(place / "pg").start()


def test_a_postgres_without_its_version_is_damaged(place):
    with EmbeddedPostgres(place / "pg"):
        pass
    (place / "pg" / "cluster" / "PG_VERSION").unlink()
    with pytest.raises(DataDirCorrupt, match="PG_VERSION"):
        EmbeddedPostgres(place / "pg").start()


def test_a_postgres_of_another_version_is_refused(place):
    with EmbeddedPostgres(place / "pg"):
        pass
    (place / "pg" / "cluster" / "PG_VERSION").write_text("15\n")
    with pytest.raises(DataDirVersion, match="version 15"):
        EmbeddedPostgres(place / "pg").start()


def test_a_damaged_valkey_says_so(place):
    with EmbeddedValkey(place / "vk") as server, Redis.from_url(server.url) as client:
        client.set("a", "b")
    (place / "vk" / "dump.rdb").write_bytes(b"not a snapshot at all")
    with pytest.raises(DataDirCorrupt, match="is damaged"):
        EmbeddedValkey(place / "vk").start()


def test_an_interrupted_making_of_a_cluster_is_done_again(place):
    (place / "pg" / "cluster.new" / "base").mkdir(parents=True)
    (place / "pg" / "launcher.lock").touch()
    with EmbeddedPostgres(place / "pg") as server:
        assert query(server.url()) == 1
    assert not (place / "pg" / "cluster.new").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_settings_are_reported_with_the_servers_own_words(place, engine):
    with pytest.raises(EngineFailed, match="nonsense"):
        engine(place / "data", settings={"nonsense": "1"}).start()


@pytest.mark.parametrize("engine", ENGINES)
def test_one_that_does_not_get_ready_is_stopped_and_reported(place, engine, nothing_left, monkeypatch):
    monkeypatch.setattr(engine, "_is_ready", lambda _self: False)
    with pytest.raises(EngineFailed, match=r"did not get ready in 0\.1 s"):
        engine(place / "data", start_timeout=0.1).start()
    assert nothing_left(place)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_start_leaves_nothing_running(place, engine, nothing_left, monkeypatch):
    def interrupt(_self):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "_is_ready", interrupt)
    server = engine(place / "data", throwaway=True)
    with pytest.raises(KeyboardInterrupt):
        server.start()
    assert nothing_left(place)
    assert not (place / "data").exists()


def test_a_failing_initdb_is_reported(place, monkeypatch):
    monkeypatch.setattr("sba_local.postgres._INITDB_OPTIONS", ("--no-such-option",))
    with pytest.raises(EngineFailed, match="no-such-option"):
        EmbeddedPostgres(place / "pg").start()


def test_binaries_that_cannot_be_executed_mean_an_unsupported_platform(place, monkeypatch):
    monkeypatch.setattr("sba_local.valkey.find_valkey", lambda: place / "valkey-server")
    with pytest.raises(PlatformUnsupported, match="Valkey cannot be executed here"):
        EmbeddedValkey(place / "vk").start()


def test_a_server_outlives_the_thread_that_started_it():
    server = EmbeddedValkey()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    with Redis.from_url(server.url) as client:
        assert client.ping()
    server.stop()


def test_a_killed_launcher_leaves_no_server_and_the_next_start_works(place, processes, nothing_left):
    popen = processes.python(OWNER, place)
    pids = [int(pid) for pid in popen.stdout.readline().split()]
    assert all(psutil.pid_exists(pid) for pid in pids)
    popen.send_signal(signal.SIGKILL)
    popen.wait()
    with EmbeddedPostgres(place / "pg") as postgres, EmbeddedValkey(place / "vk"):
        assert query(postgres.url()) == 1
        assert not any(psutil.pid_exists(pid) for pid in pids)
    assert nothing_left(place)


def test_a_killed_launcher_of_throwaways_leaves_no_files(place, processes, nothing_left):
    popen = processes.python(OWNER.replace('"pg")', '"pg", throwaway=True)'), place)
    popen.stdout.readline()
    popen.send_signal(signal.SIGKILL)
    popen.wait()
    assert nothing_left(place)
    assert not (place / "pg").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the parent-death signal; the Linux CI job runs it")
def test_servers_killed_with_their_keepers_start_again_on_stale_files(place, processes, nothing_left):
    popen = processes.python(OWNER, place)
    popen.stdout.readline()
    family = psutil.Process(popen.pid).children(recursive=True)
    for process in [psutil.Process(popen.pid), *family]:
        with contextlib.suppress(psutil.NoSuchProcess):  # its keeper may be quicker
            process.kill()
    assert nothing_left(place)
    assert (place / "pg" / "cluster" / "postmaster.pid").exists()
    with EmbeddedPostgres(place / "pg") as server:
        assert query(server.url()) == 1


def test_a_server_that_dies_is_noticed(place):
    with EmbeddedValkey(place / "vk") as server:
        os.kill(server.pid, signal.SIGKILL)
        assert wait_until(lambda: server.process.poll() is not None, seconds=20)
        assert server.process.poll() == 128 + signal.SIGKILL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a shelter; the root CI job runs it")
def test_root_can_keep_a_cluster_in_a_directory_closed_to_others(place):
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "pg") as server:
        query(server.url(), "create table kept as select 42 as answer")
        assert psutil.Process(server.pid).uids().real != 0
    with EmbeddedPostgres(closed / "pg", throwaway=True) as server:
        assert query(server.url(), "select answer from kept") == 42
        home = (closed / "pg" / "home").resolve()
    assert not home.exists()
    assert not (closed / "pg").exists()
