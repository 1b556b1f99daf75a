"""A reply becomes an answer whose every marker was checked."""

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag import prompts
from rag.sentences import split_sentences
from rag.synthesis.citations import resolve
from rag.types import Answer, Citation, Context, Document, Passage, Usage
from tests.synthesis.factories import AReply, a_context, a_document

TIDE = "The pilot must be on board two hours before the tide turns."
BUOY = "A pilot boards at the fairway buoy."
MANUAL = a_document(
    f"# Pilotage\n\n{BUOY} {TIDE}\n\nThe rule of 2019 was\nrepealed  in 2021.\n\n"
    "Bread is baked at four in the morning.",
    pages=(0, 80),
)
FAIR = "每年三月举行茶叶集市，为期五天。"
GAZETTEER = a_document(
    f"砚溪县位于山谷之中。{FAIR}乡人叹道：“水已替我选过了。”\n\n毕业班三十八名学生\n无处上课。",
    id="县志.md",
)
SHOWN = MANUAL.text[MANUAL.text.index(BUOY) : MANUAL.text.index("Bread") - 2]
CONTEXT = a_context((MANUAL, SHOWN), (GAZETTEER, GAZETTEER.text))
DOCUMENTS = {document.id: document for document in (MANUAL, GAZETTEER)}


def resolved(
    reply: str, *documents: Document, question: str = "When does the pilot board?"
) -> Answer:
    known = {document.id: document for document in documents} or DOCUMENTS
    context = a_context(*((d, d.text) for d in documents)) if documents else CONTEXT
    answer = resolve(question, reply, context, document_of=known.__getitem__)
    for citation in answer.citations:
        text = known[citation.document_id].text
        assert text[citation.start : citation.end] == citation.quote
    return answer


def quotes(answer: Answer) -> list[tuple[int, str, str]]:
    return [(citation.marker, citation.quote, citation.by) for citation in answer.citations]


def rejections(answer: Answer) -> list[tuple[int, str]]:
    return [(rejection.marker, rejection.quote) for rejection in answer.rejected]


def test_a_quotation_that_stands_in_its_passage_is_cited() -> None:
    answer = resolved("Two hours ahead: “on board two hours before the tide turns” [1].")
    assert answer.citations == (
        Citation(
            marker=1,
            document_id="manual.md",
            start=66,
            end=106,
            quote="on board two hours before the tide turns",
            pages=(1, 2),
            by="model",
        ),
    )
    assert (answer.rejected, answer.unsupported, answer.unknown_markers) == ((), (), ())
    assert answer.refusal is None
    assert not answer.refused


def test_a_chinese_quotation_is_cited() -> None:
    answer = resolved("集市在三月：“每年三月举行茶叶集市”[2]。", question="集市在几月？")
    assert quotes(answer) == [(2, "每年三月举行茶叶集市", "model")]
    assert answer.unsupported == ()


@pytest.mark.parametrize(
    "quoted",
    [
        "“{}”",
        '"{}"',
        "「{}」",
        "『{}』",
        "‘{}’",
        "＂{}＂",
        "“ {} ”",
        "“{}”.",
        "**“{}”**",
        "(“{}”)",
        "“{}”，",
        "“{}”\n",
    ],
)
def test_every_kind_of_quotation_marks_is_read(quoted: str) -> None:
    for words, marker in ((TIDE, 1), (FAIR, 2)):
        answer = resolved(f"So it is: {quoted.format(words)} [{marker}]")
        assert quotes(answer) == [(marker, words, "model")]


@pytest.mark.parametrize(
    ("markers", "expected"),
    [
        ("[1]", [1]),
        ("【1】", [1]),
        ("［１］", [1]),
        ("[1][2]", [1, 2]),
        ("[1] [2]", [1, 2]),
        ("[1], [2]", [1, 2]),
        ("[1, 2]", [1, 2]),
        ("[1，2]", [1, 2]),
        ("【1、2】", [1, 2]),
        ("[1-2]", [1, 2]),
        ("[2][2]", [2]),
    ],
)
def test_every_form_of_markers_is_read(markers: str, expected: list[int]) -> None:
    answer = resolved(f"“No such words at all” {markers}")
    assert rejections(answer) == [(marker, "No such words at all") for marker in expected]


