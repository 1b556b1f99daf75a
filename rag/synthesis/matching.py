"""How much of a question or a statement a sentence covers: shared terms, rare ones weighing more.

No model is asked. What comes in are terms (`rag.terms`), what goes out are shares from 0 to 1.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from rag.terms import CHINESE, terms

_CHINESE_ASKING = re.compile(
    "为什么|是不是|有没有|能不能|可不可以|什么|怎么样|怎么|怎样|如何|为何|多少|哪些|哪个|哪里|哪儿|"
    "何时|何地|何处|是否|可以|应当|需要|请问|[哪谁几吗呢的了在把被和与是有为也还对由]"
)
"""Words that ask, and particles. A bigram across one of them stands in no other text."""
_ASKING = frozenset({"mani", "much", "long", "often", "exact", "exactli", "say", "accord", "must"})
"""Stems that a question is made of rather than about."""


def key_terms(question: str) -> frozenset[str]:
    """List what a question is about: its terms without the words that only ask.

    Examples
    --------
    >>> sorted(key_terms("How many pilots must board?"))
    ['board', 'pilot']
    >>> sorted(key_terms("雾芽的产量是多少？"))
    ['产量', '雾芽']
    """
    spaced = _CHINESE_ASKING.sub(" ", question)
    found = frozenset(terms(spaced)) - _ASKING
    # A single Chinese character is a term only where it stands alone; no sentence has it so.
    longer = frozenset(term for term in found if not re.fullmatch(f"[{CHINESE}]", term))
    return longer or found or frozenset(terms(question))


def finder(wanted: frozenset[str]) -> Callable[[str], frozenset[str]]:
    """Make a function that tells which of the wanted terms a text holds.

    It remembers words, because they repeat: terms never cross white space, so a text's terms
    are those of its pieces, and stemming each word once halves the time for a long context.
    """

    @cache
    def in_piece(piece: str) -> frozenset[str]:
        return wanted.intersection(terms(piece))

    def find(text: str) -> frozenset[str]:
        return frozenset().union(*map(in_piece, text.split()))

    return find


def cover(wanted: frozenset[str], texts: Sequence[frozenset[str]]) -> list[float]:
    """Tell which share of the wanted terms each text holds, weighted by how rare they are.

    Parameters
    ----------
    wanted : the terms of a question or a statement.
    texts : which of them each text holds; rarity is taken over these texts.

    Returns
    -------
    list of float
        One a text, from 0 (none) to 1 (all).

    Notes
    -----
    A term that stands in f of N texts weighs ``ln(1 + (N - f + .5) / (f + .5))``, the idf of
    BM25 as Lucene computes it [1]_; a term that stands in none weighs most, so a text that
    lacks what the question is about covers little. ``math.fsum`` makes the sums independent
    of the order of a set, which differs between processes.

    References
    ----------
    .. [1] Kamphuis et al. (2020), ECIR, doi:10.1007/978-3-030-45442-5_4

    Examples
    --------
    >>> pilot, nothing = frozenset({"pilot"}), frozenset()
    >>> shares = cover(frozenset({"pilot", "tide"}), [pilot, nothing, pilot])
    >>> [round(share, 2) for share in shares]
    [0.18, 0.0, 0.18]
    """
    frequency = Counter(term for held in texts for term in held)
    weight = {
        term: math.log(1 + (len(texts) - frequency[term] + 0.5) / (frequency[term] + 0.5))
        for term in wanted
    }
    total = math.fsum(weight.values())
    return [math.fsum(weight[term] for term in held) / total if held else 0.0 for held in texts]
