"""Service keys are found in one disguise inside another, wherever in a file they stand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sba_supabase.scan import scan, scanning
from sba_supabase.scan.detection import Seeker
from tests.unit.supabase.disguises import DISGUISES, WIDE
from tests.unit.supabase.planting import WRAPS, Wrap, legacy_key, publishable_key, secret_key

SEEDS = st.integers(0, 2**32)
EVERY = (*WRAPS, *DISGUISES)
SLOW = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SMALL_WINDOW, SMALL_OVERLAP = 16_384, 8_192


def rules_found(data: bytes) -> set[str]:
    return {match.rule for match in Seeker().matches(data)}


@pytest.mark.parametrize("disguise", DISGUISES, ids=lambda disguise: disguise.__name__)
def test_each_disguise_is_seen_through(disguise: Wrap):
    for seed in range(20):
        choose = random.Random(seed)
        assert rules_found(disguise(secret_key(choose), choose).encode()) == {"secret-key"}
        assert rules_found(disguise(legacy_key("service_role", choose), choose).encode()) == {"service-token"}


@pytest.mark.parametrize("disguise", WIDE, ids=lambda disguise: disguise.__name__)
def test_a_disguise_in_two_bytes_a_letter_is_seen_through(disguise):
    for seed in range(20):
        choose = random.Random(seed)
        assert rules_found(disguise(secret_key(choose), choose)) == {"secret-key"}
        assert rules_found(disguise(legacy_key("service_role", choose), choose)) == {"service-token"}


@SLOW
@given(seed=SEEDS, disguise=st.sampled_from(DISGUISES), role=st.sampled_from(["anon", "authenticated"]))
def test_keys_made_for_clients_are_no_findings_in_a_disguise(seed: int, disguise: Wrap, role: str):
    choose = random.Random(seed)
    assert rules_found(disguise(publishable_key(choose), choose).encode()) == set()
    assert rules_found(disguise(legacy_key(role, choose), choose).encode()) == set()


@SLOW
@given(
    seed=SEEDS,
    disguise=st.sampled_from(DISGUISES),
    before=st.binary(max_size=300),
    after=st.binary(max_size=300),
)
def test_a_disguised_key_is_found_among_anything(seed: int, disguise: Wrap, before: bytes, after: bytes):
    choose = random.Random(seed)
    text = disguise(secret_key(choose), choose).encode()
    assert "secret-key" in rules_found(before + b"\n;" + text + b";\n" + after)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(scanning), "_WINDOW", SMALL_WINDOW)
    monkeypatch.setitem(vars(scanning), "_OVERLAP", SMALL_OVERLAP)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("disguise", EVERY, ids=lambda disguise: disguise.__name__)
def test_a_key_is_found_wherever_the_windows_of_a_file_cut_it(tmp_path: Path, disguise: Wrap):
    choose = random.Random(11)
    texts = [disguise(secret_key(choose), choose), disguise(legacy_key("service_role", choose), choose)]
    for number, shift in enumerate(range(-1500, 100, 160)):
        filler = (b"f(1);" * 20 + b"\n") * ((2 * SMALL_WINDOW + shift) // 101)
        (tmp_path / f"{number}.js").write_bytes(
            b"\n".join((filler, *(f";{text};".encode() for text in texts), filler))
        )
    report = scan([tmp_path])
    found = {(Path(finding.path).name, finding.rule) for finding in report.findings}
    assert found == {
        (f"{number}.js", rule) for number in range(10) for rule in ("secret-key", "service-token")
    }


@pytest.mark.parametrize(
    "part",
    [
        b'.concat("a","a"', b'"",', b"k+='eyJ';", b"115,98,95,", b"73625f7365637265745f", b"%u00",
        b"&lowbar;", b"H4sIAAAAAAAAAAAAAAAAAAAA ", b"eJw" + b"A" * 40 + b" ",
        b"a" * 60 + b"\n", b"a" * 60 + b"\\n",
        b"k\0" * 40 + b"\xff", b"ZXlKaGJHY2lPaUpJVXpJMU5pSXNJblI1Y0NJNklrcFhWQ0o5 ", b'"eyJ";c["a"]+c["b"];',
        b"fromCharCode(1,", b"// \n", b'"a" // b\n + ', b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" * 8 + b" ",
    ],
)  # fmt: skip
def test_what_is_written_to_make_a_scan_slow_does_not_here_either(part: bytes):
    assert rules_found(part * (200_000 // len(part) + 1)) <= {"secret-key"}
