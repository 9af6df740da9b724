"""Writes a datamodel down as the modules of `sba_db.models` that people would have written by hand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from sba_db.models.shape import Column, Index, Reference, Table
from tools.prisma.datamodel import Datamodel, Enumeration, Row, Unsupported

HEADER = '''"""{title}.

Generated from schema.prisma by `python -m tools.prisma generate`; do not edit.
"""

# schema.prisma sha256 {digest}

from __future__ import annotations

'''
IMPORTS = {
    "datetime": "from datetime import {names}",
    "decimal": "from decimal import {names}",
    "typing": "from typing import {names}",
    "uuid": "from uuid import {names}",
}
HOMES = {"datetime": "datetime", "date": "datetime", "Decimal": "decimal", "Any": "typing", "UUID": "uuid"}
BEHAVIOUR = {"RunStatus": "Lifecycle"}
WIDTH = 106


def modules(datamodel: Datamodel, digest: str) -> dict[str, str]:
    """The text of each generated module by its file name, formatted.

    Args:
        datamodel: What to write.
        digest: SHA-256 of the schema it was read from, in hexadecimal.
    """
    bodies = {
        "enums.py": ("The enumerations of schema `service`", _enumerations(datamodel.enumerations)),
        "rows.py": (
            "The rows of schema `service`, one frozen dataclass a table, fields named as the columns are",
            _rows(datamodel),
        ),
        "tables.py": ("The tables of schema `service`, as schema.prisma declares them", _tables(datamodel)),
    }
    return {
        name: formatted(HEADER.format(title=title, digest=digest) + body)
        for name, (title, body) in bodies.items()
    }


def formatted(source: str) -> str:
    """The source as the project's formatter leaves it."""
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or "ruff"
    command = [ruff, "format", "--stdin-filename", "packages/db/src/sba_db/models/generated.py", "-"]
    return subprocess.run(  # noqa: S603 - our own formatter on our own text
        command, input=source, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    ).stdout


def constant(table: str) -> str:
    """The name of a table's description in Python."""
    return table.upper()


def _enumerations(enumerations: Iterable[Enumeration]) -> str:
    bases = sorted({BEHAVIOUR[one.name] for one in enumerations if one.name in BEHAVIOUR})
    lines = ["from enum import StrEnum", ""]
    lines += [f"from sba_db.models.lifecycle import {', '.join(bases)}", ""] if bases else []
    for one in enumerations:
        lines += ["", f"class {one.name}({BEHAVIOUR.get(one.name, 'StrEnum')}):", *_docstring(one), ""]
        lines += [f"    {_member(label)} = {_text(label)}" for label in one.labels] + [""]
    return "\n".join(lines)


def _member(label: str) -> str:
    name = re.sub(r"\W", "_", label).upper()
    if not name.isidentifier():
        raise Unsupported(f"the label {label!r} makes no name in Python")
    return name


def _rows(datamodel: Datamodel) -> str:
    named = {one.name for one in datamodel.enumerations}
    words = {word for row in datamodel.rows for kind in row.python_types for word in re.findall(r"\w+", kind)}
    words |= {"Any"} if "Json" in words else set()
    lines = ["from dataclasses import dataclass"]
    for module, statement in IMPORTS.items():
        used = sorted(word for word in words if HOMES.get(word) == module)
        lines += [statement.format(names=", ".join(used))] if used else []
    enums = ", ".join(sorted(words & named))
    lines += ["", f"from sba_db.models.enums import {enums}"] if enums else []
    lines += ["", "Json = Any", ""] if "Json" in words else []
    for row in datamodel.rows:
        lines += ["", "@dataclass(frozen=True, slots=True)", f"class {row.name}:", *_docstring(row), ""]
        lines += [*_fields(row), ""]
    return "\n".join(lines)


def _fields(row: Row) -> Iterator[str]:
    for name, kind in zip(row.table.column_names, row.python_types, strict=True):
        if not name.isidentifier():
            raise Unsupported(f"{row.name}: the column {name!r} makes no name in Python")
        yield f"    {name}: {kind}"


def _tables(datamodel: Datamodel) -> str:
    tables = [row.table for row in datamodel.rows]
    shapes = ["Column", "Table"]
    shapes += ["Index"] if any(table.primary_key or table.indexes for table in tables) else []
    shapes += ["Reference"] if any(table.references for table in tables) else []
    lines = ["from typing import Final", "", f"from sba_db.models.shape import {', '.join(sorted(shapes))}"]
    for table in tables:
        lines += ["", f"{constant(table.name)}: Final = {_table(table)}"]
    lines += ["", f"TABLES: Final = {_tuple(constant(table.name) for table in tables)}"]
    labels = [f"{_text(one.type)}: {_tuple(map(_text, one.labels))}" for one in datamodel.enumerations]
    lines += ["", f"ENUMS: Final = {{{', '.join(labels)}}}"]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> str:
    key = _index(table.primary_key) if table.primary_key else None
    parts = [_text(table.name), f"columns={_tuple(map(_column, table.columns))}", f"primary_key={key}"]
    parts += [f"indexes={_tuple(map(_index, table.indexes))}"] if table.indexes else []
    parts += [f"references={_tuple(map(_reference, table.references))}"] if table.references else []
    return f"Table({', '.join(parts)},)"


def _column(column: Column) -> str:
    parts = [_text(column.name), _text(column.type)]
    parts += ["nullable=True"] if column.nullable else []
    parts += [f"default={_text(column.default)}"] if column.default is not None else []
    return f"Column({', '.join(parts)})"


def _index(index: Index) -> str:
    parts = [_text(index.name), _tuple(map(_text, index.columns))]
    parts += ["unique=True"] if index.unique else []
    parts += [f"method={_text(index.method)}"] if index.method != "btree" else []
    return f"Index({', '.join(parts)})"


def _reference(reference: Reference) -> str:
    parts = [
        _tuple(map(_text, reference.columns)),
        _text(reference.table),
        _tuple(map(_text, reference.to)),
        f"on_delete={_text(reference.on_delete)}",
        f"on_update={_text(reference.on_update)}",
    ]
    return f"Reference({', '.join(parts)})"


def _tuple(parts: Iterable[str]) -> str:
    listed = list(parts)
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _docstring(one: Enumeration | Row) -> list[str]:
    paragraphs = [" ".join(part.split()) for part in one.documentation.split("\n\n")]
    wrapped = "\n\n".join("\n".join(textwrap.wrap(part, WIDTH)) for part in paragraphs)
    text = textwrap.indent(wrapped.replace("\\", "\\\\").replace('"""', "'''"), "    ").lstrip()
    return [f'    """{text}' + ('\n    """' if len(paragraphs) > 1 else '"""')]