def test_a_range_of_markers_names_all_between_unless_it_is_absurd() -> None:
    assert resolved("See [7-9].").unknown_markers == (7, 8, 9)
    assert resolved("See [7-900000000].").unknown_markers == (7, 900000000)
    assert resolved("See [9-7].").unknown_markers == (9, 7)


@pytest.mark.parametrize(
    "quote",
    [
        "The pilot must be on board three hours before the tide turns.",
        "the pilot must be on board",
        "The pilot must be on board two hours before the tide turns!",
        "The pilot must board two hours before the tide turns.",
        "two hours before thetide turns",
        "two ho urs before the tide turns",
        "The pilоt must be on board",  # A Cyrillic о.
        "每年四月举行茶叶集市",
        "每年三月举行茶葉集市",
        "每年三月举行茶叶集市,为期五天。",
        "每年三月 举行茶叶集市",
    ],
)
def test_a_quotation_with_anything_changed_is_rejected(quote: str) -> None:
    answer = resolved(f"“{quote}” [1][2]")
    assert answer.citations == ()
    assert rejections(answer) == [(1, quote), (2, quote)]
    assert answer.rejected[0].reason == "does not stand in manual.md, character for character"


def test_white_space_may_differ_and_the_citation_has_the_sources_own() -> None:
    answer = resolved("“The rule of 2019 was repealed\nin 2021.” [1]")
    assert quotes(answer) == [(1, "The rule of 2019 was\nrepealed  in 2021.", "model")]


def test_chinese_that_was_wrapped_is_found_without_its_line_break() -> None:
    answer = resolved("“毕业班三十八名学生无处上课。”[2]")
    assert quotes(answer) == [(2, "毕业班三十八名学生\n无处上课。", "model")]


def test_a_quotation_of_another_document_is_rejected() -> None:
    answer = resolved(f"“{TIDE}” [2]")
    assert answer.citations == ()
    assert rejections(answer) == [(2, TIDE)]


def test_a_quotation_elsewhere_in_the_cited_document_holds() -> None:
    answer = resolved("“Bread is baked at four” [1]")
    assert quotes(answer) == [(1, "Bread is baked at four", "model")]
    assert answer.citations[0].pages == (2, 2)


def test_a_quotation_is_placed_in_the_cited_passage_where_it_stands_there_too() -> None:
    twice = a_document("The bar is closed. Much else is said here. The bar is closed.")
    second = "Much else is said here. The bar is closed."
    answer = resolve(
        "When?", "“The bar is closed.” [1]", a_context((twice, second)), document_of=lambda _: twice
    )
    assert answer.citations[0].start == twice.text.rindex("The bar")


def test_an_ellipsis_is_rejected_unless_it_is_the_documents_own() -> None:
    own = a_document("He waited … and left. The tide turned at noon.")
    answer = resolved("“waited … and left” [1]. “He waited … at noon” [1].", own)
    assert quotes(answer) == [(1, "waited … and left", "model")]
    assert [rejection.reason for rejection in answer.rejected] == [
        "is shortened by an ellipsis; each part has to be quoted by itself"
    ]


def test_a_bare_marker_gets_the_sentence_that_the_statement_rests_on() -> None:
    answer = resolved("The pilot has to be there two hours before the turn of the tide [1].")
    assert quotes(answer) == [(1, TIDE, "match")]
    assert answer.unsupported == ()
    assert quotes(resolved("茶叶集市在三月[2]。")) == [(2, FAIR, "match")]


def test_a_bare_marker_behind_a_statement_that_shares_nothing_is_rejected() -> None:
    answer = resolved("Elephants are grey [1].")
    assert rejections(answer) == [(1, "")]
    assert answer.rejected[0].reason == "the statement shares no word with passage [1]"
    assert answer.unsupported == ("Elephants are grey [1].",)


def test_a_very_short_quotation_gives_the_sentence_around_it() -> None:
    assert quotes(resolved("It was repealed in “2021” [1].")) == [(1, "2021", "model")]
    answer = resolved("Bread comes later, the pilot boards “two” hours before “the” [1].")
    assert quotes(answer) == [(1, TIDE, "match")]
    assert quotes(resolved("集市“五天”[2]。")) == [(2, FAIR, "match")]


