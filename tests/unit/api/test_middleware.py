"""Each layer around the routes, on its own, over a bare ASGI app."""

import asyncio
import logging

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.responses import PlainTextResponse

from sba_api.middleware import BodyLimit, Cors, Observe, TimeLimit
from sba_api.problems import ProblemError, problem_answer
from sba_resilience import Deadline
from sba_telemetry.sdk import configure_telemetry

ORIGIN = "https://app.example.com"
POLICY = b"default-src 'none'; style-src 'sha256-x'"


async def hello(scope, receive, send):
    await PlainTextResponse("hello")(scope, receive, send)


async def read_everything(scope, receive, send):
    more, size = True, 0
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    await PlainTextResponse(str(size))(scope, receive, send)


def observed(app=hello, **options):
    return Observe(app, docs_policy=POLICY, **options)


class TestRequestIds:
    async def test_a_safe_one_is_kept(self, ask):
        answer = await ask(observed(), headers=[("X-Request-Id", "abc-123.DEF_4")])
        assert answer.header("x-request-id") == "abc-123.DEF_4"

    @pytest.mark.parametrize(
        "given",
        [
            "short",
            "a" * 65,
            "with space in it",
            'quote"quote"',
            "line\nbreak-in-it",
            "-leading-dash",
            "äöüäöüäöü",
        ],
    )
    async def test_any_other_is_replaced(self, ask, given):
        answer = await ask(observed(), headers=[("X-Request-Id", given)])
        assert len(answer.header("x-request-id")) == 32
        assert answer.header("x-request-id") != given

    async def test_two_requests_get_two(self, ask):
        first, second = await ask(observed()), await ask(observed())
        assert first.header("x-request-id") != second.header("x-request-id")


class TestSpans:
    async def test_a_request_is_one_server_span_named_by_its_route_that_continues_the_callers_trace(
        self, ask
    ):
        exporter = InMemorySpanExporter()
        telemetry = configure_telemetry(service="test", span_exporter=exporter)
        caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = await ask(observed(), path="/x", headers=[("Traceparent", caller)])
        telemetry.shutdown()
        (span,) = exporter.get_finished_spans()
        assert span.name == "GET unmatched"
        assert format(span.context.trace_id, "032x") == caller.split("-")[1]
        assert span.attributes["http.response.status_code"] == 200
        assert span.attributes["sba.request_id"] == answer.header("x-request-id")


class TestSecurityHeaders:
    async def test_every_answer_refuses_sniffing_framing_referrers_scripts_and_caches(self, ask):
        answer = await ask(observed())
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("x-frame-options") == "DENY"
        assert answer.header("referrer-policy") == "no-referrer"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("content-security-policy").startswith("default-src 'none'")

    async def test_hsts_is_said_over_https_only(self, ask):
        assert (await ask(observed())).header("strict-transport-security") is None
        assert (await ask(observed(), scheme="https")).header("strict-transport-security")

    async def test_the_docs_page_has_its_own_content_policy(self, ask):
        answer = await ask(observed(), path="/docs")
        assert answer.header("content-security-policy") == POLICY.decode()


