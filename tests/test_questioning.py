"""A corpus asks itself: balanced, seeded, in two languages, every answer where it says."""

import json
from collections import Counter
from itertools import pairwise

import pytest

from rag.documents.sections import find_sections
from rag.questioning import ASKED, COPIED, Made, ask_model, make_questions
from rag.questions import Question
from rag.terms import language, terms
from rag.testing import ScriptedModel
from rag.types import Document

COLOURS = ("crimson", "amber", "ivory", "violet", "copper", "silver")
TRADES = ("cooper", "weaver", "tanner", "mason", "joiner", "glazier")
PLACES = ("云脚乡", "鲤湾村", "桥亭镇", "石门坎", "白石溪", "万寿宫")
ENGLISH = "# Harbour\n\n" + "".join(
    f"## Rules of the {colour} quay\n\n"
    f"On the {colour} quay a {trade} named Captain Holm must wait {number} minutes for the tide. "
    f"Nobody else has ever complained that {trade}s sleep behind the {colour} lamp at night.\n\n"
    for number, (colour, trade) in enumerate(
        zip(COLOURS, TRADES, strict=True),
        start=41,
    )
)
CHINESE = "# 砚溪县志\n\n" + "".join(
    f"## {place}的水利规定\n\n{place}在{year}年修建水渠，全长{year - 1000}米，灌溉山下的茶园。"
    f"每逢旱季，{place}的村民轮流看守闸门，不得擅自放水。\n\n"
    for year, place in enumerate(PLACES, 1921)
)


def a_document(id_: str, text: str) -> Document:
    sections = find_sections(text, markdown=True)
    return Document(id=id_, text=text, digest="", title=id_, sections=sections)


HARBOUR, COUNTY = a_document("harbour.md", ENGLISH), a_document("县志.md", CHINESE)


def of_type(questions: list[Question], type_: str) -> list[Question]:
    return [question for question in questions if question.type == type_]


@pytest.mark.parametrize("document", [HARBOUR, COUNTY], ids=["en", "zh"])
def test_types_have_equal_shares_and_every_evidence_stands_where_it_says(
    document: Document,
) -> None:
    questions = make_questions([document], 8)
    assert Counter(question.type for question in questions) == dict.fromkeys(COPIED, 2)
    for question in questions:
        (place,) = question.evidence
        assert document.text[place.start : place.end] == place.text
        assert document.text.count(place.text) == 1
        assert language(question.question) == language(document.text)
    assert [question.id for question in questions] == [f"made-{n:03}" for n in range(1, 9)]
    places = [question.evidence[0] for question in questions]
    assert all(one.end <= other.start for one, other in pairwise(places))


def test_a_heading_asks_for_the_beginning_of_its_section() -> None:
    for question in of_type(make_questions([HARBOUR], 24), "heading"):
        colour = question.question.split()[-2]
        assert question.question == f"Rules of the {colour} quay"
        assert question.evidence[0].text.startswith(f"On the {colour} quay a ")


@pytest.mark.parametrize("document", [HARBOUR, COUNTY], ids=["en", "zh"])
def test_a_blank_is_answered_by_what_stood_there(document: Document) -> None:
    found = of_type(make_questions([document], 24), "cloze")
    assert found
    for question in found:
        (answer,) = question.answers
        sentence = question.evidence[0].text
        assert answer not in question.question
        assert question.question.replace("____", answer) == sentence


@pytest.mark.parametrize("document", [HARBOUR, COUNTY], ids=["en", "zh"])
def test_rare_terms_are_few_and_from_their_sentence(document: Document) -> None:
    found = of_type(make_questions([document], 24), "rare terms")
    assert found
    for question in found:
        words = question.question.split()
        assert len(words) == 4
        assert all(word in question.evidence[0].text for word in words)


def test_the_rarest_terms_are_those_that_stand_in_the_fewest_sentences() -> None:
    question = of_type(make_questions([HARBOUR], 24), "rare terms")[0]
    common = {"quay", "captain", "holm", "wait", "minut", "tide", "nobodi", "sleep", "night"}
    assert len(common & set(terms(question.question))) <= 2


