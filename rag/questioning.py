"""A corpus asks itself: documents -> ``Question`` list, with the places that answer.

Four kinds of questions need no language model. Each is made from a *held-out* place:

``rare terms``   the four rarest words of a sentence; evidence is the sentence
``thinned``      a sentence without two fifths of its words; evidence is the sentence
``heading``      a heading; evidence is the beginning of its section
``cloze``        a sentence with a number or name blanked out, which is the answer

With a chat model there is a fifth, ``asked``: the model is given a passage and writes a
question, the words that answer it, and the answer, all of which are checked.

What they measure: whether a place is found again by words *that stand in it*. That is enough
to see that something is broken, or to compare chunk sizes. They do not measure whether people
find what they ask in words of their own: all but ``asked`` flatter the search by words, and
no setting that weighs words against meaning may be judged by them (`COPIED`). None of them
needs two places, or has no answer. They are easy: on the two corpora of this project 100 of them
find all evidence in ten hits, where questions that were thought up find three quarters.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from rag import prompts
from rag.questions import Evidence, Question
from rag.sentences import split_sentences
from rag.terms import CHINESE, language, terms
from rag.types import ChatModel, Document, Message

COPIED = frozenset({"rare terms", "thinned", "heading", "cloze"})
"""Types whose questions repeat words of their evidence."""
ASKED = "asked"

_LEAST_TERMS = 7
"""Of a sentence: with fewer it says too little to be told from others."""
_MOST_CHARACTERS = 400
_RARE = 4
"""Words of a query, about as many as people type into a search."""
_DROPPED = 0.4
"""Share of the words that a thinned sentence loses."""
_BEGINNING = 200
"""Columns of a section's beginning, a Chinese character taking two; at least a sentence."""
_PASSAGE = 1000
"""Characters that a model is shown, at least a sentence: enough to see what a place is about."""
_TRIES = 2
"""Passages a model is shown at most for each question that it shall write."""
_BLANK = "____"
_NUMBER = re.compile(r"(?<![\w.,])\d[\d,.]*\d(?![\w])|(?<=[^\W\d_])\d+(?:\.\d+)?(?=[^\W\d_])")
_NAME = re.compile(
    r"(?<=[a-z,] )(?:[A-Z][a-z]+)(?: [A-Z][a-z]+)*|《[^《》]{2,20}》|“[^“”\W]{2,10}”"
)
_UNIT = re.compile(rf"[{CHINESE}]{{1,2}}|[^\W{CHINESE}]+(?:[-.'’,][^\W{CHINESE}]+)*")
"""A word, or two Chinese characters: what a sentence is thinned by."""
_MARKUP = re.compile(r"\s*(?:[#|>`\-*+•]|\d+[.)] )")
"""How a line begins that is no prose: a heading, a row, an item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Questions that were made, and what was not."""

    questions: tuple[Question, ...]
    """In the order of their places."""
    rejected: tuple[tuple[str, int], ...] = ()
    """Why replies of a model were not taken, and how many; ascending by reason."""


@dataclass(slots=True)
class _Places:
    """What questions can be made from: each place at most once."""

    sentences: list[Evidence] = field(default_factory=list)
    beginnings: list[tuple[str, Evidence]] = field(default_factory=list)
    frequency: Counter[str] = field(default_factory=Counter)
    """In how many sentences a term stands."""


def make_questions(documents: Sequence[Document], n: int, *, seed: int = 0) -> list[Question]:
    """Make questions without a model, the four types in equal shares as far as there are places.

    Parameters
    ----------
    documents : in any language; English and Chinese are known.
    n : how many, from 1.
    seed : the same seed, documents and n give the same questions.

    Returns
    -------
    list of Question
        At most n, fewer where the texts have no more; sorted by document and place. No
        sentence is used twice, none that stands twice in the corpus at all.

    Raises
    ------
    ValueError
        ``n < 1``.
    """
    if n < 1:
        message = f"at least 1 question is made, not {n!r}"
        raise ValueError(message)
    generator = np.random.default_rng(seed)
    places = _places_of(documents)
    makers = {
        "heading": _headings(places, generator),
        "cloze": _clozes(places, generator),
        "rare terms": _rare(places, generator),
        "thinned": _thinned(places, generator),
    }
    used: dict[str, list[Evidence]] = defaultdict(list)
    found: list[Question] = []
    while makers and len(found) < n:
        for name, maker in list(makers.items()):
            question = next((made for made in maker if _is_fresh(made, used)), None)
            if question is None:
                del makers[name]
            elif len(found) < n:
                (place,) = question.evidence
                used[place.document_id].append(place)
                found.append(question)
    return numbered(found)


