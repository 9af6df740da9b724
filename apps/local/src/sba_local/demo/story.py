"""The acts of the demo, in order."""

from __future__ import annotations

import asyncio
import textwrap
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import click
import httpx

from sba_local.demo.corpus import documents
from sba_local.demo.promises import act, keep
from sba_local.demo.questions import ASKED, SECRET_OF_ACME, Question
from sba_local.demo.visitor import SubscriptionRefused, Visitor
from sba_local.identity import Issuer

FLOOD = 2_000
WAVE = 40


async def tell(environment: Mapping[str, str]) -> None:
    """Run every act; the first promise that does not hold ends the story.

    Raises:
        BrokenPromise: Naming the promise and what was seen instead.
    """
    async with AsyncExitStack() as stack:
        acme = await stack.enter_async_context(visit(environment, "acme", "A"))
        globex = await stack.enter_async_context(visit(environment, "globex", "B"))
        await ingest(acme, globex)
        runs = [run for visitor in (acme, globex) for run in await ask(visitor)]
        await late_and_again(acme, runs[0])
        await apart(acme, globex, runs[0])
        await strangers(environment, acme)
        await flood(acme, globex)
        click.secho("\nEvery promise held.", fg="green", bold=True)


@asynccontextmanager
async def visit(environment: Mapping[str, str], name: str, letter: str) -> AsyncIterator[Visitor]:
    """A visitor of one of the two seeded tenants."""
    tenant, user = environment[f"SBA_TENANT_{letter}"], environment[f"SBA_USER_{letter}"]
    issuer = Issuer.load(Path(environment["SBA_LOCAL_DATA_DIR"]), environment["SUPABASE_URL"])
    token = issuer.mint(tenant_id=uuid.UUID(tenant), user_id=uuid.UUID(user))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=environment["SBA_API_URL"], headers=headers, timeout=30) as http:
        yield Visitor(name, tenant, http, token, environment["SBA_WS_URL"])


async def ingest(*visitors: Visitor) -> None:
    """Each tenant stores what it knows."""
    act("Two tenants store what they know")
    for visitor in visitors:
        titles = []
        for title, content in documents(visitor.name):
            await visitor.add_document(title, content)
            titles.append(title)
        click.echo(f"  {visitor.name}: {', '.join(titles)}")
        listed = (await visitor.http.get("/v1/knowledge/documents")).json()["items"]
        seen = sorted(document["title"] for document in listed)
        keep(f"{visitor.name} reads back its own documents", held=seen == sorted(titles), seen=seen)


async def ask(visitor: Visitor) -> list[Mapping[str, Any]]:
    """The tenant's agent answers each question with its sources."""
    act(f"{visitor.name} asks its agent")
    return [await answer(visitor, question) for question in ASKED[visitor.name]]


async def answer(visitor: Visitor, question: Question) -> Mapping[str, Any]:
    """One run, its events on the terminal, its answer and citations checked."""
    click.secho(f"  {question.prompt}", fg="cyan")
    key = uuid.uuid4().hex
    accepted = await visitor.submit(question.prompt, key)
    keep("the run is accepted at once", held=accepted.status_code == httpx.codes.ACCEPTED, seen=accepted.text)
    run_id = accepted.json()["id"]
    again = await visitor.submit(question.prompt, key)
    replayed = again.headers.get("Idempotency-Replayed") == "true" and again.json()["id"] == run_id
    keep("the same request again is the same run", held=replayed, seen=again.text)
    numbers = []
    async for event in visitor.events(run_id):
        numbers.append(event["seq"])
        click.echo(f"    {event['seq']:>3}  {event['type']}")
    keep(
        "its events come in order, without a hole",
        held=numbers == list(range(1, len(numbers) + 1)),
        seen=numbers,
    )
    run = await visitor.read_run(run_id)
    check_answer(run, question)
    return run


def check_answer(run: Mapping[str, Any], question: Question) -> None:
    """The answer is shown, and rests on the document that holds it."""
    keep("the run succeeded", held=run["status"] == "succeeded", seen=run.get("error"))
    result = run["result"]
    click.echo(textwrap.fill(result["answer"], 96, initial_indent="    ", subsequent_indent="    "))
    for number, citation in enumerate(result["citations"], 1):
        click.secho(f"    [{number}] {citation['title']}", dim=True)
    cited = [citation["title"] for citation in result["citations"]]
    keep("it cites the document that knows", held=cited[:1] == [question.source], seen=cited)
    keep("its answer holds the fact", held=question.evidence in flat(result["answer"]), seen=result["answer"])


