"""A reply becomes statements with markers and quotations."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.synthesis.quotations import Mark, read


def read_plainly(text: str) -> list[tuple[str, list[tuple[tuple[int, ...], list[str]]]]]:
    """Read a reply where no words stand anywhere."""
    return [
        (
            statement.text,
            [
                (claim.mark.numbers, [q.words for q in claim.quotations])
                for claim in statement.claims
            ],
        )
        for statement in read(text, stands=lambda words, mark: False)
    ]


def test_statements_are_the_sentences_without_their_markers() -> None:
    assert read_plainly("Pilots “board first” [1]. 茶叶「三月」收[2][3]。So they say.") == [
        ("Pilots “board first”.", [((1,), ["board first"])]),
        ("茶叶「三月」收。", [((2, 3), ["三月"])]),
        ("So they say.", []),
    ]


def test_each_mark_vouches_for_the_quotations_before_it() -> None:
    assert read_plainly("“One” [1] and “two” or “three” [2] but “four”.") == [
        (
            "“One” and “two” or “three” but “four”.",
            [((1,), ["One"]), ((2,), ["two", "three", "four"])],
        )
    ]


def test_a_blank_reply_has_no_claims() -> None:
    assert read_plainly("") == [("", [])]
    assert read_plainly("[1]") == [("", [((1,), [])])]


def test_only_what_the_signs_do_not_tell_is_asked_about() -> None:
    asked: list[tuple[str, tuple[int, ...]]] = []

    def stands(words: str, mark: Mark) -> bool:
        asked.append((words, mark.numbers))
        return False

    read("“Plain words” [1]. “With [7] inside” [2]. “Unasked [8] inside”.", stands=stands)
    assert asked == [("With [7] inside", (2,))]


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            ("“", "”", '"', "‘", "’", "[1]", "[2, 3]", " ", "\n", ".", "。", "tide", "潮")
        ),
        max_size=25,
    ),
    st.booleans(),
)
def test_spans_are_exact_and_each_mark_is_in_one_statement(pieces: list[str], stand: bool) -> None:
    text = "".join(pieces)
    statements = read(text, stands=lambda words, mark: stand)
    claims = [claim for statement in statements for claim in statement.claims]
    assert len({claim.mark.start for claim in claims}) == len(claims)
    for claim in claims:
        assert text[claim.mark.start] == "["
        assert text[claim.mark.end - 1] == "]"
        for quotation in claim.quotations:
            assert text[quotation.start : quotation.end] == quotation.words
            assert quotation.words == quotation.words.strip() != ""
    for first, second in pairwise(statements):
        assert first.end <= second.start
    for statement in statements:
        assert statement.text.split("\n")[0][:1] in text[statement.start : statement.end]
