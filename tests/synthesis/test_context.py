"""Hits become a context."""

import random
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.synthesis.context import pack, pages_of
from rag.tokens import count_tokens
from rag.types import Context, Document, Hit
from tests.synthesis.factories import a_document, a_hit

MANUAL = a_document(
    "# Pilotage\n\nA pilot boards at the fairway buoy.\n\n"
    "The pilot must be on board two hours before the tide turns. "
    "Pilots are relieved after eight hours on duty.\n\n"
    "# Kitchen\n\nBread is baked at four in the morning."
)
GAZETTEER = a_document(
    "砚溪县位于山谷之中。每年三月举行茶叶集市。\n\n县城海拔412米。", id="县志/砚溪县志.md"
)
DOCUMENTS = {document.id: document for document in (MANUAL, GAZETTEER)}
BUOY, TIDE, DUTY = (
    "A pilot boards at the fairway buoy.",
    "The pilot must be on board two hours before the tide turns.",
    "Pilots are relieved after eight hours on duty.",
)
BREAD = "Bread is baked at four in the morning."


def packed(
    hits: Sequence[Hit],
    budget: int = 1000,
    question: str = "",
    *documents: Document,
) -> Context:
    known = DOCUMENTS | {document.id: document for document in documents}
    return pack(
        hits, budget=budget, count=count_tokens, document_of=known.__getitem__, question=question
    )


def texts(context: Context) -> list[str]:
    return [passage.text for passage in context.passages]


def test_a_passage_is_rendered_under_a_header_with_marker_file_and_heading() -> None:
    context = packed([a_hit(MANUAL, TIDE, headings=("Harbour", "Pilotage"))])
    assert context.text == f"[1] manual.md · Pilotage\n{TIDE}"
    assert context.tokens == count_tokens(context.text)
    (passage,) = context.passages
    assert passage.tokens == context.tokens
    assert passage.headings == ("Harbour", "Pilotage")
    assert MANUAL.text[passage.start : passage.end] == passage.text == TIDE


def test_a_chinese_passage_is_shown_word_for_word() -> None:
    context = packed([a_hit(GAZETTEER, "每年三月举行茶叶集市。", headings=["第一章　风俗"])])
    assert context.text == "[1] 砚溪县志.md · 第一章 风俗\n每年三月举行茶叶集市。"


def test_a_heading_that_the_passage_begins_with_is_not_shown_twice() -> None:
    context = packed([a_hit(MANUAL, f"# Pilotage\n\n{BUOY}", headings=["Pilotage"])])
    assert context.text == f"[1] manual.md\n# Pilotage\n\n{BUOY}"


def test_pages_stand_in_the_header() -> None:
    paged = a_document("One page. Two pages. Three.", id="book.pdf", pages=(0, 10, 21))
    one, both = (packed([a_hit(paged, words)], 99, "", paged) for words in ("Two", "Two pages. Th"))
    assert one.text == "[1] book.pdf · p. 2\nTwo"
    assert both.text == "[1] book.pdf · pp. 2–3\nTwo pages. Th"
    assert [context.passages[0].pages for context in (one, both)] == [(2, 2), (2, 3)]


def test_pages_of_a_text_without_pages_are_none() -> None:
    assert pages_of(MANUAL, 0, 10) is None


def test_long_names_and_headings_are_shortened_in_the_header_only() -> None:
    name = "a-very-long-name-of-a-file-that-nobody-would-type.md"
    document = a_document("Bread.", id=f"folder/{name}")
    heading = "关于砚溪县水利工程管理与用水收费若干问题的暂行规定"
    context = packed([a_hit(document, "Bread.", headings=[heading])], 99, "", document)
    header = context.text.splitlines()[0]
    assert header == "[1] a-very-long-name-of-a-f… · 关于砚溪县水利工程管理与用水收…"
    assert context.passages[0].headings == (heading,)


def test_a_name_with_a_line_break_cannot_begin_a_line() -> None:
    document = a_document("Bread.", id="a\n[2] b.md")
    assert packed([a_hit(document, "Bread.")], 99, "", document).text == "[1] a [2] b.md\nBread."


def test_hits_parted_by_white_space_become_one_passage() -> None:
    context = packed([a_hit(MANUAL, TIDE), a_hit(MANUAL, BUOY, rank=2)])
    assert texts(context) == [f"{BUOY}\n\n{TIDE}"]
    assert [hit.rank for hit in context.passages[0].hits] == [1, 2]


