"""Commands that cannot outlive their owner, tried on real processes."""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from sba_local.directory import wait_until
from sba_local.process import Account, Command, Ending, KeptProcess, SpawnFailed

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
FAMILY = "import subprocess; c = subprocess.Popen(['sleep', '600']); print(c.pid, flush=True); c.wait()"
QUICK = Ending(stop=((signal.SIGTERM, 0.2),), abandon=((signal.SIGTERM, 0.2),))


def python(code, **options):
    return Command([sys.executable, "-I", "-c", code], **options)


def start(code, **options):
    process = KeptProcess.start(python(code, **options), stdout=subprocess.PIPE)
    return process, process.stdout.readline()


def gone(pid):
    return wait_until(lambda: not psutil.pid_exists(pid) or is_zombie(pid), seconds=20)


def is_zombie(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def finish(process):
    status = process.stop()
    process.stdout.close()
    return status


def test_the_exit_status_is_the_commands():
    assert KeptProcess.start(python("raise SystemExit(7)")).wait() == 7


def test_a_signal_shows_as_128_and_its_number():
    assert KeptProcess.start(python("import os; os.kill(os.getpid(), 9)")).wait() == 137


def test_its_pid_is_the_commands_own():
    process, line = start("import os; print(os.getpid(), flush=True); import time; time.sleep(600)")
    assert process.pid == int(line)
    assert process.poll() is None
    assert finish(process) == 128 + signal.SIGTERM


def test_one_that_ignores_the_request_is_killed():
    process, _ = start(STUBBORN, ending=QUICK)
    assert finish(process) == 128 + signal.SIGKILL


def test_its_children_end_with_it():
    process, line = start(FAMILY, ending=QUICK)
    finish(process)
    assert gone(int(line))


def test_a_program_that_is_not_there_says_so():
    with pytest.raises(SpawnFailed, match="No such file"):
        KeptProcess.start(Command(["/no/such/program"]))


def test_a_keeper_that_cannot_begin_says_so(tmp_path):
    missing = tmp_path / "gone"
    missing.mkdir()
    command = python(SLEEP, environment={}, cwd=missing)
    missing.rmdir()
    with pytest.raises(SpawnFailed):
        KeptProcess.start(command)


def test_it_outlives_the_thread_that_started_it():
    made = []
    thread = threading.Thread(target=lambda: made.append(start(SLEEP)))
    thread.start()
    thread.join()
    process, _ = made[0]
    assert psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE
    assert process.poll() is None
    finish(process)


async def test_its_end_can_be_awaited_by_several():
    process = KeptProcess.start(python("raise SystemExit(3)"))
    assert await process.ended() == 3
    assert await process.ended() == 3


OWNER = """
import subprocess, sys, time
from pathlib import Path
from sba_local.process import Command, Ending, KeptProcess
ending = Ending(stop=((15, .2),), abandon=((15, .2),))
command = Command([sys.executable, "-c", sys.argv[1]], ending=ending, remove=[Path(sys.argv[2])])
process = KeptProcess.start(command, stdout=subprocess.DEVNULL)
print(process.pid, process._popen.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path):
    """Another process that keeps one: its Popen, two process ids and a directory to remove."""
    directory = tmp_path / "leftover"
    directory.mkdir()
    started = []

    def begin(code):
        popen = subprocess.Popen([sys.executable, "-c", OWNER, code, directory], stdout=subprocess.PIPE)
        started.append(popen)
        command, keeper = map(int, popen.stdout.readline().split())
        return popen, command, keeper, directory

    yield begin
    for popen in started:
        popen.kill()
        popen.wait()
        popen.stdout.close()


@pytest.mark.parametrize("code", [SLEEP, STUBBORN])
def test_a_killed_owner_takes_the_command_along(owner, code):
    popen, command, keeper, directory = owner(code)
    popen.kill()
    assert gone(command)
    assert gone(keeper)
    assert not directory.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the parent-death signal; the Linux CI job runs it")
def test_a_killed_keeper_takes_the_command_along(owner):
    _, command, keeper, _ = owner(SLEEP)
    os.kill(keeper, signal.SIGKILL)
    assert gone(command)


def test_a_terminated_keeper_ends_the_command_in_good_order(owner):
    _, command, keeper, directory = owner(SLEEP)
    os.kill(keeper, signal.SIGTERM)
    assert gone(command)
    assert wait_until(lambda: not directory.exists(), seconds=20)


def test_a_forked_copy_of_the_owner_does_not_keep_the_command_alive(tmp_path):
    code = OWNER.replace("time.sleep(600)", "import os\nif os.fork() == 0: time.sleep(60)\ntime.sleep(600)")
    popen = subprocess.Popen([sys.executable, "-c", code, SLEEP, tmp_path / "x"], stdout=subprocess.PIPE)
    command = int(popen.stdout.readline().split()[0])
    children = wait_until(lambda: len(psutil.Process(popen.pid).children()) > 1, seconds=20)
    copies = [c for c in psutil.Process(popen.pid).children() if "keeper.py" not in str(c.cmdline())]
    popen.kill()
    popen.wait()
    popen.stdout.close()
    assert children
    assert gone(command)
    for copy in copies:
        copy.kill()


def test_locks_it_holds_last_as_long_as_it():
    readable, writable = os.pipe()
    process, _ = start(SLEEP, hold=[writable], ending=QUICK)
    os.close(writable)
    os.set_blocking(readable, False)
    with pytest.raises(BlockingIOError):
        os.read(readable, 1)
    finish(process)
    assert os.read(readable, 1) == b""
    os.close(readable)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; the root CI job runs it")
def test_root_can_run_it_as_somebody_else():
    command = Command(["/usr/bin/id", "-u"], account=Account("nobody", 65534, 65534))
    process = KeptProcess.start(command, stdout=subprocess.PIPE)
    assert process.stdout.read().strip() == b"65534"
    process.wait()
    process.stdout.close()


def test_its_environment_is_not_in_its_repr():
    assert "hunter2" not in repr(python(SLEEP, environment={"SECRET": "hunter2"}))


def test_asking_one_that_has_ended_is_no_error():
    process = KeptProcess.start(python("pass"))
    assert wait_until(lambda: process.poll() is not None, seconds=20)
    process.ask_to_stop()
    assert process.wait() == 0
    process.ask_to_stop()
