from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sba_knowledge.chunking import LIMIT, OVERLAP, split

PROSE = st.lists(
    st.sampled_from(
        [
            "word",
            "Kalimat selesai.",
            "Is it?",
            "a" * 950,
            "é" * 300,
            "\n\n",
            "\n",
            "\r\n\r\n",
            " ",
            "\t",
            "。",
            "👩‍👩‍👧",
            "1.",
        ]
    ),
    max_size=120,
).map(" ".join)
ANYTHING = st.text(max_size=4000)


def uncovered(text: str, passages: list[str]) -> str:
    """What is left of a text when its passages are laid over it in order, each starting before any gap."""
    end = 0
    for passage in passages:
        gapless = len(text) - len(text[end:].lstrip())
        at = text.rfind(passage, 0, gapless + len(passage))
        assert at >= 0, "a passage is missing from its place"
        end = max(end, at + len(passage))
    return text[end:].strip()


@given(PROSE | ANYTHING)
@example("x" * 5000)
@example("A. " * 2000)
@example("\n" * 3000)
@example("a" + " " * 2000 + "b")
@example("e\u0301" * 1500)
def test_everything_that_is_not_whitespace_is_in_some_passage_in_order(text):
    assert uncovered(text, split(text)) == ""


@given(PROSE | ANYTHING)
@example("x" * 5000)
@example(("b" * 199 + ". ") * 60)
@example(("b" * 201 + ". ") * 60)
def test_passages_are_bounded_and_neither_empty_nor_padded(text):
    for passage in split(text):
        assert 0 < len(passage) <= LIMIT
        assert passage == passage.strip()


@given(PROSE)
def test_there_are_never_more_passages_than_a_few_times_the_size(text):
    assert len(split(text)) <= 1 + len(text) // 200


@given(st.text(max_size=LIMIT))
def test_a_short_text_is_one_passage(text):
    assert split(text) == ([text.strip()] if text.strip() else [])


@pytest.mark.parametrize("text", ["", " ", "\n\n\t", "\u3000"])
def test_a_text_of_whitespace_has_no_passages(text):
    assert split(text) == []


def test_passages_end_with_a_sentence():
    text = " ".join(f"Sentence number {number} says something of no great weight." for number in range(100))
    assert all(passage.endswith(".") for passage in split(text))


def test_the_last_sentence_is_repeated_in_the_next_passage():
    text = " ".join(f"Sentence number {number} says something of no great weight." for number in range(100))
    passages = split(text)
    assert len(passages) > 3
    for before, after in itertools.pairwise(passages):
        last = re.split(r"(?<=\.) ", before)[-1]
        assert after.startswith(last)


def test_a_long_last_sentence_is_not_repeated():
    sentences = [chr(97 + place) * (OVERLAP + 50) + "." for place in range(8)]
    passages = split(" ".join(sentences))
    assert sum(len(passage) for passage in passages) <= sum(len(sentence) for sentence in sentences) + 8


def test_a_paragraph_that_does_not_fit_starts_a_new_passage():
    first, second = "First one. " * 50, "Second one. " * 50
    passages = split(f"{first}\n\n{second}")
    assert passages[0] == first.strip()
    assert passages[1].startswith("Second")


def test_short_paragraphs_share_a_passage():
    assert split("One.\n\nTwo.\r\n\r\nThree.") == ["One.\n\nTwo.\r\n\r\nThree."]


def test_a_sentence_without_end_is_cut_between_words():
    words = [f"word{number}" for number in range(600)]
    passages = split(" ".join(words))
    assert len(passages) > 4
    assert {word for passage in passages for word in passage.split()} == set(words)


@pytest.mark.parametrize("cluster", ["e\u0301", "👩\u200d👧", "☕\ufe0f"])
def test_a_word_without_end_is_not_cut_inside_a_character(cluster):
    for shift in ("", "x", "xy"):
        passages = split(shift + cluster * 800)
        assert len(passages) > 1
        assert all(passage.removeprefix(shift).replace(cluster, "") == "" for passage in passages)


def test_a_word_of_nothing_but_marks_still_ends():
    assert "".join(split("\u0301" * 3000)) == "\u0301" * 3000


def test_a_mebibyte_of_awkward_text_is_cut():
    for text in ("a " * 524_288, ". " * 524_288, "\n" * 1_000_000 + "x", "x" * 1_048_576, '."' * 524_288):
        assert split(text)
