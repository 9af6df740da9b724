"""What the person at the terminal reads."""

import io

from sba_local.console import Prefixed, silent, welcome

ENVIRONMENT = {
    "SBA_API_URL": "http://127.0.0.1:1",
    "SBA_WS_URL": "http://127.0.0.1:2",
    "SUPABASE_URL": "http://127.0.0.1:3",
    "SBA_DATABASE_URL": "postgresql://sba_app:hunter2@127.0.0.1:4/sba",
    "REDIS_URL": "redis://:hunter3@127.0.0.1:5/0",
    "SBA_LOCAL_DATA_DIR": "here",
}


def test_the_greeting_has_addresses_a_token_and_a_first_request_but_no_password():
    text = welcome(ENVIRONMENT, tenant="acme", user="ada", token="e30.e30.x")
    assert "export TOKEN=e30.e30.x" in text
    assert "curl -s http://127.0.0.1:1/v1/runs" in text
    assert "postgresql://sba_app@127.0.0.1:4/sba" in text
    assert "redis://127.0.0.1:5/0" in text
    assert "For development only" in text
    assert "hunter" not in text


def test_lines_are_prefixed_and_plain_where_there_is_no_terminal():
    stream = io.StringIO()
    listener = Prefixed(stream)
    listener("api", "ready")
    listener("worker", "ready")
    assert stream.getvalue() == "api    | ready\nworker | ready\n"


def test_lines_are_coloured_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    Prefixed(stream)("api", "ready")
    assert stream.getvalue() == "\x1b[36mapi    |\x1b[0m ready\n"


def test_a_silent_listener_prints_nothing(capsys):
    silent("api", "ready")
    assert capsys.readouterr().out == ""
