"""Tenants' files, held to their tenants by the policies of the migration."""

from __future__ import annotations

import uuid

import pytest

from sba_supabase import TenantFiles
from sba_supabase.errors import (
    PathRefused,
    RemoteConflict,
    RemoteInvalid,
    RemoteMissing,
    RemoteRefused,
    TenantUnset,
)
from sba_supabase.storage import BUCKET


@pytest.fixture
async def files(enter, guards):
    return TenantFiles(await enter(), guards=guards)


async def test_what_was_uploaded_is_downloaded(files):
    content = bytes(range(256)) * 100 + b"\r\n--\r\n"
    await files.upload("reports/march & april.bin", content, content_type="application/x-thing")
    assert await files.download("reports/march & april.bin") == content


@pytest.mark.parametrize("wrong", ["", "text", "text/plain\r\nx: y", 'a/b"; c="d', "text/plain;", "té/xt"])
async def test_a_content_type_that_could_say_more_is_refused(files, wrong):
    with pytest.raises(ValueError, match="content type"):
        await files.upload("a.txt", b"1", content_type=wrong)
    await files.upload("a.txt", b"1", content_type="text/plain; charset=utf-8")


async def test_a_name_is_taken_until_it_is_replaced(files):
    await files.upload("a.txt", b"1", content_type="text/plain")
    with pytest.raises(RemoteConflict):
        await files.upload("a.txt", b"2", content_type="text/plain")
    await files.upload("a.txt", b"3", content_type="text/plain", replace=True)
    assert await files.download("a.txt") == b"3"


async def test_a_signed_address_is_good_for_anybody_until_it_ends(files, project):
    await files.upload("a.txt", b"hello", content_type="text/plain")
    url = await files.signed_url("a.txt", seconds=60)
    answer = await project.http.get(url)
    assert (answer.content, answer.headers["content-type"]) == (b"hello", "text/plain")
    project.clock.now += 61
    assert (await project.http.get(url)).status_code == 400
    for seconds in (0, 86401):
        with pytest.raises(ValueError, match="a second to a day"):
            await files.signed_url("a.txt", seconds=seconds)


async def test_removing_says_whether_there_was_one(files):
    await files.upload("a.txt", b"1", content_type="text/plain")
    assert await files.remove("a.txt") is True
    assert await files.remove("a.txt") is False
    with pytest.raises(RemoteMissing):
        await files.download("a.txt")


@pytest.mark.parametrize(
    "path",
    ["", "/a", "../b/a", "a/../../b", "a//b", "a/", ".", "a/./b", "a\\b", "a%2f..", "ä", "a\0", "x" * 901],
)
async def test_a_path_that_could_leave_the_tenants_folder_is_refused(files, path):
    with pytest.raises(PathRefused):
        await files.download(path)


async def test_another_tenants_files_are_out_of_reach_by_policy_too(project, enter, files, guards):
    await files.upload("a.txt", b"private", content_type="text/plain")
    stranger = await enter()
    bucket = stranger.storage.from_(BUCKET)
    name = files.path("a.txt")
    theirs = TenantFiles(stranger, guards=guards)
    assert await bucket.list(str(files.path("a.txt")).split("/")[0]) == []
    assert await bucket.remove([name]) == []
    for work in (
        bucket.download(name),
        bucket.create_signed_url(name, 60),
        bucket.move(name, theirs.path("b")),
    ):
        with pytest.raises(Exception, match="Object not found"):
            await work
    with pytest.raises(Exception, match="row-level security"):
        await bucket.upload(name.replace("a.txt", "b.txt"), b"planted", {"content-type": "text/plain"})
    await theirs.upload("c.txt", b"mine", content_type="text/plain")
    with pytest.raises(Exception, match="row-level security"):
        await bucket.move(theirs.path("c.txt"), name.replace("a.txt", "c.txt"))
    assert await files.download("a.txt") == b"private"


async def test_a_viewer_reads_and_does_not_write(project, enter, guards):
    user, reader = uuid.uuid4(), uuid.uuid4()
    tenant = await project.tenant((user, "member"), (reader, "viewer"))
    tokens = [project.issuer.mint(user_id=one, tenant_id=tenant) for one in (user, reader)]
    writer, viewer = [TenantFiles(await enter(token=token, tenant=tenant), guards=guards) for token in tokens]
    await writer.upload("a.txt", b"1", content_type="text/plain")
    assert await viewer.download("a.txt") == b"1"
    with pytest.raises(RemoteRefused):
        await viewer.upload("b.txt", b"2", content_type="text/plain")
    with pytest.raises(RemoteRefused):
        await viewer.upload("a.txt", b"2", content_type="text/plain", replace=True)
    assert await viewer.remove("a.txt") is False


async def test_a_revoked_membership_ends_with_the_next_call(project, files):
    await files.upload("a.txt", b"1", content_type="text/plain")
    await project.run("update public.memberships set revoked_at = now()")
    with pytest.raises(RemoteMissing):
        await files.download("a.txt")
    with pytest.raises(RemoteRefused):
        await files.upload("b.txt", b"1", content_type="text/plain")


async def test_what_is_larger_than_the_bucket_takes_is_refused(project, files):
    await project.run("update storage.buckets set file_size_limit = 10, allowed_mime_types = '{text/*}'")
    await files.upload("a.txt", b"x" * 10, content_type="text/plain")
    with pytest.raises(RemoteInvalid) as caught:
        await files.upload("b.txt", b"x" * 11, content_type="text/plain")
    assert caught.value.status == 413
    with pytest.raises(RemoteInvalid) as caught:
        await files.upload("c.png", b"x", content_type="image/png")
    assert caught.value.status == 415


async def test_files_are_a_tenants(nobody, guards):
    with pytest.raises(TenantUnset):
        TenantFiles(nobody, guards=guards)


async def test_files_do_not_follow_their_client_into_another_tenant(project, enter, files, guards):
    client = await enter()
    files = TenantFiles(client, guards=guards)
    client.pin_tenant(uuid.uuid4())
    with pytest.raises(TenantUnset):
        await files.download("a.txt")
