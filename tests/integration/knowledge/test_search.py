from __future__ import annotations

import pytest

from sba_knowledge import Document, InvalidField, ingest, search


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("How hot must the roaster be before a batch goes in?", "Roasting schedule"),
        ("What is the temperature for preheating the drum?", "Roasting schedule"),
        ("Where can visitors park their car?", "Harbour parking"),
        ("Who issues the permits for parking?", "Harbour parking"),
        ("How long are backups of the database kept?", "Backups"),
        ("Berapa hari cuti yang didapat seorang pegawai?", "Aturan cuti"),
        ("Kepada siapa permohonan cuti harus diajukan?", "Aturan cuti"),
        ("Apa yang wajib dilakukan sebelum corong dibersihkan?", "Perawatan mesin giling"),
        ("Kapan pisau mesin itu diasah?", "Perawatan mesin giling"),
    ],
)
async def test_a_question_in_either_language_finds_its_passage_first(
    database, tenants, corpus, question, title
):
    hits = await search.query(database.reader(tenants[0].id), question)
    assert hits[0].title == title
    assert hits[0].document_id == corpus[title]


async def test_the_best_hit_quotes_the_paragraph_that_answers(database, tenants, corpus):
    hits = await search.query(database.reader(tenants[0].id), "cuti melahirkan", limit=1)
    assert "tiga bulan dengan upah penuh" in hits[0].passage


async def test_english_endings_match(database, tenants, corpus):
    hits = await search.query(database.reader(tenants[0].id), "permits visitor restore operator")
    assert {hit.title for hit in hits} == {"Harbour parking", "Backups"}


@pytest.mark.parametrize("word", ["pembersih", "dibersihkan", "mengasah", "asah", "menggiling"])
async def test_indonesian_affixes_match(database, tenants, corpus, word):
    hits = await search.query(database.reader(tenants[0].id), word)
    assert [hit.title for hit in hits] == ["Perawatan mesin giling"]


async def test_a_word_of_the_title_finds_passages_that_lack_it(database, tenants, corpus):
    hits = await search.query(database.reader(tenants[0].id), "harbour")
    assert [hit.title for hit in hits] == ["Harbour parking"]
    assert "harbour" not in hits[0].passage.lower()


async def test_the_passage_with_the_word_comes_before_one_that_only_shares_the_title(database, tenants):
    long = "The quay has many bollards and cleats of iron. " * 8 + "A zeppelin is moored at the far end. " * 3
    async with database.tenant(tenants[0].id) as session:
        stored = await ingest.add(session, Document("Zeppelin", f"{long}\n\n{'x' * 450}. Short."))
    assert stored.chunk_count == 2
    hits = await search.query(database.reader(tenants[0].id), "zeppelin")
    assert [("moored" in hit.passage) for hit in hits] == [True, False]


async def test_a_rare_word_outweighs_common_ones(database, tenants):
    async with database.tenant(tenants[0].id) as session:
        for place in range(8):
            await ingest.add(
                session, Document(f"Memo {place}", "The pump report covers the pump and its report.")
            )
        await ingest.add(session, Document("Memo 9", "The valve has a report."))
    hits = await search.query(database.reader(tenants[0].id), "report of pump and valve")
    assert hits[0].title == "Memo 9"


async def test_hits_come_best_first_and_carry_their_rank(database, tenants, corpus):
    hits = await search.query(database.reader(tenants[0].id), "cuti pegawai mesin parking", limit=50)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0
    assert [hit.ranks["text"] for hit in hits] == list(range(1, len(hits) + 1))


async def test_the_limit_bounds_the_hits(database, tenants, corpus):
    assert len(await search.query(database.reader(tenants[0].id), "cuti mesin parking backups", limit=2)) == 2


async def test_a_question_that_nothing_answers_has_no_hits(database, tenants, corpus):
    assert list(await search.query(database.reader(tenants[0].id), "zeppelin moorings")) == []


async def test_stop_words_do_not_make_hits(database, tenants, corpus):
    hits = await search.query(database.reader(tenants[0].id), "what is the zeppelin and how does it for")
    assert len(hits) == 0


