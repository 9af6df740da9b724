"""Bodies and tokens that nobody sends by accident are answered, never with a failure of the server's own."""

from __future__ import annotations

import base64

import pytest

from tests.integration.local.gateway.standing import SECRET

PATHS = ("signup", "token?grant_type=password", "token?grant_type=refresh_token")
ADMIN_PATHS = ("admin/users", "admin/signing-keys")
BODIES: dict[str, bytes] = {
    "nested without end": b"[" * 100_000,
    "objects without end": b'{"a":' * 50_000,
    "bad UTF-8": b"\xff\xfe",
    "half a pair in a password": b'{"email":"a@example.test","password":"\\ud800xxxxxxx"}',
    "half a pair in an address": b'{"email":"\\ud800@example.test","password":"xxxxxxxxx"}',
    "half a pair in metadata": b'{"email":"b@example.test","password":"xxxxxxxxx","data":{"a":"\\ud800"}}',
    "half a pair in a refresh token": b'{"refresh_token":"\\ud800"}',
    "half a pair in an id": b'{"id":"\\ud800","email":"c@example.test"}',
    "half a pair in a step": b'{"step":"\\ud800"}',
    "NaN": b'{"email":"d@example.test","password":"xxxxxxxxx","data":{"a":NaN}}',
    "infinity": b'{"email":"e@example.test","password":"xxxxxxxxx","data":{"a":1e999}}',
    "a number of 5,000 digits": b'{"data":{"a":' + b"9" * 5000 + b"}}",
    "a password of two megabytes": b'{"email":"f@example.test","password":"' + b"x" * 2_000_000 + b'"}',
    "a ban for ever": b'{"email":"g@example.test","ban_duration":"99999999999999h"}',
    "a ban that is no text": b'{"email":"h@example.test","ban_duration":{"a":1}}',
    "a role that is a list": b'{"email":"i@example.test","role":["service_role"]}',
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("name", BODIES)
async def test_any_body_is_answered(name, project):
    for paths, headers in ((PATHS, project.headers()), (ADMIN_PATHS, project.headers(key=SECRET))):
        for path in paths:
            url = f"{project.url}/auth/v1/{path}"
            answer = await project.http.post(url, content=BODIES[name], headers=headers)
            assert answer.status_code < 500, path
            assert answer.json(), path


@pytest.fixture
def odd_tokens(project):
    """Tokens that nobody signed, and tokens that our own key should not have."""
    kid = project.issuer.kid.encode()
    forged = [
        b64(b"[" * 20_000) + ".e30.e30",
        b64(b'{"alg":"none"}') + "." + b64(b'{"role":"service_role"}') + ".",
        b64(b'{"alg":"ES256","kid":"' + kid + b'"}') + "." + b64(b"[" * 10_000) + ".AAAA",
        b64(b'{"alg":["ES256"],"kid":"' + kid + b'"}') + ".e30.AAAA",
        b64(b'{"alg":"HS256","kid":"' + kid + b'"}') + ".e30.AAAA",
        *("a.b", "..", "a.b.c.d"),
    ]
    claims = [
        *({"exp": 10**400}, {"exp": "soon"}, {"exp": [1]}, {"iat": [1]}, {"nbf": "x"}),
        *({"sub": ["x"]}, {"sub": "\ud800"}, {"aud": {"authenticated": 1}}),
        *({"role": ["service_role"]}, {"role": {"a": 1}}, {"role": "postgres"}, {"role": None}),
    ]
    signed = [project.issuer.sign({"sub": "x", "role": "authenticated", **claim}) for claim in claims]
    return [*forged, *signed]


async def test_any_token_is_refused_by_every_service(project, odd_tokens):
    for token in odd_tokens:
        for path in ("auth/v1/user", "rest/v1/tenants", "storage/v1/bucket", "functions/v1/x"):
            answer = await project.http.get(f"{project.url}/{path}", headers=project.headers(token))
            assert 400 <= answer.status_code < 500, (path, token[:60])
            assert answer.json(), path
