"""A time to live that follows what was seen: bounded, ordered, and near the best for Poisson changes."""

from __future__ import annotations

import math
import random
import statistics
import struct
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sba_cache.adaptive import Adaptive, State

ADAPTIVE = Adaptive()
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
OBSERVED = st.tuples(st.sampled_from([True, False, None]), ANY_FLOAT, st.integers(-5, 2**70))
INTERVALS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.floats(0.0, 1e6), st.integers(0, 10**6)), max_size=60
)
SETTINGS = st.builds(
    lambda seconds, staleness, memory: Adaptive(
        minimum=seconds[0], initial=seconds[1], maximum=seconds[2], staleness=staleness, memory=memory
    ),
    st.lists(st.floats(1e-3, 1e7), min_size=3, max_size=3).map(sorted),
    st.floats(1e-6, 1.0),
    st.floats(1e-3, 1e9),
)


def test_nothing_known_keeps_for_the_initial_seconds() -> None:
    assert ADAPTIVE.first() == (State(), 60.0)
    assert ADAPTIVE.ttl(State()) == pytest.approx(60.0), "the prior means the same"


@given(SETTINGS, st.lists(OBSERVED, max_size=80))
def test_whatever_is_observed_the_bounds_hold_and_the_state_keeps_its_size(
    adaptive: Adaptive, observed: list[tuple[bool | None, float, int]]
) -> None:
    state, ttl = adaptive.first()
    for changed, age, hits in observed:
        assert adaptive.minimum <= ttl <= adaptive.maximum
        packed = state.pack()
        assert len(packed) == State.SIZE
        state, ttl = adaptive.next(State.unpack(packed), changed=changed, age=age, hits=hits)
    assert adaptive.minimum <= ttl <= adaptive.maximum
    assert State.unpack(state.pack()) != State() or not any(seen[0] is not None for seen in observed)


@given(SETTINGS, INTERVALS)
def test_of_two_keys_read_alike_the_one_that_changes_more_never_keeps_longer(
    adaptive: Adaptive, intervals: list[tuple[bool, bool, float, int]]
) -> None:
    fast, slow = State(), State()
    for changed, both, age, hits in intervals:
        fast, short = adaptive.next(fast, changed=changed, age=age, hits=hits)
        slow, long = adaptive.next(slow, changed=changed and both, age=age, hits=hits)
        assert short <= long


@given(SETTINGS, INTERVALS)
def test_of_two_keys_that_change_alike_the_one_read_more_never_keeps_longer(
    adaptive: Adaptive, intervals: list[tuple[bool, bool, float, int]]
) -> None:
    busy, idle = State(), State()
    for changed, _, age, hits in intervals:
        busy, short = adaptive.next(busy, changed=changed, age=age, hits=hits * 2 + 1)
        idle, long = adaptive.next(idle, changed=changed, age=age, hits=hits)
        assert short <= long * (1 + 1e-9)


@given(st.binary(max_size=3 * State.SIZE))
def test_bytes_that_hold_no_state_are_a_key_never_seen_or_a_harmless_one(packed: bytes) -> None:
    state = State.unpack(packed)
    assume(len(packed) != State.SIZE or state != State())
    assert len(packed) == State.SIZE or state == State()
    for changed in (True, False):
        after, ttl = ADAPTIVE.next(state, changed=changed, age=60.0, hits=3)
        assert 5.0 <= ttl <= 3600.0
        after.pack()


