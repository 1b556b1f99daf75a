"""How much of the evidence of a corpus's questions lies in what a model would read."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_args

from rag import Corpus, count_tokens, pack
from rag.types import By

Question = dict[str, Any]
Shown = tuple[str, int, int]
"""A stretch of a document that the model reads: its id, start and end."""


def questions_of(corpus: Corpus) -> list[Question]:
    """Read the questions of a corpus that have an answer in it."""
    lines = (corpus.path / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [question for question in map(json.loads, lines) if question["evidence"]]


def against_budget(corpus: Corpus, budgets: Sequence[int]) -> Mapping[str, Sequence[float]]:
    """Tell for each way to choose what the model reads how far budgets go.

    Returns
    -------
    mapping
        "truncation", "dense", "lexical" and "fused" -> for each budget the share of questions
        whose evidence is all there. Truncation is given the right documents, and shares the
        budget among their beginnings; the others have to find the places in all documents.
    """
    asked = questions_of(corpus)
    head = cache(lambda name, tokens: _head(corpus.document(name).text, tokens))
    count = cache(count_tokens)  # The same chunks come again and again.
    shares = {"truncation": [_share(asked, [_begin(q, b, head) for q in asked]) for b in budgets]}
    for by in ("dense", "lexical", "fused"):
        assert by in get_args(By)
        rankings = [corpus.search(question["question"], k=200, by=by) for question in asked]
        shares[by] = []
        for budget in budgets:
            contexts = [
                pack(hits, budget=budget, count=count, document_of=corpus.document)
                for hits in rankings
            ]
            shown = [[(p.document_id, p.start, p.end) for p in c.passages] for c in contexts]
            shares[by].append(_share(asked, shown))
    return shares


def _share(asked: Sequence[Question], shown: Sequence[Sequence[Shown]]) -> float:
    found = [
        _is_covered(question, stretches) for question, stretches in zip(asked, shown, strict=True)
    ]
    return sum(found) / len(found)


def _is_covered(question: Question, stretches: Sequence[Shown]) -> bool:
    return all(
        any(
            name == place["document_id"] and start <= place["start"] and place["end"] <= end
            for name, start, end in stretches
        )
        for place in question["evidence"]
    )


def _begin(question: Question, budget: int, head: Any) -> list[Shown]:
    names = list(dict.fromkeys(place["document_id"] for place in question["evidence"]))
    return [(name, 0, head(name, budget // len(names))) for name in names]


def _head(text: str, tokens: int) -> int:
    """Tell how many characters the first tokens of a text have, by halving."""
    low, high = 0, min(len(text), tokens * 8)
    while low < high:
        half = (low + high + 1) // 2
        if count_tokens(text[:half]) <= tokens:
            low = half
        else:
            high = half - 1
    return low
