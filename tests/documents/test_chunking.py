"""A document becomes chunks."""

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.chunking import DEFAULT_SIZE, chunk
from rag.documents.sections import find_sections
from rag.embeddings.onnx import OnnxEmbedder
from rag.types import Chunk, Count, Document, Page, Section


def words(text: str) -> int:
    """Count words, and each Chinese character as one; cheap, and easy to follow."""
    return len(re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text))


def a_document(
    text: str, *, sections: Sequence[Section] = (), pages: Sequence[Page] = ()
) -> Document:
    return Document(
        id="harbour.md",
        text=text,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        title="Harbour",
        sections=tuple(sections),
        pages=tuple(pages),
    )


def a_markdown(text: str) -> Document:
    return a_document(text, sections=find_sections(text, markdown=True))


def texts(chunks: Sequence[Chunk]) -> list[str]:
    return [c.text for c in chunks]


def chunked(text: str, *, size: int = 16, count: Count = words) -> list[str]:
    return texts(chunk(a_document(text), size=size, count=count))


@pytest.fixture(scope="module")
def minilm_count(minilm: OnnxEmbedder) -> Count:
    return minilm.count


# ── What a chunk is ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["", " ", "\r\n\u3000\t\n"])
def test_a_blank_document_has_no_chunks(text: str) -> None:
    assert chunked(text) == []


def test_a_short_document_is_one_chunk_without_the_white_space_around_it() -> None:
    (only,) = chunk(a_document(" 港\r\n"), size=16, count=words)
    assert only == Chunk(
        id="bc7f1076cb0e247ea1840306b746dd63",
        document_id="harbour.md",
        start=1,
        end=2,
        text="港",
        embedded="港",
        tokens=1,
        headings=(),
        pages=None,
    )


@pytest.mark.parametrize(("special", "smallest"), [(0, 16), (2, 16), (8, 16), (9, 17), (30, 38)])
def test_a_size_that_leaves_no_room_is_the_callers_mistake(special: int, smallest: int) -> None:
    def count(text: str) -> int:
        return words(text) + special

    with pytest.raises(ValueError, match=f"at least {smallest} tokens, {special} of them"):
        chunk(a_document("港"), size=smallest - 1, count=count)
    assert texts(chunk(a_document("港"), size=smallest, count=count)) == ["港"]


def test_the_default_size_leaves_room_in_what_the_bundled_model_reads(
    minilm: OnnxEmbedder,
) -> None:
    document = a_document("\n".join(english_sentences(60)))
    found = chunk(document, count=minilm.count)
    assert found == chunk(document, size=240, count=minilm.count)
    assert DEFAULT_SIZE == 240 < minilm.max_tokens
    assert len(found) > 2


def test_equal_chunks_of_a_document_are_told_apart_by_their_occurrence() -> None:
    line = " ".join(["tide"] * 9) + "."
    first, second, third = chunk(a_document("\n\n".join([line] * 3)), size=16, count=words)
    assert first.text == second.text == third.text
    assert len({first.id, second.id, third.id}) == 3
    (alone,) = chunk(a_document(line), size=16, count=words)
    assert alone.id == first.id


def test_the_same_text_in_another_document_is_another_chunk() -> None:
    here = a_document("The tide turned.")
    there = Document(id="b.md", text=here.text, digest=here.digest, title="b")
    (one,) = chunk(here, size=16, count=words)
    (other,) = chunk(there, size=16, count=words)
    assert (one.text, one.embedded) == (other.text, other.embedded)
    assert one.id != other.id


def test_a_chunk_knows_the_pages_it_touches() -> None:
    text = "One one one one. Two two two two.\nThree three three. Four four four four four."
    pages = (
        Page(number=1, start=0, end=17),
        Page(number=2, start=17, end=34),
        Page(number=3, start=34, end=len(text)),
    )
    whole = chunk(a_document(text, pages=pages), size=16, count=words)
    assert [c.pages for c in whole] == [(1, 3)]
    sections = (
        Section(title="One", level=1, start=0, end=17),
        Section(title="Two", level=1, start=17, end=len(text)),
    )
    parts = chunk(a_document(text, pages=pages, sections=sections), size=16, count=words)
    assert [c.pages for c in parts] == [(1, 1), (2, 3)]


# ── Sentences ────────────────────────────────────────────────────────────────────────────────


def test_a_chunk_ends_where_a_paragraph_ends_rather_than_a_sentence() -> None:
    text = (
        "The tide turned late that day. The ship left.\n\n"
        "Nobody saw it go that night. The harbour master slept. It rained."
    )
    assert chunked(text) == [
        "The tide turned late that day. The ship left.",
        "Nobody saw it go that night. The harbour master slept. It rained.",
    ]