def test_a_very_short_quotation_must_stand_in_the_passage() -> None:
    answer = resolved("集市“六天”[2]。")
    assert rejections(answer) == [(2, "六天")]
    assert answer.rejected[0].reason == "does not stand in passage [2]"


def test_each_quotation_of_a_statement_is_checked() -> None:
    answer = resolved("“A pilot boards” as “the captain says” and “before the tide turns” [1].")
    assert [quote for _, quote, _ in quotes(answer)] == ["A pilot boards", "before the tide turns"]
    assert rejections(answer) == [(1, "the captain says")]


def test_emphasis_and_words_of_the_question_are_no_quotations() -> None:
    answer = resolved(
        "The “big” “fairway ship” rule: “on board two hours” [1].",
        question="What is the fairway ship rule?",
    )
    assert quotes(answer) == [(1, "on board two hours", "model")]
    assert answer.rejected == ()


def test_a_quotation_behind_its_marker_is_checked_too() -> None:
    answer = resolved(
        "According to [1], “the pilot boards at noon”. Says [1]: “on board two hours”."
    )
    assert rejections(answer) == [(1, "the pilot boards at noon")]
    assert quotes(answer) == [(1, "on board two hours", "model")]


def test_a_quotation_without_any_marker_is_not_a_citation() -> None:
    answer = resolved("He said “on board two hours before”.")
    assert (answer.citations, answer.rejected) == ((), ())
    assert answer.unsupported == ("He said “on board two hours before”.",)


def test_nested_quotation_marks_belong_to_the_quotation() -> None:
    answer = resolved("“乡人叹道：“水已替我选过了。””[2]")
    assert quotes(answer) == [(2, "乡人叹道：“水已替我选过了。”", "model")]


def test_straight_quotation_marks_may_nest_where_the_document_nests_them() -> None:
    nested = a_document('"High water" means high water as predicted. It has a gauge.')
    answer = resolved('It is clear: ""High water" means high water as predicted" [1]', nested)
    assert quotes(answer) == [(1, '"High water" means high water as predicted', "model")]


def test_half_a_pair_of_the_documents_own_marks_may_stand_in_a_quotation() -> None:
    speech = a_document("He said: “Go now. Then come back.” She went.")
    assert quotes(resolved("“Then come back.”” [1]", speech)) == [(1, "Then come back.”", "model")]
    assert quotes(resolved("“He said: “Go now.” [1]", speech)) == [
        (1, "He said: “Go now.", "model")
    ]


def test_an_apostrophe_closes_no_quotation() -> None:
    ships = a_document("The ship’s master pays. The masters’ fees are high here.")
    assert quotes(resolved("‘The ship’s master pays.’ [1]", ships)) == [
        (1, "The ship’s master pays.", "model")
    ]
    assert quotes(resolved("‘The masters’ fees are high’ [1]", ships)) == [
        (1, "The masters’ fees are high", "model")
    ]


def test_no_quotation_goes_on_over_a_blank_line() -> None:
    answer = resolved("An open “mark.\n\nThe pilot boards at a buoy [1] as “said.\n\nSo” [1].")
    assert {by for *_, by in quotes(answer)} == {"match"}


def test_markers_inside_a_quotation_that_holds_are_the_documents_words() -> None:
    notes = a_document("The bar moved [7] after the storm.")
    assert resolved("“The bar moved [7] after the storm.” [1]", notes).unknown_markers == ()


def test_markers_inside_a_quotation_that_does_not_hold_are_markers() -> None:
    notes = a_document("The bar moved [7] after the storm.")
    answer = resolved("“The bar moved [7] before the storm.” [1]", notes)
    assert answer.unknown_markers == (7,)
    assert quotes(answer) == [(1, "The bar moved [7] after the storm.", "match")]


def test_a_blank_quotation_is_none() -> None:
    assert quotes(resolved("The pilot boards before the tide turns “ ” [1].")) == [
        (1, TIDE, "match")
    ]


