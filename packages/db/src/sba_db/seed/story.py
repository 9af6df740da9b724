"""What the two tenants of a development database have done, as the services would have written it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("5ba10ca1-0000-4000-8000-000000000000")
"""Of the names that the tenants and users of a development stack have."""

FIRST_DAY: Final = date(2026, 11, 2)
MORNING: Final = datetime(2026, 11, 2, 9, tzinfo=UTC)
STEP: Final = timedelta(milliseconds=40)

Json = Any
Row = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Resident:
    """A tenant of a development stack, and its user."""

    slug: str
    user_name: str

    @property
    def tenant_id(self) -> UUID:
        """The tenant's id, the same everywhere."""
        return uuid5(NAMESPACE, f"tenant:{self.slug}")

    @property
    def user_id(self) -> UUID:
        """The user's id, the same everywhere."""
        return uuid5(NAMESPACE, f"user:{self.user_name}")


@dataclass(frozen=True, slots=True)
class Asked:
    """One run: what was asked, the tool that was used for it, and what came of that."""

    prompt: str
    tool: str
    arguments: Json
    result: Json = None
    answer: str | None = None
    error: Json = None

    @property
    def status(self) -> str:
        """How the run ended; one without a result or an error was cancelled meanwhile."""
        if self.error:
            return "failed"
        return "cancelled" if self.result is None else "succeeded"


def _sum(prompt: str, expression: str, result: str) -> Asked:
    done = {"expression": expression, "result": result}
    return Asked(prompt, "calculator", {"expression": expression}, done, f"{expression} = {result}")


def _search(query: str, answer: str | None = None) -> Asked:
    found = None if answer is None else {"mode": "text", "degraded": False, "hits": []}
    return Asked(query, "knowledge.search", {"query": query, "limit": 5}, found, answer)


_BY_ZERO: Final = {"code": "division_by_zero", "message": "a number cannot be divided by zero"}
_NOTHING: Final = "No document of this workspace answers this question."
_TIDAK_ADA: Final = "Tidak ada dokumen di ruang kerja ini yang menjawab pertanyaan ini."

RESIDENTS: Final = (Resident("acme", "ada"), Resident("globex", "gita"))
ASKED: Final = {
    "acme": (
        _sum("calculate: 19.90 * 12", "19.90 * 12", "238.8"),
        _search("How long do we keep invoices?", _NOTHING),
        Asked("calculate: 1/0", "calculator", {"expression": "1/0"}, error=_BY_ZERO),
        _search("Everything about the anvil, in one sentence"),
    ),
    "globex": (
        _sum("hitung: 7 * 6", "7 * 6", "42"),
        _search("Berapa lama masa garansi?", _TIDAK_ADA),
        Asked("hitung: 5 % 0", "calculator", {"expression": "5 % 0"}, error=_BY_ZERO),
        _search("Who signed the contract with Hammerfell?"),
    ),
}
COMPONENTS: Final[tuple[tuple[str, str, Row], ...]] = (
    ("api", "ok", {}),
    ("postgres", "ok", {}),
    ("redis", "degraded", {"latency_ms": 41}),
)


def history(resident: Resident) -> dict[str, list[Row]]:
    """The tenant's rows by table, in an order in which they can be inserted."""
    written: defaultdict[str, list[Row]] = defaultdict(list)
    for number, asked in enumerate(ASKED[resident.slug]):
        run = _Run(resident, asked, MORNING + number * timedelta(minutes=7))
        for table, row in run.rows():
            written[table].append({"tenant_id": str(resident.tenant_id), **row})
    written["usage_metrics"] = [
        {"tenant_id": str(resident.tenant_id), "period": _text(MORNING), "metric": metric, "value": value,
         "updated_at": _text(MORNING)}
        for metric, value in sorted(_usage(written).items())
    ]  # fmt: skip
    return dict(written)


def health() -> list[Row]:
    """What components have said of themselves; of no tenant."""
    return [
        {"id": id_at(MORNING, "health", name), "component": name, "status": status, "detail": detail,
         "created_at": _text(MORNING)}
        for name, status, detail in COMPONENTS
    ]  # fmt: skip


def id_at(moment: datetime, *names: str) -> str:
    """An id of version 7, always the same for a moment and names."""
    noise = uuid5(NAMESPACE, "/".join(names)).int
    time = round(moment.timestamp() * 1000) << 80
    return str(UUID(int=time | 7 << 76 | (noise >> 64 & 0xFFF) << 64 | 2 << 62 | noise & (1 << 62) - 1))


