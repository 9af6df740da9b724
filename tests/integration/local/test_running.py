"""`up` as its reader runs it: signals, commands and terminals, with small services."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import psutil
import pytest

from tests.integration.local.small import SERVER

UP = """
import os
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from sba_local import running
from sba_local.errors import LocalError
from sba_local.revival import Rules
from tests.integration.local.small import small_services, unprepared
real = running.Plan
rules = Rules(most=0) if os.environ.get("IMPATIENT") else Rules()
running.Plan = lambda **wish: real(**wish, preparation=unprepared, rules=rules)
place = Path(sys.argv[2]) if sys.argv[2] else None
wish = running.Wish(data_dir=place, services=small_services, verbose=bool(sys.argv[3]), command=sys.argv[4:])
try:
    sys.exit(running.run_up(wish))
except LocalError as error:
    sys.exit(str(error))
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def up(processes):
    def begin(place, *command, verbose=False, **options):
        return processes.python(UP, ROOT, place, "v" if verbose else "", *command, **options)

    return begin


def until(popen, text):
    for line in popen.stdout:
        if text in line:
            return line
    raise AssertionError(f"ended with {popen.wait()} before saying {text!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(place, up, number, nothing_left):
    popen = up(place / "data")
    assert until(popen, "listening").startswith("api    | listening")
    until(popen, "curl")
    popen.send_signal(number)
    assert popen.wait(60) == 0
    assert nothing_left(place / "data")


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_works(place, up, nothing_left):
    for _ in range(2):
        popen = up(place / "data")
        until(popen, "curl")
        popen.kill()
        popen.wait()
    popen = up(place / "data")
    until(popen, "curl")
    popen.send_signal(signal.SIGINT)
    assert popen.wait(60) == 0
    assert nothing_left(place / "data")


def test_a_killed_throwaway_leaves_no_files(up, nothing_left):
    popen = up(
        "",
        sys.executable,
        "-c",
        "import os, time; print(os.environ['SBA_LOCAL_DATA_DIR'], flush=True); time.sleep(99)",
    )
    data_dir = Path(popen.stdout.readline().strip())
    assert (data_dir / "env").exists()
    popen.kill()
    popen.wait()
    assert nothing_left(data_dir)
    assert not data_dir.exists()


def test_a_command_gets_the_environment_and_gives_its_status(up):
    code = "import os; print(os.environ['SBA_API_URL'], os.environ['OTHER']); raise SystemExit(7)"
    popen = up("", sys.executable, "-c", code, env={**os.environ, "OTHER": "kept"})
    out, _ = popen.communicate(timeout=60)
    assert out.startswith("http://127.0.0.1:")
    assert out.endswith(" kept\n")
    assert popen.returncode == 7


def test_a_command_is_heard_alone_unless_asked_otherwise(up):
    popen = up("", "true", verbose=True, stderr=subprocess.PIPE)
    out, err = popen.communicate(timeout=60)
    assert out == ""
    assert err.startswith("api    | listening")


def test_a_command_that_is_not_there_is_named(up):
    popen = up("", "/no/such/command", stderr=subprocess.PIPE)
    _, err = popen.communicate(timeout=60)
    assert err == "/no/such/command: No such file or directory\n"
    assert popen.returncode == 127


def test_a_signal_stops_the_command_too(up, nothing_left):
    code = "import os, time; print(os.environ['SBA_LOCAL_DATA_DIR'], flush=True); time.sleep(600)"
    popen = up("", sys.executable, "-c", code)
    data_dir = popen.stdout.readline().strip()
    popen.send_signal(signal.SIGTERM)
    assert popen.wait(60) == 128 + signal.SIGTERM
    assert nothing_left(Path(data_dir))


SURVIVOR = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"caught\\n"))  # print is not reentrant
print("go", flush=True)
sys.stdin.readline()
print("done", flush=True)
raise SystemExit(5)
"""


def test_ctrl_c_at_the_terminal_is_the_commands_own_business(place, up):
    """A command that survives Ctrl-C, as a debugger does, keeps its stack."""
    ours, theirs = pty.openpty()
    popen = up(
        place / "data",
        *(sys.executable, "-c", SURVIVOR),
        stdin=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    until(popen, "go")
    os.write(ours, b"\x03")
    until(popen, "caught")
    os.write(ours, b"\n")
    until(popen, "done")
    assert popen.wait(60) == 5
    os.close(ours)


def test_a_second_signal_does_not_wait(place, up, nothing_left):
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('go', flush=True); time.sleep(600)"
    popen = up(place / "data", sys.executable, "-c", code)
    until(popen, "go")
    popen.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        popen.wait(0.5)
    popen.send_signal(signal.SIGTERM)
    assert popen.wait(60) == 128 + signal.SIGTERM
    assert nothing_left(place / "data")


def killed(popen):
    """Kill the small API of the stack that `popen` runs."""
    family = psutil.Process(popen.pid).children(recursive=True)
    next(process for process in family if SERVER in process.cmdline()).kill()


def test_a_killed_service_comes_back_and_that_is_said(place, up):
    popen = up(place / "data")
    until(popen, "curl")
    killed(popen)
    assert until(popen, "stack") == "stack  | api ended with status 137; starting it again\n"
    assert until(popen, "stack").startswith("stack  |   listening for")
    assert until(popen, "listening").startswith("api    | listening")
    popen.send_signal(signal.SIGINT)
    assert popen.wait(60) == 0


def test_a_killed_service_comes_back_around_a_command_too(up, nothing_left):
    code = "import os; print(os.environ['SBA_LOCAL_DATA_DIR'], flush=True); input()"
    popen = up("", sys.executable, "-c", code, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    data_dir = Path(popen.stdout.readline().strip())
    killed(popen)
    assert popen.stderr.readline() == "stack  | api ended with status 137; starting it again\n"
    _, err = popen.communicate("\n", timeout=60)
    assert "Traceback" not in err
    assert popen.returncode == 0
    assert nothing_left(data_dir)
    assert not data_dir.exists()


def test_a_signal_in_the_pause_before_a_restart_ends_it_cleanly(place, up, nothing_left):
    popen = up(place / "data")
    until(popen, "curl")
    killed(popen)
    until(popen, "starting it again")
    popen.send_signal(signal.SIGTERM)
    assert popen.wait(60) == 0
    assert nothing_left(place / "data")


def test_a_supervisor_killed_in_that_pause_leaves_neither_processes_nor_a_throwaway(up, nothing_left):
    code = "import os, time; print(os.environ['SBA_LOCAL_DATA_DIR'], flush=True); time.sleep(600)"
    popen = up("", sys.executable, "-c", code, stderr=subprocess.PIPE)
    data_dir = Path(popen.stdout.readline().strip())
    killed(popen)
    assert "starting it again" in popen.stderr.readline()
    popen.kill()
    popen.wait()
    popen.stderr.close()
    assert nothing_left(data_dir)
    assert not data_dir.exists()


def test_a_service_that_keeps_dying_ends_it_with_a_message(place, up):
    popen = up(place / "data", stderr=subprocess.PIPE, env={**os.environ, "IMPATIENT": "1"})
    until(popen, "curl")
    killed(popen)
    _, err = popen.communicate(timeout=60)
    assert "api ended with status 137; its last lines:\nlistening for" in err
    assert popen.returncode == 1
