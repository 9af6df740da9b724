"""Ports, secrets and the env file of a stack."""

import dataclasses
import socket
import stat

import pytest

from sba_local.errors import DataDirCorrupt, StackNotFound
from sba_local.layout import Ports, Secrets, http_url, read_admin_url, read_environment, write_environment
from sba_local.ports import LOOPBACK, free_port, free_range, is_free


@pytest.fixture
def listener():
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_ports_follow_their_base_in_the_stated_order():
    assert dataclasses.astuple(Ports.from_base(9000)) == (9000, 9001, 9002, 9003, 9004)
    assert [field.name for field in dataclasses.fields(Ports)] == [
        "api",
        "ws",
        "supabase",
        "postgres",
        "valkey",
    ]


def test_a_taken_port_is_reported_with_its_use(listener):
    assert Ports(free_port(), listener, 1, 2, 3).taken() == ("ws", listener)


def test_free_ports_are_free_and_distinct():
    ports = dataclasses.astuple(Ports.anywhere())
    assert len(set(ports)) == 5
    assert Ports(*ports).taken() is None
    assert Ports.next_free().taken() is None


def describe(ports, **changes):
    urls = {
        "SBA_API_URL": f"http://127.0.0.1:{ports.api}",
        "SBA_WS_URL": f"http://127.0.0.1:{ports.ws}",
        "SUPABASE_URL": f"http://127.0.0.1:{ports.supabase}",
        "SBA_DATABASE_URL": f"postgresql://u:p@127.0.0.1:{ports.postgres}/sba",
        "REDIS_URL": f"redis://:p@127.0.0.1:{ports.valkey}/0",
    }
    return urls | changes


def test_the_ports_of_last_time_are_remembered(tmp_path):
    assert Ports.of_last_time(tmp_path) is None
    write_environment(tmp_path, describe(Ports.from_base(9000)), admin_url="")
    assert Ports.of_last_time(tmp_path) == Ports.from_base(9000)


@pytest.mark.parametrize(
    "broken", ["", "http://127.0.0.1", "http://127.0.0.1:many", "http://h:99999", "http://127.0.0.1:9001"]
)
def test_ports_that_cannot_be_told_are_forgotten(tmp_path, broken):
    write_environment(tmp_path, describe(Ports.from_base(9000), SBA_API_URL=broken), admin_url="")
    assert Ports.of_last_time(tmp_path) is None


def test_a_range_avoids_what_is_taken(listener):
    assert not is_free(listener)
    assert free_range(listener, 1) > listener


def test_no_range_is_an_error(listener):
    with pytest.raises(OSError, match="no 1 consecutive free ports"):
        free_range(listener, 1, attempts=1)


def test_secrets_are_made_once_kept_private_and_not_shown(tmp_path):
    first = Secrets.load(tmp_path)
    assert Secrets.load(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert repr(first) == "Secrets()"
    assert first.anon_key.startswith("sb_publishable_")
    assert first.service_key.startswith("sb_secret_")
    assert len({first.migrator, first.app, first.worker}) == 3


@pytest.mark.parametrize("text", ["not json", "[]", '{"app": "x"}'])
def test_damaged_secrets_are_named_but_not_quoted(tmp_path, text):
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(DataDirCorrupt, match=r"secrets\.json"):
        Secrets.load(tmp_path)


def test_the_environment_is_read_back_as_written(tmp_path):
    environment = {"A": "1", "URL": "postgresql://u:p=@h/d?x=y"}
    write_environment(tmp_path, environment, admin_url="postgresql://root")
    assert read_environment(tmp_path) == environment
    assert read_admin_url(tmp_path) == "postgresql://root"
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_no_stack_says_how_to_start_one(tmp_path):
    with pytest.raises(StackNotFound, match="sba-local up"):
        read_environment(tmp_path)


def test_addresses_are_on_loopback():
    assert http_url(80) == "http://127.0.0.1:80"


def test_looking_at_a_port_leaves_nothing_that_listens_in_a_forked_process():
    with socket.socket() as inherited:
        inherited.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        inherited.bind((LOOPBACK, 0))
        port = inherited.getsockname()[1]
        assert is_free(port)
        inherited.listen(1)
        assert not is_free(port)


def test_a_free_port_is_none_that_an_outgoing_connection_could_take():
    assert {free_port() for _ in range(50)} <= set(range(10_000, 32_000))


def test_a_machine_without_a_free_port_is_an_error(monkeypatch):
    monkeypatch.setattr("sba_local.ports.is_free", lambda _port: False)
    with pytest.raises(OSError, match="no free port"):
        free_port()