class _Run:
    """The rows of one run."""

    def __init__(self, resident: Resident, asked: Asked, at: datetime) -> None:
        self._of = resident
        self._asked = asked
        self._at = at
        self._id = id_at(at, resident.slug, asked.prompt)
        self._steps = list(self._worked())
        self._events = list(self._told())

    def rows(self) -> Iterator[tuple[str, Row]]:
        yield "agent_runs", self._run()
        yield from (("agent_steps", step) for step in self._steps)
        yield "tool_calls", self._call()
        yield from (
            (
                "run_events",
                {"run_id": self._id, "seq": seq, "type": kind, "data": data, "created_at": self._then(seq)},
            )
            for seq, (kind, data) in enumerate(self._events, 1)
        )
        yield "audit_logs", self._audited(0, "run.submitted", None, {"status": "queued"})
        ended = {"status": self._asked.status, **self._why}
        yield "audit_logs", self._audited(9, f"run.{self._asked.status}", {"status": "running"}, ended)

    @property
    def _answered(self) -> Row | None:
        return {"answer": self._asked.answer, "citations": []} if self._asked.answer else None

    @property
    def _why(self) -> Row:
        return {"error": self._asked.error} if self._asked.error else {}

    @property
    def _took(self) -> int | None:
        return None if self._asked.status == "cancelled" else 9 * STEP // timedelta(milliseconds=1)

    def _then(self, number: int) -> str:
        return _text(self._at + number * STEP)

    def _new_id(self, number: int, *names: str) -> str:
        return id_at(self._at + number * STEP, self._of.slug, self._asked.prompt, *names)

    def _run(self) -> Row:
        return {
            "id": self._id, "user_id": str(self._of.user_id), "status": self._asked.status,
            "prompt": self._asked.prompt, "options": {},
            "result": self._answered, "error": self._asked.error,
            "attempt": 1, "lease_token": 1 + (self._asked.status == "cancelled"),
            "step_seq": len(self._steps), "event_seq": len(self._events), "duration_ms": self._took,
            "created_at": self._then(0), "started_at": self._then(1), "finished_at": self._then(9),
        }  # fmt: skip

    def _worked(self) -> Iterator[Row]:
        asked = self._asked
        planned = {"tool": asked.tool, "arguments": asked.arguments}
        yield self._step(1, "plan", "plan", given={"prompt": asked.prompt}, output=planned)
        if asked.status != "cancelled":
            used = f"{asked.tool}#1"
            yield self._step(2, "tool", used, given=asked.arguments, output=asked.result, error=asked.error)
        if asked.status == "succeeded":
            yield self._step(3, "answer", "answer", given={"tool": asked.tool}, output=self._answered)

    def _step(self, seq: int, kind: str, name: str, *, given: Json, output: Json, error: Json = None) -> Row:
        return {
            "id": self._new_id(2 * seq, "step"), "run_id": self._id, "seq": seq, "attempt": 1, "kind": kind,
            "name": name, "status": "failed" if error else "succeeded", "input": given, "output": output,
            "error": error, "duration_ms": 40, "created_at": self._then(2 * seq),
        }  # fmt: skip

    def _call(self) -> Row:
        asked, step = self._asked, self._steps[1] if len(self._steps) > 1 else None
        return {
            "id": self._new_id(3, "call"), "run_id": self._id, "step_id": step["id"] if step else None,
            "user_id": str(self._of.user_id), "name": asked.tool,
            "status": step["status"] if step else "lost",
            "arguments": asked.arguments, "result": asked.result, "error": asked.error,
            "duration_ms": 40 if step else None, "created_at": self._then(3), "attempt": 1,
            "finished_at": self._then(4 if step else 9),
        }  # fmt: skip

    def _told(self) -> Iterator[tuple[str, Row]]:
        yield "run.queued", {}
        yield "run.started", {"attempt": 1}
        for step in self._steps:
            told = {"step": step["name"], "duration_ms": 40, "status": step["status"]}
            told |= {"error": step["error"]} if step["error"] else {}
            if step["kind"] == "tool":
                yield "tool.called", {"tool": self._asked.tool, "step": step["name"]}
                yield "tool.finished", {"tool": self._asked.tool, **told}
            yield "step.finished", {**told, "kind": step["kind"], "seq": step["seq"]}
        ended = {} if self._took is None else {"attempt": 1, "duration_ms": self._took, **self._why}
        yield f"run.{self._asked.status}", ended

    def _audited(self, number: int, action: str, before: Json, after: Json) -> Row:
        by_user = action in {"run.submitted", "run.cancelled"}
        return {
            "id": self._new_id(number, action), "actor_id": str(self._of.user_id) if by_user else None,
            "action": action, "resource_type": "agent_run", "resource_id": self._id, "before": before,
            "after": after, "request_id": None, "created_at": self._then(number),
        }  # fmt: skip


def _usage(written: defaultdict[str, list[Row]]) -> Counter[str]:
    used = Counter({"steps": len(written["agent_steps"])})
    used["tool_calls"] = sum(call["step_id"] is not None for call in written["tool_calls"])
    for run in written["agent_runs"]:
        if run["duration_ms"] is not None:
            used[f"runs_{run['status']}"] += 1
            used["run_milliseconds"] += run["duration_ms"]
    return used


def _text(moment: datetime) -> str:
    return moment.isoformat()
