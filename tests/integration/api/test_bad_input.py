"""Whatever a client sends, the answer is one of ours and never a 500."""

import asyncio
import json
import uuid

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.integration.api.conftest import serving

FUZZ = hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
text = st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    [
        "prompt",
        "options",
        "arguments",
        "run_id",
        "title",
        "content",
        "metadata",
        "query",
        "limit",
        "mode",
        "expression",
    ]
)
bodies = st.dictionaries(names, values, max_size=5).map(lambda body: json.dumps(body).encode()) | st.binary(
    max_size=60
)
paths = st.sampled_from(
    ["/v1/runs", "/v1/tools/calculator/execute", "/v1/tools/knowledge.search/execute",
     "/v1/knowledge/documents", "/v1/knowledge/search"]
)  # fmt: skip
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def fuzz(settings, acme):
    """Runs one request against one app that stays open, from the synchronous examples of Hypothesis."""
    with asyncio.Runner() as runner:
        context = serving(settings)
        client = runner.run(context.__aenter__())
        yield lambda *args, **kwargs: runner.run(client.request(*args, **kwargs))
        runner.run(context.__aexit__(None, None, None))


def test_bodies_are_accepted_or_refused(fuzz, acme):
    @FUZZ
    @given(paths, bodies)
    def check(path, body):
        answer = fuzz("POST", path, content=body, headers={**acme, **JSON})
        assert answer.status_code in {200, 201, 202, 422}, (path, body, answer.text)

    check()


def test_stored_json_is_read_back_as_it_was_sent(fuzz, acme):
    storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    finite = st.integers(-(2**53), 2**53) | st.booleans() | st.none() | storable

    @FUZZ
    @given(st.dictionaries(storable, st.recursive(finite, st.lists, max_leaves=4), max_size=4))
    def check(options):
        sent = json.dumps({"prompt": "x", "options": options}).encode()
        accepted = fuzz("POST", "/v1/runs", content=sent, headers={**acme, **JSON})
        read = fuzz("GET", accepted.headers["location"], headers=acme)
        assert read.json()["options"] == options

    check()


def test_paths_and_queries_are_answered(fuzz, acme):
    safe = st.text(max_size=40).map(
        lambda part: httpx.QueryParams({"x": part.encode("utf-8", "replace")}).__str__()[2:]
    )

    @FUZZ
    @given(st.sampled_from(["runs", "knowledge/documents"]), safe, safe, safe)
    def check(kind, item, cursor, limit):
        for path in (
            f"/v1/{kind}/{item}",
            f"/v1/{kind}?cursor={cursor}&limit={limit}",
            f"/v1/{kind}?status={item}",
        ):
            answer = fuzz("GET", path, headers=acme)
            assert answer.status_code in {200, 404, 405, 422}, (path, answer.text)

    check()


def test_headers_are_answered(fuzz, acme):
    name = st.sampled_from(["Authorization", "X-Tenant-Id", "X-Request-Id", "Idempotency-Key", "Traceparent",
                            "X-Forwarded-For", "Content-Type", "Origin"])  # fmt: skip
    value = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)

    @FUZZ
    @given(name, value)
    def check(header, content):
        headers = {**acme, **JSON, header: content.encode("latin-1")}
        answer = fuzz("POST", "/v1/runs", content=b'{"prompt":"x"}', headers=headers)
        assert answer.status_code in {202, 400, 401, 415, 422}, (header, content, answer.text)

    check()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"prompt":"x","options":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}",
        b'{"prompt":"x","prompt":"y"}',
        b'{"prompt":"x","options":{"n":1e999}}',
        b'{"prompt":"x","options":{"n":NaN}}',
        b'{"prompt":"x","options":{"n":' + b"9" * 10_000 + b"}}",
        b'{"prompt":"\\ud800"}',
        b'{"prompt":"\xff"}',
        b'\xef\xbb\xbf{"prompt":"x"}',
        b'{"prompt":"x","options":{"\\u0000":1}}',
        b'"' + b"x" * 1_000_000 + b'"',
        b"null",
        b"[]",
        b"1",
    ],
)  # fmt: skip
async def test_hostile_json_is_422(api, acme, body):
    answer = await api.post("/v1/runs", content=body, headers={**acme, **JSON})
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_values_never_come_back_in_a_refusal(api, acme):
    answer = await api.post(
        "/v1/runs", json={"prompt": {"password": "hunter2"}, "options": "hunter2"}, headers=acme
    )
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


async def test_a_thousand_wrong_fields_are_not_all_listed(api, acme):
    body = {"prompt": "x", **{f"wrong-{n}-{'x' * 300}": n for n in range(1_000)}}
    answer = await api.post("/v1/runs", json=body, headers=acme)
    assert len(answer.json()["errors"]) == 20
    assert len(answer.content) < 20_000


@pytest.mark.parametrize("size", [2_097_153, 10_000_000])
async def test_a_body_over_the_limit_is_413(api, acme, size):
    answer = await api.post("/v1/runs", content=b"x" * size, headers={**acme, **JSON})
    assert answer.status_code == 413


async def test_a_streamed_body_over_the_limit_is_413(api, acme):
    async def endless():
        for _ in range(1_000):
            yield b"x" * 65_536

    answer = await api.post("/v1/runs", content=endless(), headers={**acme, **JSON})
    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", "/v1/runs/", 404),
        ("PUT", "/v1/runs", 405),
        ("DELETE", "/v1/runs", 405),
        ("PATCH", "/v1/runs/x", 405),
        ("BREW", "/v1/runs", 405),
        ("POST", "/healthz", 405),
    ],
)
async def test_what_is_not_served_is_a_problem(api, acme, method, path, status):
    answer = await api.request(method, path, headers=acme)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize("prompt", [" ", " \n\t ", "\u3000\u2028"])
async def test_a_prompt_of_white_space_only_is_refused_naming_it(api, acme, prompt):
    answer = await api.post("/v1/runs", json={"prompt": prompt}, headers=acme)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["rule"]) == ("prompt", "not_blank")


async def test_white_space_around_a_prompt_is_kept(api, acme):
    answer = await api.post("/v1/runs", json={"prompt": " x\n"}, headers=acme)
    assert (answer.status_code, answer.json()["prompt"]) == (202, " x\n")


async def test_a_body_that_stalls_is_a_408_and_costs_an_outsider_only(settings, acme, issuer, tenants):
    outsider = {"Authorization": f"Bearer {issuer.token(uuid.uuid4(), tenants[0].id)}"}

    async def stalling():
        yield b'{"prompt":'
        await asyncio.Event().wait()

    short = settings.model_copy(update={"request_timeout": 4.0, "tenant_limit": 3})
    async with serving(short) as api:
        late, refused = await asyncio.gather(
            *(
                api.post("/v1/runs", content=stalling(), headers={**headers, **JSON})
                for headers in (acme, outsider)
            )
        )
        after = await api.get("/v1/runs", headers=acme)
    assert (late.status_code, late.json()["code"]) == (408, "body_timed_out")
    assert late.headers["connection"] == "close"
    assert refused.status_code == 403
    assert '"tenant";r=1' in after.headers["ratelimit"]