def test_a_line_that_ends_like_no_sentence_stays_with_what_follows_it() -> None:
    text = (
        "The tide turned late that day. The ship left the quay.\n\n"
        "Harbour dues\n\nShips pay on their arrival. Boats pay nothing at all."
    )
    assert chunked(text) == [
        "The tide turned late that day. The ship left the quay.",
        "Harbour dues\n\nShips pay on their arrival. Boats pay nothing at all.",
    ]


def test_a_sentence_over_the_limit_is_cut_at_its_clauses() -> None:
    text = (
        "It rained. When the tide had turned, the pilot went on board the old ship, "
        "and before the sun rose over the quay, the ship had left the harbour. It cleared."
    )
    assert chunked(text) == [
        "It rained.",
        "When the tide had turned, the pilot went on board the old ship,",
        "and before the sun rose over the quay, the ship had left the harbour. It cleared.",
    ]


def test_a_short_chunk_is_better_than_one_that_ends_inside_a_sentence() -> None:
    long = "The pilot " + "boards the ship " * 10 + "late."
    first, *rest = chunked(f"It rained. {long}")
    assert first == "It rained."
    assert " ".join(rest) == long


def a_book(sentences: Sequence[str], separator: str, *, seed: int, paragraphs: int) -> list[str]:
    """Write paragraphs of one to nine sentences, the same in every run."""
    chosen = random.Random(seed)
    return [
        separator.join(chosen.choice(sentences) for _ in range(chosen.randint(1, 9)))
        for _ in range(paragraphs)
    ]


_NOUNS = ["pilot", "ship", "tide", "harbour", "captain", "quay", "anchor", "buoy", "lamp", "rope"]
_VERBS = ["sees", "leaves", "pays", "fears", "finds", "keeps", "follows", "forgets"]
_WHO = ["引航员", "船长", "潮水", "港口", "码头", "锚地", "灯塔", "缆绳", "水手", "税吏"]
_DOES = ["看见", "离开", "支付", "害怕", "找到", "守着", "跟随", "忘记"]


def english_sentences(n: int) -> list[str]:
    chosen = random.Random(3)
    found = []
    for number in range(n):
        parts = [
            f"the {chosen.choice(_NOUNS)} {chosen.choice(_VERBS)} the {chosen.choice(_NOUNS)}"
            for _ in range(chosen.randint(1, 4))
        ]
        sentence = ", and ".join(parts) + f" for {number}.5 days"
        said = f"“{sentence.capitalize()},” said Dr. Lin." if number % 7 == 0 else ""
        found.append(said or sentence.capitalize() + chosen.choice(".?!"))
    return found


def chinese_sentences(n: int) -> list[str]:
    chosen = random.Random(4)
    found = []
    for number in range(n):
        parts = [
            chosen.choice(_WHO) + chosen.choice(_DOES) + chosen.choice(_WHO)
            for _ in range(chosen.randint(1, 4))
        ]
        sentence = "，".join(parts) + f"第{number}次"
        found.append(
            f"他说：“{sentence}。”" if number % 7 == 0 else sentence + chosen.choice("。？！")
        )
    return found


BOOKS = {
    "English": (english_sentences(500), " "),
    "Chinese": (chinese_sentences(500), ""),
}


@pytest.mark.parametrize("language", BOOKS)
@pytest.mark.parametrize("size", [48, 240])
def test_a_chunk_never_ends_inside_a_sentence_that_fits(
    language: str, size: int, minilm_count: Count
) -> None:
    sentences, separator = BOOKS[language]
    text = "\n\n".join(a_book(sentences, separator, seed=1, paragraphs=60))
    whole = {sentence for sentence in sentences if minilm_count(sentence) <= size}
    ends = re.compile("|".join(sorted(map(re.escape, sentences), key=len, reverse=True)))
    inside = {
        place
        for match in ends.finditer(text)
        if match[0] in whole
        for place in range(match.start() + 1, match.end())
    }
    found = chunk(a_document(text), size=size, count=minilm_count)
    assert len(found) > 10
    assert not [c.text[-20:] for c in found if c.end in inside]
    assert max(c.tokens for c in found) <= size


