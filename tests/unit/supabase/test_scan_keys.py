"""Service keys are found however they are written; keys made for clients never are."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sba_supabase.checks.findings import Report, to_text
from sba_supabase.checks.sarif import to_sarif
from sba_supabase.scan import RULES, scan
from sba_supabase.scan.detection import Seeker
from tests.unit.supabase.planting import (
    PACKS,
    WRAPS,
    Wrap,
    added,
    b64url,
    base64_once,
    legacy_key,
    plain,
    publishable_key,
    secret_key,
    wide,
)

SEEDS = st.integers(0, 2**32)
ANY_WRAP = st.sampled_from(WRAPS)
SLOW = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rules_found(data: bytes | str) -> set[str]:
    return {match.rule for match in Seeker().matches(data.encode() if isinstance(data, str) else data)}


@pytest.mark.parametrize("wrap", WRAPS, ids=lambda wrap: wrap.__name__)
def test_each_way_to_write_a_key_is_seen_through(wrap: Wrap):
    for seed in range(40):
        choose = random.Random(seed)
        assert rules_found(wrap(secret_key(choose), choose)) == {"secret-key"}
        assert rules_found(wrap(legacy_key("service_role", choose), choose)) == {"service-token"}


@SLOW
@given(seed=SEEDS, wrap=ANY_WRAP, noise=st.binary(max_size=400), behind=st.binary(max_size=400))
def test_a_planted_secret_key_is_found_among_anything(seed: int, wrap: Wrap, noise: bytes, behind: bytes):
    choose = random.Random(seed)
    text = wrap(secret_key(choose), choose).encode()
    assert "secret-key" in rules_found(noise + b"\n;" + text + b";\n" + behind)


@SLOW
@given(seed=SEEDS, wrap=ANY_WRAP, noise=st.binary(max_size=400), behind=st.binary(max_size=400))
def test_a_planted_service_token_is_found_among_anything(seed: int, wrap: Wrap, noise: bytes, behind: bytes):
    choose = random.Random(seed)
    text = wrap(legacy_key("service_role", choose), choose).encode()
    assert "service-token" in rules_found(noise + b"\n;" + text + b";\n" + behind)


@SLOW
@given(seed=SEEDS, wrap=ANY_WRAP, role=st.sampled_from(["anon", "authenticated"]))
def test_keys_made_for_clients_are_no_findings(seed: int, wrap: Wrap, role: str):
    choose = random.Random(seed)
    assert rules_found(wrap(publishable_key(choose), choose)) == set()
    assert rules_found(wrap(legacy_key(role, choose), choose)) == set()


@SLOW
@given(data=st.binary(max_size=4000))
def test_any_bytes_can_be_looked_through(data: bytes):
    assert rules_found(data) == set()


def test_a_token_that_only_mentions_the_role_is_no_finding():
    choose = random.Random(1)
    for claims in ({"note": "service_role"}, {"app_metadata": {"role": "service_role"}}):
        assert rules_found(plain(legacy_key("anon", choose, **claims), choose)) == set()


def test_code_that_speaks_of_roles_and_prefixes_is_no_finding():
    code = (
        'if (k.startsWith("sb_secret_") || k.startsWith("sb_publishable_") || c.role === "service_role") {}'
    )
    assert rules_found(code) == set()
    assert rules_found(base64_once(code, random.Random(0))) == set()
    assert (
        rules_found('["sb_secret_", "sb_publishable_", "service_role_and_more_text_that_is_long"]') == set()
    )


def test_a_token_is_found_by_its_claims_alone_even_cut_off():
    choose = random.Random(2)
    claims = legacy_key("service_role", choose).split(".")[1]
    assert rules_found(f'const middle = "{claims}"') == {"service-token"}
    whole = b64url(
        json.dumps({"iss": "supabase", "role": "service_role", "exp": 2, "more": "x" * 9}).encode()
    )
    assert rules_found(f'"{whole[:-6]}"') == {"service-token"}


def test_a_key_in_two_bytes_a_letter_is_found():
    choose = random.Random(3)
    assert rules_found(wide(secret_key(choose).encode())) == {"secret-key"}
    assert rules_found(wide(legacy_key("service_role", choose).encode())) == {"service-token"}


def test_the_offset_is_where_the_key_stands_in_the_file():
    choose = random.Random(4)
    key = secret_key(choose)
    text = "\n" * 7 + f'let a = "{key}"'
    (match,) = Seeker().matches(text.encode())
    assert text[match.offset :].startswith(key)


def test_the_offset_of_a_split_key_is_its_first_part():
    key = secret_key(random.Random(5))
    text = f'var before = "x" + "y";{" " * 5000}var k = "{key[:8]}" + "{key[8:30]}" + "{key[30:]}"'
    match, *_ = Seeker().matches(text.encode())
    assert text[match.offset :].startswith(key[:8])


@pytest.mark.parametrize(
    "part",
    [
        b"\\", b'"+', b'"+ ', b"+ " + b" " * 200_000, b'\\"', b"%25", b"&#0", b"`${", b"a+", b"].join('",
        b'"eyJ' + b"a" * 200_000, b'"eyJ"+' + b"b" * 30_000 + b" ", b'"eyJ`' + b"x" * 40_000, b"eyJ.", b"/*",
        b"fromCharCode(1,", b"sb_secret_", b"c2VydmljZV9yb2xl", b"\0", b"s\0b\0_\0", b"\\u{0", b"[a,",
        b'"eyJ" + (' + b"(" * 4000,
    ],
)  # fmt: skip
def test_what_is_written_to_make_a_scan_slow_does_not(part: bytes):
    assert rules_found(part * (200_000 // len(part) + 1)) <= {"secret-key"}


@pytest.mark.parametrize("name", PACKS)
@pytest.mark.parametrize("wrap", [plain, added, base64_once], ids=lambda wrap: wrap.__name__)
def test_a_key_is_found_in_every_kind_of_file_and_never_shown(tmp_path: Path, name: str, wrap: Wrap):
    choose = random.Random(6)
    keys = (secret_key(choose), legacy_key("service_role", choose))
    text = "\n".join(wrap(key, choose) for key in keys)
    (tmp_path / name).write_bytes(PACKS[name](text.encode()))
    report = scan([tmp_path])
    assert {finding.rule for finding in report.findings} == {"secret-key", "service-token"}
    assert report.problems == ()
    assert_silent(report, keys)


def assert_silent(report: Report, keys: tuple[str, ...]) -> None:
    """No part of a key that could be used appears in any form of the report."""
    told = to_text(report) + to_sarif(report, tool="sba-supabase scan", rules=RULES) + repr(report.findings)
    for key in keys:
        assert not any(key[at : at + 16] in told for at in range(len(key) - 16))


def test_one_key_has_one_fingerprint_wherever_it_is(tmp_path: Path):
    choose = random.Random(7)
    key = secret_key(choose)
    for number, wrap in enumerate(WRAPS):
        (tmp_path / f"{number}.js").write_text(wrap(key, choose))
    assert len({finding.fingerprint for finding in scan([tmp_path]).findings}) == 1


@pytest.mark.parametrize("size", [8 << 20, (8 << 20) - 20, (16 << 20) - 7])
def test_a_key_across_the_windows_of_a_large_file_is_found_on_its_line(tmp_path: Path, size: int):
    key = secret_key(random.Random(8))
    filler = (b"var a=1;" * 15 + b"\n") * (size // 121 + 1)
    (tmp_path / "large.js").write_bytes(filler[: size - 1] + b"\n" + key.encode() + b"\n" + filler[:3000])
    (finding,) = scan([tmp_path]).findings
    assert (finding.line, finding.column) == (filler[: size - 1].count(b"\n") + 2, 1)
