"""`python -m tools.install_alone [MEMBER ...]`: each member installs from its wheel and imports by itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tools.lints.members import member_folders

ROOT = Path(__file__).resolve().parent.parent
PROBE = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
missing = [name for name in module.__all__ if not hasattr(module, name)]
sys.exit(f"{sys.argv[1]}.__all__ names what it lacks: {missing}" if missing else 0)
"""


def siblings(folder: Path) -> Iterator[str]:
    """The folder names of the members this one depends on."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["dependencies"]:
        match = re.match(r"sba-(\w+)", requirement)
        if match:
            yield match[1]


def closure(name: str, folders: dict[str, Path]) -> set[str]:
    """The member and every member it needs."""
    needed = {name}
    for sibling in siblings(folders[name]):
        needed |= closure(sibling, folders)
    return needed


def uv(*arguments: str | Path) -> None:
    """Run uv quietly; its own message tells what went wrong."""
    subprocess.run(["uv", "--quiet", *map(str, arguments)], cwd=ROOT, check=True)  # noqa: S603, S607 - uv runs this very process


def requirement(name: str, wheels: Path, *, extras: str = "") -> str:
    """A member's wheel as a requirement."""
    wheel = next(wheels.glob(f"sba_{name}-*.whl"))
    return f"sba-{name}{extras} @ {wheel.as_uri()}"


def try_member(name: str, wheels: Path, folders: dict[str, Path], place: Path) -> None:
    """Install one member in an empty environment and import it."""
    uv("venv", "--python", sys.executable, place)
    python = place / "bin" / "python"
    parts = closure(name, folders) - {"telemetry"}
    telemetry = requirement(
        "telemetry", wheels, extras="[sdk]" if folders[name].parent.name == "apps" else ""
    )
    uv(
        "pip",
        "install",
        "--python",
        python,
        *[requirement(part, wheels) for part in sorted(parts)],
        telemetry,
    )
    subprocess.run([python, "-I", "-W", "error", "-c", PROBE, f"sba_{name}"], cwd=place, check=True)  # noqa: S603 - our own probe


def main(names: list[str]) -> int:
    """Build every wheel once, then try each member."""
    folders = {folder.name: folder for folder in member_folders(ROOT)}
    with tempfile.TemporaryDirectory() as scratch:
        wheels = Path(scratch) / "wheels"
        uv("build", "--all-packages", "--wheel", "--out-dir", wheels)
        for name in names or sorted(folders):
            try_member(name, wheels, folders, Path(scratch) / name)
            print(f"sba-{name} installs and imports alone", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
