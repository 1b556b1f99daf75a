"""Settings are tried on a corpus's own questions: questions -> what to write into rag.toml.

1. The questions that have evidence are halved, each type alike: by the one half settings are
   chosen, by the other they are checked.
2. One setting after another takes the value of its list that finds most evidence of the first
   half, twice around, since what is best for one may depend on another.
3. What was chosen is compared with the settings as they are, question by question on the
   second half, once. It is **recommended only if the interval of the difference lies above
   0**: among many values one is always best on the half it was chosen by.

The corpus's own index is only read. Where a setting shapes the index it is made anew in a
temporary folder, with the vectors of all chunks that stay the same.
"""

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag.corpus import Corpus
from rag.evaluation import Comparison, Row, compare, summarize
from rag.measuring import Measured, measure, reopen
from rag.questioning import COPIED
from rag.questions import Question
from rag.settings import Settings, value_of, with_changes

Value = int | float
Changes = Mapping[str, Value]
"""``"section.key"`` -> value; empty: the settings as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """The values of a setting that are tried."""

    values: tuple[Value, ...]
    own_words: bool = False
    """Whether only questions in words of their own can judge it: those that copy words of
    the text (`rag.questioning.COPIED`) would always favour the search by words."""


SEARCHED: Mapping[str, Searched] = {
    # Sizes below the 256 word pieces that the bundled model reads; below 64 a chunk is hardly
    # more than a sentence.
    "documents.chunk_size": Searched(values=(64, 96, 128, 160, 200, 250)),
    "retrieval.dense_weight": Searched(values=(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7), own_words=True),
}
"""What is searched, in this order; a line adds a setting. The values span what was ever the
best on some open set."""
BUDGET = 1000
"""Tokens of the contexts by which settings are judged: chunks of every size then have the
same room."""
LEAST_QUESTIONS = 30
"""With evidence. The 15 that check are the fewest for which a bootstrap means anything."""
_ROUNDS = 2

OnTrial = Callable[[Changes], None]
"""Told what is tried next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Settings that were tried, and the mean figure over the half that chooses."""

    changes: Changes
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What was tried, and what holds."""

    figure: str
    trials: tuple[Trial, ...]
    """In order; the first is the settings as they are."""
    chosen: Changes
    """Best on the half that chooses; empty where nothing was better."""
    check: Comparison | None
    """As they are against chosen, on the half that checks; None where nothing was chosen."""
    n_train: int
    n_test: int
    left_out: tuple[str, ...]
    """Settings that these questions cannot judge."""

    @property
    def recommended(self) -> Changes:
        """What to change; empty: keep the settings."""
        return self.chosen if self.check is not None and self.check.low > 0 else {}


def tune(
    corpus: Corpus,
    questions: Sequence[Question],
    *,
    keys: Sequence[str] | None = None,
    budget: int = BUDGET,
    seed: int = 0,
    progress: OnTrial | None = None,
) -> Tuning:
    """Find settings that find more, if there are any.

    Parameters
    ----------
    corpus : synced; it is only read.
    questions : those without evidence are left out.
    keys : of `SEARCHED`; None: all.
    budget : tokens of the contexts whose evidence is counted.
    seed : of the halving; the same seed gives the same result.

    Raises
    ------
    ValueError
        Fewer than `LEAST_QUESTIONS` have evidence, a key is not searched, or ``budget < 1``.
    ProviderError, CorpusError
        As `Corpus.rebuild`.
    """
    how = Measured(budgets=(budget,))
    keys = list(SEARCHED) if keys is None else keys
    if unknown := [key for key in keys if key not in SEARCHED]:
        message = f"{unknown[0]!r} is not searched; these are: {', '.join(SEARCHED)}"
        raise ValueError(message)
    usable = [question for question in questions if question.evidence]
    if len(usable) < LEAST_QUESTIONS:
        message = (
            f"{len(usable)} questions with evidence are too few to tell by; at least "
            f"{LEAST_QUESTIONS} are needed"
        )
        raise ValueError(message)
    copied = all(question.type in COPIED for question in usable)
    left_out = tuple(key for key in keys if copied and SEARCHED[key].own_words)
    train, test = halves(usable, seed=seed)
    with ExitStack() as stack:
        trials = _Trials(corpus, train, how=how, stack=stack, progress=progress)
        chosen = _search(trials, [key for key in keys if key not in left_out])
        check = _check(trials, chosen, test) if chosen else None
    return Tuning(
        figure=trials.figure,
        trials=tuple(trials.done),
        chosen=chosen,
        check=check,
        n_train=len(train),
        n_test=len(test),
        left_out=left_out,
    )


