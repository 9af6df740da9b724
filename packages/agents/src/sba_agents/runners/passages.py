"""Picking the sentences of passages that answer a question, in English and Indonesian."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sba_knowledge.stopwords import ENGLISH, INDONESIAN, STOP_WORDS

_WORD: Final = re.compile(r"[^\W_]+")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")
_STEM: Final = 6


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of one passage.

    Attributes:
        passage: Index of its passage.
        position: Index within the passage.
        text: The sentence.
    """

    passage: int
    position: int
    text: str


def is_indonesian(text: str) -> bool:
    """Whether a text has more of Indonesian's little words than of English's."""
    words = [word.casefold() for word in _WORD.findall(text)]
    indonesian = sum(word in INDONESIAN for word in words)
    return indonesian > sum(word in ENGLISH for word in words)


def terms(text: str) -> frozenset[str]:
    """The words that carry meaning, cut to six letters so that inflections meet."""
    words = (word.casefold() for word in _WORD.findall(text))
    return frozenset(word[:_STEM] for word in words if word not in STOP_WORDS)


def sentences(passages: Sequence[str]) -> list[Sentence]:
    """Every sentence of the passages, in their order."""
    return [
        Sentence(index, position, " ".join(text.split()))
        for index, passage in enumerate(passages)
        for position, text in enumerate(filter(str.strip, _SENTENCE_END.split(passage)))
    ]


def best(question: str, passages: Sequence[str], *, limit: int = 3) -> list[Sentence]:
    """The sentences that share most with a question, best first.

    A term counts less the more sentences have it; a sentence that says only what a better one already said
    is left out; of equals, the earlier wins. If no sentence shares a term with the question, the opening of
    the first passage stands in.

    Args:
        question: In natural language.
        passages: Best first.
        limit: At most this many sentences.
    """
    candidates = sentences(passages)
    wanted = terms(question)
    found = {sentence: terms(sentence.text) & wanted for sentence in candidates}
    weights = _weights(found.values())
    chosen: list[Sentence] = []
    covered: set[str] = set()
    while len(chosen) < limit:
        score, sentence = _next(found, weights, covered, chosen)
        if sentence is None or score == 0:
            break
        chosen.append(sentence)
        covered |= found[sentence]
    return chosen or candidates[:1]


def _weights(found: Iterable[frozenset[str]]) -> dict[str, float]:
    counts = Counter(term for present in found for term in present)
    return {term: 1 / count for term, count in counts.items()}


def _next(
    found: dict[Sentence, frozenset[str]],
    weights: dict[str, float],
    covered: set[str],
    chosen: list[Sentence],
) -> tuple[float, Sentence | None]:
    def gain(sentence: Sentence) -> float:
        return sum(weights[term] for term in found[sentence] - covered)

    left = [sentence for sentence in found if sentence not in chosen]
    top = max(left, key=gain, default=None)
    return (gain(top), top) if top else (0.0, None)
