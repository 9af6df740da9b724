"""`sba_db.models` is what schema.prisma generates, and the generator reads what Prisma's parser says."""

from __future__ import annotations

import ast
import dataclasses
import json
from pathlib import Path

import pytest

from sba_db import models
from sba_db.models import lifecycle, rows, tables
from sba_db.models.shape import Column, Index, Reference, Table
from tools.prisma import datamodel, generation, writing
from tools.prisma.__main__ import main
from tools.prisma.datamodel import Unsupported
from tools.prisma.parser import Parser, ParserMissing, reason

DESCRIBED = json.loads(generation.DATAMODEL.read_text(encoding="utf-8"))
FIELD = {"kind": "scalar", "isList": False, "isRequired": True}


def field(name: str, of: str, **more: object) -> dict[str, object]:
    return {**FIELD, "name": name, "type": of, **more}


THING = {
    "name": "Thing",
    "dbName": "things",
    "documentation": 'A "thing".\n\nIt has """more""" to say.',
    "fields": [
        field(
            "id",
            "String",
            nativeType=["Uuid", []],
            default={"name": "dbgenerated", "args": ["gen_random_uuid()"]},
        ),
        field("made", "String", default={"name": "uuid", "args": [7]}),
        field("count", "BigInt", default={"name": "autoincrement", "args": []}),
        field("price", "Decimal", default=1.5),
        field("word", "String", nativeType=["VarChar", ["10"]], default="it's"),
        field("on", "Boolean", default=False),
        field("raw", "Bytes", isRequired=False),
        field("tags", "String", isList=True),
        field("moods", "Mood", kind="enum", isList=True, default=["good"]),
        field("mood", "Mood", kind="enum", isRequired=False),
        field("day", "DateTime", nativeType=["Date", []]),
        field("at", "DateTime"),
        field("seen", "DateTime", nativeType=["Timestamptz", ["3"]], default={"name": "now", "args": []}),
        field("note", "Json", isRequired=False),
        field("parentId", "String", dbName="parent_id", isRequired=False),
        field(
            "parent",
            "Thing",
            kind="object",
            isRequired=False,
            relationFromFields=["parentId"],
            relationToFields=["id"],
        ),
        field("children", "Thing", kind="object", isList=True),
    ],
}
MOOD = {
    "name": "Mood",
    "documentation": "How it feels.",
    "values": [{"name": "good"}, {"name": "so_so", "dbName": "so-so"}],
}
INDEXES = [
    {"model": "Thing", "type": "id", "fields": [{"name": "id"}]},
    {"model": "Thing", "type": "unique", "dbName": "known", "fields": [{"name": "word"}, {"name": "at"}]},
    {"model": "Thing", "type": "normal", "fields": [{"name": "parentId", "sortOrder": "desc"}]},
    {"model": "Thing", "type": "normal", "algorithm": "Gin", "fields": [{"name": "tags"}]},
]
SMALL = {"enums": [MOOD], "models": [THING], "indexes": INDEXES}


def thing(**changes: object) -> dict[str, object]:
    return {**SMALL, "models": [{**THING, **changes}]}


def test_the_models_were_generated_from_the_schema_as_it_is():
    assert DESCRIBED["schema_sha256"] == generation.digest(generation.SCHEMA.read_bytes())


def test_the_models_are_what_the_generator_writes():
    assert generation.changes(generation.written(DESCRIBED)) == ""


def test_a_change_is_shown_as_a_difference():
    files = generation.written(DESCRIBED)
    path = generation.MODELS / "enums.py"

    shown = generation.changes({path: files[path].replace("cancelled", "abandoned")})

    assert '-    CANCELLED = "cancelled"\n+    CANCELLED = "abandoned"' in shown


def test_the_parser_named_is_the_one_that_npm_is_told_to_install():
    pinned = json.loads((Path(generation.__file__).parent / "package.json").read_text(encoding="utf-8"))

    assert DESCRIBED["parser"] == pinned["dependencies"]["@prisma/prisma-schema-wasm"]