def _is_fresh(question: Question, used: Mapping[str, Sequence[Evidence]]) -> bool:
    """Whether a question's place has nothing in common with those that are used."""
    (place,) = question.evidence
    others = used.get(place.document_id, ())
    return all(place.end <= other.start or other.end <= place.start for other in others)


def ask_model(documents: Sequence[Document], n: int, *, model: ChatModel, seed: int = 0) -> Made:
    """Let a chat model write questions, and take those that can be checked.

    Parameters
    ----------
    documents, n, seed : as for `make_questions`; passages are drawn from sentences that
        stand once in the corpus.
    model : asked once for each passage, at most 2 n times.

    Returns
    -------
    Made
        At most n questions of type "asked", and how many replies were rejected for what: no
        JSON object of three texts, a quote that does not stand in the passage, an answer
        that does not stand in the quote, a question that contains its answer, a quote
        that another question has.

    Raises
    ------
    ValueError
        ``n < 1``.
    ProviderError
        The model failed.
    """
    if n < 1:
        message = f"at least 1 question is made, not {n!r}"
        raise ValueError(message)
    generator = np.random.default_rng(seed)
    texts = {document.id: document.text for document in documents}
    found: dict[Evidence, Question] = {}
    rejected: Counter[str] = Counter()
    sentences = _shuffled(_places_of(documents).sentences, generator)
    for place in islice(sentences, _TRIES * n):
        if len(found) == n:
            break
        passage = _around(texts[place.document_id], place)
        reply = "".join(model.stream(_messages(passage.text)))
        question = _checked(reply, passage)
        if isinstance(question, str):
            rejected[question] += 1
        elif question.evidence[0] in found:
            rejected["another question has the quote"] += 1
        else:
            found[question.evidence[0]] = question
    return Made(
        questions=tuple(numbered(list(found.values()))), rejected=tuple(sorted(rejected.items()))
    )


def numbered(questions: Sequence[Question]) -> list[Question]:
    """Order questions by their places, and number them in their ids."""
    ordered = sorted(questions, key=lambda q: (q.evidence[0].document_id, q.evidence[0].start))
    return [
        replace(question, id=f"made-{number:03}")
        for number, question in enumerate(ordered, start=1)
    ]


# ---- places -----------------------------------------------------------------------------


def _places_of(documents: Sequence[Document]) -> _Places:
    places = _Places()
    times: Counter[str] = Counter()
    titles: Counter[str] = Counter()
    for document in sorted(documents, key=lambda document: document.id):
        titles.update(section.title for section in document.sections)
        spans = split_sentences(document.text)
        times.update(document.text[start:end] for start, end in spans)
        for start, end in spans:
            text = document.text[start:end]
            places.frequency.update(set(terms(text)))
            if len(set(terms(text))) >= _LEAST_TERMS and _is_prose(text):
                places.sentences.append(
                    Evidence(document_id=document.id, start=start, end=end, text=text)
                )
        places.beginnings += _beginnings(document, spans)
    places.sentences = [place for place in places.sentences if times[place.text] == 1]
    places.beginnings = [
        (title, place)
        for title, place in places.beginnings
        if titles[title] == 1 and times[place.text] <= 1
    ]
    return places


def _columns(text: str) -> int:
    return len(text) + len(re.findall(f"[{CHINESE}]", text))


def _is_prose(text: str) -> bool:
    return len(text) <= _MOST_CHARACTERS and not _MARKUP.match(text)


def _beginnings(
    document: Document, spans: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, Evidence]]:
    """Yield each heading that says something, with the first sentences below it."""
    starts = {section.start for section in document.sections}
    for section in document.sections:
        if len(set(terms(section.title))) < 2:
            continue
        heading_end = document.text.find(section.title, section.start) + len(section.title)
        below = [span for span in spans if heading_end <= span[0] and span[1] <= section.end]
        if not below or below[0][0] in starts or not _is_prose(document.text[slice(*below[0])]):
            continue
        start, end = below[0]
        for following in below[1:]:
            if _columns(document.text[start : following[1]]) > _BEGINNING or following[0] in starts:
                break
            end = following[1]
        text = document.text[start:end]
        yield (
            section.title,
            Evidence(document_id=document.id, start=start, end=end, text=text),
        )


