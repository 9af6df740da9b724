"""Names that climb, addresses that were signed for others, bodies without end, and everybody at once."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import tracemalloc
import uuid

import httpx
import jwt
import pytest

from sba_local.supabase.storage.app import StorageApp
from tests.integration.local.gateway.standing import ANON, NOW, SECRET

MEBIBYTE = 1024 * 1024


@pytest.fixture
def storage(project):
    """Asks for a path exactly as it is spelled, as the service."""

    async def ask(method, path, *, headers=None, **options):
        url = httpx.URL(project.url).copy_with(raw_path=f"/storage/v1/{path}".encode())
        sent = project.headers(key=SECRET) | {"Content-Type": "text/plain"} | (headers or {})
        return await project.http.request(method, url, headers=sent, **options)

    return ask


@pytest.fixture
async def box(storage):
    for name in ("box", "other"):
        await storage("POST", "bucket", content=json.dumps({"name": name, "public": True}))
    await storage("POST", "object/box/a.txt", content=b"0123456789")
    return storage


@pytest.fixture
def contents(project, tmp_path):
    """Versions that are kept but belong to no object, and those that are missing."""

    async def compare():
        rows = {version for (version,) in await project.run("select version from storage.objects")}
        kept = {path.name for path in await asyncio.to_thread(os.scandir, tmp_path / "storage" / "contents")}
        return kept - rows, rows - kept

    return compare


NAMES = [
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/x",
    "a/%2e%2e/%2e%2e/x",
    "%2Fetc%2Fpasswd",
    "/a",
    "a%00",
    "%5c..%5cx",
    "a%252e%252e",
    "%ff",
    "%C3%A9",
    "a" * 1025,
    "..",
    ".",
    "%2e",
    "a%0d%0ab",
]


async def test_no_name_leads_out_of_the_contents(box, tmp_path, contents):
    before = sorted(path for path, _, _ in os.walk(tmp_path))
    for name in NAMES:
        for method, path in (("POST", "object/box/"), ("PUT", "object/box/"), ("GET", "object/public/box/")):
            answer = await box(method, path + name, content=b"x" if method != "GET" else None)
            assert answer.status_code in (400, 404, 405), name
        move = {"bucketId": "box", "sourceKey": "a.txt", "destinationKey": httpx.URL(f"/{name}").path[1:]}
        for path in ("object/move", "object/copy"):
            assert (await box("POST", path, content=json.dumps(move))).status_code == 400, name
    assert sorted(path for path, _, _ in os.walk(tmp_path)) == before
    assert await contents() == (set(), set())


async def test_contents_are_private_files_that_no_link_can_redirect(box, tmp_path, contents):
    place = tmp_path / "storage" / "contents"
    assert place.stat().st_mode & 0o777 == 0o700
    (kept,) = place.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    outside = tmp_path / "outside"
    kept.unlink()
    kept.symlink_to(outside)
    answer = await box("POST", "object/box/a.txt", content=b"new", headers={"x-upsert": "true"})
    assert answer.status_code == 200
    assert not outside.exists()
    assert (await box("GET", "object/box/a.txt")).content == b"new"
    assert await contents() == (set(), set())


@pytest.fixture
async def signed(box):
    answer = await box("POST", "object/sign/box/a.txt", content=b'{"expiresIn": 60}')
    return answer.json()["signedURL"].partition("token=")[2]


async def test_a_signed_address_is_good_for_nothing_else(project, box, signed):
    await box("POST", "object/other/a.txt", content=b"other")
    await box("POST", "object/box/b.txt", content=b"b")
    claims = jwt.decode(signed, options={"verify_signature": False})
    head, body, signature = signed.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    attempts = [
        ("other/a.txt", signed),
        ("box/b.txt", signed),
        ("box/a.txt", ""),
        ("box/a.txt", f"{head}.{body}."),
        ("box/a.txt", f"{unsigned}.{body}."),
        ("box/a.txt", f"{head}.{body}.{signature[:-4]}AAAA"),
        ("box/a.txt", jwt.encode({**claims, "exp": NOW + 1e6}, "k" * 48, algorithm="HS256")),
        ("box/a.txt", project.issuer.sign({**claims, "sub": "x"})),
        ("box/a.txt", ANON),
    ]
    for place, token in attempts:
        answer = await project.http.get(f"{project.url}/storage/v1/object/sign/{place}?token={token}")
        assert answer.json()["code"] in ("InvalidJWT", "InvalidSignature"), (place, token)
        sent = await project.http.put(
            f"{project.url}/storage/v1/object/upload/sign/{place}?token={token}", content=b"x"
        )
        assert sent.json()["code"] in ("InvalidJWT", "InvalidSignature")
    assert (await box("GET", "object/box/a.txt")).content == b"0123456789"


async def test_a_signed_address_ends(project, signed):
    url = f"{project.url}/storage/v1/object/sign/box/a.txt?token={signed}"
    project.clock.now += 59
    assert (await project.http.get(url)).status_code == 200
    project.clock.now += 1
    assert (await project.http.get(url)).json()["code"] == "InvalidJWT"


async def test_an_address_is_signed_for_whole_seconds_only(box):
    for seconds in ("0", "-1", "1e5", "1.5", "true", "null", '"x"', "9" * 400, "[60]"):
        answer = await box("POST", "object/sign/box/a.txt", content=f'{{"expiresIn": {seconds}}}')
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequest"), seconds


RANGES = [
    ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
    ("bytes=5-", 206, b"56789", "bytes 5-9/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=8-99999999999", 206, b"89", "bytes 8-9/10"),
    ("bytes=10-", 416, b"", "bytes */10"),
    ("bytes=-0", 416, b"", "bytes */10"),
    ("bytes=5-2", 200, b"0123456789", None),
    ("bytes=-", 200, b"0123456789", None),
    ("bytes=0-1,3-4", 200, b"0123456789", None),
    ("items=0-1", 200, b"0123456789", None),
    ("bytes=" + "9" * 400 + "-", 200, b"0123456789", None),
]


async def test_a_part_is_sent_where_one_is_meant(box):
    for wanted, status, content, range_ in RANGES:
        answer = await box("GET", "object/public/box/a.txt", headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (status, content)
        assert answer.headers.get("content-range") == range_


async def test_a_page_among_the_objects_cannot_act_as_the_project(box):
    page = {"Content-Type": "text/html"}
    await box("POST", "object/box/page", content=b"<script>alert(1)</script>", headers=page)
    answer = await box("GET", "object/public/box/page")
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "text/html"


async def test_no_wish_for_a_file_name_breaks_a_header(box):
    answer = await box("GET", "object/public/box/a.txt?download=a%0d%0aX-Evil:%20b%22;%ff")
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    assert "%0D%0AX-Evil" in answer.headers["content-disposition"]


async def test_an_object_whose_content_is_gone_is_missing_and_can_be_replaced(box, tmp_path):
    (kept,) = (tmp_path / "storage" / "contents").iterdir()
    kept.unlink()
    assert (await box("GET", "object/box/a.txt")).json()["code"] == "NoSuchKey"
    assert (await box("PUT", "object/box/a.txt", content=b"new")).status_code == 200
    assert (await box("GET", "object/box/a.txt")).content == b"new"


async def test_what_the_bucket_does_not_take_leaves_nothing_behind(box, contents):
    await box("PUT", "bucket/box", content=b'{"allowed_mime_types": ["image/*", "text/csv"]}')
    answer = await box("POST", "object/box/b.txt", content=b"x")
    assert (answer.json()["statusCode"], answer.json()["code"]) == ("415", "InvalidMimeType")
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    assert (await box("POST", "object/box/b", content=FILE, headers=form)).json()["code"] == "InvalidMimeType"
    for kind in ("image/png", "TEXT/CSV; charset=utf-8"):
        sent = {"Content-Type": kind, "x-upsert": "true"}
        assert (await box("POST", "object/box/c", content=b"x", headers=sent)).status_code == 200
    assert await contents() == (set(), set())


async def test_who_may_not_replace_an_object_changes_nothing(project, box, contents):
    tenant, _ = await project.member()
    reader = uuid.uuid4()
    await project.run(
        "insert into public.memberships (tenant_id, user_id, role) values (%s, %s, 'viewer')", tenant, reader
    )
    path = f"{project.url}/storage/v1/object/tenant-files/{tenant}/a.txt"
    kind = {"Content-Type": "text/plain"}
    await project.http.post(path, headers=project.headers(key=SECRET, **kind), content=b"old")
    token = project.issuer.mint(user_id=reader, tenant_id=tenant)
    headers = project.headers(token, **kind, **{"x-upsert": "true", "x-tenant-id": str(tenant)})
    assert (await project.http.get(path, headers=headers)).content == b"old"
    for method in ("POST", "PUT"):
        answer = await project.http.request(method, path, headers=headers, content=b"new")
        assert answer.json()["code"] == "AccessDenied"
    assert (await project.http.get(path, headers=headers)).content == b"old"
    assert await contents() == (set(), set())


async def test_a_database_that_is_away_is_503(tmp_path):
    async with StorageApp("postgresql://nobody@127.0.0.1:1/none", tmp_path, clock=lambda: NOW) as app:

        async def gate(scope, receive, send):
            await app({**scope, "state": {"role": "anon", "claims": {}}}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://test") as client:
            answer = await client.get("/storage/v1/bucket")
            assert (answer.status_code, answer.json()["code"]) == (503, "DatabaseError")


FIELD = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name=""; filename="../../x"\r\n\r\nhi\r\n--b--\r\n'


FORMS = [
    FIELD % (b"cacheControl", b"9\r\n\xff") + FILE,
    FIELD % (b"cacheControl", b"9\nX-Evil: a") + FILE,
    FIELD % (b"contentType", "é→".encode()) + FILE,
    FIELD % (b"metadata", b"[" * 10_000) + FILE,
    FIELD % (b"metadata", b"{") + FILE,
    FIELD % (b"metadata", b"x" * 20_000) + FILE,
    FIELD % (b"a", b"b") * 200 + FILE,
    FILE[:-8],
    b"--b\r\nX-Name: none\r\n\r\nhi\r\n" + FILE,
    b"--b\r\nX: " + b"y" * 20_000 + b"\r\n\r\nhi\r\n--b--",
    b"",
]


async def test_a_form_that_would_break_a_later_answer_is_refused_whole(box, contents):
    for body in FORMS:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await box("POST", "object/box/form", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequest")
        assert await contents() == (set(), set())


HEADERS = [
    {"x-metadata": "!!"},
    {"x-metadata": "/w=="},
    {"Cache-Control": b"\xe9"},
    {"Content-Type": b"text/pl\xe4in"},
    {"Content-Type": "a" * 300},
]


async def test_headers_that_would_break_a_later_answer_are_refused(box, contents):
    for headers in HEADERS:
        answer = await box("POST", "object/box/b.txt", content=b"x", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequest")
        assert await contents() == (set(), set())


BODIES = [
    b"[" * 100_000,
    b"\xff",
    b"[]",
    b'"x"',
    b'{"prefixes": [{"path": "a.txt"}]}',
    b'{"prefixes": ["a\\u0000"]}',
    b'{"prefix": "\\u0000", "prefixes": []}',
    b'{"prefix": "", "sortBy": {"column": []}}',
    b'{"prefix": "", "limit": true}',
]


async def test_a_body_that_is_nothing_of_the_kind_is_refused(box):
    for body in BODIES:
        for method, path in (("DELETE", "object/box"), ("POST", "object/list/box"), ("POST", "object/move")):
            answer = await box(method, path, content=body)
            assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequest"), body[:60]
        assert (await box("GET", "object/box/a.txt")).status_code == 200


async def endless(size):
    for _ in range(size):
        yield b"x" * MEBIBYTE


async def test_a_large_body_never_is_in_memory_as_a_whole_nor_a_too_large_one_on_disk(box, contents):
    head = b'--b\r\nContent-Disposition: form-data; name=""; filename="x"\r\n\r\n'

    async def form():
        yield head
        async for piece in endless(40):
            yield piece
        yield b"\r\n--b--\r\n"

    multipart = {"Content-Type": "multipart/form-data; boundary=b"}
    tracemalloc.start()
    try:
        assert (await box("POST", "object/box/big", content=endless(40))).status_code == 200
        assert (await box("POST", "object/box/form", content=form(), headers=multipart)).status_code == 200
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * MEBIBYTE
    assert (await box("GET", "object/info/box/form")).json()["size"] == 40 * MEBIBYTE
    refused = await box("POST", "object/box/huge", content=endless(51))
    assert refused.json()["code"] == "EntityTooLarge"
    assert await contents() == (set(), set())


async def test_everybody_may_replace_and_read_the_same_object_at_once(box, contents):
    async def replace(n):
        body = str(n % 10).encode() * 2000
        answer = await box("POST", "object/box/same", content=body, headers={"x-upsert": "true"})
        assert answer.status_code == 200, answer.text

    async def read():
        answer = await box("GET", "object/public/box/same")
        assert answer.status_code == 400 or (len(answer.content), len(set(answer.content))) == (2000, 1)

    async def copy(n):
        body = {"bucketId": "box", "sourceKey": "same", "destinationKey": f"copies/{n}"}
        answer = await box("POST", "object/copy", content=json.dumps(body))
        assert answer.status_code == 200, answer.text
        assert len(set((await box("GET", f"object/box/copies/{n}")).content)) == 1

    await replace(0)
    await asyncio.gather(*(work for n in range(20) for work in (replace(n), read(), copy(n))))
    assert await contents() == (set(), set())


async def test_of_many_who_add_the_same_object_one_succeeds(box, contents):
    answers = await asyncio.gather(*(box("POST", "object/box/once", content=b"x") for _ in range(10)))
    codes = sorted(answer.json().get("code", "added") for answer in answers)
    assert codes == [*["ResourceAlreadyExists"] * 9, "added"]
    assert await contents() == (set(), set())