def test_chinese_prose_in_long_paragraphs_is_cut_behind_its_full_stops(minilm_count: Count) -> None:
    sentences, _ = BOOKS["Chinese"]
    text = "\n".join("".join(sentences[start : start + 60]) for start in range(0, 480, 60))
    found = chunk(a_document(text), size=DEFAULT_SIZE, count=minilm_count)
    assert len(found) > 20
    assert {c.text[-1] for c in found} <= set("。？！”")
    assert not [c.text[:9] for c in found if c.text[0] in "。？！”，"]
    assert max(c.tokens for c in found) <= DEFAULT_SIZE


@pytest.mark.parametrize("unit", ["港口", "x", "ab,", "word "])
def test_no_chunk_begins_with_a_full_stop(unit: str, minilm_count: Count) -> None:
    text = f"{unit * 150}。" * 5
    found = chunk(a_document(text), size=20, count=minilm_count)
    assert not [c.text[:9] for c in found if c.text.startswith("。")]


# ── Limits ───────────────────────────────────────────────────────────────────────────────────


def test_a_chunk_has_a_bound_in_characters_where_tokens_give_none(minilm_count: Count) -> None:
    text = "x" * 10_000
    found = chunk(a_document(text), size=32, count=minilm_count)
    assert max(len(c.text) for c in found) <= 32 * 8
    assert "".join(texts(found)) == text


def test_the_limit_holds_where_a_text_counts_more_than_its_sentences() -> None:
    def count(text: str) -> int:
        return words(text) + 4 * text.count(". ")

    found = chunk(a_document("The tide turned. " * 50), size=16, count=count)
    assert all(c.tokens == count(c.text) <= 16 for c in found)
    assert {c.text for c in found[:-1]} == {"The tide turned. The tide turned."}


def test_a_sentence_that_just_fits_behind_its_headings_stays_whole() -> None:
    text = "# Dues\n\n" + "tide " * 14 + "turned."
    (only,) = chunk(a_markdown(text), size=17, count=words)
    assert only.tokens == 17
    assert len(chunk(a_markdown(text), size=16, count=words)) == 2


# ── Sections ─────────────────────────────────────────────────────────────────────────────────


def test_no_chunk_crosses_from_one_section_into_another() -> None:
    text = "Intro.\n\n# Dues\n\nShips pay.\n\n## Fees\n\nBoats pay.\n\n# Pilots\n\nThey board.\n"
    found = chunk(a_markdown(text), size=200, count=words)
    assert [(c.headings, c.text) for c in found] == [
        ((), "Intro."),
        (("Dues",), "# Dues\n\nShips pay."),
        (("Dues", "Fees"), "## Fees\n\nBoats pay."),
        (("Pilots",), "# Pilots\n\nThey board."),
    ]


def test_what_the_embedder_reads_begins_with_the_headings() -> None:
    found = chunk(a_markdown("# Dues\n\n## Fees\n\nBoats pay.\n"), size=16, count=words)
    assert [(c.embedded, c.tokens) for c in found] == [
        ("Dues > Fees\n# Dues\n\n## Fees\n\nBoats pay.", 6),
    ]


def test_the_headings_take_a_quarter_of_a_chunk_at_most_and_the_innermost_are_kept() -> None:
    def embedded(outer: str, inner: str) -> str:
        sections = (
            Section(title=outer, level=1, start=0, end=16),
            Section(title=inner, level=2, start=0, end=16),
        )
        (only,) = chunk(a_document("The tide turned.", sections=sections), size=16, count=words)
        assert only.headings == (outer, inner)
        return only.embedded

    assert embedded("a b", "c d") == "a b > c d\nThe tide turned."
    assert embedded("a b c", "d e") == "d e\nThe tide turned."
    assert embedded("a", "b c d e f") == "The tide turned."


@pytest.mark.parametrize(
    "text",
    [
        "# Dues\n\n## Fees\n\nBoats pay.",
        "Dues\n====\n\nFees\n----\n\nBoats pay.",
        "# Dues #\n\n## Fees ##\n\nBoats pay.",
        "# Dues\n# Fees\nBoats pay.",
        "第一章　总则\n第一条　水费。",
        "**第一章 总则**\n\n**第一条** 水费。",
        "# Dues\r\n\r\n## *Fees*\r\n\r\nBoats pay.",
        "# Dues &\n\n## Fees  and\n\nBoats pay.",
        "Boats pay.\n\n# Dues\n\n## Fees",
    ],
)
def test_a_heading_without_text_of_its_own_stays_with_what_follows(text: str) -> None:
    found = chunk(a_markdown(text), size=200, count=words)
    assert len(found) == 1 + text.startswith("Boats")
    assert found[-1].text == text.removeprefix("Boats pay.").strip()