class TestUnforeseenErrors:
    async def test_they_are_a_500_without_internals(self, ask, caplog):
        async def broken(scope, receive, send):
            raise RuntimeError("the password is hunter2")

        answer = await ask(observed(broken))
        assert answer.status == 500
        assert answer.header("content-type") == "application/problem+json"
        assert answer.json()["code"] == "internal"
        assert answer.json()["request_id"] == answer.header("x-request-id")
        assert b"hunter2" not in answer.body
        assert "request.failed" in caplog.text

    async def test_once_an_answer_has_begun_nothing_is_added(self, ask):
        async def breaks_late(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError

        answer = await ask(observed(breaks_late))
        assert answer.status == 200
        assert answer.body == b""


class TestAccessLog:
    async def test_one_line_names_method_route_and_status_but_no_query(self, ask, caplog):
        caplog.set_level(logging.INFO)
        await ask(observed(), path="/v1/secret-looking", query_string=b"token=abc")
        lines = [record.getMessage() for record in caplog.records if "request" in record.getMessage()]
        assert len(lines) == 1
        assert "unmatched" in lines[0]
        assert "secret-looking" not in lines[0]
        assert "token=abc" not in lines[0]

    async def test_a_made_up_method_is_one_label(self, ask, caplog):
        caplog.set_level(logging.INFO)
        await ask(observed(), "BREW")
        assert "_OTHER" in caplog.text
        assert "BREW" not in caplog.text


@pytest.mark.parametrize(
    "layer",
    [
        observed,
        lambda app: Cors(app, origins=[ORIGIN]),
        lambda app: BodyLimit(app, limit=1),
        lambda app: TimeLimit(app, seconds=1),
    ],
)
async def test_what_is_not_http_passes_untouched(layer):
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    parts = ({"type": "lifespan"}, object(), object())
    await layer(app)(*parts)
    assert seen == [parts]


class TestCors:
    async def test_an_exact_origin_is_allowed_without_credentials(self, ask):
        answer = await ask(Cors(hello, origins=[ORIGIN]), headers=[("Origin", ORIGIN)])
        assert answer.header("access-control-allow-origin") == ORIGIN
        assert answer.header("access-control-allow-credentials") is None
        assert "Retry-After" in answer.header("access-control-expose-headers")
        assert answer.header("vary") == "Origin"

    @pytest.mark.parametrize(
        "origin",
        ["https://app.example.com.evil.net", "http://app.example.com", "https://APP.example.com", "null",
         "https://app.example.com:8443", "https://xapp.example.com"],
    )  # fmt: skip
    async def test_any_other_is_answered_without_permission(self, ask, origin):
        answer = await ask(Cors(hello, origins=[ORIGIN]), headers=[("Origin", origin)])
        assert answer.status == 200
        assert answer.header("access-control-allow-origin") is None
        assert answer.header("vary") == "Origin"

    async def test_answers_vary_by_origin_even_when_none_was_sent(self, ask):
        assert (await ask(Cors(hello, origins=[ORIGIN]))).header("vary") == "Origin"

    async def test_a_preflight_names_methods_and_headers(self, ask):
        headers = [("Origin", ORIGIN), ("Access-Control-Request-Method", "POST")]
        answer = await ask(Cors(hello, origins=[ORIGIN]), "OPTIONS", headers=headers)
        assert answer.status == 204
        assert answer.header("access-control-allow-origin") == ORIGIN
        assert "POST" in answer.header("access-control-allow-methods")
        assert "X-Tenant-Id" in answer.header("access-control-allow-headers")

    async def test_a_foreign_preflight_is_refused(self, ask):
        headers = [("Origin", "https://evil.net"), ("Access-Control-Request-Method", "POST")]
        answer = await ask(Cors(hello, origins=[ORIGIN]), "OPTIONS", headers=headers)
        assert answer.status == 403
        assert answer.header("access-control-allow-origin") is None

    async def test_without_configured_origins_no_cors_header_is_ever_sent(self, ask):
        answer = await ask(Cors(hello, origins=[]), headers=[("Origin", ORIGIN)])
        assert not [name for name, _ in answer.headers if name.startswith("access-control") or name == "vary"]


class TestBodyLimit:
    async def test_an_announced_length_over_the_limit_is_refused_unread(self, ask):
        async def must_not_run(scope, receive, send):
            raise AssertionError

        answer = await ask(BodyLimit(must_not_run, limit=10), "POST", headers=[("Content-Length", "11")])
        assert answer.status == 413
        assert answer.json()["code"] == "body_too_large"

    async def test_a_stream_over_the_limit_stops_being_read(self, ask):
        with pytest.raises(ProblemError) as caught:
            await ask(BodyLimit(read_everything, limit=10), "POST", chunks=[b"x" * 6, b"x" * 6, b"x"])
        assert caught.value.problem.status == 413

    @pytest.mark.parametrize("headers", [[], [("Content-Length", "10")], [("Content-Length", "-1")]])
    async def test_a_body_of_the_limit_passes(self, ask, headers):
        answer = await ask(
            BodyLimit(read_everything, limit=10), "POST", chunks=[b"x" * 5, b"x" * 5], headers=headers
        )
        assert answer.body == b"10"

    async def test_methods_without_a_body_are_left_alone(self, ask):
        assert (
            await ask(BodyLimit(hello, limit=10), "GET", headers=[("Content-Length", "11")])
        ).status == 200


class TestTimeLimit:
    async def test_a_request_that_takes_too_long_is_a_504(self, ask):
        async def hangs(scope, receive, send):
            await asyncio.Event().wait()

        answer = await ask(TimeLimit(hangs, seconds=0.01))
        assert answer.status == 504
        assert answer.json()["code"] == "timed_out"

    @pytest.mark.parametrize("slow_to_say_so", [False, True])
    async def test_a_client_that_stalls_while_it_sends_its_body_is_a_408(self, slow_to_say_so):
        half = {"type": "http.request", "body": b"half", "more_body": True}
        sent, waiting = [], [half]

        async def stalls():
            return waiting.pop() if waiting else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        async def reads(scope, receive, send):
            try:
                await read_everything(scope, receive, send)
            except ProblemError as error:
                if slow_to_say_so:
                    await asyncio.Event().wait()
                await problem_answer(scope, error.problem)(scope, receive, send)

        await TimeLimit(reads, seconds=0.05)({"type": "http"}, stalls, send)
        assert sent[0]["status"] == 408
        assert (b"connection", b"close") in sent[0]["headers"]
        assert b"body_timed_out" in sent[1]["body"]

    async def test_waiting_for_a_disconnect_after_the_body_is_no_stalling(self, ask):
        heard = asyncio.Event()

        async def receive():
            if heard.is_set():
                await asyncio.Event().wait()
            heard.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def waits(scope, receive, send):
            await receive()
            await receive()

        sent = []

        async def send(message):
            sent.append(message)

        await TimeLimit(waits, seconds=0.02)({"type": "http", "headers": []}, receive, send)
        assert sent[0]["status"] == 504

    async def test_an_answer_that_has_begun_is_cut_off(self, ask):
        async def hangs_late(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await ask(TimeLimit(hangs_late, seconds=0.01))

    async def test_libraries_see_the_deadline(self, ask):
        async def tells(scope, receive, send):
            left = Deadline.current().remaining()
            await PlainTextResponse(str(0 < left <= 5))(scope, receive, send)

        assert (await ask(TimeLimit(tells, seconds=5))).body == b"True"