# ---- makers -----------------------------------------------------------------------------


def _shuffled(places: Sequence[Evidence], generator: np.random.Generator) -> Iterator[Evidence]:
    return (places[index] for index in generator.permutation(len(places)))


def _headings(places: _Places, generator: np.random.Generator) -> Iterator[Question]:
    for index in generator.permutation(len(places.beginnings)):
        title, place = places.beginnings[index]
        yield _question(title, place, type_="heading")


def _rare(places: _Places, generator: np.random.Generator) -> Iterator[Question]:
    """Ask by the words of a sentence that stand in the fewest others."""
    for place in _shuffled(places.sentences, generator):
        first: dict[str, str] = {}
        for unit in _UNIT.findall(place.text):
            for term in terms(unit)[:1]:
                first.setdefault(term, unit)
        if len(first) < _RARE:
            continue
        rarest = sorted(first, key=lambda term: places.frequency[term])[:_RARE]
        words = [unit for term, unit in first.items() if term in rarest]
        yield _question(" ".join(words), place, type_="rare terms")


def _thinned(places: _Places, generator: np.random.Generator) -> Iterator[Question]:
    for place in _shuffled(places.sentences, generator):
        units = list(_UNIT.finditer(place.text))
        kept = np.sort(
            generator.permutation(len(units))[: max(_RARE, round(len(units) * (1 - _DROPPED)))]
        )
        words = [units[index][0] for index in kept]
        yield _question(" ".join(words), place, type_="thinned")


def _clozes(places: _Places, generator: np.random.Generator) -> Iterator[Question]:
    """Blank out a number or name that stands once in its sentence."""
    for place in _shuffled(places.sentences, generator):
        entities = [*_NUMBER.finditer(place.text), *_NAME.finditer(place.text)]
        single = [match for match in entities if place.text.count(match[0]) == 1]
        if not single:
            continue
        match = single[int(generator.integers(len(single)))]
        question = place.text[: match.start()] + _BLANK + place.text[match.end() :]
        yield _question(question, place, type_="cloze", answer=match[0].strip("《》“”"))


def _question(text: str, place: Evidence, *, type_: str, answer: str | None = None) -> Question:
    return Question(
        id="",
        question=" ".join(text.split()),
        answers=() if answer is None else (answer,),
        evidence=(place,),
        type=type_,
    )


# ---- a chat model -----------------------------------------------------------------------


def _around(text: str, place: Evidence) -> Evidence:
    """Widen a sentence to whole lines of at most so many characters."""
    room = max(0, (_PASSAGE - (place.end - place.start)) // 2)
    first, last = max(0, place.start - room), min(len(text), place.end + room)
    start = first if first == 0 else text.find("\n", first, place.start) + 1 or place.start
    end = last if last == len(text) else text.rfind("\n", place.end, last)
    end = max(end, place.end)
    return Evidence(document_id=place.document_id, start=start, end=end, text=text[start:end])


def _messages(passage: str) -> list[Message]:
    chosen = language(passage)
    return [
        Message(role="system", content=prompts.ASK_BACK[chosen]),
        Message(role="user", content=f"<passage>\n{passage}\n</passage>"),
    ]


def _checked(reply: str, passage: Evidence) -> Question | str:
    """Make a question of a reply, or tell why it is none."""
    fields = _object_in(reply)
    texts = [fields.get(name) for name in ("question", "quote", "answer")]
    question, quote, answer = (text.strip() if isinstance(text, str) else "" for text in texts)
    if not (question and quote and answer):
        return "no JSON object with question, quote and answer"
    start = passage.text.find(quote)
    if start < 0:
        return "the quote does not stand in the passage"
    if answer not in quote:
        return "the answer does not stand in the quote"
    if answer.casefold() in question.casefold():
        return "the question contains its answer"
    start += passage.start
    place = Evidence(
        document_id=passage.document_id, start=start, end=start + len(quote), text=quote
    )
    return _question(question, place, type_=ASKED, answer=answer)


def _object_in(reply: str) -> dict[str, object]:
    """Read the JSON object in a reply, whatever a model wraps around it."""
    start, end = reply.find("{"), reply.rfind("}")
    try:
        found = json.loads(reply[start : end + 1]) if 0 <= start < end else {}
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
