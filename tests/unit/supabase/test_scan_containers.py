"""Keys in names, links and streams inside of files, and archives that hide some of their members."""

from __future__ import annotations

import base64
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from sba_supabase.scan import ScanOptions, scan
from tests.unit.supabase.planting import layer, legacy_key, secret_key, zipped

KEY = secret_key(random.Random(21))
TOKEN = legacy_key("service_role", random.Random(22))
BOTH = f"{KEY}\n{TOKEN}".encode()


def found_in(folder: Path, options: ScanOptions | None = None) -> set[str]:
    return {finding.path.removeprefix(f"{folder}/") for finding in scan([folder], options).findings}


def reasons(folder: Path, options: ScanOptions | None = None) -> list[str]:
    return [problem.reason for problem in scan([folder], options).problems]


@pytest.mark.parametrize("name", [f"{KEY}.js", f"chunk-{KEY}/a.js", "a.tar", "a.zip"])
def test_a_key_in_the_name_of_a_file_is_found_and_not_shown(tmp_path: Path, name: str):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{KEY}.js", "let a")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as layers:
        layers.addfile(tarfile.TarInfo(f"app/{KEY}.js"), io.BytesIO())
    file.write_bytes({".zip": out.getvalue(), ".tar": tar.getvalue()}.get(file.suffix, b"let a"))
    (finding,) = scan([tmp_path]).findings
    assert (finding.rule, finding.message.endswith("in the name")) == ("secret-key", True)
    assert KEY[10:] not in str(finding)


def test_a_key_in_the_target_of_a_link_of_a_layer_is_found(tmp_path: Path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("app/current")
        link.type, link.linkname = tarfile.SYMTYPE, f"/srv/{KEY}"
        archive.addfile(link)
    (tmp_path / "layer.tar").write_bytes(out.getvalue())
    assert found_in(tmp_path) == {"layer.tar!app/current"}


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_a_zlib_stream_such_as_a_git_object_is_unpacked(tmp_path: Path, level: int):
    (tmp_path / "8f2b1c").write_bytes(zlib.compress(b"blob 300\0" + BOTH, level))
    report = scan([tmp_path])
    assert {finding.rule for finding in report.findings} == {"secret-key", "service-token"}
    assert report.problems == ()


def test_bytes_that_only_begin_like_a_zlib_stream_are_looked_at_as_they_are(tmp_path: Path):
    (tmp_path / "a.bin").write_bytes(b"\x78\x9c" + b"\xff" * 40 + BOTH)
    assert found_in(tmp_path) == {"a.bin"}
    assert reasons(tmp_path) == []


def test_a_zlib_stream_that_is_cut_off_is_told(tmp_path: Path):
    (tmp_path / "8f2b1c").write_bytes(zlib.compress(random.Random(3).randbytes(9000))[:-900])
    assert reasons(tmp_path) == ["broken or cut off (EOFError)"]


def test_other_ways_to_pack_a_bundle_are_unpacked(tmp_path: Path):
    (tmp_path / "main.js.lzma").write_bytes(lzma.compress(BOTH, lzma.FORMAT_ALONE))
    (tmp_path / "ours.crx").write_bytes(b"Cr24" + struct.pack("<II", 3, 0) + zipped(BOTH))
    (tmp_path / "twice.js.gz").write_bytes(gzip.compress(b"let a;") + gzip.compress(BOTH))
    (tmp_path / "deep.tar").write_bytes(layer(layer(zipped(layer(gzip.compress(BOTH))), compression="xz")))
    assert len(found_in(tmp_path)) == 4
    assert reasons(tmp_path) == []


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x04\x22\x4d\x18", "lz4"), (b"LZIP\1", "lzip"), (b"\x1f\x9d\x90", "compress"),
        (b"Rar!\x1a", "rar"),
        (b"!<arch>\ndebian-binary ", "deb"), (b"\xed\xab\xee\xdb", "rpm"), (b"PACK\0\0\0\2", "git"),
        (b"7z\xbc\xaf\x27\x1c", "7z"), (b"\x28\xb5\x2f\xfd", "zstd"),
    ],
)  # fmt: skip
def test_what_cannot_be_unpacked_is_told_wherever_it_is(tmp_path: Path, head: bytes, kind: str):
    (tmp_path / "layer.tar").write_bytes(layer(head + bytes(600)))
    report = scan([tmp_path])
    assert [str(problem.reason) for problem in report.problems] == [f"{kind} archives are not looked into"]
    assert report.exit_code == 2


def test_a_member_of_a_zip_that_cannot_be_opened_does_not_hide_the_others(tmp_path: Path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a-locked.js", "let a")
        archive.writestr("b.js", BOTH)
    data = bytearray(out.getvalue())
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    data[local + 6] |= 1
    data[central + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    report = scan([tmp_path])
    assert {finding.path for finding in report.findings} == {f"{tmp_path}/a.zip!b.js"}
    assert [(problem.path, problem.reason) for problem in report.problems] == [
        (f"{tmp_path}/a.zip!a-locked.js", "broken or cut off (RuntimeError)")
    ]


def test_a_stream_in_base64_that_unpacks_without_end_is_told(tmp_path: Path):
    bomb = base64.b64encode(gzip.compress(bytes(100 << 20), 9))
    (tmp_path / "main.js").write_bytes(BOTH + b'\nlet bomb = "' + bomb + b'"')
    for limit in (1 << 20, 1 << 29):
        report = scan([tmp_path], ScanOptions(unpacked_limit=limit))
        assert len(report.findings) == 2
        assert [problem.reason for problem in report.problems] == [
            "unpacks to more than a scan reads of one file"
        ]


def test_empty_files_and_archives_are_clean(tmp_path: Path):
    for name, data in (
        ("a.js", b""),
        ("b.js.gz", gzip.compress(b"")),
        ("c.tar", layer(b"")),
        ("d.zip", zipped(b"")),
    ):
        (tmp_path / name).write_bytes(data)
    report = scan([tmp_path])
    assert (report.exit_code, report.files, report.size) == (0, 4, 0)
