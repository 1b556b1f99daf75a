"""A question and a context become a reply: by a chat model, or by quoting.

``ChatAnswerer`` builds the prompt, proves that it fits the model's window, and hands on what
the model writes. ``ExtractiveAnswerer`` needs no model:

1. Each sentence of the context is scored by how much of the question's terms it covers, rare
   terms weighing more. Its heading, the sentence before it and, in a table, the header row
   lend a part of theirs.
2. Sentences of later passages count a little less.
3. The best up to three are quoted word for word with their markers, or none where the best
   and the passage around it cover too little of the question.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rag import prompts
from rag.sentences import split_sentences, split_to_fit
from rag.synthesis.matching import cover, finder, key_terms
from rag.synthesis.messages import build_messages, count_prompt, exceeded
from rag.terms import language
from rag.types import ChatModel, Context, Passage, Reply, Span, Usage

REFUSAL = "refusal"
"""The ``finish_reason`` of a reply that leaves the question unanswered."""
_MOST_SENTENCES = 3
_MOST_CHARACTERS = 600
"""A longer sentence, for example a text without full stops, is offered in its clauses."""
_LENT = 0.4
"""The weight of what heading, sentence before and header row lend; the sentence has the rest."""
_LATER = 0.05
"""A passage's sentences count 1 / (1 + 0.05 (marker - 1)). With 0.4 a sentence of the evidence
was among the best three for 93 of 100 English and 84 of 100 Chinese questions of XQuAD (150
each, BM25, contexts of 3,000 tokens), against 89 and 79 with both at 0."""
_LEAST = {"en": 0.39, "zh": 0.16}
"""The least confidence in the best sentence, see `_confidence`; Chinese scores lower, for its
bigrams also lie across words. Chosen on 300 questions of XQuAD a language, and these are the
figures of 300 others: each is asked of the eight paragraphs that share most terms with it, once
with the one that answers it among them and once with the next in its stead. English: the answer
is quoted for 248 and refused for 18; refused without it are 220. Chinese: 234, 16, 159. The score
alone, at least .3 and .15, gave 249, 14, 185 and 232, 10, 115. Of 150 questions each put to the
example corpora, which know nothing of them, 145 and 149 are refused, by the score alone 142 and
136. Questions written to come near a text share its words, and most of them are still answered
beside the point: to tell that takes a model."""
_BESIDE = 0.6
"""A second and third sentence score at least this share of the best. On the 300 questions above
0.6 quotes a sentence of the evidence for 243 in 481 sentences, 0.4 for 250 in 629, 0.8 for 238
in 380."""
_QUOTES = (("“", "”"), ("「", "」"), ("『", "』"), ('"', '"'))


class SaidReply:
    """A reply that is known whole; can be read once."""

    def __init__(self, pieces: Sequence[str], *, finish_reason: str) -> None:
        self.usage = Usage()
        self.finish_reason = finish_reason
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the pieces."""
        return self._pieces


class ChatAnswerer:
    """The Answerer role by a chat model.

    Parameters
    ----------
    model : asked once a question, unless the context is empty.
    reply_tokens : tokens of the window kept free for the reply.

    Raises
    ------
    ValueError
        ``reply_tokens < 1``.
    """

    def __init__(self, model: ChatModel, *, reply_tokens: int = 1024) -> None:
        if reply_tokens < 1:
            message = f"reply_tokens is {reply_tokens}; a reply needs at least 1"
            raise ValueError(message)
        self._model = model
        self._reply_tokens = reply_tokens

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    def answer(self, question: str, context: Context) -> Reply:
        """Let the model answer piece by piece.

        Returns
        -------
        Reply
            The model's own. Where the context has no passage the model is not asked, and the
            reply is a refusal whose ``finish_reason`` is "refusal".

        Raises
        ------
        WindowExceeded
            The prompt and the room for the reply are more than the model takes.
        """
        if not context.passages:
            return SaidReply([prompts.REFUSALS[language(question)]], finish_reason=REFUSAL)
        messages = build_messages(question, context)
        needed = count_prompt(messages, count=self._model.count) + self._reply_tokens
        if needed > self._model.window:
            raise exceeded(
                needed=needed, window=self._model.window, reply_tokens=self._reply_tokens
            )
        return self._model.stream(messages)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence that may be quoted."""

    marker: int
    text: str
    own: frozenset[str]
    """Its terms."""
    around: frozenset[str]
    """Its terms and those of what explains it."""
    passage: frozenset[str]
    """The terms of its whole passage, headings included."""
    header: str = ""
    """In a table, the row that names the columns."""


class ExtractiveAnswerer:
    """The Answerer role without a model: it quotes and concludes nothing."""

    name: str = "extractive"

    def answer(self, question: str, context: Context) -> Reply:
        """Quote the sentences of the context that cover the question best.

        Returns
        -------
        Reply
            Up to three quotations, best first, each an exact slice of its passage and
            followed by its marker. Where none covers enough of the question the reply says
            so, and its ``finish_reason`` is "refusal".
        """
        spoken = language(question)
        if not context.passages:
            return SaidReply([prompts.REFUSALS[spoken]], finish_reason=REFUSAL)
        quoted = [(marker, _quoted(text)) for marker, text in _best(question, context)]
        lines = [f"\n{text} [{marker}]" for marker, text in quoted if text is not None]
        if not lines:
            return SaidReply([prompts.NOTHING_QUOTED[spoken]], finish_reason=REFUSAL)
        return SaidReply([prompts.QUOTED[spoken], *lines], finish_reason="stop")


def _best(question: str, context: Context) -> list[tuple[int, str]]:
    """Choose the sentences to quote, each with its passage's marker."""
    wanted = key_terms(question)
    scored = _scored(question, wanted, context)
    if not scored or _confidence(wanted, *scored[0]) < _LEAST[language(question)]:
        return []
    chosen: list[tuple[int, str]] = []
    for value, sentence in scored[:_MOST_SENTENCES]:
        if value < scored[0][0] * _BESIDE:
            break
        for part in (sentence.header, sentence.text):
            if part and (sentence.marker, part) not in chosen:
                chosen.append((sentence.marker, part))
    return chosen


