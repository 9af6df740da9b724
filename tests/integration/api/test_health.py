"""What operators and readers of the documentation see."""

import re

import pytest

from sba_api.docs import POLICY
from tests.integration.api.conftest import serving


async def test_the_process_answers(api):
    answer = await api.get("/healthz")
    assert answer.json() == {"status": "ok"}


async def test_every_dependency_is_named_when_all_answer(api):
    answer = await api.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "missing": [],
        "dependencies": {name: {"status": "ok"} for name in ("postgres", "redis", "jwks")},
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_head_is_answered_as_get_without_the_body(api, path):
    asked, read = await api.head(path), await api.get(path)
    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-type", "content-length", "cache-control"):
        assert asked.headers[name] == read.headers[name]


async def test_metrics_count_by_route_template_and_name_no_one(api, acme, tenants):
    run = (await api.post("/v1/runs", json={"prompt": "x"}, headers=acme)).json()
    await api.get(f"/v1/runs/{run['id']}", headers=acme)
    await api.get("/no/such/path", headers=acme)
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'http_route="/v1/runs/{run_id}"' in answer.text
    assert 'http_route="unmatched"' in answer.text
    for word in (run["id"], str(tenants[0].id), str(tenants[0].user), "/no/such"):
        assert word not in answer.text


async def test_the_document_describes_every_route_its_token_and_its_problems(api):
    document = (await api.get("/openapi.json")).json()
    operations = [
        (path, operation) for path, methods in document["paths"].items() for operation in methods.values()
    ]
    ours = [operation for path, operation in operations if path.startswith("/v1/")]
    assert len(ours) == 15
    for operation in ours:
        assert operation["security"] == [{"bearer": []}]
        assert "X-Tenant-Id" in [parameter["name"] for parameter in operation["parameters"]]
        assert "application/problem+json" in operation["responses"]["default"]["content"]
    for name in set(re.findall(r"#/components/schemas/([\w.-]+)", str(document))):
        assert name in document["components"]["schemas"]


async def test_the_docs_page_lists_every_route_and_runs_no_script(api):
    answer = await api.get("/docs")
    assert answer.headers["content-security-policy"] == POLICY.decode()
    assert "<script" not in answer.text
    for path in ("/v1/runs/{run_id}/events", "/v1/knowledge/search", "/v1/tools/{name}/execute"):
        assert path in answer.text


async def test_a_configured_origin_may_call_and_read_its_limits(settings, acme):
    origin = "https://app.example.com"
    async with serving(settings.model_copy(update={"cors_origins": (origin,)})) as api:
        answer = await api.get("/v1/runs", headers={**acme, "Origin": origin})
        foreign = await api.get("/v1/runs", headers={**acme, "Origin": "https://evil.example"})
    assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-origin" not in foreign.headers


async def test_without_configured_origins_no_origin_is_allowed(api, acme):
    answer = await api.get("/v1/runs", headers={**acme, "Origin": "https://app.example.com"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_answers_to_members_are_not_to_be_stored(api, acme):
    answer = await api.get("/v1/runs", headers=acme)
    assert answer.headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in answer.headers


async def test_usage_is_a_page(api, acme):
    assert (await api.get("/v1/usage", headers=acme)).json() == {"items": [], "next_cursor": None}
