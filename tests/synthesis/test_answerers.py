"""A question and a context become a reply."""

import time

import pytest

from rag.errors import WindowExceeded
from rag.synthesis.answerers import ChatAnswerer, ExtractiveAnswerer
from rag.synthesis.citations import resolve
from rag.synthesis.context import pack
from rag.testing import AnswererContract, ScriptedModel
from rag.tokens import count_tokens
from rag.types import Answer, Context, Document
from tests.synthesis.factories import a_context, a_document, a_hit

MANUAL = a_document(
    "# 4 Pilotage\n\nA pilot boards every tanker at the fairway buoy. "
    "The pilot must be on board two hours before the tide turns. "
    "Pilots are relieved after eight hours on duty.\n\n"
    "| Berth | Length | Greatest draught |\n|---|---|---|\n| T1 | 96 | 4.1 |\n| T2 | 120 | 6.3 |"
)
KITCHEN = a_document(
    "Bread is baked at four in the morning. The cook keeps flour in the cellar.", id="kitchen.md"
)
GAZETTEER = a_document(
    "第三章　风俗\n\n砚溪县位于山谷之中。乡人叹道：“水已替我选过了。”"
    "每年三月举行茶叶集市，为期五天。",
    id="县志.md",
)
EMPTY = Context(text="", passages=(), tokens=0, budget=100, dropped=())


class TestChatAnswerer(AnswererContract):
    @pytest.fixture
    def answerer(self) -> ChatAnswerer:
        return ChatAnswerer(ScriptedModel(["Two hours before the tide turns [1]."]))


class TestExtractiveAnswerer(AnswererContract):
    @pytest.fixture
    def answerer(self) -> ExtractiveAnswerer:
        return ExtractiveAnswerer()


def quoted(question: str, *documents: Document) -> Answer:
    context = a_context(*((document, document.text) for document in documents))
    known = {document.id: document for document in documents}
    reply = ExtractiveAnswerer().answer(question, context)
    return resolve(question, reply, context, document_of=known.__getitem__, model="extractive")


def test_the_model_reads_the_passages_and_its_reply_is_handed_on() -> None:
    model = ScriptedModel(["Two hours before the tide turns [1]."])
    context = a_context((MANUAL, MANUAL.text))
    reply = ChatAnswerer(model).answer("When does the pilot board?", context)
    assert "".join(reply) == "Two hours before the tide turns [1]."
    assert reply.finish_reason == "stop"
    assert reply.usage.calls == 1
    (prompt,) = model.prompts
    assert context.text in prompt[-1].content


def test_the_answerer_is_named_after_its_model() -> None:
    assert ChatAnswerer(ScriptedModel()).name == "scripted"


def test_without_passages_the_model_is_not_asked() -> None:
    model = ScriptedModel()
    reply = ChatAnswerer(model).answer("引航员何时登船？", EMPTY)
    assert "".join(reply) == "所给段落没有回答这个问题。"
    assert reply.finish_reason == "refusal"
    assert model.prompts == []


def test_a_prompt_that_does_not_fit_is_not_sent() -> None:
    model = ScriptedModel()
    model.window = 500
    context = a_context((MANUAL, MANUAL.text))
    with pytest.raises(WindowExceeded, match="window is 500") as caught:
        ChatAnswerer(model, reply_tokens=300).answer("When does the pilot board?", context)
    needed = vars(caught.value)["needed"]
    assert needed > 500
    assert model.prompts == []
    model.window = needed
    ChatAnswerer(model, reply_tokens=300).answer("When does the pilot board?", context)


def test_a_reply_of_no_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="reply_tokens is 0"):
        ChatAnswerer(ScriptedModel(), reply_tokens=0)


def test_the_best_sentence_is_quoted_word_for_word_with_its_marker() -> None:
    answer = quoted("How long before the tide turns must the pilot be on board?", KITCHEN, MANUAL)
    assert answer.text == (
        "No language model is set up, so this is quoted and nothing is concluded from it:\n"
        "“The pilot must be on board two hours before the tide turns.” [2]"
    )
    (citation,) = answer.citations
    assert citation.quote == "The pilot must be on board two hours before the tide turns."
    assert citation.by == "model"
    assert (answer.rejected, answer.unsupported, answer.unknown_markers) == ((), (), ())


def test_among_equals_the_sentence_with_the_questions_small_words_comes_first() -> None:
    answer = quoted("When must the pilot be on board?", MANUAL)
    assert answer.citations[0].quote.startswith("The pilot must be on board")


def test_a_chinese_question_is_answered_in_chinese() -> None:
    answer = quoted("茶叶集市几月举行？", GAZETTEER)
    assert answer.text == (
        "没有配置语言模型，以下只是逐字摘录，不作推断：\n“每年三月举行茶叶集市，为期五天。” [1]"
    )
    assert answer.unsupported == ()


