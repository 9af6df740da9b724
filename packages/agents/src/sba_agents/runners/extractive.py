"""The default runner: no model and no network, it answers in the words of the tenant's documents."""

from __future__ import annotations

import re
from typing import Any, Final, cast

from sba_agents.context import RunContext
from sba_agents.runners import passages
from sba_agents.tools.arithmetic import MAX_LENGTH
from sba_agents.tools.tool import Json

_CALCULATE: Final = re.compile(r"\s*(?:calculate|hitung)\s*:", re.IGNORECASE)
_ARITHMETIC: Final = re.compile(r"[\s0-9.()+*/%^\u00d7\u00f7\u2212-]+")
_OPERATOR: Final = re.compile(r"[-+*/%^\u00d7\u00f7\u2212]")
_DIGIT: Final = re.compile(r"[0-9]")
_NOTHING: Final = {
    False: "No document of this workspace answers this question.",
    True: "Tidak ada dokumen di ruang kerja ini yang menjawab pertanyaan ini.",
}
_PASSAGES: Final = 5
_LONGEST_QUERY: Final = 2_000


class ExtractiveRunner:
    """Plans a search or a calculation, does it, and composes an answer with its sources."""

    async def run(self, context: RunContext) -> Json:
        """Answer from documents, or calculate.

        Returns:
            `{"answer", "citations": [{document_id, title, passage, score}], "mode", "degraded"}`; `[n]` in
            the answer is the n-th citation. A calculation has no citations.
        """
        planner = _Planner(context)
        plan = await context.step("plan", kind="plan", input={"prompt": context.prompt}, run=planner.plan)
        found = await context.tool(str(plan["tool"]), cast("Json", plan["arguments"]))
        composer = _Composer(context.prompt, found)
        used: Json = {"tool": plan["tool"]}
        return await context.step("answer", kind="answer", input=used, run=composer.compose)


class _Planner:
    """Chooses the tool and its arguments."""

    def __init__(self, context: RunContext) -> None:
        self._prompt = context.prompt
        self._options = context.options

    async def plan(self) -> Json:
        expression = arithmetic(self._prompt)
        if expression is not None:
            return {"tool": "calculator", "arguments": {"expression": expression}}
        limit = self._options.get("limit", _PASSAGES)
        query = self._prompt.strip()[:_LONGEST_QUERY]
        return {"tool": "knowledge.search", "arguments": {"query": query, "limit": limit}}


class _Composer:
    """Puts what a tool found into an answer."""

    def __init__(self, prompt: str, found: Json) -> None:
        self._prompt = prompt
        self._found = found

    async def compose(self) -> Json:
        if "result" in self._found:
            return {"answer": f"{self._found['expression']} = {self._found['result']}", "citations": []}
        hits = cast("list[dict[str, Any]]", self._found["hits"])
        searched = {"mode": self._found["mode"], "degraded": self._found["degraded"]}
        return {**_cited(self._prompt, hits), **searched}


def arithmetic(prompt: str) -> str | None:
    """The expression a prompt asks to calculate, or None if it asks for something else.

    `calculate: …` and `hitung: …` always do; otherwise the whole prompt must be arithmetic.
    """
    asked = _CALCULATE.match(prompt)
    if asked:
        return prompt[asked.end() :].strip() or None
    expression = prompt.strip().rstrip("?= ")
    if len(expression) > MAX_LENGTH or not _ARITHMETIC.fullmatch(expression):
        return None
    return expression if _OPERATOR.search(expression) and _DIGIT.search(expression) else None


def _cited(prompt: str, hits: list[dict[str, Any]]) -> Json:
    chosen = passages.best(prompt, [hit["passage"] for hit in hits])
    if not chosen:
        return {"answer": _NOTHING[passages.is_indonesian(prompt)], "citations": []}
    sources = list(dict.fromkeys(sentence.passage for sentence in chosen))
    words = [f"{sentence.text} [{sources.index(sentence.passage) + 1}]" for sentence in chosen]
    return {"answer": " ".join(words), "citations": [_citation(hits[source]) for source in sources]}


def _citation(hit: dict[str, Any]) -> Json:
    return {key: hit[key] for key in ("document_id", "title", "passage", "score")}
