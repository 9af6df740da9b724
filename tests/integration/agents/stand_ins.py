"""Runners and barriers that only tests use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from sba_agents import Failed, Json, RunContext
from sba_agents.barriers import Point


class ThreeSteps:
    """Three steps in a row; each notes in a journal that it really ran."""

    def __init__(self, journal: Callable[[str], None]) -> None:
        self._journal = journal

    async def run(self, context: RunContext) -> Json:
        done: list[Any] = []
        for name in ("first", "second", "third"):

            async def work(name: str = name) -> Json:
                self._journal(name)
                return {"made": name}

            done.append((await context.step(name, kind="work", input={"of": name}, run=work))["made"])
        return {"steps": done}


def file_journal(path: Path) -> Callable[[str], None]:
    """A journal that survives a kill."""

    def note(word: str) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{word}\n")

    return note


class StopAt:
    """Says that a point was reached, then waits for ever."""

    def __init__(self, point: str, say: Callable[[str], None]) -> None:
        self._point = point
        self._say = say

    async def reach(self, point: Point, run_id: UUID) -> None:
        if point == self._point:
            self._say(f"reached {point}")
            await asyncio.Event().wait()


class At:
    """Does something each time a point is reached."""

    def __init__(self, point: Point, act: Callable[[], Any]) -> None:
        self._point = point
        self._act = act

    async def reach(self, point: Point, run_id: UUID) -> None:
        if point == self._point:
            await self._act()


class Forever:
    """Never answers; says when it has begun."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def run(self, context: RunContext) -> Json:
        self.begun.set()
        await asyncio.Event().wait()
        return {}


class Breaks:
    """Raises what it is given."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def run(self, context: RunContext) -> Json:
        raise self._error


class UsesTool:
    """Calls one tool and returns its result, or the reason it failed if it forgives."""

    def __init__(self, name: str, arguments: Json, *, forgives: bool = False) -> None:
        self._name = name
        self._arguments = arguments
        self._forgives = forgives

    async def run(self, context: RunContext) -> Json:
        try:
            return await context.tool(self._name, self._arguments)
        except Failed as failure:
            if not self._forgives:
                raise
            return {"forgiven": failure.code}
