"""Functions whose handlers fail, hang, or answer what cannot be sent."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from sba_local.supabase.functions import Answer, FunctionsApp
from tests.integration.local.gateway.standing import ANON, SECRET


@pytest.fixture
def invoke(project):
    async def call(name, method="POST", *, headers=None, **options):
        url = httpx.URL(project.url).copy_with(raw_path=f"/functions/v1/{name}".encode())
        sent = project.headers(key=SECRET) | (headers or {})
        return await project.http.request(method, url, headers=sent, **options)

    return call


class Unlucky(Exception):
    """Its text is nobody's business."""


def raising(error):
    raise error


LOOP: dict[str, object] = {}
LOOP["self"] = LOOP
FAILING = {
    "raises": lambda: raising(Unlucky(SECRET)),
    "ends": lambda: raising(asyncio.CancelledError()),
    "times_out": lambda: raising(TimeoutError()),
    "a_set": lambda: {1, 2},
    "not_a_number": lambda: float("nan"),
    "endless": lambda: LOOP,
    "surrogate": lambda: "\ud800",
    "breaks_a_header": lambda: Answer(b"", 200, {"X-A": "b\r\nX-Evil: c"}),
    "names_a_header_badly": lambda: Answer(b"", 200, {"X A": "b"}),
    "beyond_latin": lambda: Answer(b"", 200, {"X-A": "→"}),
    "no_status": lambda: Answer(b"", 42),
    "not_final": lambda: Answer(b"", 101),
}


async def test_a_handler_that_fails_in_any_way_is_a_worker_error_that_says_nothing_of_it(project, invoke):
    async def fail(call):
        return FAILING[call.path]()

    project.functions["fail"] = fail
    project.functions["plain"] = lambda _call: "not awaitable"
    for path in (*(f"fail/{name}" for name in FAILING), "plain"):
        answer = await invoke(path)
        assert (answer.status_code, answer.json()["code"]) == (500, "WORKER_ERROR"), path
        assert SECRET not in answer.text
        assert "x-evil" not in answer.headers


async def test_how_long_an_answer_is_is_not_the_handlers_to_say(project, invoke):
    async def lies(_call):
        return Answer(b"x", 200, {"Content-Length": "5", "Transfer-Encoding": "chunked", "X-A": "b"})

    project.functions["lies"] = lies
    answer = await invoke("lies")
    assert (answer.content, answer.headers["content-length"], answer.headers["x-a"]) == (b"x", "1", "b")


async def test_a_page_is_sent_as_text(project, invoke):
    async def page(_call):
        return Answer(b"<p>", 200, {"Content-Type": "text/html; charset=utf-8"})

    project.functions["page"] = page
    assert (await invoke("page", "GET")).headers["content-type"] == "text/plain; charset=utf-8"
    assert (await invoke("page")).headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_each_documented_method_reaches_the_handler(project, invoke, method):
    async def tells(call):
        return call.method

    project.functions["tells"] = tells
    assert (await invoke("tells", method)).text == method
    assert (await invoke("tells", "TRACE")).status_code == 405


async def test_a_body_that_is_too_large_never_reaches_the_handler(project, invoke):
    seen = []

    async def sees(call):
        seen.append(len(call.body))

    project.functions["sees"] = sees

    async def endless():
        for _ in range(11):
            yield b"x" * 1024 * 1024

    assert (await invoke("sees", content=endless())).status_code == 413
    assert (await invoke("sees", content=b"x" * 10 * 1024 * 1024)).status_code == 200
    assert seen == [10 * 1024 * 1024]


async def test_only_a_name_that_was_given_is_called(project, invoke):
    project.functions["mine"] = lambda _call: None
    for name in ("", "/", "__class__", "keys", "..%2fmine", "MINE", "mine%00", "%20mine"):
        assert (await invoke(name)).status_code == 404, name


async def test_nobody_is_not_let_in_and_an_expired_token_neither(project):
    url = f"{project.url}/functions/v1/any"
    assert (await project.http.post(url)).json() == {"code": 401, "message": "Missing authorization header"}
    forged = {"apikey": ANON, "Authorization": "Bearer a.b.c"}
    assert (await project.http.post(url, headers=forged)).json()["message"] == "Invalid JWT"


async def served(handler, *, longest):
    """The answer of an application with one handler."""
    functions = FunctionsApp({"one": handler}, longest=longest)

    async def app(scope, receive, send):
        await functions({**scope, "state": {"role": "anon", "claims": {}}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.post("/functions/v1/one")


async def test_a_handler_that_hangs_is_given_up_and_told_so():
    given_up = asyncio.Event()

    async def hangs(_call):
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    answer = await served(hangs, longest=0.01)
    assert (answer.status_code, answer.json()["code"]) == (504, "IDLE_TIMEOUT")
    assert given_up.is_set()


async def test_a_caller_who_leaves_ends_the_handler():
    began, given_up = asyncio.Event(), asyncio.Event()

    async def hangs(_call):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    asking = asyncio.create_task(served(hangs, longest=600))
    await asyncio.wait_for(began.wait(), 30)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert given_up.is_set()
