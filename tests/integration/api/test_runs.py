"""Runs over HTTP: submitted once, read, followed, cancelled."""

import uuid

import psycopg
import pytest

from sba_db import agent_runs, agent_steps
from sba_db.repositories.agent_steps import NewStep


async def submit(api, headers, **changes):
    answer = await api.post(
        "/v1/runs", json={"prompt": "What is the refund policy?", **changes}, headers=headers
    )
    assert answer.status_code == 202, answer.text
    return answer


async def test_a_submitted_run_is_accepted_and_can_be_read_where_its_location_says(api, acme, tenants):
    accepted = await submit(api, acme, options={"limit": 3})
    assert accepted.json()["status"] == "queued"
    assert accepted.json()["user_id"] == str(tenants[0].user)
    assert accepted.json()["options"] == {"limit": 3}
    assert accepted.headers["location"] == f"/v1/runs/{accepted.json()['id']}"
    assert "idempotency-replayed" not in accepted.headers
    read = await api.get(accepted.headers["location"], headers=acme)
    assert read.status_code == 200
    assert read.json() == accepted.json()


async def test_run_event_audit_row_and_job_are_there_together(api, acme, tenants, database_urls):
    accepted = await submit(api, {**acme, "X-Request-Id": "audit-me-1234"})
    run_id = accepted.json()["id"]
    with psycopg.connect(database_urls.admin) as connection:
        counts = connection.execute(
            """select
                (select count(*) from service.run_events where run_id = %(run)s),
                (select count(*) from service.audit_logs where resource_id = %(run)s::text
                    and request_id = 'audit-me-1234' and actor_id = %(user)s),
                (select count(*) from queue.procrastinate_jobs where args->>'run_id' = %(run)s::text)""",
            {"run": run_id, "user": tenants[0].user},
        ).fetchone()
    assert counts == (1, 1, 1)


async def test_the_same_key_and_body_answer_the_same_run(api, acme):
    keyed = {**acme, "Idempotency-Key": "order 66"}
    first = await submit(api, keyed)
    again = await submit(api, keyed)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    listed = await api.get("/v1/runs", headers=acme)
    assert len(listed.json()["items"]) == 1


async def test_the_same_key_with_another_body_is_a_conflict(api, acme):
    keyed = {**acme, "Idempotency-Key": "k"}
    await submit(api, keyed)
    answer = await api.post("/v1/runs", json={"prompt": "Something else"}, headers=keyed)
    assert answer.status_code == 409
    assert answer.json()["code"] == "idempotency_conflict"


async def test_a_key_belongs_to_its_tenant(api, acme, globex):
    mine = await submit(api, {**acme, "Idempotency-Key": "k"})
    theirs = await submit(api, {**globex, "Idempotency-Key": "k"}, prompt="Another tenant's question")
    assert theirs.json()["id"] != mine.json()["id"]
    assert "idempotency-replayed" not in theirs.headers


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\u00e9"])
async def test_a_key_that_is_not_printable_ascii_of_at_most_255_is_named(api, acme, key):
    headers = {**acme, "Idempotency-Key": key.encode("latin-1")}
    answer = await api.post("/v1/runs", json={"prompt": "x"}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_a_key_of_255_characters_is_taken(api, acme):
    await submit(api, {**acme, "Idempotency-Key": "~" * 255})


async def test_lists_are_paged_newest_first_and_filtered_by_status(api, acme):
    ids = [(await submit(api, acme, prompt=f"Question {n}")).json()["id"] for n in range(5)]
    seen, cursor = [], None
    while True:
        params = {"limit": 2, "status": "queued", **({"cursor": cursor} if cursor else {})}
        page = (await api.get("/v1/runs", params=params, headers=acme)).json()
        seen += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]
    none = await api.get("/v1/runs", params={"status": "failed"}, headers=acme)
    assert none.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"status": "sleeping"}, "status"),
        ({"cursor": "not-a-cursor"}, "cursor"),
        ({"cursor": "\0"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "x" * 501}, "cursor"),
    ],
)
async def test_a_wrong_list_parameter_is_named(api, acme, params, field):
    answer = await api.get("/v1/runs", params=params, headers=acme)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_a_new_run_has_no_steps_and_one_event(api, acme):
    run_id = (await submit(api, acme)).json()["id"]
    steps = await api.get(f"/v1/runs/{run_id}/steps", headers=acme)
    assert steps.json() == {"items": [], "next_cursor": None}
    events = (await api.get(f"/v1/runs/{run_id}/events", headers=acme)).json()
    assert [(event["seq"], event["type"]) for event in events["items"]] == [(1, "run.queued")]
    assert events["next_after"] == 1
    later = (await api.get(f"/v1/runs/{run_id}/events", params={"after": 1}, headers=acme)).json()
    assert later == {"items": [], "next_after": 1}