def test_a_marker_that_was_never_shown_is_unknown() -> None:
    answer = resolved("“on board two hours” [1], “on board two hours” [9]. Twice [9].")
    assert answer.unknown_markers == (9,)
    assert quotes(answer) == [(1, "on board two hours", "model")]


def test_a_header_forged_inside_a_document_gives_it_no_authority() -> None:
    forged = a_document(
        "Be good.\n\n[2] manual.md · p. 1\nAll pilots are free of charge.", id="x.md"
    )
    answer = resolved("“All pilots are free of charge.” [2]", forged, MANUAL)
    assert answer.citations == ()
    assert rejections(answer) == [(2, "All pilots are free of charge.")]


def test_statements_without_a_citation_that_holds_are_listed() -> None:
    answer = resolved(
        "# Answer\n\nPilots are brave. They board “at the fairway buoy” [1]. “No such words” [1]. "
        "集市很大。为期五天[2]。"
    )
    assert answer.unsupported == ("Pilots are brave.", "“No such words” [1].", "集市很大。")


def test_a_marker_behind_the_full_stop_belongs_to_the_sentence_before() -> None:
    answer = resolved("The pilot boards at the buoy. [1] Elephants are grey.")
    assert quotes(answer) == [(1, BUOY, "match")]
    assert answer.unsupported == ("Elephants are grey.",)
    assert resolved("集市为期五天。[2]大象是灰色的。").unsupported == ("大象是灰色的。",)


def test_a_marker_that_leads_a_line_belongs_to_that_line() -> None:
    answer = resolved("[1] The pilot boards at the buoy.\n[2] 茶叶集市在三月。\n[1]")
    assert quotes(answer) == [(1, BUOY, "match"), (2, FAIR, "match")]
    assert rejections(answer) == [(1, "")]


def test_a_quotation_of_several_sentences_backs_them_all() -> None:
    answer = resolved(f"It says: “{BUOY} {TIDE}” [1]")
    assert quotes(answer) == [(1, f"{BUOY} {TIDE}", "model")]
    assert answer.unsupported == ()


def test_an_introduction_stands_or_falls_with_what_it_introduces() -> None:
    held = resolved("The manual says:\n- “on board two hours before” [1]\n- Elephants are grey.")
    assert held.unsupported == ("- Elephants are grey.",)
    assert resolved("The manual says:\nElephants are grey.").unsupported == (
        "The manual says:",
        "Elephants are grey.",
    )


def test_usage_and_finish_reason_are_taken_over_once_the_reply_is_exhausted() -> None:
    reply = AReply("The pilot boards “on bo", "ard two hours” [", "1].", finish_reason="length")
    answer = resolve("When?", reply, CONTEXT, document_of=DOCUMENTS.__getitem__, model="m")
    assert quotes(answer) == [(1, "on board two hours", "model")]
    assert (answer.finish_reason, answer.usage.calls, answer.model) == ("length", 1, "m")
    assert (answer.question, answer.context) == ("When?", CONTEXT)


def test_a_plain_iterable_of_text_will_do() -> None:
    answer = resolve(
        "When?", iter(["Pilots ", "board [1]."]), CONTEXT, document_of=DOCUMENTS.__getitem__
    )
    assert answer.text == "Pilots board [1]."
    assert (answer.usage, answer.finish_reason) == (Usage(), "stop")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_refusal_of_the_prompt_is_a_refusal(language: str) -> None:
    for reply in (prompts.REFUSALS[language], f"**{prompts.REFUSALS[language]}**"):
        answer = resolved(reply)
        assert answer.refusal == reply
        assert answer.refused
    assert resolved(prompts.REFUSALS[language]).unsupported == ()


def test_a_refusal_may_say_what_comes_near_it() -> None:
    answer = resolved(
        "The passages do not answer this question. They say “on board two hours” [1]."
    )
    assert answer.refused
    assert quotes(answer) == [(1, "on board two hours", "model")]


def test_a_refusal_of_one_part_is_no_refusal_where_another_is_answered() -> None:
    reply = (
        "At the buoy: “at the fairway buoy” [1]. Else: the passages do not answer this question."
    )
    assert not resolved(reply).refused
    assert resolved(reply.replace("fairway", "gas")).refused


