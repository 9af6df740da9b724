"""No schema of ours has anything that breaks a rule of `rules`, and each rule is seen to bite."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.db.rules import PRELUDE, RULES, Rule


def offenders(superuser: Any, rule: Rule) -> set[str]:
    return {row["name"] for row in superuser.execute(PRELUDE + rule.offenders)}


@pytest.mark.parametrize("name", RULES)
def test_nothing_in_the_catalog_breaks_the_rule(superuser, name):
    assert offenders(superuser, RULES[name]) == set()


@pytest.mark.parametrize("name", RULES)
def test_the_rule_names_what_breaks_it(superuser, name):
    rule = RULES[name]
    with superuser.transaction(force_rollback=True):
        superuser.execute(rule.sabotage)

        assert rule.culprit in offenders(superuser, rule)
    assert offenders(superuser, rule) == set()
