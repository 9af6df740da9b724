"""Forms and names as anybody may send them: found exactly, or refused, and nothing in between."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from sba_local.supabase.storage.errors import StorageRefusal
from sba_local.supabase.storage.multipart import boundary_of, parts_of
from sba_local.supabase.storage.names import bucket_of, key_of, size_of

BOUNDARY = b"----edge"
CONTENT = st.binary(max_size=200) | st.lists(
    st.sampled_from([b"\r\n", b"--", BOUNDARY, b"\r\n--", b"-", b"\n", b"\x00", b"a"]), max_size=12
).map(b"".join)


def form(*parts):
    """A body with these names, file names and contents."""
    pieces = []
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        head = f'Content-Disposition: form-data; name="{name}"{file}'
        pieces.append(b"--" + BOUNDARY + b"\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n")
    return b"".join(pieces) + b"--" + BOUNDARY + b"--\r\n"


@given(st.lists(CONTENT.filter(lambda content: b"--" + BOUNDARY not in content), max_size=5))
def test_each_part_is_found_as_it_was_sent(contents):
    body = form(*((f"n{at}", None if at % 2 else "x", content) for at, content in enumerate(contents)))
    parts = list(parts_of(body, BOUNDARY))
    assert [body[part.start : part.end] for part in parts] == contents
    assert [part.name for part in parts] == [f"n{at}" for at in range(len(contents))]
    assert [part.filename is None for part in parts] == [bool(at % 2) for at in range(len(contents))]


@given(CONTENT, CONTENT, st.integers(0, 60))
def test_a_body_that_is_no_form_is_refused_and_never_read_past_its_end(before, after, cut):
    for body in (before + form(("a", "x", after)) + after, form(("a", "x", before))[:-cut], before):
        with contextlib.suppress(StorageRefusal):
            for part in parts_of(body, BOUNDARY):
                assert 0 <= part.start <= part.end <= len(body)


@given(st.text(max_size=60) | st.sampled_from(["multipart/form-data; boundary=é→", "multipart/form-data;"]))
def test_any_content_type_has_a_boundary_or_none(content_type):
    boundary = boundary_of(content_type.replace("\r", "").replace("\n", ""))
    assert boundary is None or boundary


PATHS = st.text(st.sampled_from("./\\%a~\x00\r\né \u202e"), max_size=12) | st.text(max_size=40)


@given(PATHS)
def test_a_name_that_is_accepted_stays_where_it_is(name):
    with contextlib.suppress(StorageRefusal):
        accepted = key_of(name)
        assert accepted == name
        assert name.isascii()
        assert name.isprintable()
        assert not name.startswith("/")
        assert not {".", ".."} & set(name.split("/"))
    with contextlib.suppress(StorageRefusal):
        assert "/" not in bucket_of(name)


@given(st.integers(0, 10**9), st.sampled_from(["", "B", "kb", "MB", " GB"]))
def test_a_size_is_a_number_of_bytes_or_one_with_a_unit(number, unit):
    factor = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}[unit.strip().lower()]
    assert size_of(f"{number}{unit}") == number * factor
