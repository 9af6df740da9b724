"""Types are generated from a real database, the same each time, and the committed ones are those of ours."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from sba_supabase.cli import main
from sba_supabase.errors import IntrospectionFailed
from sba_supabase.types import database as committed
from sba_supabase.types.writing import drift, types_of, write_types

ODD = (
    """
create schema odd;
create extension if not exists pg_trgm schema odd;
create type odd.mood as enum ('happy', 'so so', '😀', 'Happy', 'class', '1st');
create domain odd.amount as numeric check (value >= 0) not null;
create type odd.pair as (a int, b text);
create table odd.things (
    "class" int primary key, "copy" text, "a b" odd.mood[], feeling odd.mood not null default 'happy',
    total odd.amount default 0, pairs odd.pair[], happened timestamp, day date, "time" time, span interval,
    raw bytea, payload jsonb, number int generated always as identity,
    twice int generated always as ("class" * 2) stored, "int" int, "UUID" uuid, list int[], dropped int
);
alter table odd.things drop column dropped;
comment on table odd.things is E'Things """
    + '"""'
    + """ with \\\\ quotes\\nand a second line';
create table odd.bare (x int);
create table odd.empty ();
create view odd.seen as select "class", feeling from odd.things;
create table odd.parted (id int not null, at date not null, primary key (at, id)) partition by range (at);
create table odd.parted_1 partition of odd.parted for values from ('2026-01-01') to ('2027-01-01');
create function odd.add(a int, b int default 1) returns int language sql as 'select a + b';
create function odd.add(a text, b text) returns text language sql as 'select a || b';
create function odd.all_things() returns setof odd.things language sql as 'select * from odd.things';
create function odd.pairs(n int) returns table (left_ int, "right" text) language sql as 'select 1, ''x''';
create function odd.nothing() returns void language sql as 'select';
create function odd.unnamed(int) returns int language sql as 'select 1';
create function odd.touched() returns trigger language plpgsql as 'begin return new; end';
"""
)


@pytest.fixture
async def odd(blank_database: Any) -> str:
    async with await psycopg.AsyncConnection.connect(blank_database.admin, autocommit=True) as connection:
        await connection.execute(ODD.encode())
    return blank_database.admin


def loaded(text: str) -> Any:
    module = ModuleType(f"generated_{uuid.uuid4().hex}")
    sys.modules[module.__name__] = module
    exec(compile(text, "database.py", "exec"), module.__dict__)  # noqa: S102 - what is generated must run
    return module


async def test_the_committed_types_are_those_of_the_migrated_database(database_urls: Any):
    file = Path(committed.__file__)
    assert drift(await types_of(database_urls.migrator), file) == ""


async def test_any_login_sees_the_same_types(database_urls: Any):
    texts = {await types_of(url) for url in (database_urls.admin, database_urls.migrator, database_urls.app)}
    assert len(texts) == 1


async def test_an_odd_schema_becomes_a_module_that_runs(odd: str):
    made = loaded(await types_of(odd, schema="odd"))
    constants = {name for name in made.__all__ if name.isupper()}
    functions = {"RPC_ADD", "RPC_ADD_2", "RPC_ALL_THINGS", "RPC_NOTHING", "RPC_PAIRS"}
    assert constants == functions | {"BARE", "EMPTY", "PARTED", "SEEN", "THINGS"}
    assert [member.value for member in made.Mood] == ["happy", "so so", "😀", "Happy", "class", "1st"]
    assert made.THINGS.key == ("class",)
    assert made.THINGS.columns[:3] == ("class", "copy", "a b")
    assert made.PARTED.key == ("at", "id")
    assert made.SEEN.insert.__name__ == "ReadOnly"


async def test_generated_columns_are_read_and_never_written(odd: str):
    made = loaded(await types_of(odd, schema="odd"))
    assert {"number", "twice"} <= set(made.ThingsRow.model_fields)
    assert {"number", "twice"}.isdisjoint(made.ThingsInsert.model_fields)
    with pytest.raises(ValidationError):
        made.ThingsUpdate(twice=4)


async def test_what_is_written_is_only_what_was_set(odd: str):
    made = loaded(await types_of(odd, schema="odd"))
    row = made.ThingsInsert(class_=1, feeling="so so", copy_=None)
    assert row.values_set() == {"class": 1, "feeling": "so so", "copy": None}
    with pytest.raises(ValidationError):
        made.ThingsInsert(copy_="the key is missing")
    with pytest.raises(ValidationError):
        made.ThingsUpdate(feeling=None)


async def test_functions_have_arguments_defaults_and_results(odd: str):
    made = loaded(await types_of(odd, schema="odd"))
    assert made.AddArguments(a=1).values_set() == {"a": 1}
    assert made.RPC_ADD.result.validate_python(3) == 3
    assert made.RPC_ADD_2.arguments(a="x", b="y").values_set() == {"a": "x", "b": "y"}
    assert made.RPC_NOTHING.result.validate_python(None) is None
    (pair,) = made.RPC_PAIRS.result.validate_python([{"left_": 1, "right": "x"}])
    assert (pair.left_, pair.right) == (1, "x")


async def test_the_module_is_formatted_and_typed(odd: str, tmp_path: Path):
    file = tmp_path / "database.py"
    assert write_types(await types_of(odd, schema="odd"), file)
    root = Path(__file__).parents[3]
    commands = (
        ("ruff", "format", "--check", "--config", str(root / "ruff.toml"), str(file)),
        ("mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)),
    )
    for name, *rest in commands:
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", name, *rest], cwd=root, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


async def test_two_names_that_python_cannot_tell_apart_are_refused(blank_database: Any):
    async with await psycopg.AsyncConnection.connect(blank_database.admin, autocommit=True) as connection:
        await connection.execute('create schema odd; create table odd."a-b" (x int, "x y" int, "x-y" int)')
        with pytest.raises(IntrospectionFailed, match="x_y"):
            await types_of(blank_database.admin, schema="odd")
        await connection.execute('alter table odd."a-b" drop "x y"; create table odd.a_b (x int)')
        with pytest.raises(IntrospectionFailed, match="ABRow"):
            await types_of(blank_database.admin, schema="odd")


async def test_writing_again_changes_nothing(database_urls: Any, tmp_path: Path):
    file = tmp_path / "database.py"
    text = await types_of(database_urls.app)
    assert write_types(text, file)
    assert not write_types(await types_of(database_urls.app), file)


async def test_an_empty_schema_is_an_empty_module(blank_database: Any):
    assert loaded(await types_of(blank_database.admin, schema="nowhere")).__all__ == []


async def test_a_database_that_cannot_be_reached_is_told_without_the_password():
    with pytest.raises(IntrospectionFailed) as caught:
        await types_of("postgresql://someone:hunter2@127.0.0.1:1/nothing")
    assert "hunter2" not in str(caught.value)


def test_the_command_writes_then_checks_then_shows_the_drift(database_urls: Any, tmp_path: Path):
    file = tmp_path / "database.py"

    def run(*more: str) -> tuple[int, str]:
        given = ["types", "--output", str(file), *more]
        done = CliRunner().invoke(main, given, env={"SBA_MIGRATION_DATABASE_URL": database_urls.migrator})
        return done.exit_code, done.output

    assert run("--check")[0] == 1
    assert run() == (0, f"{file} written\n")
    assert run() == (0, f"{file} is up to date\n")
    assert run("--check") == (0, f"{file} is up to date\n")
    file.write_text(file.read_text().replace("    slug: str\n", "", 1))
    code, difference = run("--check")
    assert (code, "+    slug: str" in difference) == (1, True)
