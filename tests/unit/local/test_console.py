"""What the person at the terminal reads."""

import contextlib
import io
import os
import re
import threading

from sba_local.console import STACK, Prefixed, Quiet, welcome

ENVIRONMENT = {
    "SBA_API_URL": "http://127.0.0.1:1",
    "SBA_WS_URL": "http://127.0.0.1:2",
    "SUPABASE_URL": "http://127.0.0.1:3",
    "SBA_DATABASE_URL": "postgresql://sba_app:hunter2@127.0.0.1:4/sba",
    "REDIS_URL": "redis://:hunter3@127.0.0.1:5/0",
    "SBA_LOCAL_DATA_DIR": "here",
    "SBA_EMAIL_A": "ada@acme.test",
    "SBA_EMAIL_B": "gita@globex.test",
    "SBA_USER_PASSWORD": "hunter4",
}


def test_the_greeting_has_addresses_a_token_and_a_first_request_but_no_password():
    text = welcome(ENVIRONMENT, tenant="acme", user="ada", token="e30.e30.x")
    assert "export TOKEN=e30.e30.x" in text
    assert "curl -s http://127.0.0.1:1/v1/runs" in text
    assert "postgresql://sba_app@127.0.0.1:4/sba" in text
    assert "redis://127.0.0.1:5/0" in text
    assert "ada@acme.test or gita@globex.test" in text
    assert "For development only" in text
    assert "hunter" not in text


def test_lines_are_prefixed_and_plain_where_there_is_no_terminal():
    stream = io.StringIO()
    listener = Prefixed(stream)
    listener("api", "ready")
    listener("worker", "ready")
    listener.close()
    assert stream.getvalue() == "api    | ready\nworker | ready\n"


def test_lines_are_coloured_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    listener = Prefixed(stream)
    listener("api", "ready")
    listener.close()
    assert stream.getvalue() == "\x1b[36mapi    |\x1b[0m ready\n"


def test_a_quiet_listener_prints_only_what_the_stack_says_of_itself():
    stream = io.StringIO()
    listener = Quiet(stream)
    listener("api", "ready")
    listener(STACK, "api ended with status 137")
    listener.close()
    assert stream.getvalue() == "stack  | api ended with status 137\n"


def test_a_reader_who_does_not_keep_up_loses_lines_and_holds_up_nobody():
    reading, writing = os.pipe()
    shown = []
    with open(reading, encoding="utf-8") as reader:
        with open(writing, "w", encoding="utf-8") as stream:
            listener = Prefixed(stream, most_waiting=100)
            for _ in range(5_000):
                listener("api", "x" * 500)
            reads = threading.Thread(target=lambda: shown.extend(reader))
            reads.start()
            listener.close(seconds=20)
        reads.join()
    assert f"api    | {'x' * 500}\n" in shown
    assert len(shown) < 5_000


def test_lost_lines_are_counted_aloud():
    stream = io.StringIO()
    gate = threading.Event()

    class Slow(io.StringIO):
        def write(self, text):
            assert gate.wait(20)
            return stream.write(text)

    listener = Prefixed(Slow(), most_waiting=1)
    for number in range(50):
        listener("api", str(number))
    gate.set()
    listener.close(seconds=20)
    assert re.search(r"\(4\d lines were not read in time\)", stream.getvalue())


def test_a_reader_who_has_gone_holds_up_nobody():
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(BrokenPipeError), open(writing, "w", encoding="utf-8") as stream:
        listener = Prefixed(stream, most_waiting=10)
        for _ in range(5_000):
            listener("api", "ready")
        listener.close(seconds=0.1)
