"""Picking sentences: the ones that answer, in both languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_agents.runners import passages

REFUNDS = (
    "Our shop opens at nine. Refunds are paid within fourteen days of the return. Shipping is free.",
    "Returns need the original receipt.\nGift cards cannot be refunded!",
)


@pytest.mark.parametrize(
    "text", ["Berapa lama pengembalian dana dibayar?", "Apakah kartu hadiah bisa dikembalikan?"]
)
def test_it_knows_indonesian(text: str) -> None:
    assert passages.is_indonesian(text)


@pytest.mark.parametrize("text", ["When are refunds paid?", "", "refund", "Is the office in Jakarta open?"])
def test_everything_else_is_taken_for_english(text: str) -> None:
    assert not passages.is_indonesian(text)


def test_little_words_carry_no_meaning_and_inflections_meet() -> None:
    assert passages.terms("When are the refunds paid?") == {"refund", "paid"}
    assert passages.terms("refunding") == passages.terms("Refunds")
    assert passages.terms("Apa yang harus saya bayar?") == {"bayar"}


def test_passages_fall_apart_at_sentence_ends() -> None:
    assert [sentence.text for sentence in passages.sentences(REFUNDS)] == [
        "Our shop opens at nine.",
        "Refunds are paid within fourteen days of the return.",
        "Shipping is free.",
        "Returns need the original receipt.",
        "Gift cards cannot be refunded!",
    ]


def test_a_wrapped_line_does_not_end_a_sentence_but_a_paragraph_and_a_list_do() -> None:
    wrapped = (
        "Espresso roasts rest for\nten days.\n\nOpening hours\n\n- weekdays from seven\n- never on Sundays"
    )
    assert [sentence.text for sentence in passages.sentences([wrapped])] == [
        "Espresso roasts rest for ten days.",
        "Opening hours",
        "- weekdays from seven",
        "- never on Sundays",
    ]


def test_a_decimal_point_does_not_end_a_sentence() -> None:
    assert len(passages.sentences(["The fee is 2.5 percent of the total."])) == 1


def test_the_sentence_that_shares_most_comes_first() -> None:
    assert passages.best("When are refunds paid?", REFUNDS)[0].text.startswith("Refunds are paid")


def test_a_sentence_that_adds_nothing_is_left_out() -> None:
    chosen = passages.best("refunds paid", [*REFUNDS, "Refunds are paid."])
    assert [sentence.text for sentence in chosen] == ["Refunds are paid within fourteen days of the return."]


def test_the_opening_stands_in_when_no_word_is_shared() -> None:
    assert [sentence.text for sentence in passages.best("weather", REFUNDS)] == ["Our shop opens at nine."]


def test_no_passages_give_no_sentences() -> None:
    assert passages.best("anything", []) == []


@given(st.text(max_size=60), st.lists(st.text(max_size=80), max_size=4))
def test_it_only_ever_quotes(question: str, texts: list[str]) -> None:
    whole = [" ".join(text.split()) for text in texts]
    chosen = passages.best(question, texts)
    assert len(chosen) <= 3
    assert all(sentence.text in whole[sentence.passage] for sentence in chosen)
