"""A reply becomes an answer: each of its quotations is looked up in the documents.

1. The reply is read as statements with markers and quotations (`quotations`).
2. A quotation holds where it stands in the document of the cited passage character for
   character; only runs of white space may differ, as they do where lines were wrapped. The
   citation carries the document's own characters. What does not hold is rejected and says why.
3. A bare marker gets the sentence of its passage that shares most with the statement, unless
   the statement has a number that neither the passage nor the question has.
4. Statements without a citation that holds are listed.

What counts as a quotation of a marker: the one directly before it, whatever its length, and
any other of its sentence that has at least four characters and is not taken from the question;
shorter ones are names and emphasis. One of fewer than four characters holds in too many places
to show anything, so it must stand in the passage itself, and the sentence around it is cited.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from typing import Literal

from rag import prompts
from rag.sentences import split_sentences
from rag.synthesis.answerers import REFUSAL
from rag.synthesis.context import pages_of
from rag.synthesis.matching import cover
from rag.synthesis.quotations import Claim, Mark, Quotation, Statement, read
from rag.synthesis.searchable import Searchable
from rag.terms import language, terms
from rag.types import Answer, Citation, Context, Document, Passage, Rejection, Reply, Span, Usage

_SHORT = 4
"""Characters that are not white space; see above."""
_WITHHELD = frozenset({REFUSAL, "content_filter"})
"""Finish reasons of a reply that is none; the second is OpenAI's."""
_MARKUP = "*_#> \t\n\"“「'"
"""What may stand before a refusal."""
_SAID = (*prompts.REFUSALS.values(), *prompts.NOTHING_QUOTED.values())
_ELLIPSIS = re.compile(r"…|\.\.\.|\. \. \.")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_ITEM = re.compile(r"\A\W*\d{1,3}[.)、）]\s*(?=\D)")
"""The number of an item in a list, which says nothing."""
_GONE = "its document is gone or has changed since the search"


def resolve(
    question: str,
    reply: Reply | Iterable[str],
    context: Context,
    *,
    document_of: Callable[[str], Document],
    model: str = "",
) -> Answer:
    """Check every marker and quotation of a reply against the documents.

    Parameters
    ----------
    question : what was asked.
    reply : its pieces, or the whole text. Where it has ``usage`` and ``finish_reason`` they
        are taken over once it is exhausted; else they are ``Usage()`` and "stop".
    context : what the model was shown.
    document_of : id -> the document; a KeyError or ValueError means that it is gone.
    model : who replied.

    Returns
    -------
    Answer
        ``citation.quote == document.text[citation.start:citation.end]`` for every citation.
        Each marker of the text is in ``citations``, ``rejected`` or ``unknown_markers``,
        except those inside a quotation that holds: they are the document's own words.
        ``refusal`` is the text of a reply that was withheld, is blank, begins with a refusal
        (`rag.prompts.REFUSALS`), or contains one and cites nothing that holds.

    Notes
    -----
    Linear in the length of the reply; each quotation is looked up in its document once.
    """
    text = "".join(reply)
    usage = getattr(reply, "usage", Usage())
    finish_reason = getattr(reply, "finish_reason", "stop")
    sources = _Sources(context, document_of)
    statements = read(text, stands=sources.stands)
    claims = [
        (statement, claim, number)
        for statement in statements
        for claim in statement.claims
        for number in claim.mark.numbers
    ]
    unknown = dict.fromkeys(number for *_, number in claims if sources.get(number) is None)
    judged = [
        pair
        for statement, claim, number in claims
        for source in (sources.get(number),)
        if source is not None
        for pair in _judged(question, statement, claim, source)
    ]
    # A dict keeps the order of the reply, and what is said twice once.
    citations = dict.fromkeys(found for found, _ in judged if isinstance(found, Citation))
    rejected = dict.fromkeys(found for found, _ in judged if isinstance(found, Rejection))
    backed = [stretch for found, stretch in judged if isinstance(found, Citation)]
    return Answer(
        question=question,
        text=text,
        citations=tuple(citations),
        rejected=tuple(rejected),
        context=context,
        refusal=_refusal(question, text, finish_reason, holds=bool(citations)),
        unsupported=tuple(_unsupported(text, statements, backed)),
        unknown_markers=tuple(unknown),
        model=model,
        usage=usage,
        finish_reason=finish_reason,
    )


