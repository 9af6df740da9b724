"""Names of tenants and users."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_local.errors import UnknownName
from sba_local.residents import ACME, GLOBEX, tenant_id, user_id


@given(st.uuids())
def test_an_id_is_itself(known):
    assert tenant_id(str(known)) == user_id(str(known)) == known


def test_names_have_the_same_id_everywhere():
    assert tenant_id("acme") == ACME.tenant_id == uuid.UUID("53c39eda-34e7-5e9b-adac-74bd24be4acc")
    assert user_id("Ada") == ACME.user_id
    assert len({ACME.tenant_id, GLOBEX.tenant_id, ACME.user_id, GLOBEX.user_id, tenant_id("ada")}) == 5


@pytest.mark.parametrize("name", ["", "Acme", "-a", "a-", "a b", "a" * 64, "a;drop"])
def test_what_cannot_be_a_slug_is_refused(name):
    with pytest.raises(UnknownName):
        tenant_id(name)


@pytest.mark.parametrize("name", ["", " ", "a b", "@", "a" * 101])
def test_what_cannot_be_a_user_name_is_refused(name):
    with pytest.raises(UnknownName):
        user_id(name)
