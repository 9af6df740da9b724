"""The default runner on a tenant's own documents, in English and Indonesian."""

from __future__ import annotations

from uuid import UUID

import pytest

from sba_agents import Dependencies
from sba_agents.execution import execute_run
from sba_agents.runners.extractive import arithmetic
from sba_db.database import Database
from sba_db.models import RunStatus
from sba_knowledge import Document, ingest
from tests.fixtures.databases import Tenant
from tests.integration.agents.bench import Bench, Left

REFUNDS = Document(
    title="Refund policy",
    content=(
        "Our shop opened in 1998. Refunds are paid within fourteen days after the goods have arrived. "
        "Shipping costs are not refunded.\n\nGift cards are valid for two years."
    ),
)
CUTI = Document(
    title="Aturan cuti",
    content=(
        "Kantor buka pukul delapan. Karyawan mendapat dua belas hari cuti tahunan. "
        "Permohonan cuti diajukan kepada atasan paling lambat tujuh hari sebelumnya."
    ),
)
SECRET = Document(
    title="Globex plans", content="The secret launch of the moon elevator happens in March with Acme refunds."
)


async def stored(database: Database, tenant: Tenant, document: Document) -> UUID:
    async with database.tenant(tenant.id) as session:
        return (await ingest.add(session, document, created_by=tenant.user)).id


async def answered(bench: Bench, deps: Dependencies, prompt: str, **more: object) -> Left:
    run_id = await bench.submit(prompt, **more)
    await execute_run(deps, tenant_id=bench.tenant.id, run_id=run_id, holder="h")
    return await bench.ended(run_id)


async def test_an_english_question_is_answered_in_the_documents_words(
    bench: Bench, deps: Dependencies
) -> None:
    document = await stored(bench.database, bench.tenant, REFUNDS)
    left = await answered(bench, deps, "When will my refund be paid?")
    result = left.run.result
    assert result["answer"].startswith(
        "Refunds are paid within fourteen days after the goods have arrived. [1]"
    )
    assert result["citations"][0]["document_id"] == str(document)
    assert result["citations"][0]["title"] == "Refund policy"
    assert set(result["citations"][0]) == {"document_id", "title", "passage", "score"}
    assert [step.name for step in left.steps] == ["plan", "knowledge.search#1", "answer"]


async def test_an_indonesian_question_is_answered_in_indonesian(bench: Bench, deps: Dependencies) -> None:
    await stored(bench.database, bench.tenant, CUTI)
    await stored(bench.database, bench.tenant, REFUNDS)
    result = (await answered(bench, deps, "Berapa hari cuti tahunan yang didapat karyawan?")).run.result
    assert "dua belas hari cuti tahunan. [1]" in result["answer"]
    assert result["citations"][0]["title"] == "Aturan cuti"


async def test_every_number_in_an_answer_is_a_citation_that_holds_the_sentence(
    bench: Bench, deps: Dependencies
) -> None:
    await stored(bench.database, bench.tenant, REFUNDS)
    await stored(bench.database, bench.tenant, CUTI)
    result = (await answered(bench, deps, "refund gift cards karyawan cuti")).run.result
    sentences = [part.rsplit(" [", 1) for part in result["answer"].split("] ")]
    assert {int(number.rstrip("]")) for _, number in sentences} == set(range(1, len(result["citations"]) + 1))
    for text, number in sentences:
        assert text in result["citations"][int(number.rstrip("]")) - 1]["passage"]


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("What is the airspeed of a swallow?", "No document of this workspace answers this question."),
        (
            "Berapa kecepatan burung layang-layang?",
            "Tidak ada dokumen di ruang kerja ini yang menjawab pertanyaan ini.",
        ),
    ],
)
async def test_it_says_so_when_no_document_answers(
    bench: Bench, deps: Dependencies, prompt: str, answer: str
) -> None:
    await stored(bench.database, bench.tenant, REFUNDS)
    left = await answered(bench, deps, prompt)
    assert left.run.status is RunStatus.SUCCEEDED
    assert (left.run.result["answer"], left.run.result["citations"]) == (answer, [])


async def test_another_tenants_documents_are_never_cited(
    bench: Bench, deps: Dependencies, tenants: tuple[Tenant, Tenant]
) -> None:
    await stored(bench.database, tenants[1], SECRET)
    result = (await answered(bench, deps, "When is the secret launch of the moon elevator?")).run.result
    assert result["citations"] == []
    assert "March" not in result["answer"]


async def test_a_wrong_option_fails_the_run_with_the_field(bench: Bench, deps: Dependencies) -> None:
    left = await answered(bench, deps, "anything at all", options={"limit": 0})
    assert left.run.error["code"] == "invalid_arguments"
    assert "limit" in left.run.error["message"]


async def test_a_very_long_prompt_is_searched_by_its_beginning(bench: Bench, deps: Dependencies) -> None:
    await stored(bench.database, bench.tenant, REFUNDS)
    left = await answered(bench, deps, "refund " * 4_000)
    assert left.run.result["citations"]


@pytest.mark.parametrize(
    ("prompt", "expression"),
    [
        ("calculate: 2*(3+4)", "2*(3+4)"),
        (" Hitung :  1 + 1 ", "1 + 1"),
        ("2*(3+4)", "2*(3+4)"),
        ("12 / 4 = ?", "12 / 4"),
        ("7 \u00d7 6", "7 \u00d7 6"),
        ("calculate: what", "what"),
        ("2026", None),
        ("What is 2 + 2?", None),
        ("refunds", None),
        ("-", None),
    ],
)
def test_it_knows_arithmetic_when_it_sees_it(prompt: str, expression: str | None) -> None:
    assert arithmetic(prompt) == expression
