"""Counters, tallies, histograms and gauges whose labels stay few."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeVar

from opentelemetry import metrics as otel

from sba_telemetry.errors import ForbiddenLabel, MetricConflict
from sba_telemetry.words import words

Labels = Mapping[str, str | bool | int]
Line = frozenset[tuple[str, str | bool | int]]

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ID_WORDS: Final = frozenset({"hash", "id", "ids", "ip", "key", "keys", "token", "uuid"})
_UNBOUNDED: Final = _ID_WORDS | {"client", "job", "member", "run", "session", "tenant", "trace", "user"}
_UNBOUNDED_FIRST: Final = frozenset({"tenant", "user"})


@lru_cache(maxsize=1024)
def is_unbounded(label: str) -> bool:
    """Whether a label of this name would have as many values as there are tenants, users, runs or jobs."""
    parts = words(label)
    if len(parts) == 1:
        return parts[0] in _UNBOUNDED
    return not parts or parts[-1] in _ID_WORDS or parts[0] in _UNBOUNDED_FIRST


class Instrument(ABC):
    """A named measurement; it follows whichever meter is in use."""

    __slots__ = ("description", "name", "unit")

    def __init__(self, name: str, unit: str, description: str) -> None:
        self.name = name
        self.unit = unit
        self.description = description

    @abstractmethod
    def attach(self, meter: otel.Meter) -> None:
        """Record on this meter from now on."""

    def _allow(self, labels: Labels | None) -> Labels | None:
        for label in labels or ():
            if is_unbounded(label):
                raise ForbiddenLabel(self.name, label)
        return labels

    def same_as(self, other: Instrument) -> bool:
        """Whether both declare the same measurement."""
        mine = (type(self), self.unit, self.description)
        return mine == (type(other), other.unit, other.description)


class Counter(Instrument):
    """A total that only grows."""

    __slots__ = ("_target",)
    _target: otel.Counter

    def attach(self, meter: otel.Meter) -> None:
        """Record on this meter from now on."""
        self._target = meter.create_counter(self.name, self.unit, self.description)

    def add(self, amount: float = 1, labels: Labels | None = None) -> None:
        """Add to the total.

        Raises:
            ForbiddenLabel: A label is named after a tenant, user, run, job, key or id.
        """
        self._target.add(amount, self._allow(labels))


class Cell:
    """One line of a tally: add to `count` where it happens."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tally(Instrument):
    """A total for paths of a microsecond: an attribute is counted up, and read when metrics are collected."""

    __slots__ = ("_cells",)

    def __init__(self, name: str, unit: str, description: str) -> None:
        super().__init__(name, unit, description)
        self._cells: dict[Line, Cell] = {}

    def attach(self, meter: otel.Meter) -> None:
        """Be read by this meter from now on."""
        meter.create_observable_counter(self.name, [self._read], self.unit, self.description)

    def cell(self, labels: Labels | None = None) -> Cell:
        """The line of these labels, the same one every time; keep it, and count on it.

        Raises:
            ForbiddenLabel: A label is named after a tenant, user, run, job, key or id.
        """
        line = frozenset((self._allow(labels) or {}).items())
        return self._cells.setdefault(line, Cell())

    def _read(self, _: otel.CallbackOptions) -> Iterable[otel.Observation]:
        return [otel.Observation(cell.count, dict(labels)) for labels, cell in tuple(self._cells.items())]


class Histogram(Instrument):
    """A distribution of values."""

    __slots__ = ("_target", "buckets")
    _target: otel.Histogram

    def __init__(self, name: str, unit: str, description: str, buckets: Sequence[float] | None) -> None:
        super().__init__(name, unit, description)
        self.buckets = None if buckets is None else tuple(float(bound) for bound in buckets)

    def attach(self, meter: otel.Meter) -> None:
        """Record on this meter from now on."""
        self._target = meter.create_histogram(
            self.name, self.unit, self.description, explicit_bucket_boundaries_advisory=self.buckets
        )

    def record(self, value: float, labels: Labels | None = None) -> None:
        """Count one value.

        Raises:
            ForbiddenLabel: A label is named after a tenant, user, run, job, key or id.
        """
        self._target.record(value, self._allow(labels))