@pytest.mark.parametrize("document", [HARBOUR, COUNTY], ids=["en", "zh"])
def test_a_thinned_sentence_keeps_its_order_and_loses_two_fifths(document: Document) -> None:
    found = of_type(make_questions([document], 24), "thinned")
    assert found
    for question in found:
        sentence = question.evidence[0].text
        place = 0
        for word in question.question.split():
            place = sentence.index(word, place) + len(word)
        kept = sum(map(len, question.question.split())) / len(sentence)
        assert 0.3 < kept < 0.75


def test_the_same_seed_makes_the_same_questions_and_another_others() -> None:
    documents = [HARBOUR, COUNTY]
    first = make_questions(documents, 10, seed=3)
    assert make_questions(documents[::-1], 10, seed=3) == first
    assert make_questions(documents, 10, seed=4) != first


def test_texts_that_make_fewer_questions_give_fewer() -> None:
    assert make_questions([], 5) == []
    assert make_questions([a_document("a", "Short. 短。\n\n| a | b |\n")], 5) == []
    few = make_questions([HARBOUR], 1000)
    assert 6 <= len(few) <= 12
    with pytest.raises(ValueError, match="at least 1 question is made, not 0"):
        make_questions([HARBOUR], 0)


def test_a_sentence_that_stands_twice_is_no_evidence() -> None:
    twin = a_document("twin.md", ENGLISH)
    assert make_questions([HARBOUR, twin], 5) == []


# ---- a chat model -------------------------------------------------------------------------------


def reply(question: str, quote: str, answer: str) -> str:
    fields = {"question": question, "quote": quote, "answer": answer}
    return json.dumps(fields, ensure_ascii=False)


def test_a_model_is_given_a_passage_and_its_question_is_checked_and_placed() -> None:
    text = "The pilot of the harbour boards every large vessel two hours before high water.\n"
    quote = "boards every large vessel two hours before high water"
    said = f"Sure!\n```json\n{reply('When does one come?', quote, 'two hours')}\n```"
    model = ScriptedModel([said])
    made = ask_model([a_document("a.txt", text)], 1, model=model)
    (question,) = made.questions
    assert (question.question, question.answers) == ("When does one come?", ("two hours",))
    assert (question.type, question.id) == (ASKED, "made-001")
    (place,) = question.evidence
    assert (text[place.start : place.end], place.document_id) == (quote, "a.txt")
    assert made.rejected == ()
    system, user = model.prompts[0]
    assert "exam question" in system.content
    assert text.strip() in user.content


def test_a_chinese_passage_is_asked_about_in_chinese() -> None:
    model = ScriptedModel([reply("水渠多长？", "全长921米", "921米")] * 2)
    ask_model([COUNTY], 1, model=model)
    assert "考题" in model.prompts[0][0].content


QUOTE = "The pilot of the harbour boards every large vessel two hours before high water."
REJECTED = [
    ("I cannot do that.", "no JSON object with question, quote and answer"),
    ('{"question": "When?", "quote": 7, "answer": "two"}', "no JSON object with question, quote"),
    ("{question: When?}", "no JSON object with question, quote and answer"),
    (reply("When?", "boards at noon", "noon"), "the quote does not stand in the passage"),
    (reply("When?", QUOTE, "three hours"), "the answer does not stand in the quote"),
    (reply("Is it TWO HOURS before?", QUOTE, "two hours"), "the question contains its answer"),
]


@pytest.mark.parametrize(("said", "reason"), REJECTED, ids=[reason for _, reason in REJECTED])
def test_a_reply_that_does_not_check_out_is_counted_and_not_taken(said: str, reason: str) -> None:
    made = ask_model([a_document("a.txt", QUOTE)], 1, model=ScriptedModel([said]))
    assert made.questions == ()
    ((told, count),) = made.rejected
    assert told.startswith(reason)
    assert count == 1


def test_a_quote_is_taken_once_and_a_model_is_asked_twice_a_question_at_most() -> None:
    said = reply("How long?", "minutes for the tide", "minutes")
    model = ScriptedModel([said] * 6)
    made = ask_model([HARBOUR], 3, model=model)
    assert isinstance(made, Made)
    assert len(model.prompts) <= 6
    assert len(made.questions) + sum(count for _, count in made.rejected) == len(model.prompts)
    with pytest.raises(ValueError, match="at least 1"):
        ask_model([HARBOUR], 0, model=model)
