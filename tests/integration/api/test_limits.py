"""Floods: answered 429 with the time to wait, and charged to nobody else."""

import uuid
from ipaddress import ip_network

import psycopg
import pytest

from sba_api.app import create_app
from sba_api.limits import ROUTES, caller_limits
from sba_ratelimit.shared import SharedCounters
from sba_resilience.errors import RedisCommandError
from tests.integration.api.conftest import serving, v1_routes
from tests.integration.resilience.faults import Server


def limited(settings, **limits):
    return settings.model_copy(update=limits)


async def flood(client, headers, times, path="/v1/runs"):
    return [await client.get(path, headers=headers) for _ in range(times)]


@pytest.mark.parametrize("name", ["tenant", "user"])
async def test_a_flood_is_denied_with_headers_that_say_when_to_return(settings, acme, name):
    async with serving(limited(settings, **{f"{name}_limit": 3})) as api:
        answers = await flood(api, acme, 4)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    denied = answers[-1]
    assert denied.json()["code"] == "rate_limited"
    assert 1 <= int(denied.headers["retry-after"]) <= 60
    assert f'"{name}";q=3;w=60' in denied.headers["ratelimit-policy"]
    assert f'"{name}";r=0' in denied.headers["ratelimit"]


async def test_answers_within_the_limits_say_what_is_left(settings, acme):
    async with serving(limited(settings, tenant_limit=10, user_limit=5)) as api:
        (answer,) = await flood(api, acme, 1)
    assert '"tenant";r=9' in answer.headers["ratelimit"]
    assert '"user";r=4' in answer.headers["ratelimit"]
    assert "retry-after" not in answer.headers


async def test_an_address_is_limited_before_anyone_is_authenticated(settings):
    async with serving(limited(settings, address_limit=2)) as api:
        answers = await flood(api, {"Authorization": "Bearer x"}, 3)
        healthy = await api.get("/healthz")
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert '"address"' in answers[-1].headers["ratelimit-policy"]
    assert healthy.status_code == 200


async def test_a_forwarded_address_counts_only_behind_a_trusted_proxy(settings):
    spoofed = [{"X-Forwarded-For": f"198.51.100.{n}"} for n in range(3)]
    async with serving(limited(settings, address_limit=2)) as api:
        answers = [await api.get("/v1/runs", headers=headers) for headers in spoofed]
    assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_behind_a_trusted_proxy_each_forwarded_address_has_its_own_share(settings):
    proxied = limited(settings, address_limit=1, trusted_proxies=(ip_network("127.0.0.0/8"),))
    one, other = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "203.0.113.9, 198.51.100.2"}
    async with serving(proxied) as api:
        answers = [await api.get("/v1/runs", headers=headers) for headers in (one, one, other)]
    assert [answer.status_code for answer in answers] == [401, 429, 401]


async def test_each_user_and_each_tenant_has_its_own_share(settings, acme, globex, issuer, tenants):
    async with serving(limited(settings, tenant_limit=2)) as api:
        assert (await flood(api, acme, 3))[-1].status_code == 429
        assert (await flood(api, globex, 1))[0].status_code == 200


async def test_an_outsider_who_picks_a_tenant_burns_none_of_its_share(settings, acme, globex, tenants):
    foreign = {**acme, "X-Tenant-Id": str(tenants[1].id)}
    async with serving(limited(settings, tenant_limit=3, user_limit=3)) as api:
        assert {answer.status_code for answer in await flood(api, foreign, 10)} == {403}
        assert [answer.status_code for answer in await flood(api, globex, 3)] == [200, 200, 200]
        assert [answer.status_code for answer in await flood(api, acme, 3)] == [200, 200, 200]


@pytest.fixture
def revoked(issuer, tenants, database_urls):
    """Headers whose signed claim still names the first tenant, of a user who was a member of it."""
    user = uuid.uuid4()
    with psycopg.connect(database_urls.admin, autocommit=True) as connection:
        connection.execute(
            "insert into public.memberships (tenant_id, user_id, role, revoked_at)"
            " values (%s, %s, 'member', now())",
            (tenants[0].id, user),
        )
    return {"Authorization": f"Bearer {issuer.token(user, tenants[0].id)}"}


