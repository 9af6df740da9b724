"""Keys are tuples: what differs in any part is stored apart."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_cache import CacheKey
from sba_cache import key as key_module
from sba_cache.key import Part, version_key

TENANT = UUID("0190f000-0000-7000-8000-000000000001")
ATOM = (
    st.text(alphabet=":{}%',()ab\ud800", max_size=4)
    | st.integers()
    | st.booleans()
    | st.none()
    | st.binary(max_size=3)
    | st.floats(allow_nan=False)
    | st.uuids()
)
PARTS = st.lists(st.recursive(ATOM, lambda inner: st.lists(inner, max_size=3).map(tuple)), max_size=4)


def typed(part: object) -> object:
    return (type(part), [typed(inner) for inner in part] if isinstance(part, tuple) else repr(part))


@given(PARTS, PARTS)
def test_different_questions_are_never_stored_in_one_place(one: list[Part], other: list[Part]) -> None:
    same = typed(tuple(one)) == typed(tuple(other))
    assert (CacheKey(TENANT, "n", *one) == CacheKey(TENANT, "n", *other)) == same


@given(*[st.text(alphabet=":{}%ab", min_size=1, max_size=4)] * 4)
def test_tenants_and_namespaces_never_share_a_version(t1: str, n1: str, t2: str, n2: str) -> None:
    assert (version_key(t1, n1) == version_key(t2, n2)) == ((t1, n1) == (t2, n2))


def test_a_value_lies_in_the_hash_slot_of_its_versions() -> None:
    key = CacheKey(TENANT, "knowledge", "what is {this}?")
    slot = "{" + str(TENANT) + "}"
    assert key.version_key == version_key(TENANT, "knowledge") == f"sba:cv:{slot}:n:knowledge"
    assert version_key(TENANT) == f"sba:cv:{slot}"
    assert version_key(TENANT, tag="a") == f"sba:cv:{slot}:t:a"
    assert key.redis_key.startswith(f"sba:ca:{slot}:knowledge:")
    assert key.lease_key.startswith(f"sba:cl:{slot}:knowledge:")


def test_a_tenant_is_the_same_as_a_uuid_and_as_its_text() -> None:
    one, other = CacheKey(TENANT, "n", "q"), CacheKey(str(TENANT), "n", "q")
    assert one == other
    assert one.tenant_id == str(TENANT)
    assert (one.namespace, one.parts) == ("n", ("q",))


def test_texts_of_tenants_are_remembered_without_growing_forever() -> None:
    for n in range(5000):
        assert CacheKey(UUID(int=n), "n").tenant_id == str(UUID(int=n))
    assert len(key_module._texts) <= 4096


@given(PARTS)
def test_equal_keys_hash_alike_and_are_stored_in_one_place(parts: list[Part]) -> None:
    one, other = CacheKey(TENANT, "n", *parts), CacheKey(TENANT, "n", *parts)
    assert one == other
    assert hash(one) == hash(other)
    assert one.redis_key == other.redis_key


@given(PARTS, PARTS)
def test_keys_are_equal_exactly_when_they_are_stored_in_one_place(one: list[Part], other: list[Part]) -> None:
    first, second = CacheKey(TENANT, "n", *one), CacheKey(TENANT, "n", *other)
    assert (first == second) == (first.redis_key == second.redis_key)


@pytest.mark.parametrize("part", [object(), ["list"], (1, {"a": 1}), {1}])
def test_a_part_without_lasting_identity_is_refused(part: object) -> None:
    with pytest.raises(TypeError, match="part of a key"):
        CacheKey(TENANT, "n", part)


@pytest.mark.parametrize(("namespace", "tag"), [("n", "t"), ("", None), (None, ""), ("n", "")])
def test_a_version_is_of_a_namespace_or_a_tag(namespace: str | None, tag: str | None) -> None:
    with pytest.raises(ValueError, match="namespace or a tag"):
        version_key(TENANT, namespace, tag=tag)


def test_a_key_is_hashable_and_shows_what_it_asks() -> None:
    assert len({CacheKey("t", "n", 1), CacheKey("t", "n", 1), CacheKey("t", "n", "1")}) == 2
    assert CacheKey("t", "n", 1) != "t"
    assert repr(CacheKey("t", "n", 1, "a")) == "CacheKey('t', 'n', 1, 'a')"


@pytest.mark.parametrize(("tenant", "namespace"), [("", "n"), ("t", "")])
def test_a_key_without_an_owner_is_refused(tenant: str, namespace: str) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        CacheKey(tenant, namespace, "q")


WORDS = st.text(st.sampled_from("a\\u\ud800d8%:"), min_size=1, max_size=8)


@given(st.lists(WORDS, unique=True, min_size=2, max_size=2))
def test_half_a_surrogate_pair_is_a_letter_like_any_other(words: list[str]) -> None:
    one, two = words
    names = {f(word).encode() for word in words for f in (version_key, lambda word: version_key("t", word))}
    assert len(names) == 4
    keys = {CacheKey("t", "n", one), CacheKey("t", "n", two), CacheKey("t", one, ()), CacheKey("t", two, ())}
    assert len({key.redis_key.encode() for key in keys}) == 4