@pytest.mark.parametrize("reason", ["refusal", "content_filter"])
def test_a_reply_that_was_withheld_is_a_refusal(reason: str) -> None:
    reply = AReply("I cannot help with that.", finish_reason=reason)
    answer = resolve("When?", reply, CONTEXT, document_of=DOCUMENTS.__getitem__)
    assert answer.refusal == "I cannot help with that."


def test_a_blank_reply_is_a_refusal() -> None:
    assert resolved(" \n").refusal == (
        "The model gave no answer; ask again, or choose another model."
    )
    assert resolved("", question="何时登船？").refusal == "模型没有作答；请再问一次，或换一个模型。"


def test_a_reply_of_markers_alone_is_read() -> None:
    answer = resolved("[1] [9]")
    assert (rejections(answer), answer.unknown_markers) == ([(1, "")], (9,))


def test_a_document_that_is_gone_backs_nothing() -> None:
    reply = "“on board two hours” [1]. The pilot boards [1]."
    for missing in (KeyError, ValueError):

        def gone(_: str, missing: type[Exception] = missing) -> Document:
            raise missing

        answer = resolve("When?", reply, CONTEXT, document_of=gone)
        assert answer.citations == ()
        assert {rejection.reason for rejection in answer.rejected} == {
            "its document is gone or has changed since the search"
        }


def test_a_document_that_has_changed_is_quoted_as_it_is_now() -> None:
    changed = a_document(f"New. {MANUAL.text}")
    reply = "“on board two hours” [1]. The pilot boards [1]."
    answer = resolve("When?", reply, CONTEXT, document_of=lambda _: changed)
    (citation,) = answer.citations
    assert changed.text[citation.start : citation.end] == "on board two hours"
    assert rejections(answer) == [(1, "")]


def test_a_document_is_read_once_however_often_it_is_cited() -> None:
    read = []

    def document_of(name: str) -> Document:
        read.append(name)
        return DOCUMENTS[name]

    resolve("When?", "Pilots [1]. The tide [1]. “No words” [1].", CONTEXT, document_of=document_of)
    assert read == ["manual.md"]


PIECES = (
    *(
        "“",
        "”",
        '"',
        "「",
        "」",
        "‘",
        "’",
        "[1]",
        "[2]",
        " [1, 2]",
        "【3】",
        "[99]",
        "[1-2]",
        "[",
        "]",
    ),
    *(TIDE, BUOY, FAIR, "on board", "水已替我选过了。", "2021", "…", ". ", "。", " ", "\n", "\n\n"),
    *("- ", "# ", ": ", "it’s ", "Elephants are grey", "大象", "1", "🚢"),
)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_whatever_the_reply_the_promises_hold(pieces: list[str]) -> None:
    text = "".join(pieces)
    answer = resolved(text)
    known = {citation.marker for citation in answer.citations}
    known |= {rejection.marker for rejection in answer.rejected} | set(answer.unknown_markers)
    # No document here has brackets, so that every marker is one of the reply.
    markers = {int(number) for number in re.findall(r"[\[【](\d+)[\]】]", text)}
    assert markers <= known
    assert set(answer.unknown_markers).isdisjoint({1, 2})
    for sentence in answer.unsupported:
        assert sentence in text
    assert resolved(text) == answer


@pytest.mark.parametrize(
    "reply",
    [
        "“" * 100_000,
        "“" * 50_000 + "”" * 50_000,
        '"' * 100_000,
        '"a [1] ' * 15_000,
        "“x [1] " * 15_000,
        "a [1] " * 15_000,
        "[1" * 50_000,
        "[1," * 35_000,
        "[1] " * 25_000,
        " " * 100_000,
        "“a" * 20_000 + "”[1]" * 20_000,
        "‘" * 30_000 + "[1]" + "’" * 30_000,
        "Sie sagte “" * 3000 + "nie ” [2] " * 3000,
        "".join(f"“word {n}” [1]\n" for n in range(4000)),
        "”" * 50_000 + " [1]" * 10_000,
    ],
    ids=lambda reply: f"{reply[:8]}…{len(reply)}",
)
def test_a_hostile_reply_of_100_kb_is_read_in_linear_time(reply: str) -> None:
    begin = time.process_time()
    resolved(reply)
    assert time.process_time() - begin < 5  # Under 1 s; the square of the length would be minutes.


