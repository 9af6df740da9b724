"""Services as processes, with small programs in their place."""

import sys

import pytest

from sba_local.errors import ServiceFailed
from sba_local.ports import LOOPBACK, free_port
from sba_local.services import RunningService, Service, program

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        self.send_response(int(sys.argv[2]) if Handler.asked < 3 or sys.argv[3] == "never" else 200)
        self.end_headers()
        self.wfile.write(b'{"missing": "redis"}')
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Heard(list):
    def __call__(self, name, line):
        self.append((name, line))


@pytest.fixture
async def run():
    started = []

    def begin(code, *arguments, ready_url=None, name="svc", environment=None, listener=None):
        service = Service(name, [sys.executable, "-c", code, *arguments], {"OWN": "1"}, ready_url)
        running = RunningService(
            service, environment=environment or {}, listener=Heard() if listener is None else listener
        )
        started.append(running)
        return running

    yield begin
    for running in started:
        await running.stop()


async def test_every_line_is_heard_with_the_services_name(run):
    heard = Heard()
    running = run("print('one'); print('two', end='')", listener=heard)
    failure = await running.failure()
    assert heard == [("svc", "one"), ("svc", "two")]
    assert (failure.service, failure.status, failure.lines) == ("svc", 0, "one\ntwo")


async def test_an_endless_line_is_cut_and_bad_bytes_are_shown(run):
    heard = Heard()
    running = run("import sys; sys.stdout.buffer.write(b'x' * 300_000 + b'\\xff\\r\\n')", listener=heard)
    await running.failure()
    assert len(heard) > 1
    assert "".join(line for _, line in heard) == "x" * 300_000 + "\ufffd"


async def test_only_the_last_lines_are_kept_for_the_report(run):
    failure = await run("for i in range(100): print(i)\nraise SystemExit(4)").failure()
    assert failure.status == 4
    assert failure.lines.splitlines() == [str(number) for number in range(70, 100)]
    assert str(failure).startswith("svc ended with status 4; its last lines:\n70\n")


async def test_its_own_environment_goes_over_the_given(run):
    heard = Heard()
    code = "import os; print(os.environ['OWN'], os.environ['GIVEN'])"
    await run(code, environment={"OWN": "0", "GIVEN": "2"}, listener=heard).failure()
    assert heard == [("svc", "1 2")]


async def test_it_is_ready_once_it_answers_200(run):
    port = free_port()
    running = run(SERVER, str(port), "503", "later", ready_url=f"http://{LOOPBACK}:{port}/readyz")
    await running.ready(seconds=30)
    assert running.pid


async def test_one_that_is_never_ready_says_what_it_is_missing(run):
    port = free_port()
    running = run(SERVER, str(port), "503", "never", ready_url=f"http://{LOOPBACK}:{port}/readyz")
    with pytest.raises(
        ServiceFailed, match=r'not ready after 2 s \(status 503: \{"missing": "redis"\}\)'
    ) as caught:
        await running.ready(seconds=2)
    assert caught.value.status is None


async def test_one_that_ends_before_it_is_ready_is_reported_at_once(run):
    running = run("print('no settings'); raise SystemExit(2)", ready_url=f"http://{LOOPBACK}:{free_port()}/")
    with pytest.raises(ServiceFailed, match="ended with status 2") as caught:
        await running.ready(seconds=30)
    assert caught.value.lines == "no settings"


async def test_a_strange_answer_is_not_ready(run):
    port = free_port()
    running = run(SERVER, str(port), "204", "never", ready_url=f"http://{LOOPBACK}:{port}/")
    with pytest.raises(ServiceFailed, match="status 204"):
        await running.ready(seconds=1)


async def test_one_without_an_address_counts_as_ready(run):
    await run("import time; time.sleep(600)").ready(seconds=1)


async def test_a_program_that_is_not_there_is_named():
    with pytest.raises(ServiceFailed, match="/no/such/program") as caught:
        RunningService(Service("svc", ["/no/such/program"]), environment={}, listener=Heard())
    assert caught.value.status == 127


def test_programs_are_those_of_this_installation():
    assert program("sba-local").parent.samefile(program("python").parent)
    assert str(program("no-such-program")) == "no-such-program"
