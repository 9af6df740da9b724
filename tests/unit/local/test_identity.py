"""The development issuer, judged by a stock JWT library and by our own verifier's rules."""

import shutil
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


def test_a_key_is_published_before_it_signs_and_after_it_has_signed(tmp_path):
    issuer = Issuer.load(tmp_path, URL)
    first = issuer.kid
    second = issuer.announce()
    assert issuer.announce() == second
    assert issuer.kid == first
    old = issuer.mint(user_id=USER, tenant_id=TENANT)
    assert issuer.rotate() == issuer.kid == second
    new = issuer.mint(user_id=USER, tenant_id=TENANT)
    assert [claims_of(issuer, token)["sub"] for token in (old, new)] == [str(USER)] * 2
    assert [key["kid"] for key in issuer.jwks()["keys"]] == [second, first]
    issuer.retire()
    assert [key["kid"] for key in issuer.jwks()["keys"]] == [second]


def test_a_rotation_outlives_the_process(tmp_path):
    issuer = Issuer.load(tmp_path, URL)
    announced = issuer.announce()
    assert Issuer.load(tmp_path, URL).jwks() == issuer.jwks()
    issuer.rotate()
    issuer.announce()
    again = Issuer.load(tmp_path, URL)
    assert again.kid == announced
    assert again.jwks() == issuer.jwks()
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.glob("*.pem"))
    again.retire()
    assert len(Issuer.load(tmp_path, URL).jwks()["keys"]) == 2


@pytest.mark.parametrize("left", ["issuer-previous.pem", "issuer-next.pem"])
def test_a_rotation_that_was_broken_off_publishes_no_key_twice(tmp_path, left):
    issuer = Issuer.load(tmp_path, URL)
    issuer.announce()
    if left == "issuer-next.pem":
        issuer.rotate()
    shutil.copy(tmp_path / "issuer.pem", tmp_path / left)
    again = Issuer.load(tmp_path, URL)
    assert again.jwks() == issuer.jwks()
    assert again.statuses() == issuer.statuses()


def test_a_key_whose_tokens_may_live_is_not_given_up_by_the_next_rotation(tmp_path):
    issuer = Issuer.load(tmp_path, URL)
    old = issuer.mint(user_id=USER, tenant_id=None)
    issuer.announce()
    issuer.rotate()
    issuer.announce()
    with pytest.raises(ValueError, match="retire"):
        issuer.rotate()
    assert issuer.read(old)["sub"] == str(USER)
    issuer.retire()
    issuer.rotate()


def test_a_key_that_nobody_knows_may_not_sign(tmp_path):
    with pytest.raises(ValueError, match="announce"):
        Issuer.load(tmp_path, URL).rotate()


def test_it_reads_its_own_tokens_until_they_end():
    clock = [1000.0]
    issuer = Issuer(ec.generate_private_key(ec.SECP256R1()), URL, clock=lambda: clock[0])
    token = issuer.mint(user_id=USER, tenant_id=TENANT, ttl=60)
    assert issuer.read(token)["sub"] == str(USER)
    clock[0] = 1060.0
    with pytest.raises(jwt.ExpiredSignatureError):
        issuer.read(token)


@pytest.mark.parametrize(
    "change", [{"aud": "other"}, {"iss": "http://other/auth/v1"}, {"sub": None}, {"sub": 7}]
)
def test_it_reads_no_token_with_other_claims(change):
    issuer = Issuer(ec.generate_private_key(ec.SECP256R1()), URL)
    claims = {"sub": str(USER), **change}
    with pytest.raises(jwt.PyJWTError):
        issuer.read(issuer.sign({name: value for name, value in claims.items() if value is not None}))


def test_it_reads_no_token_of_others(tmp_path):
    issuer, other = (Issuer(ec.generate_private_key(ec.SECP256R1()), URL) for _ in range(2))
    for token in (other.mint(user_id=USER, tenant_id=None), "a.b.c", jwt.encode({}, "x" * 32)):
        with pytest.raises(jwt.PyJWTError):
            issuer.read(token)
