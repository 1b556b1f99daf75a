"""One document, all the way to a checked citation, by the functions that the corpus uses."""

from pathlib import Path

import rag
from rag.embeddings.onnx import OnnxEmbedder
from rag.testing import ScriptedModel
from tests.conftest import ROOT

QUESTION = "When must the pilot be on board?"


def test_a_manual_is_asked_offline_and_the_quotation_holds(
    tmp_path: Path, minilm: OnnxEmbedder
) -> None:
    document = rag.load(ROOT / "corpora" / "harbour-manual" / "harbour-manual.md")
    chunks = rag.chunk(document, size=200, count=minilm.count)
    store = rag.Store.create(tmp_path / "index", embedder=minilm)
    store.replace(document, chunks, minilm.embed_documents([c.embedded for c in chunks]))

    hits = rag.retrieve(QUESTION, [store.dense, store.lexical], neighbours=store.neighbours, k=20)
    model = ScriptedModel(["At least “two hours before the tide turns” [1]."])
    context = rag.pack(hits, budget=1500, count=model.count, document_of=store.document)
    assert context.tokens <= 1500
    marker = next(p.marker for p in context.passages if "two hours before" in p.text)
    sentence = next(line for line in document.text.splitlines() if "two hours before" in line)
    quote = sentence[: sentence.index("two hours before") + len("two hours before")]
    model = ScriptedModel([f"“{quote}” [{marker}]"])
    messages = rag.build_messages(QUESTION, context)
    answer = rag.resolve(QUESTION, model.stream(messages), context, document_of=store.document)
    store.close()

    (citation,) = answer.citations
    assert citation.quote == quote == document.text[citation.start : citation.end]
    assert answer.rejected == ()