def test_a_sentence_with_quotation_marks_is_quoted_in_others() -> None:
    answer = quoted("水替乡人选过了什么？", GAZETTEER)
    assert "「乡人叹道：“水已替我选过了。”」 [1]" in answer.text
    assert [citation.quote for citation in answer.citations] == ["乡人叹道：“水已替我选过了。”"]


def test_a_sentence_with_every_kind_of_quotation_marks_is_left_out() -> None:
    crowded = a_document('The “tide” 「turns」 『at』 "noon". The tide turns.')
    assert [citation.quote for citation in quoted("Tide turns?", crowded).citations] == [
        "The tide turns."
    ]


def test_markers_inside_a_quoted_sentence_are_the_documents_own_words() -> None:
    footnotes = a_document("The bar moved [7] after the storm [2].")
    answer = quoted("When did the bar move?", footnotes)
    assert answer.text.endswith("“The bar moved [7] after the storm [2].” [1]")
    assert [citation.quote for citation in answer.citations] == [footnotes.text]
    assert answer.unknown_markers == ()


def test_a_row_of_a_table_is_quoted_with_the_row_that_names_its_columns() -> None:
    answer = quoted("What is the greatest draught at berth T2?", MANUAL)
    assert [citation.quote for citation in answer.citations] == [
        "| Berth | Length | Greatest draught |",
        "| T2 | 120 | 6.3 |",
    ]


def test_a_heading_is_no_answer() -> None:
    only = a_document("# Pilotage fees\n\nThey are set each spring.")
    answer = quoted("What are the pilotage fees?", only)
    assert all("#" not in citation.quote for citation in answer.citations)


def test_at_most_three_sentences_are_quoted() -> None:
    many = a_document(" ".join(f"Pilot {name} boards first." for name in ("Ann", "Bo", "Cy", "Di")))
    answer = quoted("Which pilot boards first?", many)
    assert [citation.quote for citation in answer.citations] == [
        "Pilot Ann boards first.",
        "Pilot Bo boards first.",
        "Pilot Cy boards first.",
    ]


def test_a_text_without_full_stops_is_quoted_in_its_clauses() -> None:
    clauses = [f"clause {n} names the quay of a ship and nothing else" for n in range(60)]
    clauses[30] = "clause 30 says that the pilot boards at the buoy"
    answer = quoted("Where does the pilot board?", a_document(", ".join(clauses)))
    assert answer.citations[0].quote == "clause 30 says that the pilot boards at the buoy,"


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("What is the capital of Mongolia?", "The passages do not answer this question."),
        ("蒙古国的首都叫什么名字？", "所给段落没有回答这个问题。"),
    ],
)
def test_what_nothing_in_the_context_covers_is_refused(question: str, begins: str) -> None:
    answer = quoted(question, MANUAL, GAZETTEER)
    assert answer.text.startswith(begins)
    assert answer.refusal == answer.text
    assert answer.finish_reason == "refusal"
    assert (answer.citations, answer.unsupported) == ((), ())


@pytest.mark.parametrize("question", ["How many bakers died?", "水库里养了什么鱼？"])
def test_a_passage_that_lacks_what_is_asked_about_is_not_quoted_for_a_word_it_shares(
    question: str,
) -> None:
    bakery = a_document("Bread is baked at four. The baker sells it from his own door.")
    reservoir = a_document("水库水位超过汛限时开闸放水。", id="水库.md")
    assert quoted(question, MANUAL, bakery, GAZETTEER, reservoir).refused


def test_a_question_without_words_is_refused() -> None:
    assert quoted("?!", MANUAL).refused


def test_a_context_of_6000_tokens_is_answered_quickly() -> None:
    sentences = [
        f"At quay {n} the master asks for a pilot and waits {n % 7} hours." for n in range(360)
    ]
    long = a_document(" ".join(sentences), id="long.md")
    context = a_context((long, long.text))
    assert 5500 < context.tokens < 6500
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        text = "".join(
            ExtractiveAnswerer().answer("How long does a pilot wait at quay 77?", context)
        )
        seconds.append(time.process_time() - begin)
    assert "At quay 77 the master asks for a pilot and waits 0 hours." in text
    assert min(seconds) < 0.1  # About .015 s; room for a slow machine.


def test_no_heading_of_a_merged_passage_is_quoted() -> None:
    text = "Access cards\nThey are kept at the gate.\n\nTowers\nThe tower is 41 metres high."
    document = a_document(text)
    second = text.index("Towers")
    hits = [
        a_hit(document, (0, second - 2), rank=1, headings=["Access cards"]),
        a_hit(document, (second, len(text)), rank=2, headings=["Towers"]),
    ]
    context = pack(hits, budget=1000, count=count_tokens, document_of=lambda _: document)
    (passage,) = context.passages
    assert passage.text == text
    for question in ("Where are the access cards kept?", "How high are the towers?"):
        said = "".join(ExtractiveAnswerer().answer(question, context))
        assert "“Access cards”" not in said
        assert "“Towers”" not in said
