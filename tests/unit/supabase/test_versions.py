"""A canary over two versions of a call: what speaks against a version counts, whatever its status."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import pytest

from sba_resilience.canary import Canary, MemoryStore, Status
from sba_supabase import TenantClient, Versions
from sba_supabase.errors import (
    RemoteConflict,
    RemoteError,
    RemoteInvalid,
    RemoteMissing,
    RemoteRefused,
    RemoteUnavailable,
    ResultInvalid,
)


class Member:
    """All that versions ask of a client."""

    def __init__(self) -> None:
        self.tenant_id = uuid.uuid4()


def new_client() -> TenantClient:
    return cast("TenantClient", Member())


class Fails:
    def __init__(self, make: Callable[[], RemoteError]) -> None:
        self.make = make

    async def __call__(self, client: Any, arguments: Mapping[str, Any] = {}) -> int:
        raise self.make()


async def one(client: Any, arguments: Mapping[str, Any] = {}) -> int:
    return 1


async def judged(make: Callable[[], RemoteError]) -> Status:
    """How the canary stands after a hundred calls of each side, of which the candidate's all failed."""
    canary = Canary("x", MemoryStore(), wall=lambda: 1_800_000_000.0, sync_every=1000.0)
    search = Versions(canary, stable=one, candidate=Fails(make))
    await canary.set_share(0.5, by="ana")
    for _ in range(200):
        with suppress(type(make())):
            await search(new_client())
    assert await canary.sync()
    status = canary.phase.status
    await canary.aclose()
    return status


@pytest.mark.parametrize(
    "make",
    [
        lambda: RemoteMissing(404, "PGRST202"),
        lambda: RemoteInvalid(400, "22012"),
        lambda: RemoteInvalid(400, "P0001"),
        lambda: RemoteConflict(409, "23505"),
        lambda: RemoteUnavailable(503, "503"),
        lambda: ResultInvalid(("0",)),
    ],
)
async def test_a_candidate_that_fails_is_taken_back_by_itself(make: Callable[[], RemoteError]):
    assert await judged(make) is Status.ROLLED_BACK


async def test_an_answer_that_the_caller_may_not_speaks_against_no_version():
    assert await judged(lambda: RemoteRefused(403, "42501")) is Status.RUNNING


async def test_an_error_reaches_the_caller_as_it_was():
    canary = Canary("x", MemoryStore(), wall=lambda: 1_800_000_000.0)
    made = RemoteInvalid(400, "22012", "private words")
    with pytest.raises(RemoteInvalid) as failed:
        await Versions(canary, stable=Fails(lambda: made), candidate=one)(new_client())
    assert failed.value is made
    await canary.aclose()
