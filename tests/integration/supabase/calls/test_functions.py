"""Edge functions through their guards, against a real server."""

from __future__ import annotations

import uuid
from datetime import date

import pytest
from pydantic import BaseModel

from sba_local.supabase.functions import Answer
from sba_resilience import BreakerOpen, DeadlineExceeded
from sba_supabase import CallRules, EdgeFunction, Guards, functions
from sba_supabase.errors import (
    RemoteConflict,
    RemoteInvalid,
    RemoteMissing,
    RemoteRefused,
    RemoteUnavailable,
    ResultInvalid,
)


class Greeting(BaseModel):
    text: str
    tenant: uuid.UUID


class Wish(BaseModel):
    day: date
    owner: uuid.UUID


class Counting:
    """Answers with each of these in turn, the last one for ever."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.calls = []

    async def __call__(self, call):
        self.calls.append(call)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_a_result_is_of_the_type_that_was_asked_for(project, enter, guards):
    client = await enter()

    async def greet(call):
        return {"text": f"hello {call.json()['name']}", "tenant": call.headers["x-tenant-id"]}

    project.functions["greet"] = greet
    greeting = await functions.invoke(client, "greet", {"name": "Ada"}, returns=Greeting, guards=guards)
    assert greeting == Greeting(text="hello Ada", tenant=client.tenant_id)


async def test_models_and_ids_travel_as_json_has_them(project, enter, guards):
    wish = Wish(day=date(2026, 12, 1), owner=uuid.uuid4())
    project.functions["echo"] = echo
    answer = await functions.invoke(await enter(), "echo", [wish], returns=list[Wish], guards=guards)
    assert answer == [wish]


@pytest.mark.parametrize("body", ["text", 'qu"ote', [1, None], 0, False, {"ü": 1.5}])
async def test_any_body_is_sent_as_json(body, project, enter, guards):
    async def enclosed(call):
        return [call.json()]

    project.functions["echo"] = enclosed
    answer = await functions.invoke(await enter(), "echo", body, returns=object, guards=guards)
    assert answer == [body]


async def test_what_json_cannot_hold_is_not_sent(project, enter, guards):
    project.functions["echo"] = echo
    with pytest.raises(ValueError, match="JSON"):
        await functions.invoke(await enter(), "echo", [float("nan")], returns=object, guards=guards)


async def echo(call):
    return call.json()


async def test_the_function_knows_the_caller_by_their_verified_token(project, enter, guards):
    async def who(call):
        return [call.role, call.claims["app_metadata"]["tenant_id"]]

    project.functions["who"] = who
    client = await enter()
    found = await EdgeFunction("who", returns=list[str], guards=guards)(client)
    assert found == ["authenticated", str(client.tenant_id)]


async def test_an_answer_of_another_shape_says_where(project, enter, guards):
    project.functions["odd"] = Counting({"text": "secret words"})
    with pytest.raises(ResultInvalid) as caught:
        await functions.invoke(await enter(), "odd", returns=Greeting, guards=guards)
    assert caught.value.places == ("tenant",)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RemoteInvalid),
        (401, RemoteRefused),
        (403, RemoteRefused),
        (404, RemoteMissing),
        (409, RemoteConflict),
        (422, RemoteInvalid),
        (429, RemoteUnavailable),
        (500, RemoteUnavailable),
        (503, RemoteUnavailable),
    ],
)
async def test_each_refusal_has_its_name(project, enter, guards, status, error):
    project.functions["no"] = Counting(Answer(b'{"error": "because"}', status))
    with pytest.raises(error) as caught:
        await functions.invoke(await enter(), "no", returns=int, guards=guards)
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.detail) == (status, "because")
    assert "because" not in str(caught.value)


async def test_only_an_idempotent_call_is_repeated(project, enter, guards):
    client = await enter()
    for idempotent, calls in ((False, 1), (True, 2)):
        flaky = project.functions["flaky"] = Counting(Answer(b"", 503), 7)
        function = EdgeFunction("flaky", returns=int, guards=guards, idempotent=idempotent)
        if idempotent:
            assert await function(client) == 7
        else:
            with pytest.raises(RemoteUnavailable):
                await function(client)
        assert len(flaky.calls) == calls


async def test_a_wrong_request_is_never_repeated(project, enter, guards):
    wrong = project.functions["wrong"] = Counting(Answer(b"", 400))
    with pytest.raises(RemoteInvalid):
        await functions.invoke(await enter(), "wrong", returns=int, guards=guards, idempotent=True)
    assert len(wrong.calls) == 1


async def test_what_it_asked_for_is_heard(project, enter, guards):
    project.functions["busy"] = Counting(Answer(b"", 429, {"Retry-After": "7"}))
    with pytest.raises(RemoteUnavailable) as caught:
        await functions.invoke(await enter(), "busy", returns=int, guards=guards)
    assert caught.value.retry_after == 7


async def test_a_function_that_keeps_failing_is_left_alone_and_the_others_are_not(project, enter, guards):
    down = project.functions["down"] = Counting(Answer(b"", 500))
    project.functions["well"] = Counting(1)
    client = await enter()
    for _ in range(10):
        with pytest.raises(RemoteUnavailable):
            await functions.invoke(client, "down", returns=int, guards=guards)
    with pytest.raises(BreakerOpen):
        await functions.invoke(client, "down", returns=int, guards=guards)
    assert len(down.calls) == 10
    assert await functions.invoke(client, "well", returns=int, guards=guards) == 1
    serving = {snapshot.name: snapshot.serving for snapshot in guards.snapshots()}
    assert serving == {"supabase.functions.down": False, "supabase.functions.well": True}


async def test_a_function_that_hangs_ends_with_the_deadline(project, enter, hanging):
    project.functions["hang"] = hanging
    guards = Guards(own={"functions.hang": CallRules(deadline=0.2)})
    with pytest.raises(DeadlineExceeded):
        await functions.invoke(await enter(), "hang", returns=int, guards=guards)


async def test_a_project_that_does_not_answer_is_unavailable(project, enter, guards, unplugged):
    client = await enter()
    await unplugged()
    with pytest.raises(RemoteUnavailable) as caught:
        await functions.invoke(client, "any", returns=int, guards=guards)
    assert (caught.value.status, caught.value.reason) == (None, "ConnectError")


@pytest.mark.parametrize("name", ["", "../rest/v1/x", "a/b", "a?b", "a b", "x" * 64])
async def test_a_name_that_is_none_is_refused_before_anything_is_sent(enter, guards, name):
    with pytest.raises(ValueError, match="letters, digits"):
        await functions.invoke(await enter(), name, returns=int, guards=guards)


def test_an_operation_has_a_name(guards):
    with pytest.raises(ValueError, match="letters, digits"):
        guards.of("rpc.\n")
