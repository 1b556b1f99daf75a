"""A corpus is asked every question of a list: ``Question`` list -> ``Row`` list.

What it finds is compared with the evidence of each question (`rag.evaluation`); what it
answers, where that is asked for, with the answers. Only the corpus's public methods are used:
what is measured is what a user gets.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rag.corpus import Corpus
from rag.evaluation import (
    Place,
    Row,
    evidence_recall,
    hit,
    ndcg,
    overlap,
    recall,
    reciprocal_rank,
)
from rag.questions import Question
from rag.settings import Settings
from rag.types import Answer, By, Chunk, Embedder, Hit, Matrix, Passage

K = 10
"""Hits that are judged: as many as `rag search` shows."""
BUDGETS = (500, 1000)
"""Tokens of the contexts that are judged. In the 6,000 of the setting hardly anything of a
small corpus is missing, so that no change shows."""
OnQuestion = Callable[[int], None]
"""Told how many questions have been asked."""

LABELS = {
    "recall": "evidence in {} hits",
    "hit": "some evidence in {} hits",
    "mrr": "MRR, {} hits",
    "ndcg": "nDCG, {} hits",
    "documents": "documents in {} hits",
    "evidence": "evidence in {} tokens",
    "all_evidence": "all evidence in {} tokens",
    "answered": "answered where there is an answer",
    "refused": "refused where there is none",
    "answer_contained": "answer contained",
    "quotations": "quotations an answer",
    "quotation_exact": "quotations that hold",
}
"""What a figure is for people; the number behind its ``@`` fills the gap."""


def label_of(figure: str) -> str:
    """Say what a figure is; an unknown one says its name.

    Examples
    --------
    >>> label_of("recall@10"), label_of("f1")
    ('evidence in 10 hits', 'f1')
    """
    name, _, number = figure.partition("@")
    size = f"{int(number):,}" if number.isdecimal() else number
    return LABELS.get(name, figure).format(size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is measured, and how."""

    k: int = K
    budgets: tuple[int, ...] = BUDGETS
    by: By = "fused"
    """Which ranking; contexts are always packed from the fused one."""
    answers: bool = False
    """Whether every question is answered too, which may cost a model's call each."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.k < 1 or min(self.budgets, default=1) < 1:
            message = f"k={self.k}, budgets={self.budgets}: each must be at least 1"
            raise ValueError(message)


class QueryMemory:
    """An embedder that embeds no query twice: one question is searched for several times."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name, self.revision = embedder.name, embedder.revision
        self.embed_query = cache(embedder.embed_query)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._embedder.dimension

    @property
    def max_tokens(self) -> int:
        """The most tokens it reads."""
        return self._embedder.max_tokens

    def count(self, text: str) -> int:
        """Count a text's tokens."""
        return self._embedder.count(text)

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Embed texts to be found: (n, d)."""
        return self._embedder.embed_documents(texts)


def remember_queries(corpus: Corpus) -> None:
    """Let a corpus, and what is rebuilt of it, embed each query once as long as it lives."""
    if not isinstance(corpus.embedder, QueryMemory):
        corpus.close()  # What is open goes on with the embedder that it was opened with.
        corpus.embedder = QueryMemory(corpus.embedder)


def reopen(
    corpus: Corpus, settings: Settings, *, scratch: Path, known: Sequence[Corpus] = ()
) -> Corpus:
    """Open a corpus under other settings, without a change to its index.

    Parameters
    ----------
    scratch : an empty folder. Where the settings shape the index, it is made there; otherwise
        the corpus's own is read.
    known : as in `Corpus.rebuild`.

    Returns
    -------
    Corpus
        To be closed before the folder is deleted.
    """
    remember_queries(corpus)
    before = corpus.settings
    if (settings.documents, settings.embeddings) != (before.documents, before.embeddings):
        return corpus.rebuild(scratch, settings=settings, known=known)
    return Corpus.open(
        corpus.path,
        settings=settings,
        embedder=corpus.embedder,
        reranker=corpus.reranker,
        model=corpus.model or corpus.answerer,
    )


def measure(
    corpus: Corpus,
    questions: Sequence[Question],
    *,
    how: Measured | None = None,
    progress: OnQuestion | None = None,
) -> list[Row]:
    """Ask every question and compare what is found with its evidence.

    Parameters
    ----------
    corpus : synced.
    questions : their spans hold in the corpus's documents, as `read_questions` checks.
    how : None: the defaults.

    Returns
    -------
    list of Row
        One a question, in their order. Figures of each question with evidence:

        ``recall@k``
            share of the evidence's characters that the first k hits cover.
        ``hit@k``, ``mrr@k``, ``ndcg@k``
            over chunks, as `rag.evaluation` calls them relevant: whether one is among the
            first k, 1 / rank of the first, and the order of all; the best order is taken over
            every chunk of the corpus.
        ``documents@k``
            share of the evidence's documents that the first k hits come from.
        ``evidence@budget``, ``all_evidence@budget``
            share of the evidence's characters in a context of so many tokens, and whether it
            is all of them.

        With answers also ``answered`` (1: not refused), ``answer_contained`` (1: every one of
        ``Question.answers`` stands in the text, but for case, width and white space);
        ``refused`` (1) for a question without evidence; ``quotations``, how many the reply
        gave, and ``quotation_exact``, the share that stands in its document.

    Raises
    ------
    ValueError
        As `Corpus.search`.
    ProviderError
        A model failed.
    """
    how = how or Measured()
    remember_queries(corpus)
    chunks_of = cache(corpus.chunks)
    rows = []
    for done, question in enumerate(questions, start=1):
        figures: dict[str, float] = {}
        if question.evidence:
            places = [(span.document_id, span.start, span.end) for span in question.evidence]
            hits = corpus.search(question.question, k=how.k, by=how.by)
            figures |= _of_hits(hits, places, chunks_of=chunks_of, k=how.k)
            figures |= _of_contexts(corpus, question.question, places, how.budgets)
        if how.answers:
            figures |= _of_answer(corpus, question)
        rows.append(Row(id=question.id, type=question.type, figures=figures))
        if progress is not None:
            progress(done)
    return rows


def _of_hits(
    hits: Sequence[Hit],
    evidence: Sequence[Place],
    *,
    chunks_of: Callable[[str], list[Chunk]],
    k: int,
) -> dict[str, float]:
    documents = {document_id: 1.0 for document_id, _, _ in evidence}
    chunks = [chunk for document_id in documents for chunk in chunks_of(document_id)]
    gains = {chunk.id: float(overlap([_place(chunk)], evidence)) for chunk in chunks}
    ranked = [hit.chunk.id for hit in hits]
    found = list(dict.fromkeys(hit.chunk.document_id for hit in hits))
    figures = {"recall": evidence_recall(map(_place, (h.chunk for h in hits)), evidence)}
    if any(gains.values()):
        figures["hit"] = hit(ranked, gains, k=k)
        figures["mrr"] = reciprocal_rank(ranked, gains, k=k)
        figures["ndcg"] = ndcg(ranked, gains, k=k)
    figures["documents"] = recall(found, documents, k=k)
    return {f"{name}@{k}": value for name, value in figures.items()}


def _of_contexts(
    corpus: Corpus, question: str, evidence: Sequence[Place], budgets: Sequence[int]
) -> dict[str, float]:
    figures = {}
    for budget in budgets:
        passages = corpus.context(question, budget=budget).passages
        share = evidence_recall(map(_place, passages), evidence)
        figures[f"evidence@{budget}"] = share
        figures[f"all_evidence@{budget}"] = float(share == 1)
    return figures


def _of_answer(corpus: Corpus, question: Question) -> dict[str, float]:
    answer = corpus.ask(question.question)
    if not question.evidence:
        return {"refused": float(answer.refused), **_of_quotations(corpus, answer)}
    figures = {"answered": float(not answer.refused)}
    if question.answers:
        text = _squeezed(answer.text)
        contained = all(_squeezed(part) in text for part in question.answers)
        figures["answer_contained"] = float(contained and not answer.refused)
    return figures | _of_quotations(corpus, answer)


def _of_quotations(corpus: Corpus, answer: Answer) -> dict[str, float]:
    """Look every quotation up once more: the figure does not rest on who made the citations."""
    exact = sum(
        corpus.document(citation.document_id).text[citation.start : citation.end] == citation.quote
        for citation in answer.citations
    )
    given = len(answer.citations) + len(answer.rejected)
    return {"quotations": given, "quotation_exact": exact / given} if given else {}


def _squeezed(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _place(part: Chunk | Passage) -> Place:
    return part.document_id, part.start, part.end
