"""`python -m tools.check [STEP ...]`: everything a pull request must pass, cheapest first."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the gate.

    Attributes:
        name: What `./sba check NAME` calls it.
        command: Its argument list, run at the repository's root.
    """

    name: str
    command: tuple[str, ...]


# What speaks to Supabase for all the others, and what stands in for it.
NOT_AUDITED = ("--exclude=packages/supabase/src/sba_supabase", "--exclude=apps/local/src/sba_local")
STEPS = (
    Step("lock", ("uv", "lock", "--check")),
    Step("lint", ("ruff", "check", ".")),
    Step("format", ("ruff", "format", "--check", ".")),
    Step("rules", (sys.executable, "-m", "tools.lints")),
    Step("audit", ("sba-supabase", "audit", "packages", "apps", *NOT_AUDITED)),
    Step("imports", ("lint-imports", "--no-cache")),
    Step("types", ("mypy", "packages", "apps", "tools")),
    Step("tests", ("./sba", "test", "--cov", "--cov-report=json:.coverage.json", "--cov-report=")),
    Step("coverage", (sys.executable, "-m", "tools.coverage_floor", ".coverage.json")),
    Step("alone", (sys.executable, "-m", "tools.install_alone")),
    Step("demo", ("./sba", "demo")),
)


def run(step: Step) -> bool:
    """Run one step and say how long it took."""
    print(f"── {step.name}: {' '.join(Path(part).name for part in step.command)}", flush=True)
    started = time.monotonic()
    passed = subprocess.run(step.command, cwd=ROOT, check=False).returncode == 0  # noqa: S603 - our own fixed commands
    print(
        f"── {step.name} {'passed' if passed else 'FAILED'} in {time.monotonic() - started:.1f} s", flush=True
    )
    return passed


def chosen(names: list[str]) -> list[Step]:
    """The named steps in the gate's order, or all of them."""
    unknown = set(names) - {step.name for step in STEPS}
    if unknown:
        sys.exit(f"no such step: {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in STEPS)}")
    return [step for step in STEPS if not names or step.name in names]


def main(names: list[str]) -> int:
    """Run the steps, stopping at the first that fails."""
    started = time.monotonic()
    for step in chosen(names):
        if not run(step):
            return 1
    print(f"── the gate is green ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