def _judged(
    question: str, statement: Statement, claim: Claim, source: "_Source"
) -> Iterator[tuple[Citation | Rejection, Span]]:
    """Judge what one marker vouches for, each with the stretch of the reply that it backs."""
    quotations = [each for each in claim.quotations if _counts(each, claim.mark, question)]
    if not quotations:
        found = _unheard_of(statement.text, source, question) or _matched(statement.text, source)
        yield found, (statement.start, statement.end)
    for quotation in quotations:
        stretch = (min(quotation.start, statement.start), max(quotation.end, statement.end))
        if _length(quotation.words) < _SHORT:
            yield _matched(statement.text, source, quotation.words), stretch
        else:
            yield _looked_up(quotation.words, source), stretch


def _counts(quotation: Quotation, mark: Mark, question: str) -> bool:
    """Whether a mark vouches for a quotation, or it is a name or emphasis."""
    if quotation.mark == mark:
        return True
    return _length(quotation.words) >= _SHORT and quotation.words not in question


def _length(words: str) -> int:
    return sum(not character.isspace() for character in words)


def _looked_up(words: str, source: "_Source") -> Citation | Rejection:
    """Cite where words stand, or say that they do not."""
    span = source.find(words)
    if span is not None:
        return source.cite(span, by="model")
    if not source.stands:
        reason = _GONE
    elif _ELLIPSIS.search(words):
        reason = "is shortened by an ellipsis; each part has to be quoted by itself"
    else:
        reason = f"does not stand in {source.document.id}, character for character"
    return Rejection(marker=source.passage.marker, quote=words, reason=reason)


def _unheard_of(statement: str, source: "_Source", question: str) -> Rejection | None:
    """Reject a bare marker behind a number that nobody but the model has said."""
    unknown = source.unknown_numbers(statement) - _numbers(question)
    if not unknown:
        return None
    marker = source.passage.marker
    reason = f"passage [{marker}] does not have the number {', '.join(sorted(unknown))}"
    return Rejection(marker=marker, quote="", reason=reason)


def _numbers(text: str) -> set[str]:
    """List the numbers in figures, without the commas between thousands."""
    return {number.replace(",", "") for number in _NUMBER.findall(text)}


def _matched(statement: str, source: "_Source", words: str = "") -> Citation | Rejection:
    """Cite the sentence of a passage that a statement rests on most; it must hold the words."""
    span = source.best_sentence(statement, words)
    if span is not None:
        return source.cite(span, by="match")
    if not source.stands:
        reason = _GONE
    elif words:
        reason = f"does not stand in passage [{source.passage.marker}]"
    else:
        reason = f"the statement shares no word with passage [{source.passage.marker}]"
    return Rejection(marker=source.passage.marker, quote=words, reason=reason)


def _refusal(question: str, text: str, finish_reason: str, *, holds: bool) -> str | None:
    """Tell why a question was not answered; None where it was."""
    plain = text.strip()
    if not plain:
        return prompts.EMPTY_REPLY[language(question)]
    if finish_reason in _WITHHELD:
        return plain
    folded = plain.casefold()
    for phrase in prompts.REFUSALS.values():
        core = phrase.rstrip(".。").casefold()
        if folded.lstrip(_MARKUP).startswith(core) or (core in folded and not holds):
            return plain
    return None


def _unsupported(
    text: str, statements: Sequence[Statement], backed: Iterable[Span]
) -> Iterator[str]:
    """Yield the statements that nothing backs."""
    starts = [statement.start for statement in statements]
    ends = [statement.end for statement in statements]
    supported = {
        place
        for start, end in backed
        for place in range(bisect_right(ends, start), bisect_left(starts, end))
    }
    for place in range(len(statements) - 2, -1, -1):
        # What ends in a colon introduces the next statement, and stands or falls with it.
        if statements[place].text.endswith((":", "：")) and place + 1 in supported:
            supported.add(place)
    for place, statement in enumerate(statements):
        if place not in supported and _states(statement.text):
            yield text[statement.start : statement.end]