def flat(text: str) -> str:
    """Text on one line."""
    return " ".join(text.split())


async def late_and_again(acme: Visitor, run: Mapping[str, Any]) -> None:
    """A subscriber who comes late, or comes back, misses nothing and hears nothing twice."""
    act("A subscriber comes late, and comes back")
    late = [event["seq"] async for event in acme.events(run["id"])]
    keep("late: the whole story from the table", held=late == list(range(1, len(late) + 1)), seen=late)
    back = [event["seq"] async for event in acme.events(run["id"], after=late[1])]
    keep("back: only what was missed", held=back == late[2:], seen=back)


async def apart(acme: Visitor, globex: Visitor, run: Mapping[str, Any]) -> None:
    """What is acme's does not exist for globex."""
    act("globex looks for what is acme's")
    document = (await acme.http.get("/v1/knowledge/documents")).json()["items"][0]
    for what, path, owned in (
        ("run", "/v1/runs/{}", run["id"]),
        ("steps", "/v1/runs/{}/steps", run["id"]),
        ("events", "/v1/runs/{}/events", run["id"]),
        ("document", "/v1/knowledge/documents/{}", document["id"]),
    ):
        foreign = await globex.http.get(path.format(owned))
        unknown = await globex.http.get(path.format(uuid.uuid4()))
        alike = same_problem(foreign, unknown)
        keep(f"acme's {what}: the same 404 as one that never was", held=alike, seen=foreign.text)
    titles = {hit["title"] for hit in await globex.search(SECRET_OF_ACME)}
    leaked = titles & {title for title, _ in documents("acme")}
    keep("search finds nothing of acme's", held=not leaked, seen=leaked)
    keep("acme's event stream does not exist either", held=await refused(globex, run["id"]) == "not_found")
    asked = await globex.http.get("/v1/runs", headers={"X-Tenant-Id": acme.tenant_id})
    keep("asking to be acme is 403", held=asked.status_code == httpx.codes.FORBIDDEN, seen=asked.text)


def same_problem(first: httpx.Response, second: httpx.Response) -> bool:
    """Both are 404, and differ in nothing but the request's own id."""
    bodies = [{**answer.json(), "request_id": None, "instance": None} for answer in (first, second)]
    return {first.status_code, second.status_code} == {httpx.codes.NOT_FOUND} and bodies[0] == bodies[1]


async def refused(visitor: Visitor, run_id: str) -> str:
    """The code of the refusal to subscribe, or what came instead."""
    try:
        async for event in visitor.events(run_id):
            return f"an event: {event['type']}"
    except SubscriptionRefused as refusal:
        return refusal.code
    return "an empty stream"


async def strangers(environment: Mapping[str, str], acme: Visitor) -> None:
    """No token and a forged token are turned away alike."""
    act("Strangers knock")
    header, payload, signature = acme.token.split(".")
    forged = f"{header}.{payload}.{signature[::-1]}"
    for who, headers in {"no token": {}, "a forged token": {"Authorization": f"Bearer {forged}"}}.items():
        async with httpx.AsyncClient(base_url=environment["SBA_API_URL"], headers=headers) as http:
            answer = await http.get("/v1/runs")
        problem = answer.headers["content-type"].startswith("application/problem+json")
        unauthorized = answer.status_code == httpx.codes.UNAUTHORIZED
        keep(f"{who} is 401, as a problem document", held=unauthorized and problem, seen=answer.text)


async def flood(acme: Visitor, globex: Visitor) -> None:
    """One tenant floods; it is told to wait, and the other does not notice."""
    act("globex floods the API")
    answers: list[httpx.Response] = []
    while len(answers) < FLOOD and not any(limited(answer) for answer in answers):
        answers += await asyncio.gather(*(globex.http.get("/v1/tools") for _ in range(WAVE)))
    denied = [answer for answer in answers if limited(answer)]
    keep(f"after {len(answers)} requests it is told to wait (429)", held=bool(denied), seen="no 429")
    wait = denied[0].headers.get("Retry-After", "")
    keep(f"and for how long: Retry-After {wait} s", held=wait.isdigit() and int(wait) > 0, seen=wait)
    neighbour = await acme.http.get("/v1/tools")
    keep("acme is served all the while", held=neighbour.is_success, seen=neighbour.status_code)


def limited(answer: httpx.Response) -> bool:
    """Whether the answer is a refusal for want of quota."""
    return answer.status_code == httpx.codes.TOO_MANY_REQUESTS
