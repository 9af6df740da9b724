"""What the demo asks, and what an honest answer must rest on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt with the evidence its answer must show.

    Attributes:
        prompt: What the agent is asked.
        source: The title of the document that must be cited first.
        evidence: A phrase of that document that the answer must contain.
    """

    prompt: str
    source: str
    evidence: str


ASKED: dict[str, tuple[Question, ...]] = {
    "acme": (
        Question(
            "How many days do espresso roasts rest before they are packed?",
            source="Resting roasted beans",
            evidence="ten days",
        ),
        Question(
            "Berapa suhu gudang tempat biji hijau disimpan?",
            source="Penyimpanan biji hijau",
            evidence="delapan belas dan dua puluh dua derajat",
        ),
    ),
    "globex": (
        Question(
            "Apa yang dilakukan kurir jika paket rusak?",
            source="Paket rusak",
            evidence="memotret keenam sisi",
        ),
        Question(
            "What happens when the logger of a blue box shows more than eight degrees?",
            source="Cold chain",
            evidence="grey seal",
        ),
    ),
}
SECRET_OF_ACME = "cupping sample and credit for a faulty bag"  # noqa: S105 - a search query, not a credential
