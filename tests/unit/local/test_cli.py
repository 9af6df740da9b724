"""The command line itself."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sba_local import running
from sba_local.cli import main

HEAVY = ("psycopg", "uvicorn", "jwt", "cryptography", "sba_db", "sba_agents", "sba_supabase", "asyncio")


@pytest.fixture
def wishes(monkeypatch):
    """What `up` would do."""
    seen = []

    def note(wish):
        seen.append(wish)
        return 9

    monkeypatch.setattr(running, "run_up", note)
    return seen


def invoke(*arguments, **options):
    return CliRunner().invoke(main, list(arguments), **options)


def test_help_is_answered_without_loading_what_runs():
    code = "import sys, sba_local.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize("command", [[], ["up"], ["demo"], ["token"], ["keys"]])
def test_every_command_explains_itself(command):
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_up_without_arguments_leaves_the_choices_open(wishes):
    assert invoke("up").exit_code == 9
    assert wishes == [running.Wish(command=())]


def test_up_passes_on_what_it_was_told(wishes):
    invoke("up", "--data-dir", "here", "--port-base", "9000", "--verbose", "--", "run", "--flag", "-x")
    wish = running.Wish(data_dir=Path("here"), port_base=9000, verbose=True, command=("run", "--flag", "-x"))
    assert wishes == [wish]


@pytest.mark.parametrize("base", ["80", "65532", "many"])
def test_a_port_base_out_of_range_is_refused(wishes, base):
    assert invoke("up", "--port-base", base).exit_code == 2
    assert wishes == []


def test_a_misspelt_option_is_not_taken_for_a_command(wishes):
    assert invoke("up", "--prot-base", "9000").exit_code == 2
    assert wishes == []


def test_the_demo_runs_its_own_module_on_a_throw_away(wishes):
    assert invoke("demo", "--verbose").exit_code == 9
    assert wishes[0].command == [sys.executable, "-m", "sba_local.show"]
    assert wishes[0].data_dir is None


def test_windows_is_told_what_to_do_without_a_traceback(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("platform.system", lambda: "Windows")
    result = invoke("up")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: there is no embedded Postgres and Valkey for Windows.")


def test_a_token_needs_a_stack(tmp_path):
    result = invoke("token", "--tenant", "acme", "--user", "ada", "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert "no stack has been started in" in result.stderr


@pytest.mark.parametrize("ttl", ["nan", "inf", "-inf", "1e300", "-1e300", "soon"])
def test_a_token_lasts_a_number_of_seconds(tmp_path, ttl):
    result = invoke("token", "--tenant", "acme", "--user", "ada", "--data-dir", str(tmp_path), "--ttl", ttl)
    assert result.exit_code == 2
    assert "Invalid value for '--ttl'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_token_comes_from_the_default_directory_when_none_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SBA_LOCAL_DATA_DIR", raising=False)
    result = invoke("token", "--tenant", "acme", "--user", "ada")
    assert ".sba/data" in result.stderr
