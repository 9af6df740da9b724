from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_knowledge.search import WORDS_LIMIT, telling_words
from sba_knowledge.stopwords import ENGLISH, INDONESIAN, STOP_WORDS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What is the boiling point of mercury?", ["boiling", "point", "mercury"]),
        ("Apa titik didih dari raksa?", ["titik", "didih", "raksa"]),
        ("the THE The", ["the"]),
        ("What\u2019s it?", ["what's", "it"]),
        ("(alpha) alpha, «beta»!", ["alpha", "beta"]),
        ("write to ana@example.test, AX-2041", ["write", "ana@example.test", "ax-2041"]),
        ("?! ...", []),
    ],
)
def test_the_telling_words_of_a_question(text, words):
    assert telling_words(text) == words


@given(st.text(max_size=3000))
def test_words_are_distinct_bare_and_few(text):
    words = telling_words(text)
    assert len(words) <= WORDS_LIMIT
    assert len(set(words)) == len(words)
    assert all(word and not word.isspace() for word in words)


def test_stop_words_are_single_lower_case_words():
    for word in STOP_WORDS:
        assert word == word.lower()
        assert word.replace("'", "").isalpha()


def test_both_languages_have_stop_words():
    assert {"the", "of"} <= ENGLISH
    assert {"yang", "adalah"} <= INDONESIAN
