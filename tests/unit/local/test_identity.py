"""The development issuer, judged by a stock JWT library and by our own verifier's rules."""

import stat
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sba_local.errors import DataDirCorrupt
from sba_local.identity import Issuer

URL = "http://127.0.0.1:9999"
TENANT, USER = uuid.uuid4(), uuid.uuid4()


def claims_of(issuer, token, **options):
    key = jwt.PyJWKSet.from_dict(issuer.jwks())[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(
        token, key, algorithms=["ES256"], audience="authenticated", issuer=issuer.issuer, options=options
    )


def test_a_token_carries_what_supabase_auth_would_put_in_it(tmp_path):
    issuer = Issuer.load(tmp_path, URL + "/")
    claims = claims_of(issuer, issuer.mint(user_id=USER, tenant_id=TENANT, role="admin", ttl=60))
    assert claims["iss"] == f"{URL}/auth/v1"
    assert claims["sub"] == str(USER)
    assert claims["role"] == "authenticated"
    assert claims["app_metadata"] == {"tenant_id": str(TENANT), "role": "admin"}
    assert uuid.UUID(claims["session_id"])
    assert claims["exp"] - claims["iat"] == 60


def test_a_token_without_a_tenant_names_none(tmp_path):
    issuer = Issuer.load(tmp_path, URL)
    assert claims_of(issuer, issuer.mint(user_id=USER, tenant_id=None))["app_metadata"] == {}


def test_times_come_from_the_clock_it_was_given():
    issuer = Issuer(ec.generate_private_key(ec.SECP256R1()), URL, clock=lambda: 1000.9)
    claims = claims_of(issuer, issuer.mint(user_id=USER, tenant_id=TENANT, ttl=5), verify_exp=False)
    assert (claims["iat"], claims["exp"]) == (1000, 1005)


def test_a_token_with_no_time_left_is_refused(tmp_path):
    issuer = Issuer.load(tmp_path, URL)
    with pytest.raises(jwt.ExpiredSignatureError):
        claims_of(issuer, issuer.mint(user_id=USER, tenant_id=TENANT, ttl=-1))


def test_another_machines_token_is_refused(tmp_path):
    ours, theirs = Issuer.load(tmp_path / "a", URL), Issuer(ec.generate_private_key(ec.SECP256R1()), URL)
    token = theirs.mint(user_id=USER, tenant_id=TENANT)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(
            token,
            jwt.PyJWKSet.from_dict(ours.jwks())[ours.kid],
            algorithms=["ES256"],
            audience="authenticated",
        )


@pytest.fixture(autouse=True)
def directories(tmp_path):
    (tmp_path / "a").mkdir()


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    first, second = Issuer.load(tmp_path, URL), Issuer.load(tmp_path, URL)
    assert first.kid == second.kid
    assert stat.S_IMODE((tmp_path / "issuer.pem").stat().st_mode) == 0o600


def test_the_key_set_holds_no_private_part(tmp_path):
    (key,) = Issuer.load(tmp_path, URL).jwks()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_a_damaged_key_file_is_named_but_not_quoted(tmp_path):
    (tmp_path / "issuer.pem").write_text("hunter2")
    with pytest.raises(DataDirCorrupt, match=r"issuer\.pem is not a P-256 private key") as caught:
        Issuer.load(tmp_path, URL)
    assert "hunter2" not in str(caught.value)


def test_a_key_of_another_curve_is_refused(tmp_path):
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "issuer.pem").write_bytes(pem)
    with pytest.raises(DataDirCorrupt):
        Issuer.load(tmp_path, URL)


def test_its_repr_shows_no_key(tmp_path):
    issuer = Issuer.load(tmp_path, URL)
    assert repr(issuer) == f"Issuer('{URL}/auth/v1', kid='{issuer.kid}')"