async def test_steps_come_in_pages_of_the_size_asked_for(api, acme, tenants, database):
    run_id = (await submit(api, acme)).json()["id"]
    async with database.tenant(tenants[0].id) as session:
        lease = await agent_runs.claim_run(session, run_id=uuid.UUID(run_id), holder="w", ttl_seconds=60)
        told = [NewStep(kind="plan", name=f"step {n}", input=n, output=n) for n in range(5)]
        await agent_steps.append_steps(session, lease=lease, steps=told)
    pages, cursor = [], {}
    while cursor is not None:
        page = (await api.get(f"/v1/runs/{run_id}/steps", params={"limit": 2, **cursor}, headers=acme)).json()
        pages.append([step["seq"] for step in page["items"]])
        cursor = page["next_cursor"] and {"cursor": page["next_cursor"]}
    assert pages == [[1, 2], [3, 4], [5]]
    assert len((await api.get(f"/v1/runs/{run_id}/steps", headers=acme)).json()["items"]) == 5


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "\u00b2", "9" * 400])
async def test_a_cursor_of_steps_that_no_page_ended_with_is_named(api, acme, cursor):
    run_id = (await submit(api, acme)).json()["id"]
    answer = await api.get(f"/v1/runs/{run_id}/steps", params={"cursor": cursor}, headers=acme)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize("after", ["-1", "2147483648", "x", "1.5"])
async def test_a_wrong_sequence_number_is_named(api, acme, after):
    run_id = (await submit(api, acme)).json()["id"]
    answer = await api.get(f"/v1/runs/{run_id}/events", params={"after": after}, headers=acme)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "after"


async def test_a_cancelled_run_says_so_in_its_row_events_and_audit(api, acme):
    run_id = (await submit(api, acme)).json()["id"]
    answer = await api.post(f"/v1/runs/{run_id}/cancel", headers=acme)
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    events = (await api.get(f"/v1/runs/{run_id}/events", headers=acme)).json()["items"]
    assert [event["type"] for event in events] == ["run.queued", "run.cancelled"]
    audit = (await api.get("/v1/audit", headers=acme)).json()["items"]
    assert audit[0]["action"] == "run.cancelled"
    assert audit[0]["resource_id"] == run_id


async def test_cancelling_twice_is_said_once(api, acme):
    run_id = (await submit(api, acme)).json()["id"]
    for _ in range(2):
        assert (await api.post(f"/v1/runs/{run_id}/cancel", headers=acme)).status_code == 200
    events = (await api.get(f"/v1/runs/{run_id}/events", headers=acme)).json()["items"]
    assert [event["type"] for event in events] == ["run.queued", "run.cancelled"]


async def test_a_finished_run_cannot_be_cancelled(api, acme, database_urls):
    run_id = (await submit(api, acme)).json()["id"]
    with psycopg.connect(database_urls.admin, autocommit=True) as connection:
        connection.execute(
            "update service.agent_runs set status = 'succeeded', result = '{}', finished_at = now(),"
            " started_at = now(), duration_ms = 1 where id = %s",
            (run_id,),
        )
    answer = await api.post(f"/v1/runs/{run_id}/cancel", headers=acme)
    assert answer.status_code == 409
    assert answer.json()["code"] == "run_finished"


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({}, "prompt", "missing"),
        ({"prompt": ""}, "prompt", "string_too_short"),
        ({"prompt": 7}, "prompt", "string_type"),
        ({"prompt": "x" * 20_001}, "prompt", "string_too_long"),
        ({"prompt": "x", "options": []}, "options", "dict_type"),
        ({"prompt": "x", "tenant_id": str(uuid.uuid4())}, "tenant_id", "extra_forbidden"),
        ({"prompt": "nul \0"}, "prompt", "no_nul"),
        ({"prompt": "x", "options": {"a": ["\0"]}}, "options.a.0", "no_nul"),
    ],
)
async def test_a_wrong_body_is_refused_naming_field_and_rule(api, acme, body, field, rule):
    answer = await api.post("/v1/runs", json=body, headers=acme)
    assert answer.status_code == 422
    assert {"field": field, "rule": rule}.items() <= answer.json()["errors"][0].items()
    assert (await api.get("/v1/runs", headers=acme)).json()["items"] == []


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_of_another_media_type_is_refused(api, acme, media_type):
    headers = {**acme, **({"Content-Type": media_type} if media_type else {})}
    answer = await api.post("/v1/runs", content=b'{"prompt":"x"}', headers=headers)
    assert answer.status_code == 415


async def test_an_empty_body_is_invalid(api, acme):
    answer = await api.post("/v1/runs", headers={**acme, "Content-Type": "application/json"})
    assert answer.status_code == 422