def _confidence(wanted: frozenset[str], score: float, sentence: _Sentence) -> float:
    """Tell how likely a sentence is to answer, from 0 to the root of the number of terms.

    The score is weighed by the share of the terms that the passage holds: a sentence beside
    the point shares a word or two with the question, and so does all that is around it. And
    half of ten terms are more than chance gives, half of two are not: hence the root.
    """
    n = len(wanted)
    return score * (len(sentence.passage) / n) * math.sqrt(n)


def _scored(
    question: str, wanted: frozenset[str], context: Context
) -> list[tuple[float, _Sentence]]:
    """Score every sentence of a context, best first, ties in the context's order."""
    find = finder(wanted)
    sentences = [sentence for passage in context.passages for sentence in _sentences(passage, find)]
    own = cover(wanted, [sentence.own for sentence in sentences])
    around = cover(wanted, [sentence.around for sentence in sentences])
    scores = [
        ((1 - _LENT) * alone + _LENT * lent) / (1 + _LATER * (sentence.marker - 1))
        for alone, lent, sentence in zip(own, around, sentences, strict=True)
    ]
    scored = [
        (score, sentence) for score, sentence in zip(scores, sentences, strict=True) if sentence.own
    ]
    # Among equals the one that has more of the question's small words: “must be on board”.
    asked = set(question.casefold().split())
    return sorted(
        scored,
        key=lambda pair: (-pair[0], -len(asked.intersection(pair[1].text.casefold().split()))),
    )


def _sentences(passage: Passage, find: Callable[[str], frozenset[str]]) -> Iterator[_Sentence]:
    """List the sentences of a passage; headings and the head of a table only lend their terms."""
    # A passage merged from several chunks may hold the headings of several sections.
    found = (*passage.headings, *(title for hit in passage.hits for title in hit.chunk.headings))
    titles = {" ".join(title.split()) for title in found}
    heading = find(" ".join(passage.headings))
    whole = find(passage.text) | heading
    before, header = frozenset[str](), ""
    for start, end in split_sentences(passage.text):
        text = passage.text[start:end]
        own = find(text)
        is_row = text.startswith("|")
        header = header if is_row else ""
        if text.startswith("#") or " ".join(text.split()) in titles:
            heading, before = own, frozenset()
        elif is_row and not header:
            header, before = text, own
        elif any(character.isalnum() for character in text):
            for left, right in _parts(text):
                part = text[left:right]
                around = own | heading | before
                yield _Sentence(passage.marker, part, find(part), around, whole, header)
            before = before if is_row else own


def _parts(text: str) -> list[Span]:
    if len(text) <= _MOST_CHARACTERS:
        return [(0, len(text))]
    return split_to_fit(text, 0, len(text), fits=lambda part: len(part) <= _MOST_CHARACTERS)


def _quoted(sentence: str) -> str | None:
    """Put a sentence in the first quotation marks that it does not contain itself."""
    for opening, closing in _QUOTES:
        if opening not in sentence and closing not in sentence:
            return f"{opening}{sentence}{closing}"
    return None
