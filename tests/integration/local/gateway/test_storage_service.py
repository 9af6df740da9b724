"""Buckets and objects over HTTP, as Supabase Storage answers."""

from __future__ import annotations

import pytest

from tests.integration.local.gateway.standing import SECRET


@pytest.fixture
def storage(project):
    async def ask(method, path, body=None, *, token=None, headers=None, **options):
        sent = project.headers(token) if token else project.headers(key=SECRET)
        return await project.http.request(
            method, f"{project.url}/storage/v1/{path}", json=body, headers=sent | (headers or {}), **options
        )

    return ask


@pytest.fixture
async def bucket(storage):
    answer = await storage("POST", "bucket", {"name": "box", "public": True, "file_size_limit": "1KB"})
    assert answer.json() == {"name": "box"}
    return "box"


def refusal(answer):
    document = answer.json()
    assert answer.status_code == 400
    return document["statusCode"], document["error"]


async def put(storage, path, content=b"hello", kind="text/plain", **headers):
    sent = {"Content-Type": kind, **headers}
    return await storage("POST", f"object/{path}", headers=sent, content=content)


async def test_buckets_are_made_changed_emptied_and_deleted(storage, bucket):
    found = (await storage("GET", f"bucket/{bucket}")).json()
    assert (found["public"], found["file_size_limit"]) == (True, 1000)
    await storage("PUT", f"bucket/{bucket}", {"public": False, "allowed_mime_types": ["text/*"]})
    found = (await storage("GET", f"bucket/{bucket}")).json()
    assert (found["public"], found["allowed_mime_types"], found["file_size_limit"]) == (
        False,
        ["text/*"],
        1000,
    )
    await put(storage, "box/a.txt")
    assert refusal(await storage("DELETE", f"bucket/{bucket}")) == ("409", "ResourceNotEmpty")
    assert (await storage("POST", f"bucket/{bucket}/empty")).json() == {"message": "Successfully emptied"}
    assert (await storage("DELETE", f"bucket/{bucket}")).json() == {"message": "Successfully deleted"}
    assert refusal(await storage("GET", f"bucket/{bucket}")) == ("404", "Bucket not found")
    assert [one["id"] for one in (await storage("GET", "bucket")).json()] == ["tenant-files"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "box"},
        {"name": ""},
        {"name": "a/b"},
        {"name": ".."},
        {"name": " a"},
        {"name": "a\0"},
        {},
        {"name": "b", "file_size_limit": "much"},
        {"name": "b", "allowed_mime_types": "text"},
        {"name": "b", "public": "yes"},
        [],
    ],
)
async def test_a_bucket_that_cannot_be_is_refused(storage, bucket, body):
    status, _ = refusal(await storage("POST", "bucket", body))
    assert status == ("409" if body == {"name": "box"} else "400")


async def test_users_make_no_buckets(project, storage, bucket):
    _, token = await project.member()
    assert refusal(await storage("POST", "bucket", {"name": "mine"}, token=token)) == ("403", "Unauthorized")
    assert (await storage("GET", "bucket", token=token)).json() == []


async def test_a_public_object_needs_no_key(project, storage, bucket):
    await put(storage, "box/a b.txt", **{"Cache-Control": "60"})
    url = f"{project.url}/storage/v1/object/public/box/a b.txt"
    answer = await project.http.get(url, params={"download": "ä.txt"})
    assert answer.content == b"hello"
    assert answer.headers["cache-control"] == "max-age=60"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A4.txt"
    same = await project.http.get(url, headers={"If-None-Match": answer.headers["etag"]})
    assert same.status_code == 304
    part = await project.http.get(url, headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"el")
    head = await project.http.head(url)
    assert (head.status_code, head.headers["content-length"]) == (200, "5")
    info = f"{project.url}/storage/v1/object/info/public/box/a b.txt"
    assert (await project.http.get(info)).json()["size"] == 5
    private = f"{project.url}/storage/v1/object/public/tenant-files/a"
    assert refusal(await project.http.get(private)) == ("404", "Bucket not found")