@pytest.mark.parametrize("part", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_part_that_cannot_be_makes_the_whole_state_unknown(part: float, place: int) -> None:
    parts = [1.0, 2.0, 3.0, 4.0]
    parts[place] = part
    assert State.unpack(struct.pack("<4f", *parts)) == State()


def test_a_state_survives_packing() -> None:
    assert State.unpack(memoryview(State(512.5, 0.25, 64.0, 7.0).pack())) == State(512.5, 0.25, 64.0, 7.0)


def test_an_announced_change_teaches_nothing() -> None:
    known, ttl = ADAPTIVE.next(State(), changed=False, age=600.0, hits=20)
    assert ADAPTIVE.next(known, changed=None, age=30.0, hits=500) == (known, ttl)


def test_a_key_that_never_changes_comes_to_the_maximum_and_one_that_always_does_to_the_minimum() -> None:
    quiet, restless = State(), State()
    for _ in range(64):
        quiet, long = ADAPTIVE.next(quiet, changed=False, age=ADAPTIVE.ttl(quiet), hits=1)
        restless, short = ADAPTIVE.next(restless, changed=True, age=ADAPTIVE.ttl(restless), hits=1)
    assert (long, short) == (3600.0, 5.0)


def test_a_quiet_key_that_begins_to_change_is_noticed_within_a_few_loads_and_calms_down_again() -> None:
    state, spells = State(), []
    for changed, seconds in ((False, 6e5), (True, 3600.0), (False, 6e5)):
        spells.append(spell := [ADAPTIVE.ttl(state)])
        while sum(spell) < seconds:
            age = spell[-1]
            state, ttl = ADAPTIVE.next(state, changed=changed, age=age, hits=int(age / 5))
            spell.append(ttl)
    quiet, restless, calm = spells
    assert restless == sorted(restless, reverse=True)
    assert restless[5] < quiet[-1] / 3
    assert calm[-1] == pytest.approx(quiet[-1], rel=0.25)


def test_a_question_that_becomes_popular_is_kept_shorter_from_its_next_load_on() -> None:
    state = State()
    for _ in range(50):
        state, before = ADAPTIVE.next(state, changed=False, age=600.0, hits=1)
    state, after = ADAPTIVE.next(state, changed=False, age=600.0, hits=6000)
    assert after < before / 4


def lived(adaptive: Adaptive, reads: float, changes: float, cycles: int, seed: int) -> Iterator[float]:
    """Times to live of a key read and changed at these Poisson rates, reloaded whenever it is due."""
    source = random.Random(seed)
    state, ttl = adaptive.first()
    for _ in range(cycles):
        age = ttl + source.expovariate(reads)
        hits = int(max(0.0, source.gauss(reads * ttl, math.sqrt(reads * ttl))))
        changed = source.random() < -math.expm1(-changes * age)
        state, ttl = adaptive.next(State.unpack(state.pack()), changed=changed, age=age, hits=hits)
        yield ttl


@pytest.mark.parametrize("reads", [0.01, 0.3, 10.0])
@pytest.mark.parametrize("every", [120.0, 3600.0, 86400.0])
def test_for_poisson_changes_it_comes_near_the_best_time_to_live(reads: float, every: float) -> None:
    adaptive = Adaptive(minimum=0.01, maximum=1e6, memory=1e8)
    best = (math.sqrt(1 + 4 * adaptive.staleness * reads * every) - 1) / reads
    late = statistics.median(
        statistics.fmean(list(lived(adaptive, reads, 1 / every, 4000, seed))[2000:]) for seed in range(5)
    )
    assert best / 1.4 < late < best * 1.4


@pytest.mark.parametrize("reads", [0.05, 2.0])
def test_left_to_themselves_keys_keep_longer_the_less_they_change(reads: float) -> None:
    means = [
        statistics.fmean(list(lived(ADAPTIVE, reads, 1 / every, 1000, seed=5))[200:])
        for every in (60.0, 600.0, 6000.0, 60000.0)
    ]
    assert means == sorted(means)
    assert means[-1] > 3 * means[0]


@pytest.mark.parametrize("ratio", [3.0, 100.0, 10_000.0])
def test_at_the_rates_it_assumes_its_choice_costs_no_more_than_any_other(ratio: float) -> None:
    """A load costs 1, a stale read `1 / (2 * staleness)`; a key of known rates."""
    adaptive = Adaptive(minimum=0.001, maximum=1e7)
    many = 1e9
    state = State(watched=many, changes=many / ratio, lately=many, reads=many)
    price = 1 / (2 * adaptive.staleness)

    def cost(ttl: float) -> float:
        return (1 + price * ttl**2 / ratio / 2) / (1 + ttl)

    chosen = adaptive.ttl(state)
    assert chosen == pytest.approx(math.sqrt(1 + 4 * adaptive.staleness * ratio) - 1, rel=1e-3)
    assert all(cost(chosen) <= cost(chosen * factor) for factor in (0.5, 0.9, 1.1, 2.0))
    assert chosen / ratio / 2 <= adaptive.staleness, "the share of stale reads among the hits"


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum": 0.0},
        {"minimum": 61.0},
        {"initial": 4000.0},
        {"maximum": math.inf},
        {"maximum": math.nan},
        {"staleness": 0.0},
        {"staleness": 1.01},
        {"memory": 0.0},
        {"memory": math.inf},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"seconds|staleness|memory"):
        Adaptive(**wrong)
