"""A default is the same default, however Postgres or Prisma spells it."""

from __future__ import annotations

import pytest

from sba_db.check.catalog import plain


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        (None, None),
        ("'queued'::service.run_status", "queued"),
        ("'queued'::service.\"Run Status\"", "queued"),
        ("'{}'::jsonb", "{}"),
        ("'{a}'::text[]", "{a}"),
        ("'it''s'::character varying(10)", "it's"),
        ("'a::b'::text", "a::b"),
        ("('-1'::integer)::numeric(24,6)", "-1"),
        ("'2026-01-01'::timestamp(3) without time zone", "2026-01-01"),
        ("'x'::\"char\"", "x"),
        ("0", "0"),
        ("now()", "CURRENT_TIMESTAMP"),
        ("CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
        ("nextval('service.a_seq'::regclass)", "autoincrement"),
        ("gen_random_uuid()", "gen_random_uuid()"),
        ("(1 + (2))", "(1 + (2))"),
    ],
)
def test_two_spellings_of_a_default_compare_equal(spelled, meant):
    assert plain(spelled) == meant