def test_every_npm_package_is_pinned_by_digest_and_none_by_host():
    lock = json.loads((Path(generation.__file__).parent / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: one for name, one in lock["packages"].items() if name}

    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert not [name for name, one in packages.items() if "resolved" in one]


def test_types_defaults_and_keys_are_those_prisma_would_make():
    table = datamodel.read(SMALL).rows[0].table

    assert table.columns == (
        Column("id", "uuid", default="gen_random_uuid()"),
        Column("made", "text"),
        Column("count", "bigint", default="autoincrement"),
        Column("price", "numeric(65,30)", default="1.5"),
        Column("word", "character varying(10)", default="it's"),
        Column("on", "boolean", default="false"),
        Column("raw", "bytea", nullable=True),
        Column("tags", "text[]"),
        Column("moods", "service.Mood[]", default="{good}"),
        Column("mood", "service.Mood", nullable=True),
        Column("day", "date"),
        Column("at", "timestamp(3) without time zone"),
        Column("seen", "timestamp(3) with time zone", default="CURRENT_TIMESTAMP"),
        Column("note", "jsonb", nullable=True),
        Column("parent_id", "text", nullable=True),
    )
    assert table.primary_key == Index("things_pkey", ("id",), unique=True)
    assert table.indexes == (
        Index("known", ("word", "at"), unique=True),
        Index("things_parent_id_idx", ("parent_id desc",)),
        Index("things_tags_idx", ("tags",), method="gin"),
    )
    assert table.references == (
        Reference(("parent_id",), "things", ("id",), on_delete="set null", on_update="cascade"),
    )


def test_python_types_say_what_the_driver_answers():
    row = datamodel.read(SMALL).rows[0]

    assert dict(zip(row.table.column_names, row.python_types, strict=True)) == {
        "id": "UUID",
        "made": "str",
        "count": "int",
        "price": "Decimal",
        "word": "str",
        "on": "bool",
        "raw": "bytes | None",
        "tags": "list[str]",
        "moods": "list[Mood]",
        "mood": "Mood | None",
        "day": "date",
        "at": "datetime",
        "seen": "datetime",
        "note": "Json",
        "parent_id": "str | None",
    }


def test_what_is_written_is_the_table_that_was_read():
    declared = datamodel.read(SMALL)
    source = writing.modules(declared, "0" * 64)["tables.py"]
    namespace: dict[str, object] = {}
    exec(compile(source, "tables.py", "exec"), namespace)  # noqa: S102 - what the generator wrote is the subject

    assert namespace["THINGS"] == declared.rows[0].table
    assert namespace["ENUMS"] == {"Mood": ("good", "so-so")}


def test_written_rows_and_enumerations_are_python():
    written = writing.modules(datamodel.read(SMALL), "0" * 64)

    row = next(one for one in ast.parse(written["rows.py"]).body if isinstance(one, ast.ClassDef))
    assert (row.name, ast.get_docstring(row)) == ("Thing", "A \"thing\".\n\nIt has '''more''' to say.")
    assert 'SO_SO = "so-so"' in written["enums.py"]


def test_a_schema_of_one_plain_table_needs_nothing_more():
    plain = {"models": [{**THING, "fields": [field("id", "Int")]}]}
    written = writing.modules(datamodel.read(plain), "0" * 64)

    assert "Json" not in written["rows.py"]
    assert "Index" not in written["tables.py"]
    assert "primary_key=None" in written["tables.py"]


def test_a_name_too_long_is_cut_where_prisma_cuts_it():
    long = {**THING, "dbName": "t" * 60}
    index = datamodel.read({**SMALL, "models": [long]}).rows[0].table.indexes[1]

    assert index.name == "t" * 59 + "_idx"


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (thing(fields=[field("ip", "String", nativeType=["Inet", []])]), "ip: @db.Inet"),
        (
            thing(fields=[field("n", "Int", default={"name": "sequence", "args": []})]),
            r"n: @default\(sequence",
        ),
        (thing(documentation=""), "Thing: say in a `///` comment what it is"),
    ],
)
def test_what_cannot_be_generated_is_refused_by_name(described, message):
    with pytest.raises(Unsupported, match=message):
        datamodel.read({**described, "indexes": []})


@pytest.mark.parametrize(
    "described",
    [thing(fields=[field("not-a-name", "Int")]), {**SMALL, "enums": [{**MOOD, "values": [{"name": "1"}]}]}],
)
def test_what_makes_no_name_in_python_is_refused(described):
    with pytest.raises(Unsupported, match="makes no name in Python"):
        writing.modules(datamodel.read({**described, "indexes": []}), "0" * 64)


def test_only_what_generation_reads_is_kept_of_the_description():
    described = {
        "name": "x",
        "isUpdatedAt": False,
        "dbName": None,
        "fields": [{"name": "y", "isId": True}],
        "values": [],
    }

    assert datamodel.trimmed(described) == {"name": "x", "fields": [{"name": "y"}]}


def test_the_parser_says_how_to_get_it_when_it_is_not_there(tmp_path):
    with pytest.raises(ParserMissing, match="install"):
        Parser(tmp_path)


def test_prismas_errors_are_told_as_prisma_words_them():
    assert reason('{"message": "no such type", "error_code": "P1012"}') == "no such type"
    assert reason("panicked") == "panicked"
    assert reason("[]") == "[]"


def test_an_unknown_command_is_answered_with_the_usage(capsys):
    assert main(["generte"]) == 2
    assert "usage: python -m tools.prisma" in capsys.readouterr().err


def test_every_row_has_the_columns_of_its_table():
    by_name = {table.name: table for table in tables.TABLES}
    classes = {name: one for name, one in vars(rows).items() if dataclasses.is_dataclass(one)}

    assert len(classes) == len(by_name) == len(tables.TABLES)
    for model, described in zip(classes.values(), tables.TABLES, strict=True):
        assert tuple(one.name for one in dataclasses.fields(model)) == described.column_names


def test_a_generated_enumeration_has_the_behaviour_written_for_it():
    assert issubclass(models.RunStatus, lifecycle.Lifecycle)
    assert not issubclass(models.StepStatus, lifecycle.Lifecycle)


def test_a_table_without_a_tenant_belongs_to_none():
    assert not Table("x", (Column("id", "uuid"),), None).of_tenants
