"""Floods: answered 429 with the time to wait, and charged to nobody else."""

from ipaddress import ip_network

import pytest

from sba_api.dependencies import _limits
from sba_ratelimit import Limit
from tests.integration.api.conftest import serving


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


def test_the_tenants_limits_share_a_hash_slot(tenants):
    limits = _limits(tenants[0].id, tenants[0].user, 5, 5)
    assert all(isinstance(limit, Limit) for limit in limits)
    assert len({limit.redis_key.partition("}")[0] for limit in limits}) == 1
    assert len({limit.redis_key for limit in limits}) == 2
