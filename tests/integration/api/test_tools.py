"""Tools over HTTP: listed, executed, and every execution on record."""

import uuid

import pytest


async def execute(api, headers, name, arguments, **more):
    return await api.post(f"/v1/tools/{name}/execute", json={"arguments": arguments, **more}, headers=headers)


async def test_the_list_names_each_tool_with_a_schema_of_its_arguments(api, acme):
    items = (await api.get("/v1/tools", headers=acme)).json()["items"]
    assert [tool["name"] for tool in items] == ["calculator", "knowledge.search"]
    assert all(tool["description"] and tool["arguments"]["type"] == "object" for tool in items)


async def test_the_calculator_answers_and_its_call_is_audited(api, acme):
    answer = await execute(api, acme, "calculator", {"expression": "6 * 7"})
    assert answer.status_code == 200, answer.text
    assert "42" in str(answer.json()["result"])
    entry = (await api.get("/v1/audit", headers=acme)).json()["items"][0]
    assert (entry["action"], entry["resource_id"]) == ("tool.execute", answer.json()["call_id"])


async def test_knowledge_search_finds_the_tenants_own_document(api, acme, globex):
    document = {"title": "Refunds", "content": "Refunds are paid within fourteen days of the request."}
    await api.post("/v1/knowledge/documents", json=document, headers=acme)
    mine = await execute(api, acme, "knowledge.search", {"query": "When are refunds paid?"})
    theirs = await execute(api, globex, "knowledge.search", {"query": "When are refunds paid?"})
    assert mine.json()["result"]["hits"]
    assert theirs.json()["result"]["hits"] == []


async def test_an_unknown_tool_is_404(api, acme):
    answer = await execute(api, acme, "shell", {})
    assert answer.status_code == 404
    assert answer.json()["code"] == "tool_not_found"


async def test_wrong_arguments_are_422_naming_the_field(api, acme):
    answer = await execute(api, acme, "calculator", {"formula": "1"})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {
        "arguments.expression",
        "arguments.formula",
    }


async def test_a_failing_tool_is_a_problem_with_its_reason_and_still_on_record(api, acme):
    answer = await execute(api, acme, "calculator", {"expression": "1 / 0"})
    assert answer.status_code == 422
    assert answer.json()["code"] not in {"invalid", "internal"}
    entry = (await api.get("/v1/audit", headers=acme)).json()["items"][0]
    assert entry["after"] == {"name": "calculator", "status": "failed"}


async def test_a_call_can_be_filed_under_a_run_of_the_tenant(api, acme):
    run = (await api.post("/v1/runs", json={"prompt": "x"}, headers=acme)).json()
    answer = await execute(api, acme, "calculator", {"expression": "1"}, run_id=run["id"])
    assert answer.status_code == 200


@pytest.mark.parametrize("whose", ["nobody", "globex"])
async def test_a_run_that_is_not_the_tenants_is_404(api, acme, globex, whose):
    run_id = str(uuid.uuid4())
    if whose == "globex":
        run_id = (await api.post("/v1/runs", json={"prompt": "x"}, headers=globex)).json()["id"]
    answer = await execute(api, acme, "calculator", {"expression": "1"}, run_id=run_id)
    assert answer.status_code == 404
    assert answer.json()["code"] == "run_not_found"


@pytest.mark.parametrize("run_id", ["x", 7, ""])
async def test_a_run_id_that_is_none_is_422(api, acme, run_id):
    answer = await execute(api, acme, "calculator", {"expression": "1"}, run_id=run_id)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "run_id"