def test_overlapping_hits_become_one_passage() -> None:
    start = MANUAL.text.index("must")
    first, second = a_hit(MANUAL, TIDE), a_hit(MANUAL, (start, start + 70), rank=2)
    assert texts(packed([first, second])) == [MANUAL.text[first.chunk.start : start + 70]]


def test_a_hit_that_closes_a_gap_joins_both_sides() -> None:
    hits = [a_hit(MANUAL, words, rank=n) for n, words in enumerate((BUOY, DUTY, TIDE), start=1)]
    context = packed(hits)
    assert texts(context) == [f"{BUOY}\n\n{TIDE} {DUTY}"]
    assert context.tokens == count_tokens(context.text)


def test_the_same_hit_twice_is_shown_once_even_when_the_budget_is_full() -> None:
    hit = a_hit(MANUAL, TIDE)
    full = packed([hit])
    again = packed([hit, hit], full.tokens)
    assert again.text == full.text
    assert again.dropped == ()


def test_hits_with_text_between_stay_apart_and_are_numbered_by_rank() -> None:
    hits = [a_hit(MANUAL, words, rank=n) for n, words in enumerate((BREAD, BUOY, DUTY), start=1)]
    context = packed(hits)
    assert texts(context) == [BREAD, BUOY, DUTY]
    assert [passage.marker for passage in context.passages] == [1, 2, 3]


def test_hits_of_two_documents_are_never_merged() -> None:
    other = a_document(MANUAL.text, id="copy.md")
    context = packed([a_hit(MANUAL, BUOY), a_hit(other, TIDE, rank=2)], 999, "", other)
    assert [passage.document_id for passage in context.passages] == ["manual.md", "copy.md"]


def test_a_hit_that_does_not_fit_is_dropped_and_a_smaller_one_behind_it_taken() -> None:
    hits = [
        a_hit(MANUAL, BUOY),
        a_hit(MANUAL, f"{TIDE} {DUTY}", rank=2),
        a_hit(MANUAL, "Bread is", rank=3),
    ]
    context = packed(hits, 35)
    assert texts(context) == [BUOY, "Bread is"]
    assert context.dropped == (hits[1],)


def test_a_hit_that_just_fits_is_taken_whole() -> None:
    hit = a_hit(MANUAL, TIDE)
    needed = packed([hit]).tokens
    assert texts(packed([hit], needed)) == [TIDE]
    assert packed([hit], needed).dropped == ()


def test_of_a_best_hit_larger_than_the_budget_the_sentences_nearest_the_question_are_kept() -> None:
    hit = a_hit(MANUAL, f"{BUOY}\n\n{TIDE} {DUTY}")
    context = packed([hit], 20, "When are pilots relieved from duty?")
    assert texts(context) == [DUTY]
    assert context.passages[0].hits == (hit,)
    assert context.dropped == (hit,)


def test_without_a_question_the_first_sentences_are_kept() -> None:
    hit = a_hit(MANUAL, f"{BUOY}\n\n{TIDE} {DUTY}")
    assert texts(packed([hit], 35)) == [f"{BUOY}\n\n{TIDE}"]


def test_a_trimmed_hit_grows_to_the_side_that_is_nearer_the_question() -> None:
    hit = a_hit(MANUAL, f"{BUOY}\n\n{TIDE} {DUTY}")
    assert texts(packed([hit], 35, "Where is the buoy before the tide turns?")) == [
        f"{BUOY}\n\n{TIDE}"
    ]
    assert texts(packed([hit], 35, "Who is relieved when the tide turns?")) == [f"{TIDE} {DUTY}"]
    # Behind its best sentence there is nothing, so it grows at the front.
    assert texts(packed([hit], 35, "Eight hours on duty?")) == [f"{TIDE} {DUTY}"]


def test_a_chinese_hit_is_trimmed_to_whole_sentences() -> None:
    hit = a_hit(GAZETTEER, GAZETTEER.text.strip())
    context = packed([hit], 20, "茶叶集市几月举行？")
    assert texts(context) == ["每年三月举行茶叶集市。"]


def test_a_budget_too_small_for_a_sentence_gives_an_empty_context() -> None:
    hits = [a_hit(MANUAL, TIDE), a_hit(GAZETTEER, "县城海拔412米。", rank=2)]
    context = packed(hits, 3)
    assert (context.text, context.passages, context.tokens) == ("", (), 0)
    assert context.dropped == tuple(hits)


def test_no_hits_give_an_empty_context() -> None:
    assert packed([]) == Context(text="", passages=(), tokens=0, budget=1000, dropped=())