async def test_an_object_is_added_once_and_replaced_on_demand(storage, bucket):
    made = (await put(storage, "box/a.txt")).json()
    assert made["Key"] == "box/a.txt"
    assert refusal(await put(storage, "box/a.txt")) == ("409", "Duplicate")
    again = (await put(storage, "box/a.txt", b"new", **{"x-upsert": "true"})).json()
    assert again["Id"] == made["Id"]
    assert (await storage("GET", "object/box/a.txt")).content == b"new"
    sent = {"Content-Type": "text/plain"}
    replaced = await storage("PUT", "object/box/a.txt", headers=sent, content=b"third")
    assert replaced.json()["Id"] == made["Id"]
    missing = await storage("PUT", "object/box/b.txt", headers=sent, content=b"x")
    assert refusal(missing) == ("404", "not_found")


@pytest.mark.parametrize("name", ["a%00b", "..%2Fx", "a%2F..%2Fb", "%C3%A4", "a%5Cb", "%7Ba%7D", "%2Fa"])
async def test_a_name_that_cannot_be_one_is_refused(storage, bucket, name):
    assert refusal(await put(storage, f"box/{name}")) == ("400", "InvalidKey")


async def test_what_is_too_large_is_refused(storage, bucket):
    assert (await put(storage, "box/a", b"x" * 1000)).status_code == 200
    assert refusal(await put(storage, "box/b", b"x" * 1001)) == ("413", "Payload too large")
    form = {"files": {"file": ("c", b"x" * 1001, "text/plain")}}
    assert refusal(await storage("POST", "object/box/c", **form)) == ("413", "Payload too large")
    assert refusal(await put(storage, "nowhere/a")) == ("404", "Bucket not found")


async def test_a_form_brings_metadata_too(storage, bucket):
    form = {
        "files": {"file": ("a", b"\r\n--x\r\n", "image/png")},
        "data": {"cacheControl": "9", "metadata": '{"by": "ada"}'},
    }
    assert (await storage("POST", "object/box/a", **form)).status_code == 200
    info = (await storage("GET", "object/info/box/a")).json()
    assert (info["content_type"], info["cache_control"], info["metadata"]) == (
        "image/png",
        "max-age=9",
        {"by": "ada"},
    )
    assert (await storage("GET", "object/authenticated/box/a")).content == b"\r\n--x\r\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"--b\r\n", b"--b--", b"--b\r\n\r\nx\r\n--b--", b"--b\r\nname: x\r\n--b--"],
)
async def test_a_form_that_is_none_is_refused(storage, bucket, content):
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await storage("POST", "object/box/a", headers=headers, content=content)
    assert refusal(answer) == ("400", "invalid_request")


@pytest.fixture
async def tree(storage, bucket):
    for name in ("a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt", "Zed/e.txt"):
        await put(storage, f"box/{name}")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"prefix": ""}, ["Zed", "sub", "a.txt", "b.txt"]),
        ({"prefix": "sub"}, ["c.txt", "deep"]),
        ({"prefix": "sub/"}, ["c.txt", "deep"]),
        ({"prefix": "nowhere"}, []),
        ({"prefix": "", "search": "B"}, ["b.txt"]),
        ({"prefix": "", "limit": 1, "offset": 1}, 1),
    ],
)
async def test_a_folder_is_listed(storage, tree, body, names):
    listed = (await storage("POST", "object/list/box", body)).json()
    if isinstance(names, int):
        assert len(listed) == names
        return
    assert sorted(one["name"] for one in listed) == sorted(names)
    assert {one["name"]: one["id"] is None for one in listed} == {name: "." not in name for name in names}


@pytest.mark.parametrize(
    "body", [{}, {"prefix": 1}, {"prefix": "", "limit": -1}, {"prefix": "", "sortBy": {"column": "owner"}}]
)
async def test_a_list_that_cannot_be_is_refused(storage, bucket, body):
    assert refusal(await storage("POST", "object/list/box", body)) == ("400", "invalid_request")