def _states(sentence: str) -> bool:
    """Whether a sentence says anything of its own: it is no heading and no refusal."""
    has_words = any(character.isalnum() for character in sentence)
    return has_words and sentence[0] != "#" and not any(sentence in said for said in _SAID)


class _Sources:
    """The passages that were shown, by their markers."""

    def __init__(self, context: Context, document_of: Callable[[str], Document]) -> None:
        self._passages = {passage.marker: passage for passage in context.passages}
        self._sources: dict[int, _Source] = {}
        self._document_of = document_of
        self._documents: dict[str, tuple[Document, Searchable]] = {}

    def get(self, marker: int) -> "_Source | None":
        """Find what a marker names; None where no passage has it."""
        if marker not in self._sources and marker in self._passages:
            passage = self._passages[marker]
            self._sources[marker] = _Source(passage, *self._document(passage.document_id))
        return self._sources.get(marker)

    def stands(self, words: str, mark: Mark) -> bool:
        """Whether words stand in the document of one of a mark's passages."""
        found = [self.get(number) for number in mark.numbers]
        return any(source is not None and source.find(words) is not None for source in found)

    def _document(self, document_id: str) -> tuple[Document, Searchable]:
        """Read a document once; one that is gone has no text, and nothing stands in it."""
        if document_id not in self._documents:
            try:
                document = self._document_of(document_id)
            except (KeyError, ValueError):
                document = Document(id=document_id, text="", digest="", title="")
            self._documents[document_id] = (document, Searchable(document.text))
        return self._documents[document_id]


class _Source:
    """A passage, and its document as it is now."""

    def __init__(self, passage: Passage, document: Document, searchable: Searchable) -> None:
        self.passage = passage
        self.document = document
        self.stands = document.text[passage.start : passage.end] == passage.text
        """Whether the passage is still where it was."""
        self._whole = searchable
        self._part = Searchable(passage.text)
        self._shares = cache(self._share)
        self.unknown_numbers = cache(self._unknown_numbers)

    def find(self, words: str) -> Span | None:
        """Find words in the passage, or else anywhere in the document."""
        inside = self._part.find(words) if self.stands else None
        if inside is not None:
            return self.passage.start + inside[0], self.passage.start + inside[1]
        return self._whole.find(words)

    def best_sentence(self, statement: str, words: str) -> Span | None:
        """Find the sentence that shares most with a statement; with words, one that has them."""
        shares = self._shares(statement)
        places = [
            place
            for place, (sentence, _) in enumerate(self._sentences)
            if (words in sentence if words else shares[place])
        ]
        if not places:
            return None
        # Of equals the shorter, which says less that nobody asked for.
        best = max(places, key=lambda place: (shares[place], -len(self._sentences[place][0])))
        start, end = self._spans[best]
        return self.passage.start + start, self.passage.start + end

    def cite(self, span: Span, *, by: Literal["model", "match"]) -> Citation:
        """Cite a span of the document in its own characters."""
        return Citation(
            marker=self.passage.marker,
            document_id=self.document.id,
            start=span[0],
            end=span[1],
            quote=self.document.text[span[0] : span[1]],
            pages=pages_of(self.document, *span),
            by=by,
        )

    def _unknown_numbers(self, statement: str) -> set[str]:
        """List the numbers of a statement that the passage does not have."""
        return _numbers(_ITEM.sub("", statement)) - self._numbers

    @cached_property
    def _numbers(self) -> set[str]:
        return _numbers(" ".join((self.passage.text, *self.passage.headings)))

    def _share(self, statement: str) -> list[float]:
        """Tell how much of a statement each sentence covers."""
        wanted = frozenset(terms(statement))
        return cover(wanted, [wanted & held for _, held in self._sentences])

    @cached_property
    def _spans(self) -> list[Span]:
        return split_sentences(self.passage.text) if self.stands else []

    @cached_property
    def _sentences(self) -> list[tuple[str, frozenset[str]]]:
        """The passage's sentences, each with its terms."""
        sentences = [self.passage.text[start:end] for start, end in self._spans]
        return [(sentence, frozenset(terms(sentence))) for sentence in sentences]
