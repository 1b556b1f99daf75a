"""BM25 by Tantivy over our own terms.

Terms are joined by spaces and split again by Tantivy's white-space tokenizer, so that what
counts as a term is decided in `rag.terms` alone. A second field holds the single Chinese
characters, asked only by queries that have one.

An index is only ever added to, or built anew: documents deleted in Tantivy go on counting
in its BM25. While a folder of terms lives it therefore holds at least the catalog's
chunks, and what else it holds is left out when hits are looked up.

Scores are Tantivy's BM25 (k1 = 1.2, b = 0.75; Robertson, Zaragoza (2009),
doi:10.1561/1500000019), with the idf that is never negative, ln(1 + (N - n + .5) / (n + .5)),
and lengths rounded to one byte. A term that a query repeats counts as often.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import tantivy

from rag.index.copies import CopyFailed, guarded
from rag.terms import characters, terms
from rag.types import Chunk

_HEAP_BYTES = 64_000_000
"""Of the writer: about 100,000 chunks go into one segment without a pause."""
_SLACK = 64
"""Asked for beyond k, so that ties at the end can be ordered by id."""
_DIGITS = 4
"""Of a score: it is a sum of float32, whose last digits depend on the order of the terms."""


class Lexicon:
    """One Tantivy index.

    Parameters
    ----------
    folder : where it lies; None keeps it in memory.
    must_exist : whether it is an error that the folder holds no index; else one is made.

    Raises
    ------
    CopyFailed
        Whatever Tantivy raised, here and in every method.
    """

    def __init__(self, folder: Path | None, *, must_exist: bool = False) -> None:
        path = None if folder is None else str(folder)
        with guarded():
            if must_exist and not (path and tantivy.Index.exists(path)):
                raise CopyFailed(f"{path} holds no index of terms")
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._index = tantivy.Index(_schema(), path=path)
            self._index.config_reader("manual", 1)
            self._searcher = self._index.searcher()

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def ids(self) -> list[str]:
        """List the chunks that are indexed, in no certain order; one added twice is there twice."""
        if not len(self):
            return []
        with guarded():
            everything = tantivy.Query.all_query()
            found = self._searcher.search(everything, limit=len(self), count=False).hits
        return [self._id(address) for _, address in found]

    def add(self, chunks: Iterable[Chunk]) -> None:
        """Index chunks, and make them findable and durable."""
        with guarded():
            writer = self._index.writer(_HEAP_BYTES, num_threads=1)
            for chunk in chunks:
                writer.add_document(
                    tantivy.Document(
                        id=chunk.id,
                        document=chunk.document_id,
                        terms=" ".join(terms(chunk.embedded)),
                        characters=" ".join(characters(chunk.embedded)),
                    )
                )
            writer.commit()
            writer.wait_merging_threads()
            self._index.reload()
            self._searcher = self._index.searcher()

    def search(
        self, query: str, k: int, *, documents: Sequence[str] | None = None
    ) -> list[tuple[str, float]]:
        """Find the chunks that share terms with a query.

        Parameters
        ----------
        k : at least so many are returned where there are so many.
        documents : ids of the documents to look in; None: all.

        Returns
        -------
        list of (chunk id, score)
            Best first, ties by id, all with a score above 0; as many more than k as share
            the last one's score.
        """
        built = self._query(query, documents)
        if built is None:
            return []
        limit = k + _SLACK
        while True:
            with guarded():
                found = self._searcher.search(built, limit=limit, count=False).hits
            scores = [round(float(score), _DIGITS) for score, _ in found]
            if len(found) < limit or scores[-1] < scores[k - 1]:
                break
            limit *= 2
        last = scores[min(k, len(scores)) - 1] if scores else 0.0
        pairs = [
            (self._id(address), score)
            for (_, address), score in zip(found, scores, strict=True)
            if score >= last
        ]
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def _id(self, address: tantivy.DocAddress) -> str:
        with guarded():
            return str(self._searcher.doc(address)["id"][0])

    def _query(self, query: str, documents: Sequence[str] | None) -> tantivy.Query | None:
        schema = self._index.schema
        clauses = []
        for term in terms(query):
            clauses.append((tantivy.Occur.Should, tantivy.Query.term_query(schema, "terms", term)))
            if len(term) == 1 and characters(term + term):  # A single Chinese character.
                inside_runs = tantivy.Query.term_query(schema, "characters", term)
                clauses.append((tantivy.Occur.Should, inside_runs))
        if not clauses:
            return None
        found = tantivy.Query.boolean_query(clauses)
        if documents is None:
            return found
        inside = tantivy.Query.term_set_query(schema, "document", list(documents))
        return tantivy.Query.boolean_query(
            [
                (tantivy.Occur.Must, found),
                (tantivy.Occur.Must, tantivy.Query.const_score_query(inside, 0.0)),
            ]
        )


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("document", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
    builder.add_text_field("characters", tokenizer_name="whitespace", index_option="freq")
    return builder.build()