async def test_a_query_of_stop_words_alone_is_answered_by_them(database, tenants):
    async with database.tenant(tenants[0].id) as session:
        await ingest.add(session, Document("Play", "To be or not to be, that is the question."))
        await ingest.add(session, Document("Drama", "Siapa yang tahu apa itu cinta."))
    reader = database.reader(tenants[0].id)
    assert (await search.query(reader, "to be or not to be"))[0].title == "Play"
    assert (await search.query(reader, "siapa apa"))[0].title == "Drama"


@pytest.mark.parametrize("text", ["?!", "---", "… …", "()", "_ _"])
async def test_a_query_without_words_has_no_hits(database, tenants, corpus, text):
    assert len(await search.query(database.reader(tenants[0].id), text)) == 0


@pytest.mark.parametrize(
    "text",
    [
        "cuti' | 'pegawai",
        "cuti & ! pegawai:*",
        "\\'cuti\\'",
        "cuti'); drop table public.chunks; --",
        "%(tenant)s cuti %s %%",
        "cuti\\",
        "<-> cuti (",
        "😀 cuti \u202e",
    ],
)
async def test_query_syntax_in_the_text_is_only_text(database, tenants, corpus, text):
    hits = await search.query(database.reader(tenants[0].id), text)
    assert hits[0].title == "Aturan cuti"


async def test_lexemes_with_quotes_and_backslashes_are_found(database, tenants):
    async with database.tenant(tenants[0].id) as session:
        await ingest.add(
            session, Document("Share", r"Mount C:\data\o'brien from https://files.example/o'brien?x=1\2")
        )
    hits = await search.query(database.reader(tenants[0].id), r"https://files.example/o'brien?x=1\2")
    assert hits[0].title == "Share"


async def test_addresses_and_hyphenated_words_are_found_whole(database, tenants):
    async with database.tenant(tenants[0].id) as session:
        await ingest.add(session, Document("Desk", "Write to help-desk@example.test about part AX-2041."))
        await ingest.add(session, Document("Other", "Nothing of the kind."))
    reader = database.reader(tenants[0].id)
    assert (await search.query(reader, "help-desk@example.test"))[0].title == "Desk"
    assert (await search.query(reader, "What is AX-2041?"))[0].title == "Desk"


@pytest.mark.parametrize(("mode", "degraded"), [("text", False), ("hybrid", True), ("vector", True)])
async def test_the_answer_says_how_it_was_found(database, tenants, corpus, mode, degraded):
    hits = await search.query(database.reader(tenants[0].id), "cuti", mode=mode)
    assert (hits.mode, hits.degraded) == ("text", degraded)


async def test_hits_are_a_sequence(database, tenants, corpus):
    hits = await search.query(database.reader(tenants[0].id), "cuti pegawai parking")
    assert [hit.chunk_id for hit in hits[:2]] == [hits[0].chunk_id, hits[1].chunk_id]
    assert hits[0] in hits
    assert len(list(hits)) == len(hits)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("query", {"text": ""}),
        ("query", {"text": " \n\t"}),
        ("query", {"text": "cuti\0"}),
        ("query", {"text": "\ud800"}),
        ("query", {"text": "a" * 40_000}),
        ("limit", {"text": "cuti", "limit": 0}),
        ("limit", {"text": "cuti", "limit": 51}),
        ("limit", {"text": "cuti", "limit": -1}),
        ("mode", {"text": "cuti", "mode": "psychic"}),
    ],
)
async def test_bad_input_is_refused_by_name_before_anything_is_sent(database, tenants, field, arguments):
    reader = database.reader(tenants[0].id)
    text = arguments.pop("text")
    with pytest.raises(Exception, match=field) as refused:
        await search.query(reader, text, **arguments)
    assert refused.value.field == field


async def test_a_very_long_question_is_searched_by_its_first_words(database, tenants, corpus):
    text = "cuti " + " ".join(f"word{number}" for number in range(3000))
    assert (await search.query(database.reader(tenants[0].id), text))[0].title == "Aturan cuti"


async def test_search_works_inside_a_transaction_on_what_it_just_wrote(database, tenants):
    async with database.tenant(tenants[0].id) as session:
        await ingest.add(session, Document("Fresh", "The zeppelin is moored."))
        assert (await search.query(session, "zeppelin"))[0].title == "Fresh"


def test_refusals_carry_the_field_and_not_the_value():
    error = InvalidField("query", "is empty")
    assert (error.field, error.reason, str(error)) == ("query", "is empty", "query: is empty")
