"""A scan looks into every file it can, within bounds, and tells of those it cannot."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
import zipfile
from pathlib import Path

import brotli
import pytest

from sba_supabase.checks.allowing import Allowance, read_allowances
from sba_supabase.errors import AllowListInvalid
from sba_supabase.scan import RULES, ScanOptions, scan
from tests.unit.supabase.planting import layer, legacy_key, plain, secret_key

KEY = secret_key(random.Random(0))
SMALL = ScanOptions(unpacked_limit=1 << 20)


def planted(folder: Path, name: str = "main.js") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(plain(KEY, random.Random(0)))
    return file


def reasons(folder: Path, options: ScanOptions | None = None) -> list[str]:
    return [problem.reason for problem in scan([folder], options).problems]


def test_a_clean_folder_is_clean(tmp_path: Path):
    (tmp_path / "index.html").write_text("<p>Hello</p>")
    report = scan([tmp_path])
    assert (report.exit_code, report.files, report.size) == (0, 1, 12)


@pytest.mark.parametrize(
    "name", ["SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SERVICE_KEY", "NEXT_PUBLIC_SUPABASE_SERVICE_KEY"]
)
def test_the_name_of_a_service_variable_counts_in_what_clients_load_alone(tmp_path: Path, name: str):
    for file in ("main.js", "main.js.map", "settings.py", "README.md"):
        (tmp_path / file).write_text(f"process.env.{name}")
    found = {(Path(finding.path).name, finding.rule) for finding in scan([tmp_path]).findings}
    assert found == {("main.js", "service-variable"), ("main.js.map", "service-variable")}


def test_server_modules_are_found_in_bundles_and_their_maps(tmp_path: Path):
    (tmp_path / "main.js.map").write_text('{"sources":["../packages/supabase/clients/node-admin.ts"]}')
    (tmp_path / "main.js").write_text("import x from 'ours/billing-server'")
    options = ScanOptions(modules=("clients/node-admin", "ours/billing-server"))
    assert [finding.rule for finding in scan([tmp_path], options).findings] == ["server-module"] * 2


def test_names_and_modules_are_left_alone_when_only_keys_are_looked_for(tmp_path: Path):
    (tmp_path / "main.js").write_text(f"createAdminClient(process.env.SUPABASE_SERVICE_ROLE_KEY, '{KEY}')")
    report = scan([tmp_path], ScanOptions(keys_only=True))
    assert [finding.rule for finding in report.findings] == ["secret-key"]


def test_a_stream_that_unpacks_without_end_is_left_and_told(tmp_path: Path):
    (tmp_path / "bomb.js.gz").write_bytes(gzip.compress(bytes(200 << 20), 9))
    (tmp_path / "bomb.js.br").write_bytes(brotli.compress(bytes(64 << 20)))
    report = scan([tmp_path], SMALL)
    assert [problem.reason for problem in report.problems] == [
        "unpacks to more than a scan reads of one file"
    ] * 2
    assert report.exit_code == 2
    assert report.size < 30 << 20


def test_a_key_before_the_bomb_is_still_found(tmp_path: Path):
    (tmp_path / "bomb.js.gz").write_bytes(gzip.compress(KEY.encode() + b"\n" + bytes(100 << 20), 9))
    report = scan([tmp_path], SMALL)
    assert (report.exit_code, len(report.findings), len(report.problems)) == (1, 1, 1)


def test_a_zip_whose_members_share_the_budget_is_left_and_told(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(f"{number}.txt", bytes(1 << 20))
    assert reasons(tmp_path, SMALL) == ["unpacks to more than a scan reads of one file"]


def test_archives_inside_each_other_without_end_are_left_and_told(tmp_path: Path):
    data = KEY.encode()
    for _ in range(12):
        data = gzip.compress(data)
    (tmp_path / "deep.gz").write_bytes(data)
    assert reasons(tmp_path) == ["more than 8 archives inside each other"]


@pytest.mark.parametrize(
    ("name", "pack", "keep"),
    [
        ("a.js.gz", gzip.compress, 0.9),
        ("a.js.br", brotli.compress, 0.9),
        ("a.tar", layer, 0.6),
        ("a.zip", lambda data: b"PK\x03\x04" + data, 1.0),
    ],
)
def test_an_archive_that_is_cut_off_is_told(tmp_path: Path, name: str, pack, keep: float):
    packed = pack(random.Random(1).randbytes(200_000))
    (tmp_path / name).write_bytes(packed[: int(len(packed) * keep)])
    (reason,) = reasons(tmp_path)
    assert reason.startswith("broken or cut off")


def test_what_came_before_the_cut_is_looked_at(tmp_path: Path):
    packed = gzip.compress(KEY.encode() + b"\n" + random.Random(2).randbytes(500_000))
    (tmp_path / "a.js.gz").write_bytes(packed[:-1000])
    report = scan([tmp_path])
    assert (len(report.findings), len(report.problems)) == (1, 1)


def test_a_member_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (("a.js.gz", b"\x1f\x8bnot gzip"), ("b.js", KEY.encode())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    (tmp_path / "layer.tar").write_bytes(out.getvalue())
    report = scan([tmp_path])
    assert [finding.path for finding in report.findings] == [f"{tmp_path}/layer.tar!b.js"]
    assert [problem.path for problem in report.problems] == [f"{tmp_path}/layer.tar!a.js.gz"]


def test_formats_that_cannot_be_opened_are_told(tmp_path: Path):
    (tmp_path / "layer.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    assert reasons(tmp_path) == ["zstd archives are not looked into"]


def test_links_are_not_followed_and_told_when_they_lead_out(tmp_path: Path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    planted(outside)
    planted(inside, "real.js")
    (inside / "again.js").symlink_to(inside / "real.js")
    (inside / "out").symlink_to(outside)
    (inside / "nowhere").symlink_to(inside / "missing")
    (inside / "round").symlink_to(inside)
    report = scan([inside])
    assert [Path(finding.path).name for finding in report.findings] == ["real.js"]
    assert [(Path(problem.path).name, problem.reason) for problem in report.problems] == [
        ("nowhere", "a link that leads nowhere"),
        ("out", "a link that leads out of what is scanned"),
    ]


def test_a_link_that_is_given_is_followed(tmp_path: Path):
    planted(tmp_path / "build")
    (tmp_path / "dist").symlink_to(tmp_path / "build")
    assert len(scan([tmp_path / "dist"]).findings) == 1


def test_a_file_named_twice_is_looked_at_once(tmp_path: Path):
    file = planted(tmp_path)
    assert scan([tmp_path, file, tmp_path]).files == 1


def test_what_is_no_file_is_told_and_never_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert reasons(tmp_path) == ["neither a file nor a folder"]


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    planted(tmp_path)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert reasons(tmp_path) == ["cannot be read: Permission denied"]


def test_a_path_that_is_gone_is_told(tmp_path: Path):
    assert reasons(tmp_path / "gone") == ["cannot be read: No such file or directory"]


def test_excluded_paths_are_left_out(tmp_path: Path):
    planted(tmp_path / "vendor")
    assert scan([tmp_path], ScanOptions(exclude=("*/vendor",))).files == 0


def listed(folder: Path, text: str) -> tuple[Allowance, ...]:
    (folder / "allow.toml").write_text(text)
    return read_allowances(folder / "allow.toml", (rule.id for rule in RULES))


def test_an_allowed_finding_fails_nothing_and_keeps_its_reason(tmp_path: Path):
    planted(tmp_path / "dist")
    (found,) = scan([tmp_path / "dist"]).findings
    allow = listed(
        tmp_path,
        f'[[allow]]\nrule = "secret-key"\nfingerprint = "{found.fingerprint}"\nreason = "a test stack"\n',
    )
    report = scan([tmp_path / "dist"], ScanOptions(allow=allow))
    assert (report.exit_code, report.findings) == (0, ())
    assert [finding.reason for finding in report.allowed] == ["a test stack"]


def test_an_entry_that_allows_nothing_is_told(tmp_path: Path):
    allow = listed(tmp_path, '[[allow]]\nrule = "secret-key"\npath = "*/old.js"\nreason = "was there once"\n')
    report = scan([planted(tmp_path / "dist")], ScanOptions(allow=allow))
    assert report.exit_code == 1
    assert report.notes == ("an entry of the allow-list is not used: secret-key at */old.js",)


def test_an_entry_allows_its_own_rule_and_place_only(tmp_path: Path):
    (tmp_path / "dist").mkdir()
    token = legacy_key("service_role", random.Random(1))
    (tmp_path / "dist/a.js").write_text(f"{KEY}\n{token}")
    planted(tmp_path / "dist", "b.js")
    allow = listed(tmp_path, '[[allow]]\nrule = "secret-key"\npath = "*/a.js"\nreason = "of a test stack"\n')
    found = scan([tmp_path / "dist"], ScanOptions(allow=allow)).findings
    assert [(Path(finding.path).name, finding.rule) for finding in found] == [
        ("a.js", "service-token"),
        ("b.js", "secret-key"),
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('[[allow]]\nrule = "secret-key"\npath = "a"\n', "gives no reason"),
        ('[[allow]]\nrule = "secret-key"\npath = "a"\nreason = "  "\n', "gives no reason"),
        ('[[allow]]\nrule = "secret-key"\nreason = "because"\n', "a path or a fingerprint"),
        ('[[allow]]\nrule = "anything"\npath = "a"\nreason = "because"\n', "must name a rule"),
        ('[[allow]]\nrule = "secret-key"\npath = "a"\nreason = "because"\nline = "3"\n', "unknown members"),
        ('[[allow]]\nrule = "secret-key"\npath = 3\nreason = "because"\n', "table of texts"),
        ('allow = "everything"\n', "and nothing else"),
        ("[other]\nx = 1\n", "and nothing else"),
        ("[[allow", "cannot be read"),
    ],
)
def test_an_allow_list_that_does_not_say_why_is_refused(tmp_path: Path, text: str, rule: str):
    with pytest.raises(AllowListInvalid, match=rule):
        listed(tmp_path, text)
