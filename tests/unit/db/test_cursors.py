"""Cursors come back as the id they were made of, and nothing else is one."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_db import InvalidCursor, cursors


@given(st.uuids())
def test_a_cursor_leads_back_to_its_id_and_is_url_safe(last):
    cursor = cursors.encode("run", last)

    assert cursors.decode("run", cursor) == last
    assert cursor.isascii()
    assert not set(cursor) & set("+/=")


@given(st.uuids())
def test_a_cursor_of_one_list_is_none_of_another(last):
    with pytest.raises(InvalidCursor):
        cursors.decode("aud", cursors.encode("run", last))


@given(st.text())
def test_any_other_text_is_refused_or_means_an_id(text):
    with contextlib.suppress(InvalidCursor):
        found = cursors.decode("run", text)
        assert cursors.decode("run", cursors.encode("run", found)) == found


def test_no_cursor_starts_above_every_id():
    assert cursors.decode("run", None) == cursors.NEWEST