WRONG_ON_PURPOSE = [
    ("GET", "/v1/runs", {}),
    ("GET", "/v1/runs/00000000-0000-4000-8000-000000000000", {}),
    ("GET", "/v1/runs/not-a-uuid", {}),
    ("GET", "/v1/tools", {}),
    ("GET", "/v1/runs?limit=none", {}),
    ("POST", "/v1/runs", {"json": {"prompt": "x"}}),
    ("POST", "/v1/runs", {"json": {"wrong": "x"}}),
    ("POST", "/v1/runs", {"content": b"not even JSON"}),
    ("POST", "/v1/knowledge/search", {"json": {"query": "x"}}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRONG_ON_PURPOSE)
async def test_a_revoked_member_whose_claim_names_a_tenant_burns_none_of_its_share(
    settings, acme, revoked, *, method, path, body
):
    async with serving(limited(settings, tenant_limit=6, user_limit=3)) as api:
        answers = [await api.request(method, path, headers=revoked, **body) for _ in range(5)]
        member = await flood(api, acme, 1)
    assert [answer.status_code for answer in answers] == [403, 403, 403, 429, 429]
    assert '"tenant";r=5' in member[0].headers["ratelimit"]


async def test_a_member_pays_for_a_request_that_is_wrong(settings, acme):
    async with serving(limited(settings, tenant_limit=6)) as api:
        assert (await api.post("/v1/runs", json={}, headers=acme)).status_code == 422
        assert '"tenant";r=4' in (await flood(api, acme, 1))[0].headers["ratelimit"]


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/00000000-0000-0000-0000-000000000000"])
async def test_a_refund_that_fails_changes_no_answer(settings, revoked, monkeypatch, path):
    async def refuse(*_, **__):
        raise RedisCommandError("READONLY", "no writes to a replica")

    monkeypatch.setattr(SharedCounters, "refund", refuse)
    async with serving(settings) as api:
        assert (await api.get(path, headers=revoked)).status_code == 403


def test_a_callers_limits_share_a_hash_slot(settings, tenants):
    limits = caller_limits(settings)(tenants[0].id, tenants[0].user, "POST /v1/runs").all
    assert [limit.name for limit in limits] == ["tenant", "user", "route"]
    assert len({limit.redis_key.partition("}")[0] for limit in limits}) == 1
    assert len({limit.redis_key for limit in limits}) == 3


def test_every_route_that_has_a_limit_of_its_own_is_there(settings):
    served = {f"{method} {route.path}" for method, route in v1_routes(create_app(settings))}
    assert set(ROUTES) <= served
    assert all(isinstance(getattr(settings, name), int) for name in ROUTES.values())


async def test_a_route_has_a_limit_of_its_own_for_each_user(settings, acme, globex):
    search = {"json": {"query": "refunds"}}
    async with serving(limited(settings, search_limit=2)) as api:
        answers = [await api.post("/v1/knowledge/search", headers=acme, **search) for _ in range(3)]
        other_route = await flood(api, acme, 1)
        other_user = await api.post("/v1/knowledge/search", headers=globex, **search)
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert '"route";q=2;w=60' in answers[-1].headers["ratelimit-policy"]
    assert '"route";r=1' in answers[0].headers["ratelimit"]
    assert other_route[0].status_code == other_user.status_code == 200
    assert '"route"' not in other_route[0].headers["ratelimit"]


async def test_a_denied_route_takes_nothing_from_tenant_and_user(settings, acme):
    async with serving(limited(settings, run_limit=1, tenant_limit=4, user_limit=4)) as api:
        posts = [await api.post("/v1/runs", headers=acme, json={"prompt": "x"}) for _ in range(9)]
        reads = await flood(api, acme, 4)
    assert [answer.status_code for answer in posts] == [202] + [429] * 8
    assert [answer.status_code for answer in reads] == [200, 200, 200, 429]


async def test_every_answer_names_the_limits_of_its_address_once(settings, acme):
    async with serving(limited(settings, address_limit=50, tenant_limit=10)) as api:
        unknown, known = await api.get("/v1/nothing"), await api.get("/v1/runs", headers=acme)
        page = await api.get("/docs")
    for answer in (unknown, known, page):
        fields = [name for name, _ in answer.headers.raw if name.lower().startswith(b"ratelimit")]
        assert len(fields) == len(set(fields)) == 2
        assert answer.headers["ratelimit-policy"].count('"address";q=50;w=60') == 1
    assert '"tenant";r=9' in known.headers["ratelimit"]


async def test_metrics_show_how_checks_ended(settings, acme):
    async with serving(limited(settings, user_limit=1)) as api:
        await flood(api, acme, 3)
        shown = (await api.get("/metrics")).text
    lines = [line for line in shown.splitlines() if line.startswith("sba_ratelimit_")]
    assert any('outcome="allowed"' in line for line in lines)
    assert any('outcome="denied"' in line for line in lines)
    assert not any(str(part) in shown for part in ("192.0.2", "tenant_id"))


async def test_closed_limits_answer_503_while_redis_is_away_and_never_speak_of_a_quota(
    settings, acme, tmp_path
):
    server = Server(tmp_path / "valkey")
    server.start()
    away = limited(settings, rate_limit_outage="closed", redis_url=type(settings.redis_url)(server.url))
    async with serving(away) as api:
        assert (await flood(api, acme, 1))[0].status_code == 200
        server.kill()
        denied = (await flood(api, acme, 1))[0]
        healthy = await api.get("/healthz")
    assert denied.status_code == 503
    assert denied.json()["code"] == "limits_unavailable"
    assert denied.headers["retry-after"] == "1"
    assert "ratelimit" not in denied.headers
    assert healthy.status_code == 200
