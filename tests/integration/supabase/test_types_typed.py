"""Code that uses generated types is checked by a type checker, odd names and all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sba_supabase.errors import IntrospectionFailed
from sba_supabase.types.writing import types_of, write_types

ODD = """
create schema odd;
create type odd."Status" as enum ('a', '');
create table odd."日本" (
    "class" int primary key, "語" int, "Status" odd."Status", "ﬁ" int, " " int, "_²" int
);
create table odd."größe" (x int);
"""
USE = """
from database import NIHON, Status
from database import {row}Insert as Insert
from database import {row}Update as Update
from sba_supabase import TenantClient, mutations, queries


async def use(client: TenantClient) -> int | None:
    await mutations.insert(client, NIHON, [Insert(class_=1, 語=2, Status_=Status.A)])
    await mutations.update(client, NIHON, Update(class_=2), {{"class": 1}})
    found = await queries.find(client, NIHON, {{"class": 1}})
    return found.語 if found is not None else None


async def misuse(client: TenantClient) -> None:
    await mutations.insert(client, NIHON, [Insert(語=2)])
    Insert(class_="one")
    Update(other=1)
    found = await queries.find(client, NIHON, {{}})
    found.class_
"""


@pytest.fixture
async def admin(blank_database: Any):
    async with await psycopg.AsyncConnection.connect(blank_database.admin, autocommit=True) as connection:
        await connection.execute(ODD.encode())
        yield connection


async def test_users_of_odd_names_are_typed_and_their_mistakes_found(admin, blank_database, tmp_path: Path):
    write_types(await types_of(blank_database.admin, schema="odd"), tmp_path / "database.py")
    use = USE.format(row="日本").replace("NIHON", "日本")
    (tmp_path / "use.py").write_text(use, "utf-8")
    command = ("mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "use.py")
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True
    )
    start = use.splitlines().index("async def misuse(client: TenantClient) -> None:") + 1
    lines = [int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line]
    assert lines == [start + 1, start + 2, start + 3, start + 5], done.stdout


async def test_arguments_that_python_cannot_tell_apart_are_refused(admin, blank_database):
    await admin.execute('create function odd.f("a b" int, "a-b" int) returns int language sql return 1')
    with pytest.raises(IntrospectionFailed, match="the function f"):
        await types_of(blank_database.admin, schema="odd")