@pytest.mark.parametrize(
    "text",
    [
        "第一条　水费。\n第二条　电费。",
        "\u3000\u3000第一条　水费。\n\u3000\u3000第二条　电费。",
        "**第一条** 水费。\n\n**第二条** 电费。",
        "Article 1. The tenant pays.\nArticle 2. The owner repairs.",
    ],
)
def test_an_article_whose_text_begins_in_its_line_is_a_chunk_of_its_own(text: str) -> None:
    found = chunk(a_document(text, sections=find_sections(text)), size=200, count=words)
    assert texts(found) == [line.strip() for line in text.split("\n") if line]


def test_sections_without_a_title_are_still_edges() -> None:
    sections = (
        Section(title="", level=1, start=0, end=11),
        Section(title="B", level=1, start=11, end=20),
    )
    found = chunk(a_document("One.\nmore.\nTwo.\nmore", sections=sections), size=200, count=words)
    assert [(c.headings, c.text) for c in found] == [
        (("",), "One.\nmore."),
        (("B",), "Two.\nmore"),
    ]


# ── Falling back into step ───────────────────────────────────────────────────────────────────

_INSERTED = {
    "English": "Somebody wrote this much later. It is about the lamp of the old harbour.",
    "Chinese": "这一段是后来才写的。它讲的是旧港口的那盏灯。",
}
EDITS: dict[str, Callable[[list[str], int, str], list[str]]] = {
    "inserted": lambda book, place, new: [*book[:place], new, *book[place:]],
    "removed": lambda book, place, new: [*book[:place], *book[place + 1 :]],
    "rewritten": lambda book, place, new: [*book[:place], new, *book[place + 1 :]],
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("language", BOOKS)
def test_a_paragraph_changed_in_a_book_without_headings_changes_few_chunks(
    language: str, edit: str
) -> None:
    book = a_book(*BOOKS[language], seed=2, paragraphs=460)
    before = {c.id for c in chunk(a_document("\n\n".join(book)), size=64, count=words)}
    assert len(before) >= 400
    new = []
    for place in range(0, 460, 46):
        edited = EDITS[edit](book, place, _INSERTED[language])
        after = {c.id for c in chunk(a_document("\n\n".join(edited)), size=64, count=words)}
        new.append(len(after - before))
    assert max(new) <= 10
    assert sum(new) <= 4 * len(new)


@pytest.mark.parametrize("language", BOOKS)
def test_an_edit_inside_one_endless_paragraph_changes_few_chunks(language: str) -> None:
    sentences, separator = BOOKS[language]
    book = a_book(sentences, separator, seed=5, paragraphs=300)
    before = {c.id for c in chunk(a_document(separator.join(book)), size=64, count=words)}
    assert len(before) >= 250
    for place in (0, 100, 200):
        edited = EDITS["inserted"](book, place, _INSERTED[language])
        after = {c.id for c in chunk(a_document(separator.join(edited)), size=64, count=words)}
        assert len(after - before) <= 10


# ── Long texts ───────────────────────────────────────────────────────────────────────────────


class Counting:
    """Counts words, and what it was asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.characters = 0

    def __call__(self, text: str) -> int:
        self.calls += 1
        self.characters += len(text)
        return words(text)


@pytest.mark.parametrize("language", BOOKS)
def test_each_sentence_is_counted_about_twice_however_long_the_book(language: str) -> None:
    sentences, separator = BOOKS[language]
    for paragraphs in (50, 400):
        text = "\n\n".join(a_book(sentences, separator, seed=6, paragraphs=paragraphs))
        count = Counting()
        found = chunk(a_document(text), size=64, count=count)
        assert count.calls < 10 * paragraphs + len(found)
        assert count.characters < 2.5 * len(text)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "line",
    ["x" * 200_000, "港" * 90_000, "ab," * 60_000, "；" * 90_000, "." * 200_000, "\u0301" * 90_000],
    ids=lambda line: ascii(line[:4]),
)
def test_a_long_line_without_a_space_is_counted_a_few_times_and_gives_bounded_chunks(
    line: str,
) -> None:
    count = Counting()
    found = chunk(a_document(line), size=240, count=count)
    assert "".join(texts(found)) == line
    assert max(len(c.text) for c in found) <= 1920
    assert max(c.tokens for c in found) <= 240
    assert count.characters < 12 * len(line)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("character", ["a", "港", "🚢"])
def test_a_line_of_five_megabytes_gives_bounded_chunks(character: str, minilm_count: Count) -> None:
    line = character * (5_000_000 // len(character.encode()))
    found = chunk(a_document(line), count=minilm_count)
    assert max(c.tokens for c in found) <= 240
    assert max(len(c.text) for c in found) <= 1920
    assert found[0].start == 0
    assert found[-1].end == len(line)
    assert all(before.end == after.start for before, after in pairwise(found))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_text_of_ten_megabytes_becomes_chunks(minilm_count: Count) -> None:
    book = a_book(*BOOKS["English"], seed=7, paragraphs=30_000)
    text = "\n\n".join(book)[:10_000_000]
    found = chunk(a_document(text), count=minilm_count)
    assert len(found) > 5_000
    assert max(c.tokens for c in found) <= 240


# ── Tables, records and code ─────────────────────────────────────────────────────────────────


def a_file(text: str, kind: str, *, sections: Sequence[Section] = ()) -> Document:
    return replace(a_document(text, sections=sections), metadata=(("format", kind),))


ROWS = "\n".join(f"| ship {n} | {n}00 |" for n in range(1, 8))


def test_a_chunk_that_goes_on_with_a_table_repeats_its_header_before_its_text() -> None:
    text = f"# Dues\n\n| Vessel | Tons |\n|---|---|\n{ROWS}\n\nAll others pay nothing."
    document = a_file(text, "markdown", sections=find_sections(text, markdown=True))
    found = chunk(document, size=16, count=words)
    assert [c.embedded for c in found] == [
        "Dues\n# Dues\n\n| Vessel | Tons |\n|---|---|\n| ship 1 | 100 |\n| ship 2 | 200 |",
        "Dues\n| Vessel | Tons |\n| ship 3 | 300 |\n| ship 4 | 400 |\n| ship 5 | 500 |",
        "Dues\n| Vessel | Tons |\n| ship 6 | 600 |\n| ship 7 | 700 |\n\nAll others pay nothing.",
    ]
    for c in found:
        assert c.embedded.endswith(c.text)
        assert text[c.start : c.end] == c.text
        assert c.tokens == words(c.embedded) <= 16


def test_a_header_that_takes_too_much_of_a_chunk_is_not_repeated() -> None:
    header = "| the vessel by its name | and its tons |"
    found = chunk(a_file(f"{header}\n{ROWS}", "markdown"), size=16, count=words)
    assert [c.embedded for c in found[1:]] == [c.text for c in found[1:]]


def test_rows_of_a_csv_stay_whole_and_have_the_header() -> None:
    rows = [f'"Ship {n}, of the line","built in {n}, sunk."' for n in range(1, 5)]
    text = "\r\n".join(["Vessel,Notes", *rows])
    found = chunk(a_file(text, "csv"), size=20, count=words)
    assert [c.embedded for c in found] == [
        f"Vessel,Notes\r\n{rows[0]}",
        f"Vessel,Notes\n{rows[1]}\r\n{rows[2]}",
        f"Vessel,Notes\n{rows[3]}",
    ]


def test_lines_of_code_keep_their_indent_and_blank_lines_end_chunks() -> None:
    first = "def dues(tons):\n    rate = rates[tons]\n    return tons * rate"
    second = "    print('the dues are due')\n    print('now and here too')"
    text = f"{first}\n\n{second}\n"
    assert texts(chunk(a_file(text, "python"), size=16, count=words)) == [first, second]


def test_fenced_code_is_cut_at_lines() -> None:
    code = "\n".join(f"    the value of number {n} is taken from here" for n in range(4))
    text = f"It begins.\n\n```python\n{code}\n```\n\nIt ends."
    found = texts(chunk(a_file(text, "markdown"), size=16, count=words))
    lines = code.split("\n")
    assert found == [
        "It begins.\n\n```python\n" + lines[0],
        *lines[1:3],
        lines[3] + "\n```\n\nIt ends.",
    ]


@given(
    st.lists(st.text(st.sampled_from('ab| \n,"12水。`'), max_size=30), max_size=12),
    st.sampled_from(["csv", "markdown", "json", "python", "ipynb"]),
)
def test_tables_and_records_keep_what_every_chunk_keeps(lines: list[str], kind: str) -> None:
    text = "| Vessel | Tons |\n" + "\n".join(lines)
    found = chunk(a_file(text, kind), size=16, count=words)
    covered = {place for c in found for place in range(c.start, c.end)}
    assert all(place in covered or character.isspace() for place, character in enumerate(text))
    assert [c.start for c in found] == sorted({c.start for c in found})
    for c in found:
        assert c.text == text[c.start : c.end]
        assert c.embedded.endswith(c.text)
        assert c.tokens == words(c.embedded) <= 16