class Gauge(Instrument):
    """A value that goes up and down; a meter that comes later learns the latest ones."""

    __slots__ = ("_latest", "_target")
    _target: otel._Gauge

    def __init__(self, name: str, unit: str, description: str) -> None:
        super().__init__(name, unit, description)
        self._latest: dict[Line, float] = {}

    def attach(self, meter: otel.Meter) -> None:
        """Record on this meter from now on."""
        self._target = meter.create_gauge(self.name, self.unit, self.description)
        for line, value in self._latest.items():
            self._target.set(value, dict(line))

    def set(self, value: float, labels: Labels | None = None) -> None:
        """Say what the value is now.

        Raises:
            ForbiddenLabel: A label is named after a tenant, user, run, job, key or id.
        """
        allowed = self._allow(labels)
        self._latest[frozenset((allowed or {}).items())] = value
        self._target.set(value, allowed)


Declared = TypeVar("Declared", bound=Instrument)


class _Instruments:
    """All declared instruments and the meter they record on: the host's global one until it is replaced."""

    def __init__(self) -> None:
        self._meter = otel.get_meter("sba")
        self._by_name: dict[str, Instrument] = {}

    def declare(self, wanted: Declared) -> Declared:
        known = self._by_name.setdefault(wanted.name, wanted)
        if known is wanted:
            wanted.attach(self._meter)
            return wanted
        if not isinstance(known, type(wanted)) or not known.same_as(wanted):
            raise MetricConflict(wanted.name)
        return known

    def use(self, meter: otel.Meter) -> None:
        self._meter = meter
        for instrument in self._by_name.values():
            instrument.attach(meter)


_instruments: Final = _Instruments()


def use_meter_provider(provider: otel.MeterProvider | None) -> None:
    """Record every instrument on this provider from now on; ``None`` goes back to the global one."""
    _instruments.use(otel.get_meter("sba") if provider is None else provider.get_meter("sba"))


def counter(name: str, *, unit: str = "1", description: str) -> Counter:
    """Declare a counter; declaring the same one again returns it.

    Args:
        name: Dotted name, such as ``sba.cache.misses``.
        unit: UCUM unit: ``1``, ``s``, ``By``.
        description: What one count means.

    Raises:
        MetricConflict: The name is already declared as something else.
    """
    return _instruments.declare(Counter(name, unit, description))


def tally(name: str, *, unit: str = "1", description: str) -> Tally:
    """Declare a tally; declaring the same one again returns it.

    Args:
        name: Dotted name, such as ``sba.cache.requests``.
        unit: UCUM unit: ``1``, ``s``, ``By``.
        description: What one count means.

    Raises:
        MetricConflict: The name is already declared as something else.
    """
    return _instruments.declare(Tally(name, unit, description))


def histogram(
    name: str, *, unit: str = "1", description: str, buckets: Sequence[float] | None = None
) -> Histogram:
    """Declare a histogram; declaring the same one again returns it.

    Args:
        name: Dotted name, such as ``sba.request.duration``.
        unit: UCUM unit; durations are in ``s``.
        description: What one value means.
        buckets: Upper bounds in the unit; for ``s`` they default to 1 ms … 60 s.

    Raises:
        MetricConflict: The name is already declared as something else.
    """
    chosen = SECONDS if buckets is None and unit == "s" else buckets
    return _instruments.declare(Histogram(name, unit, description, chosen))


def gauge(name: str, *, unit: str = "1", description: str) -> Gauge:
    """Declare a gauge; declaring the same one again returns it.

    Args:
        name: Dotted name, such as ``sba.pool.connections``.
        unit: UCUM unit.
        description: What the value means.

    Raises:
        MetricConflict: The name is already declared as something else.
    """
    return _instruments.declare(Gauge(name, unit, description))
