"""The values that travel: frozen, comparable, hashable, picklable."""

import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from rag import types
from rag.errors import EmptyDocument
from rag.types import (
    Answer,
    Chunk,
    Context,
    Document,
    Failure,
    Hit,
    Page,
    Passage,
    Section,
    SyncReport,
    Usage,
)

VALUES = [
    kind
    for _, kind in inspect.getmembers(types, inspect.isclass)
    if dataclasses.is_dataclass(kind) and kind.__module__ == "rag.types"
]


def a_chunk(text: str = "The pilot boards.") -> Chunk:
    return Chunk(
        id="c1",
        document_id="a.md",
        start=0,
        end=len(text),
        text=text,
        embedded=text,
        tokens=5,
        headings=("Pilots",),
        pages=(1, 2),
    )


def an_answer(refusal: str | None = None) -> Answer:
    hit = Hit(chunk=a_chunk(), rank=1, score=0.5, by="fused")
    passage = Passage(
        marker=1,
        document_id="a.md",
        start=0,
        end=17,
        text="The pilot boards.",
        tokens=9,
        headings=(),
        pages=None,
        hits=(hit,),
    )
    context = Context(text="[1] …", passages=(passage,), tokens=12, budget=100, dropped=())
    return Answer(
        question="Who boards?",
        text="The pilot [1].",
        citations=(),
        rejected=(),
        context=context,
        refusal=refusal,
        unsupported=(),
        unknown_markers=(),
        model="scripted",
        usage=Usage(calls=1),
        finish_reason="stop",
    )


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_a_value_is_frozen_slotted_and_built_by_keywords(kind: Any) -> None:
    parameters = kind.__dataclass_params__
    assert parameters.frozen
    assert parameters.eq
    assert "__slots__" in vars(kind)
    assert all(field.kw_only for field in dataclasses.fields(kind))


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_no_field_of_a_value_holds_what_can_be_changed(kind: Any) -> None:
    written = [str(field.type) for field in dataclasses.fields(kind)]
    assert not [text for text in written if text.startswith(("list", "dict", "set", "numpy"))]


def test_a_value_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_chunk().text = "Another."  # type: ignore[misc]


def test_equal_values_are_one_key_of_a_dictionary() -> None:
    assert an_answer() == an_answer()
    assert {an_answer(): "found"}[an_answer()] == "found"
    assert an_answer() != an_answer(refusal="nothing fits")


def test_a_document_with_pages_sections_and_metadata_is_hashable() -> None:
    def a_document(year: int) -> Document:
        return Document(
            id="a.md",
            text="Pilots\n",
            digest="0" * 64,
            title="Pilots",
            pages=(Page(number=1, start=0, end=7),),
            sections=(Section(title="Pilots", level=1, start=0, end=7),),
            metadata=(("encoding", "utf-8"), ("year", year)),
        )

    assert {a_document(1905), a_document(1905), a_document(1906)} == {
        a_document(1905),
        a_document(1906),
    }


def test_a_nested_value_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(an_answer())) == an_answer()


def test_an_answer_is_refused_when_it_says_why() -> None:
    assert not an_answer().refused
    assert an_answer(refusal="the documents do not say").refused


def test_a_failure_unpacks_as_id_and_error_also_after_pickle() -> None:
    error = EmptyDocument("scanned.pdf holds no text", source="scanned.pdf")
    report = SyncReport(failed=(Failure(id="scanned.pdf", error=error),))
    copy = pickle.loads(pickle.dumps(report))
    [(failed, why)] = copy.failed
    assert failed == "scanned.pdf"
    assert isinstance(why, EmptyDocument)
    assert why.source == "scanned.pdf"
