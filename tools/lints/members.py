"""Every member is complete: README, py.typed, owner, error tree, exports, and its place in the layers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation


def member_folders(root: Path) -> list[Path]:
    """The folder of each package and app, in order."""
    return sorted(
        path.parent for top in ("packages", "apps") for path in root.glob(f"{top}/*/pyproject.toml")
    )


def _missing(folder: Path, module: Path) -> Iterator[str]:
    needed = [folder / "README.md", module / "py.typed", module / "__init__.py", module / "errors.py"]
    for path in needed:
        if path.name == "errors.py" and folder.parent.name == "apps":
            continue
        if not path.is_file():
            yield f"{path.relative_to(folder)} is missing"


def _exports(module: Path) -> bool:
    tree = ast.parse((module / "__init__.py").read_text(encoding="utf-8"))
    assigned = [node.targets[0] for node in tree.body if isinstance(node, ast.Assign)]
    assigned += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in assigned)


def violations(root: Path) -> Iterator[Violation]:
    """What each package or app lacks."""
    owners = (root / "CODEOWNERS").read_text(encoding="utf-8")
    contracts = (root / ".importlinter").read_text(encoding="utf-8")
    for folder in member_folders(root):
        name = folder.relative_to(root).as_posix()
        module = folder / "src" / f"sba_{folder.name}"
        problems = list(_missing(folder, module))
        if not problems and not _exports(module):
            problems.append("its __init__.py has no __all__")
        if f"/{name}/" not in owners:
            problems.append("CODEOWNERS has no line for it")
        if contracts.count(module.name) < 2:  # noqa: PLR2004 - once as a root package, once as a layer
            problems.append(".importlinter does not place it in the layers")
        yield from (Violation(name, 0, problem) for problem in problems)