def halves(questions: Sequence[Question], *, seed: int) -> tuple[list[Question], list[Question]]:
    """Part questions into two halves, each type as evenly as it goes.

    Returns
    -------
    tuple of list
        Disjoint, together all, their lengths at most 1 apart.
    """
    generator = np.random.default_rng(seed)
    types = sorted({question.type for question in questions})
    parts: tuple[list[Question], list[Question]] = [], []
    for name in types:
        same = [question for question in questions if question.type == name]
        for index in generator.permutation(len(same)):
            parts[len(parts[0]) > len(parts[1])].append(same[index])
    return parts


class _Trials:
    """Settings that are tried on one half, each once; indexes live as long as the stack."""

    def __init__(
        self,
        corpus: Corpus,
        questions: Sequence[Question],
        *,
        how: Measured,
        stack: ExitStack,
        progress: OnTrial | None,
    ) -> None:
        self.figure = f"evidence@{how.budgets[0]}"
        self.done: list[Trial] = []
        self._corpus = corpus
        self._questions = questions
        self._how = how
        self._progress = progress or (lambda _: None)
        self._stack = stack
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rag-tune-")))
        self._indexes: list[Corpus] = [corpus]

    def mean(self, changes: Changes) -> float:
        """Tell the mean figure of the half that chooses."""
        for trial in self.done:
            if trial.changes == changes:
                return trial.mean
        self._progress(changes)
        mean = summarize(self.rows(changes, self._questions))[self.figure].mean
        self.done.append(Trial(changes=changes, mean=mean))
        return mean

    def rows(self, changes: Changes, questions: Sequence[Question]) -> list[Row]:
        """Ask questions under changed settings."""
        with self._open(with_changes(self._corpus.settings, changes)) as opened:
            return measure(opened, questions, how=self._how)

    def values(self, key: str) -> list[Value]:
        """List the values to try: others than now, and no chunk longer than the model reads."""
        now, longest = value_of(self._corpus.settings, key), self._corpus.embedder.max_tokens
        most = longest if key == "documents.chunk_size" else math.inf
        return [value for value in SEARCHED[key].values if value != now and value <= most]

    def _open(self, settings: Settings) -> Corpus:
        """Open an index that fits the settings; it is made where there is none."""
        for index in self._indexes:
            same = index.settings.documents, index.settings.embeddings
            if same == (settings.documents, settings.embeddings):
                return reopen(index, settings, scratch=self._folder)
        scratch = self._folder / str(len(self._indexes))
        scratch.mkdir()
        made = reopen(self._corpus, settings, scratch=scratch, known=self._indexes[1:])
        self._indexes.append(self._stack.enter_context(made))
        return reopen(made, settings, scratch=scratch)


def _search(trials: _Trials, keys: Iterable[str]) -> Changes:
    """Improve one setting after another; what is no better than before is not chosen."""
    best: dict[str, Value] = {}
    score = trials.mean(best)
    keys = list(keys)
    for _ in range(_ROUNDS if len(keys) > 1 else 1):
        for key in keys:
            others = {name: value for name, value in best.items() if name != key}
            tried = ({**others, key: value} for value in trials.values(key))
            for changes in [others, *tried]:
                mean = trials.mean(changes)
                if mean > score:
                    best, score = dict(changes), mean
    return best


def _check(trials: _Trials, chosen: Changes, test: Sequence[Question]) -> Comparison:
    before, after = trials.rows({}, test), trials.rows(chosen, test)
    return next(c for c in compare(before, after) if c.figure == trials.figure)