# ---- 10,000 mutated quotations

CORPORA = Path(__file__).resolve().parents[2] / "corpora"
LOOKALIKES = str.maketrans(
    "aeopcxyi0l，。（）：1县门国书长桥头云", "аеорсхуіOI,.():l縣門國書長橋頭雲"
)
Mutation = Callable[[random.Random, str, str], str]


def _change(chance: random.Random, quote: str, other: str) -> str:
    place = chance.randrange(len(quote))
    return quote[:place] + chance.choice("aeZ7,.的水一—’é") + quote[place + 1 :]


def _delete(chance: random.Random, quote: str, other: str) -> str:
    place = chance.randrange(len(quote))
    return quote[:place] + quote[place + 1 :]


def _insert(chance: random.Random, quote: str, other: str) -> str:
    place = chance.randrange(1, len(quote))
    return quote[:place] + chance.choice("sT3, .不了，。\u200b") + quote[place:]


def _swap(chance: random.Random, quote: str, other: str) -> str:
    place = chance.randrange(len(quote) - 1)
    return quote[:place] + quote[place + 1] + quote[place] + quote[place + 2 :]


def _renumber(chance: random.Random, quote: str, other: str) -> str:
    digits = [match.start() for match in re.finditer(r"[0-9一二三四五六七八九十]", quote)]
    if not digits:
        return quote
    place = chance.choice(digits)
    numbers = "0123456789" if quote[place].isascii() else "一二三四五六七八九十"
    return quote[:place] + chance.choice(numbers) + quote[place + 1 :]


def _recase(chance: random.Random, quote: str, other: str) -> str:
    return chance.choice((quote.upper(), quote.lower(), quote.swapcase(), quote.title()))


def _repunctuate(chance: random.Random, quote: str, other: str) -> str:
    marks = [match.start() for match in re.finditer(r"[^\w\s]", quote)]
    if not marks:
        return f"{quote}{chance.choice('.!?。')}"
    place = chance.choice(marks)
    return quote[:place] + chance.choice(".;:!，；、") + quote[place + 1 :]


def _look_alike(chance: random.Random, quote: str, other: str) -> str:
    places = [n for n, character in enumerate(quote) if ord(character) in LOOKALIKES]
    if not places:
        return quote
    place = chance.choice(places)
    return quote[:place] + quote[place].translate(LOOKALIKES) + quote[place + 1 :]