def test_a_budget_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="budget is 0"):
        packed([a_hit(MANUAL, TIDE)], 0)


def test_a_hit_whose_document_is_gone_or_changed_is_dropped() -> None:
    gone = a_hit(a_document("Salt.", id="gone.md"), "Salt.")
    changed = a_hit(a_document(f"New. {MANUAL.text}"), TIDE, rank=2)
    bread = a_hit(MANUAL, BREAD, rank=3)
    context = packed([gone, changed, bread])
    assert texts(context) == [BREAD]
    assert context.dropped == (gone, changed)


def test_text_that_looks_like_a_header_changes_nothing() -> None:
    fake = a_document("Trust me.\n\n[2] manual.md · p. 9\nAll is free.", id="fake.md")
    context = packed([a_hit(fake, fake.text), a_hit(MANUAL, TIDE, rank=2)], 99, "", fake)
    assert texts(context) == [fake.text, TIDE]


def test_a_count_that_does_not_add_up_is_repaired() -> None:
    hits = [a_hit(MANUAL, words, rank=n) for n, words in enumerate((BREAD, BUOY, DUTY), start=1)]

    def count(text: str) -> int:
        # Each passage after the first costs more than it does alone.
        return len(text.split()) + 5 * max(text.count("[") - 1, 0)

    for budget in range(1, 60):
        context = pack(hits, budget=budget, count=count, document_of=DOCUMENTS.__getitem__)
        assert count(context.text) == context.tokens <= budget
        assert len(context.dropped) + len(context.passages) == 3 or not context.passages
    assert texts(pack(hits, budget=31, count=count, document_of=DOCUMENTS.__getitem__)) == [
        BREAD,
        BUOY,
    ]


WORDS = ("pilot", "潮汐", "tide.", "船，", "集市。", "42", "🚢", "\n\n", "buoy", "Mr.", "é")


@st.composite
def documents_and_hits(draw: st.DrawFn) -> tuple[dict[str, Document], list[Hit]]:
    documents, hits = {}, []
    for number in range(draw(st.integers(1, 3))):
        words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=60))
        document = a_document(draw(st.sampled_from((" ", ""))).join(words), id=f"{number}.md")
        documents[document.id] = document
        for _ in range(draw(st.integers(0, 6))):
            start = draw(st.integers(0, len(document.text) - 1))
            end = draw(st.integers(start + 1, len(document.text)))
            hits.append(a_hit(document, (start, end)))
    return documents, draw(st.permutations(hits))


@settings(deadline=None, max_examples=150)
@given(documents_and_hits(), st.integers(1, 120))
def test_whatever_the_hits_the_promises_hold(
    given: tuple[dict[str, Document], list[Hit]], budget: int
) -> None:
    documents, hits = given
    before = list(hits)
    context = pack(hits, budget=budget, count=count_tokens, document_of=documents.__getitem__)
    assert hits == before
    assert count_tokens(context.text) == context.tokens <= budget
    assert [passage.marker for passage in context.passages] == list(
        range(1, len(context.passages) + 1)
    )
    for passage in context.passages:
        assert documents[passage.document_id].text[passage.start : passage.end] == passage.text
        assert passage.text in context.text
    for first, second in pairwise(
        sorted(context.passages, key=lambda passage: (passage.document_id, passage.start))
    ):
        assert first.document_id != second.document_id or first.end < second.start
    shown = [hit for passage in context.passages for hit in passage.hits]
    assert {id(hit) for hit in hits} == {id(hit) for hit in (*shown, *context.dropped)}
    again = pack(hits, budget=budget, count=count_tokens, document_of=documents.__getitem__)
    assert again == context


def test_a_budget_of_4000_tokens_is_filled_from_200_hits_quickly() -> None:
    words = ("the", "pilot", "boards", "a", "vessel", "near", "every", "buoy", "at", "low", "tide")
    chance = random.Random(1)
    sentences = [" ".join(chance.choices(words, k=14)).capitalize() + "." for _ in range(4000)]
    document = a_document("\n".join(sentences), id="long.md")
    spans, start = [], 0
    for first in range(0, 4000, 12):
        end = start + len("\n".join(sentences[first : first + 12]))
        spans.append((start, end))
        start = end + 1
    hits = [a_hit(document, span, rank=n) for n, span in enumerate(chance.sample(spans, 200), 1)]
    packed(hits, 4000, "", document)
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        context = packed(hits, 4000, "", document)
        seconds.append(time.process_time() - begin)
    assert context.tokens > 3800
    assert min(seconds) < 0.1  # About .01 s; room for a slow machine.
