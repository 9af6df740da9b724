"""What is relied on of a project's Auth: keys, sessions, administration, and the codes of its refusals."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from supabase_auth.errors import AuthApiError, AuthError

from sba_supabase import (
    AdminClient,
    KeySet,
    Pool,
    ServerSettings,
    TokenError,
    TokenVerifier,
    create_server_client,
)
from tests.contract.supabase.conftest import PASSWORD, Member

SignIn = Callable[[Member], Awaitable[Any]]


@pytest.fixture
def sign_in(project: ServerSettings, pool: Pool) -> SignIn:
    async def begin(member: Member) -> Any:
        client = await create_server_client(project, pool=pool)
        answer = await client.auth.sign_in_with_password({"email": member.email, "password": member.password})
        return answer.session

    return begin


@pytest.fixture
def refresh(project: ServerSettings, pool: Pool) -> Callable[[str], Awaitable[Any]]:
    async def carry_on(token: str) -> Any:
        client = await create_server_client(project, pool=pool)
        return (await client.auth.refresh_session(token)).session

    return carry_on


@pytest.fixture
async def verifier(project: ServerSettings) -> AsyncIterator[TokenVerifier]:
    async with httpx.AsyncClient() as http:
        keys = KeySet(project.auth.jwks_url, http=http)
        yield TokenVerifier(project.auth, keys=keys)
        await keys.aclose()


async def code_of(work: Awaitable[object]) -> str:
    with pytest.raises(AuthApiError) as refused:
        await work
    return str(refused.value.code)


async def test_a_token_of_the_project_names_its_user_and_session(sign_in: SignIn, members, verifier):
    first, second = await sign_in(members[0]), await sign_in(members[0])
    one, two = await verifier.verify(first.access_token), await verifier.verify(second.access_token)
    assert one.user_id == two.user_id == members[0].id
    assert uuid.UUID(one.session_id) != uuid.UUID(two.session_id)
    assert one.expires_at == first.expires_at
    assert one.role == "authenticated"


async def test_a_token_of_the_project_is_not_good_with_another_payload(sign_in: SignIn, members, verifier):
    ours, theirs = [(await sign_in(member)).access_token.split(".") for member in members]
    for forged in ([ours[0], theirs[1], ours[2]], [*ours[:2], theirs[2]], [*ours[:2], ours[2][:-4]]):
        with pytest.raises(TokenError):
            await verifier.verify(".".join(forged))
    await verifier.verify(".".join(ours))


async def test_one_refresh_token_has_one_successor(sign_in: SignIn, refresh, members, verifier):
    session = await sign_in(members[0])
    answers = await asyncio.gather(*(refresh(session.refresh_token) for _ in range(3)))
    assert len({answer.refresh_token for answer in answers}) == 1
    assert answers[0].refresh_token != session.refresh_token
    before = await verifier.verify(session.access_token)
    after = await verifier.verify(answers[0].access_token)
    assert (after.user_id, after.session_id) == (before.user_id, before.session_id)


SCOPES: dict[Any, tuple[bool, bool]] = {
    "local": (False, True),
    "others": (True, False),
    "global": (False, False),
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_signing_out_ends_the_sessions_of_its_scope(
    scope: Any, sign_in: SignIn, refresh, members, admin: AdminClient
):
    first, second = await sign_in(members[0]), await sign_in(members[0])
    bystander = await sign_in(members[1])
    await admin.auth.admin.sign_out(first.access_token, scope)
    for session, lives in zip((first, second, bystander), (*SCOPES[scope], True), strict=True):
        if lives:
            assert (await refresh(session.refresh_token)).access_token
        else:
            assert await code_of(refresh(session.refresh_token)) in {
                "refresh_token_not_found",
                "session_not_found",
            }


async def test_refusals_bear_the_codes_of_the_documentation(
    project: ServerSettings, pool: Pool, refresh, members, admin: AdminClient
):
    ours, _ = members
    client = await create_server_client(project, pool=pool)
    for email, password in ((ours.email, "not their password"), ("nobody@example.com", PASSWORD)):
        who = {"email": email, "password": password}
        assert await code_of(client.auth.sign_in_with_password(who)) == "invalid_credentials"
    assert await code_of(refresh("nobodys")) == "refresh_token_not_found"
    users = admin.auth.admin
    taken = {"email": ours.email, "password": PASSWORD, "email_confirm": True}
    assert await code_of(users.create_user(taken)) == "email_exists"
    assert await code_of(users.get_user_by_id(str(uuid.uuid4()))) == "user_not_found"


async def test_users_are_listed_changed_and_removed(sign_in: SignIn, refresh, members, admin: AdminClient):
    ours, _ = members
    users, session = admin.auth.admin, await sign_in(ours)
    assert str(ours.id) in {user.id for user in await users.list_users(page=1, per_page=1000)}
    changed = await users.update_user_by_id(str(ours.id), {"app_metadata": {"team": "x"}})
    assert changed.user.app_metadata["team"] == "x"
    assert changed.user.app_metadata["provider"] == "email"
    assert (await users.get_user_by_id(str(ours.id))).user.email == ours.email
    assert (await refresh(session.refresh_token)).user.app_metadata["team"] == "x"
    made = await users.create_user({"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD})
    await users.delete_user(made.user.id)
    assert await code_of(users.get_user_by_id(made.user.id)) == "user_not_found"


async def test_a_banned_user_gets_no_session(sign_in: SignIn, refresh, members, admin: AdminClient):
    ours, _ = members
    session = await sign_in(ours)
    await admin.auth.admin.update_user_by_id(str(ours.id), {"ban_duration": "24h"})
    assert await code_of(sign_in(ours)) == "user_banned"
    assert await code_of(refresh(session.refresh_token)) == "user_banned"
    await admin.auth.admin.update_user_by_id(str(ours.id), {"ban_duration": "none"})
    assert (await sign_in(ours)).access_token


async def test_only_the_secret_key_administers_users(project: ServerSettings, pool: Pool, members):
    client = await create_server_client(project, pool=pool)
    with pytest.raises(AuthError):
        await client.auth.admin.list_users()