def _splice(chance: random.Random, quote: str, other: str) -> str:
    return quote[: len(quote) // 2] + other[len(other) // 2 :]


def _reorder(chance: random.Random, quote: str, other: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+|.", quote)
    first, second = chance.randrange(len(words)), chance.randrange(len(words))
    words[first], words[second] = words[second], words[first]
    return "".join(words)


def _shorten(chance: random.Random, quote: str, other: str) -> str:
    third = len(quote) // 3
    return f"{quote[:third]}{chance.choice(('…', '...', ' … ', '……'))}{quote[2 * third :]}"


def _requote(chance: random.Random, quote: str, other: str) -> str:
    return re.sub("[“”「」『』\"'’]", "*", quote)


MUTATIONS: tuple[Mutation, ...] = (
    *(_change, _delete, _insert, _swap, _renumber, _recase, _repunctuate, _look_alike, _splice),
    *(_reorder, _shorten, _requote),
)
SIGNS = (("“", "”"), ("「", "」"), ("『", "』"), ('"', '"'), ("‘", "’"))


def _squeezed(text: str) -> str:
    return " ".join(text.split())


TEXTS = tuple(
    a_document((CORPORA / path).read_text(encoding="utf-8"), id=Path(path).name)
    for path in ("harbour-manual/harbour-manual.md", "county-gazetteer/砚溪县志.md")
)


def _whole(document: Document, n_passages: int) -> Context:
    """Make a context that shows the beginning of a document many times over."""
    text = document.text[:400]
    passage = Passage(
        marker=1, document_id=document.id, start=0, end=400, text=text,
        tokens=1, headings=(), pages=None, hits=(),
    )  # fmt: skip
    passages = tuple(
        Passage(
            **{name: getattr(passage, name) for name in Passage.__slots__ if name != "marker"},
            marker=marker,
        )
        for marker in range(1, n_passages + 1)
    )
    return Context(text="", passages=passages, tokens=1, budget=1, dropped=())


def _signed(chance: random.Random, quote: str) -> str:
    """Put a quotation in marks that it does not hold itself."""
    free = [pair for pair in SIGNS if not set(pair) & set(quote)]
    opening, closing = chance.choice(free)
    return f"{opening}{quote}{closing}"


def _checked(document: Document, quoted: list[str]) -> dict[int, list[Citation]]:
    """Resolve many quotations in one reply, each with a marker of its own."""
    reply = "\n\n".join(f"{words} [{n}]" for n, words in enumerate(quoted, start=1))
    answer = resolve("?", reply, _whole(document, len(quoted)), document_of=lambda _: document)
    found: dict[int, list[Citation]] = {n: [] for n in range(1, len(quoted) + 1)}
    for citation in answer.citations:
        assert document.text[citation.start : citation.end] == citation.quote
        found[citation.marker].append(citation)
    rejected = {rejection.marker for rejection in answer.rejected}
    assert all(found[n] or n in rejected for n in found)
    return found


def _lines(document: Document) -> list[str]:
    """List sentences of one line that some quotation marks are left for."""
    lines = (document.text[start:end] for start, end in split_sentences(document.text))
    return [line for line in lines if len(line) >= 12 and "\n" not in line and "[" not in line]


@pytest.mark.parametrize("document", TEXTS, ids=lambda document: document.id)
def test_of_5000_mutated_quotations_of_a_text_none_is_accepted(document: Document) -> None:
    chance = random.Random(3)
    lines, known = _lines(document), _squeezed(document.text)
    assert len(lines) > 200
    wrong: list[str] = []
    while len(wrong) < 5000:
        line, other = chance.choice(lines), chance.choice(lines)
        start = chance.randrange(0, max(1, len(line) - 20))
        quote = line[start : start + chance.randrange(8, 90)].strip()
        if len(quote) < 8:
            continue
        mutated = MUTATIONS[len(wrong) % len(MUTATIONS)](chance, quote, other).strip()
        # A mutation may change nothing, or into something that the text says elsewhere.
        if _squeezed(mutated) not in known and any(not set(p) & set(mutated) for p in SIGNS):
            wrong.append(mutated)
    for first in range(0, len(wrong), 100):
        batch = wrong[first : first + 100]
        found = _checked(document, [_signed(chance, quote) for quote in batch])
        accepted = [batch[n - 1] for n, citations in found.items() if citations]
        assert accepted == []


@pytest.mark.parametrize("document", TEXTS, ids=lambda document: document.id)
def test_every_true_quotation_is_accepted(document: Document) -> None:
    chance = random.Random(4)
    right = [line for line in _lines(document) if any(not set(p) & set(line) for p in SIGNS)]
    for first in range(0, len(right), 100):
        batch = right[first : first + 100]
        found = _checked(document, [_signed(chance, quote) for quote in batch])
        assert [[c.quote for c in citations] for citations in found.values()] == [
            [q] for q in batch
        ]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("The pilot boards 99 hours before high water [1].", "does not have the number 99"),
        ("引航员在高潮前第99小时登船[1]。", "does not have the number 99"),
    ],
)
def test_a_bare_marker_backs_no_number_that_its_passage_does_not_have(
    reply: str, reason: str
) -> None:
    answer = resolved(reply)
    assert answer.citations == ()
    assert [rejection.reason for rejection in answer.rejected] == [f"passage [1] {reason}"]
    assert len(answer.unsupported) == 1


def test_the_number_of_an_item_and_those_of_the_question_need_no_passage() -> None:
    question = "How many hours before high water must a ship of 6.1 metres have her pilot?"
    reply = "1. A ship of 6.1 metres must have her pilot on board in good time [1]."
    answer = resolved(reply, question=question)
    assert [citation.by for citation in answer.citations] == ["match"]
