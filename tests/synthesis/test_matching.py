"""How much of a question a sentence covers."""

import math
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.synthesis.matching import cover, finder, key_terms
from rag.terms import terms


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many pilots must board?", {"pilot", "board"}),
        ("雾芽的产量是多少？", {"雾芽", "产量"}),
        ("茶？", {"茶"}),
        ("Who are you?", set()),
        ("How many?", {"mani"}),
        ("", set()),
    ],
)
def test_a_question_is_about_its_terms_without_those_that_only_ask(
    question: str, expected: set[str]
) -> None:
    assert key_terms(question) == expected


def test_a_share_is_weighted_by_rarity() -> None:
    wanted = frozenset({"pilot", "tide"})
    shares = cover(wanted, [frozenset({"pilot"}), frozenset({"pilot", "tide"}), frozenset()])
    # pilot stands in 2 of 3: ln(1 + 1.5 / 2.5); tide in 1 of 3: ln(1 + 2.5 / 1.5).
    pilot, tide = math.log(1.6), math.log(8 / 3)
    assert shares == pytest.approx([pilot / (pilot + tide), 1, 0])


def test_nothing_wanted_is_nothing_covered() -> None:
    assert cover(frozenset(), [frozenset(), frozenset()]) == [0.0, 0.0]
    assert cover(frozenset({"tide"}), []) == []


WORDS = (
    "pilots",
    "ISO-9001",
    "1,486",
    "e-mail",
    "雾芽，",
    "U.S.",
    "WHO",
    "v2.1",
    "茶 叶",
    "don't",
    "ﬁne",
)


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS)), st.sampled_from((" ", "\n", "　", "")))
def test_the_finder_finds_what_the_terms_of_the_whole_text_hold(
    words: list[str], between: str
) -> None:
    text = between.join(words)
    wanted = frozenset(terms(" ".join(WORDS[::2])))
    assert finder(wanted)(text) == wanted & set(terms(text))


def test_shares_are_the_same_in_every_process() -> None:
    program = (
        "from rag.synthesis.matching import cover\n"
        "words = [str(n) for n in range(60)]\n"
        "texts = [frozenset(words[n % 7::n]) for n in range(1, 30)]\n"
        "print(cover(frozenset(words), texts))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1
