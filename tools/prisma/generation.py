"""schema.prisma becomes `datamodel.json` and the generated modules, or is compared with them."""

from __future__ import annotations

import difflib
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.prisma import datamodel, writing
from tools.prisma.parser import Parser, parser_version

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "packages" / "db" / "prisma" / "schema.prisma"
MODELS = ROOT / "packages" / "db" / "src" / "sba_db" / "models"
SHORT = 300
DEEP = 3
DATAMODEL = Path(__file__).resolve().parent / "datamodel.json"


def digest(schema: bytes) -> str:
    """What generated files name the schema by."""
    return hashlib.sha256(schema).hexdigest()


def parsed(schema: bytes) -> dict[str, Any]:
    """What the parser says of the schema, with the schema's digest and the parser's version."""
    described = datamodel.trimmed(Parser().datamodel(schema.decode()))
    return {"schema_sha256": digest(schema), "parser": parser_version(), **described}


def written(described: Mapping[str, Any]) -> dict[Path, str]:
    """Every generated file and its text, from what `parsed` answers or `datamodel.json` holds."""
    modules = writing.modules(datamodel.read(described), described["schema_sha256"])
    files = {MODELS / name: text for name, text in modules.items()}
    return {DATAMODEL: laid_out(described) + "\n", **files}


def laid_out(value: object, indent: str = "") -> str:
    """JSON with a line for each field, index and enumeration, so that a change of one reads as one."""
    text = json.dumps(value, ensure_ascii=False)
    if len(indent) > DEEP or len(text) < SHORT:
        return text
    deeper = indent + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {laid_out(one, deeper)}" for key, one in value.items()]
        return "{\n" + ",\n".join(deeper + part for part in parts) + f"\n{indent}}}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(deeper + laid_out(one, deeper) for one in value) + f"\n{indent}]"
    return text


def changes(files: Mapping[Path, str]) -> str:
    """How the files on disk would change, as a unified diff; empty when they would not."""
    found: list[str] = []
    for path, text in files.items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        name = path.relative_to(ROOT).as_posix()
        found += difflib.unified_diff(
            old.splitlines(keepends=True), text.splitlines(keepends=True), name, f"{name} (regenerated)"
        )
    return "".join(found)


def generate() -> int:
    """Write the generated files and name those that changed."""
    for path, text in written(parsed(SCHEMA.read_bytes())).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT).as_posix()}")
    return 0


def check() -> int:
    """Print what `generate` would change; 1 if anything."""
    found = changes(written(parsed(SCHEMA.read_bytes())))
    sys.stdout.write(found or "sba_db/models is what schema.prisma generates\n")
    return 1 if found else 0
