"""What a statement binds is the same value in both forms, whatever it is made of."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from uuid import UUID

import pytest

from sba_db import DatabaseSettings, open_database

MOMENT = dt.datetime(2026, 1, 1, 1, 2, 3, 4, dt.UTC)
TEXTS = [
    r"back\slash \' quote",
    "it''s; drop table service.agent_runs; -- '",
    r"E'\x27' or 1=1",
    "$$ $1 $a$ %(tenant)s %% %s %b /* */ -- \n'",
    "é漢字😀\x01\x7f\u2028\ufeff",
    "\\'" * 300_000,
    "NULL",
    "",
]
VALUES = [
    *(("text", text) for text in TEXTS),
    ("text", None),
    ("text[]", ["a,b", 'q"uote', "back\\slash", "{x}", "NULL", "", None, "it's"]),
    ("text[]", []),
    ("bigint[]", [-(2**63), 2**63 - 1, None]),
    ("bytea", bytes(range(256))),
    ("bytea", b""),
    ("bytea[]", [b"\\", b"'", b"\\x00'"]),
    ("smallint", -(2**15)),
    ("integer", -(2**31)),
    ("bigint", -(2**63)),
    ("bigint", 2**63 - 1),
    ("numeric", Decimal(-(10**40))),
    ("numeric", Decimal("-0.000000000000000000001")),
    ("numeric", Decimal("-Infinity")),
    ("numeric[]", [Decimal("-1.50"), None]),
    ("double precision", -1.5e300),
    ("double precision", 5e-324),
    ("double precision", float("-inf")),
    ("boolean", False),
    ("uuid", UUID(int=2**128 - 1)),
    ("uuid[]", [UUID(int=0), None]),
    ("date", dt.date(1, 1, 1)),
    ("date", dt.date(9999, 12, 31)),
    ("timestamptz", MOMENT),
    ("timestamptz", MOMENT.astimezone(dt.timezone(dt.timedelta(hours=-9, minutes=-30)))),
    ("timestamptz[]", [MOMENT]),
    ("interval", dt.timedelta(days=-3, microseconds=7)),
]
AS_TEXT = [
    (-5, "-5"),
    (-1.5, "-1.5"),
    (Decimal("-1.5"), "-1.5"),
    (Decimal("NaN"), "NaN"),
    (Decimal("Infinity"), "Infinity"),
    (float("nan"), "NaN"),
    (True, "true"),
    (MOMENT.date(), "2026-01-01"),
]
SUMS = {
    "7 - %(value)s": "12",
    "7 -%(value)s": "12",
    "-%(value)s": "5",
    "%(value)s ^ 2": "25",
    "%(value)s %% 3": "-2",
    "abs(%(value)s)": "5",
}


@pytest.mark.parametrize(("kind", "value"), VALUES)
async def test_a_value_comes_back_as_it_was_given(either, a, kind, value):
    query = f"select %(value)s::{kind} as value, '%%' as sign, %(tenant)s::uuid as tenant"

    row = await either.reader(a.id).fetch_one(query, {"value": value})

    assert row == {"value": value, "sign": "%", "tenant": a.id}
    assert type(row["value"]) is type(value)


@pytest.mark.parametrize(("value", "text"), AS_TEXT)
async def test_a_cast_is_of_the_whole_value(either, a, value, text):
    row = await either.reader(a.id).fetch_one(
        "select %(value)s::text as value, %(tenant)s::uuid", {"value": value}
    )

    assert row["value"] == text


@pytest.mark.parametrize(("formula", "text"), SUMS.items())
async def test_a_negative_number_is_one_operand(either, a, formula, text):
    row = await either.reader(a.id).fetch_one(
        f"select ({formula})::text as value, %(tenant)s::uuid", {"value": -5}
    )

    assert row["value"] == text


@pytest.mark.parametrize("pooler", [False, True])
@pytest.mark.parametrize("encoding", ["latin1", "SQL_ASCII", "GBK"])
async def test_text_is_unicode_whatever_encoding_the_address_and_the_environment_ask_for(
    database_urls, a, monkeypatch, encoding, pooler
):
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    url = f"{database_urls.app}?client_encoding={encoding}"
    async with open_database(DatabaseSettings(url=url, max_size=1, pooler=pooler)) as database:
        query = "select %(text)s::text as text, 'é漢' as own, %(tenant)s::uuid"
        row = await database.reader(a.id).fetch_one(query, {"text": "é漢\\'"})

    assert (row["text"], row["own"]) == ("é漢\\'", "é漢")