async def test_objects_are_moved_copied_and_removed(storage, tree, project, tmp_path):
    def both(source, target):
        return {"bucketId": "box", "sourceKey": source, "destinationKey": target}

    assert (await storage("POST", "object/move", both("a.txt", "moved.txt"))).status_code == 200
    assert refusal(await storage("GET", "object/box/a.txt")) == ("404", "not_found")
    copied = (await storage("POST", "object/copy", both("moved.txt", "copy.txt"))).json()
    assert copied["Key"] == "box/copy.txt"
    assert refusal(await storage("POST", "object/copy", both("moved.txt", "b.txt"))) == ("409", "Duplicate")
    assert refusal(await storage("POST", "object/move", both("moved.txt", "b.txt"))) == ("409", "Duplicate")
    assert refusal(await storage("POST", "object/move", both("x", "y"))) == ("404", "not_found")
    assert refusal(await storage("POST", "object/move", {})) == ("400", "invalid_request")
    assert (await storage("DELETE", "object/box/moved.txt")).status_code == 200
    assert refusal(await storage("DELETE", "object/box/moved.txt")) == ("404", "not_found")
    assert (await storage("GET", "object/box/copy.txt")).content == b"hello"
    gone = await storage("DELETE", "object/box", {"prefixes": ["copy.txt", "b.txt", "nowhere"]})
    assert sorted(one["name"] for one in gone.json()) == ["b.txt", "copy.txt"]
    rows = await project.run("select version from storage.objects")
    kept = {path.name for path in (tmp_path / "storage" / "contents").iterdir()}
    assert kept == {version for (version,) in rows}


async def test_signed_addresses_are_for_one_object_one_purpose_and_a_while(storage, tree, project):
    signed = (await storage("POST", "object/sign/box/a.txt", {"expiresIn": 60})).json()["signedURL"]
    url = f"{project.url}/storage/v1{signed}"
    assert (await project.http.get(url)).content == b"hello"
    assert refusal(await project.http.get(url.replace("a.txt", "b.txt"))) == ("400", "InvalidSignature")
    assert refusal(await project.http.get(url[:-3])) == ("400", "InvalidJWT")
    token = signed.partition("token=")[2]
    upload = f"{project.url}/storage/v1/object/upload/sign/box/a.txt?token={token}"
    assert refusal(await project.http.put(upload, content=b"x")) == ("400", "InvalidJWT")
    project.clock.now += 61
    assert refusal(await project.http.get(url)) == ("400", "InvalidJWT")
    for odd in (0, -1, "x", None, 10**10):
        answer = await storage("POST", "object/sign/box/a.txt", {"expiresIn": odd})
        assert refusal(answer) == ("400", "invalid_request")


async def test_many_are_signed_at_once(storage, tree):
    body = {"paths": ["a.txt", "nowhere"], "expiresIn": "60"}
    good, missing = (await storage("POST", "object/sign/box", body)).json()
    assert good["error"] is None
    assert missing["signedURL"] is None
    assert refusal(await storage("POST", "object/sign/box", {"paths": []})) == ("400", "invalid_request")


async def test_a_signed_upload_needs_no_key_and_works_once(storage, bucket, project):
    answer = (await storage("POST", "object/upload/sign/box/new.txt")).json()
    url = f"{project.url}/storage/v1{answer['url']}"
    headers = {"Content-Type": "text/plain"}
    assert (await project.http.put(url, content=b"x", headers=headers)).json() == {"Key": "box/new.txt"}
    assert refusal(await project.http.put(url, content=b"y", headers=headers)) == ("409", "Duplicate")
    taken = await storage("POST", "object/upload/sign/box/new.txt")
    assert refusal(taken) == ("409", "Duplicate")


async def test_what_is_not_served_says_so(storage):
    assert (await storage("POST", "upload/resumable")).status_code == 404
