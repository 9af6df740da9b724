from __future__ import annotations

import asyncio
import datetime as dt
import io
import json
import logging
import logging.config

import pytest
import structlog
import uvicorn
from uvicorn.config import LOGGING_CONFIG

from sba_telemetry import bind, configure_logging, get_logger, reset_logging, span
from sba_telemetry.redact import REDACTED

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


def test_a_line_is_one_json_object_with_the_fields_every_line_has(lines):
    get_logger("sba.some").info("run finished", status="ok", count=3)
    (line,) = lines()
    at = dt.datetime.fromisoformat(line.pop("timestamp"))
    assert at.tzinfo is dt.UTC
    assert line == {
        "service": "test",
        "level": "info",
        "logger": "sba.some",
        "event": "run finished",
        "status": "ok",
        "count": 3,
    }


def test_lines_of_the_standard_library_look_the_same(lines):
    logging.getLogger("other").warning("took %d ms", 12, extra={"route": "/v1"})
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"], line["route"]) == (
        "took 12 ms",
        "warning",
        "other",
        "/v1",
    )


def test_the_bound_context_is_on_every_line_and_the_lines_own_fields_win(lines):
    with bind(request_id="r1", tenant_id="t1"):
        get_logger("a").info("one", tenant_id="mine")
        logging.getLogger("b").info("two")
    get_logger("a").info("three")
    one, two, three = lines()
    assert (one["request_id"], one["tenant_id"]) == ("r1", "mine")
    assert (two["request_id"], two["tenant_id"]) == ("r1", "t1")
    assert "request_id" not in three


def test_lines_in_a_span_carry_its_ids(lines, telemetry):
    with span("work") as here:
        get_logger("a").info("inside")
        logging.getLogger("b").info("inside")
    get_logger("a").info("outside")
    first, second, outside = lines()
    ids = here.get_span_context()
    for line in (first, second):
        assert (line["trace_id"], line["span_id"]) == (
            format(ids.trace_id, "032x"),
            format(ids.span_id, "016x"),
        )
    assert "trace_id" not in outside


def test_secrets_are_redacted_whoever_logs_them(lines):
    get_logger("a").info(f"got {TOKEN}", password="hunter2", deep=[{"authorization": "Basic x"}])
    logging.getLogger("b").warning("calling %s", "redis://:hunter2@cache:6379", extra={"api_key": "hunter2"})
    with bind(note=f"Bearer {TOKEN}"):
        get_logger("c").info("bound")
    written = json.dumps(lines())
    assert TOKEN not in written
    assert "hunter2" not in written
    assert "Basic x" not in written


@pytest.mark.parametrize("own", [True, False])
def test_a_traceback_is_kept_and_its_secrets_are_not(lines, own):
    logger = get_logger("a") if own else logging.getLogger("a")

    def fail() -> None:
        raise RuntimeError(f"cannot reach postgresql://app:hunter2@db/x with {TOKEN}")

    try:
        fail()
    except RuntimeError:
        logger.exception("failed")
    (line,) = lines()
    assert "RuntimeError: cannot reach" in line["exception"]
    assert "hunter2" not in json.dumps(line)
    assert TOKEN not in json.dumps(line)


def test_values_that_json_does_not_know_are_written_all_the_same(lines):
    get_logger("a").info("odd", value=object(), when=dt.date(2026, 1, 2), many={"x"}, raw=b"\xff")
    (line,) = lines()
    assert line["when"] == "2026-01-02"
    assert line["many"] == ["x"]
    assert line["value"].startswith("<object object")


def test_line_breaks_cannot_forge_a_line(lines):
    get_logger("a").info('x\n{"event": "forged"}')
    assert len(lines()) == 1


def test_the_level_is_respected_and_checked_before_any_work(lines):
    configure_logging(service="test", level="warning", stream=io.StringIO())

    class Expensive:
        def __repr__(self):
            raise AssertionError("rendered")

    get_logger("a").info("hidden", value=Expensive())
    assert lines() == []


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging(service="test", level="loud")


def test_configuring_again_replaces_the_output(lines):
    again = io.StringIO()
    configure_logging(service="again", stream=again)
    get_logger("a").info("once")
    assert lines() == []
    assert json.loads(again.getvalue())["service"] == "again"


def test_resetting_takes_the_handler_away(lines):
    before = len(logging.getLogger().handlers)
    reset_logging()
    assert len(logging.getLogger().handlers) == before - 1


def test_a_logger_made_before_configuring_follows():
    early = get_logger("early")
    stream = io.StringIO()
    configure_logging(service="late", stream=stream)
    try:
        early.info("hello")
    finally:
        reset_logging()
    assert json.loads(stream.getvalue())["event"] == "hello"


def test_without_a_stream_lines_go_to_standard_error_as_it_is_now(capsys):
    configure_logging(service="test")
    try:
        get_logger("a").info("hello")
    finally:
        reset_logging()
    assert json.loads(capsys.readouterr().err)["event"] == "hello"


def test_the_hosts_structlog_is_not_touched(lines):
    get_logger("a").info("x")
    assert not structlog.is_configured()


def console_lines(write) -> list[str]:
    stream = io.StringIO()
    configure_logging(service="test", json=False, stream=stream)
    try:
        write()
    finally:
        reset_logging()
    return stream.getvalue().splitlines()


def test_the_console_shows_the_event_and_its_fields():
    (line,) = console_lines(lambda: get_logger("a").info("run finished", status="ok", password="hunter2"))
    assert "run finished" in line
    assert "status=ok" in line
    assert f"password={REDACTED}" in line.replace("'", "")


def test_control_characters_cannot_forge_a_console_line():
    written = console_lines(lambda: get_logger("a").info("a\n2026 forged\x1b[31m", value="b\nforged"))
    assert len(written) == 1
    assert "\x1b" not in written[0]


def test_uvicorns_lines_take_the_same_way(lines):
    logging.config.dictConfig(LOGGING_CONFIG)
    configure_logging(service="test", stream=(stream := io.StringIO()))
    uvicorn.Config(app=lambda: None, log_config=None)
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", "/?token=hunter2", "1.1", 200
    )
    logging.getLogger("uvicorn.error").info("Started")
    access, error = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (access["logger"], error["logger"]) == ("uvicorn.access", "uvicorn.error")
    assert "hunter2" not in access["event"]


async def test_concurrent_tasks_do_not_mix_their_fields(lines):
    async def work(name: str) -> None:
        with bind(task=name):
            await asyncio.sleep(0)
            get_logger("a").info(name)

    await asyncio.gather(*(work(str(number)) for number in range(20)))
    ours = [line for line in lines() if line["logger"] == "a"]
    assert [line["task"] for line in ours] == [line["event"] for line in ours]
    assert len(ours) == 20
