"""What a text is found by: its terms."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.terms import STOP_WORDS, characters, language, terms


@pytest.mark.parametrize("text", ["", " \n\t\u3000", "。，！…", "--- *** ///", "👋🏽"])
def test_a_text_without_words_has_no_terms(text: str) -> None:
    assert (terms(text), characters(text)) == ([], [])


def test_english_words_are_stemmed_in_order_and_repeats_are_kept() -> None:
    assert terms("Pilots boarded. The pilot boards.") == ["pilot", "board", "pilot", "board"]


def test_stop_words_are_no_terms() -> None:
    assert terms("Where is the pilot, and who was with him?") == ["pilot"]
    assert terms(" ".join(sorted(STOP_WORDS))) == []


def test_names_in_capitals_are_no_stop_words() -> None:
    assert terms("WHO told US about IT") == ["who", "told", "us", "about", "it"]
    assert terms("Who told us about it") == ["told", "about"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("don't can't WON'T", []),
        ("don\u2019t", []),
        ("it's we've they're I'll I'm he'd", []),
        ("the pilot's and the pilots' boats", ["pilot", "pilot", "boat"]),
        ("the pilot\u2019s boat", ["pilot", "boat"]),
    ],
)
def test_contractions_and_possessives_fall(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ISO-9001", ["iso9001", "iso", "9001"]),
        ("ISO 9001", ["iso", "9001"]),
        ("v2.1", ["v2.1", "2.1"]),
        ("v2.1.3-rc1", ["v2.1.3rc1", "2.1.3", "rc"]),
        ("snake_case", ["snake_case", "snake", "case"]),
        ("__init__", ["init"]),
        ("os.path.join", ["os.path.join", "os", "path", "join"]),
        ("docs/pilots.md", ["docs/pilots.md", "doc", "pilot", "md"]),
        ("x86-64", ["x8664", "86", "64"]),
        ("Q3 5G", ["q3", "5g"]),
        ("AT&T", ["at&t"]),
        ("lin@example.com", ["lin@example.com", "lin", "exampl", "com"]),
    ],
)
def test_an_identifier_counts_whole_and_in_its_parts(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("C++ and C#", ["c++", "c#"]), ("in C++.", ["c++"]), ("c F#", ["c", "f#"]), ("C+", ["c"])],
)
def test_the_signs_of_a_languages_name_belong_to_it(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize("text", ["e-mail", "E-Mail", "e\u2010mail", "e\u2011mail"])
def test_a_hyphen_makes_no_difference(text: str) -> None:
    assert terms("email") == ["email"]
    assert terms(text) == ["email", "mail"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,200,000 yuan", ["1200000", "yuan"]),
        ("1,200.50", ["1200.50"]),
        ("3.5 knots", ["3.5", "knot"]),
        ("12,34", ["12", "34"]),
        ("1,2345", ["1", "2345"]),
        ("1,234,5", ["1", "234", "5"]),
        ("2024-01-05", ["2024-01-05", "2024", "01", "05"]),
        ("10-20", ["10-20", "10", "20"]),
    ],
)
def test_a_number_is_one_term_without_the_commas_of_its_thousands(
    text: str, expected: list[str]
) -> None:
    assert terms(text) == expected


def test_initials_lose_their_full_stops() -> None:
    assert terms("U.S.A., the U.K. and p.m.") == ["usa", "uk", "pm"]
    assert terms("USA") == ["usa"]


@pytest.mark.parametrize(
    ("variant", "plain"),
    [
        ("\uff29\uff33\uff2f\uff0d\uff19\uff10\uff10\uff11", "ISO-9001"),
        ("\uff36\uff12\uff0e\uff11", "v2.1"),
        ("\ufb01nance", "finance"),
        ("ha\u00adrbour", "harbour"),
        ("har\u200bbour\ufeff", "harbour"),
        ("HARBOUR", "harbour"),
        ("na\u00efve caf\u00e9", "naive cafe"),
        ("cafe\u0301", "caf\u00e9"),
        ("Stra\u00dfe", "strasse"),
        ("\uff8a\uff9d\uff76\uff78", "\u30cf\u30f3\u30ab\u30af"),
        ("\uf9f4", "\u6797"),
    ],
)
def test_what_looks_the_same_has_the_same_terms(variant: str, plain: str) -> None:
    assert terms(variant) == terms(plain) != []


def test_marks_of_other_scripts_stay_inside_their_words() -> None:
    assert terms("हिन्दी में") == ["हिन्दी", "में"]
    assert terms("Ёлка") == ["ёлка"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("故乡的明月", ["故乡", "乡的", "的明", "明月"]),
        ("港口", ["港口"]),
        ("港", ["港"]),
        ("港，口", ["港", "口"]),
        ("用Python3写的", ["用", "python3", "python", "写的"]),
        ("水费3.5元", ["水费", "3.5", "元"]),
        ("\U00020bb7野家", ["\U00020bb7野", "野家"]),
        ("二〇二四", ["二〇", "〇二", "二四"]),
    ],
)
def test_a_run_of_chinese_gives_its_bigrams_and_a_single_character_itself(
    text: str, expected: list[str]
) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("カタカナ", ["カタ", "タカ", "カナ"]),
        ("한국어를", ["한국", "국어", "어를"]),
        ("ท่า", ["ท่", "่า"]),
    ],
)
def test_other_scripts_whose_words_cannot_be_told_apart_give_bigrams_too(
    text: str, expected: list[str]
) -> None:
    assert terms(text) == expected


def test_every_chinese_character_is_a_term_or_one_of_the_characters() -> None:
    assert terms("港 故乡") == ["港", "故乡"]
    assert characters("港 故乡 pilot") == ["故", "乡"]
    assert characters("\uf9f4海") == ["林", "海"]


def test_of_a_term_nobody_would_type_the_beginning_counts() -> None:
    assert terms("x" * 100_000) == ["x" * 64]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "en"),
        ("123 !?", "en"),
        ("When must the pilot board?", "en"),
        ("引航员何时登船？", "zh"),
        ("API是什么", "zh"),
        ("The word 故乡 means native place", "en"),
        ("港", "zh"),
    ],
)
def test_the_language_is_told_by_what_there_is_more_of(text: str, expected: str) -> None:
    assert language(text) == expected


_WORDS = st.sampled_from(
    [*"aé_-.,'/@&+#1½İßﬁ①港ท่ \n\u3000\u0301\u200d\u037a\u2028。", "ISO-9001", "1,000", "C++", "n't"]
)


@given(st.one_of(st.text(), st.lists(_WORDS).map("".join)))
def test_a_term_is_not_empty_has_no_blank_and_is_not_long(text: str) -> None:
    # The lexical index takes them joined by spaces.
    for term in [*terms(text), *characters(text)]:
        assert 0 < len(term) <= 64
        assert term.split() == [term]


@given(st.lists(_WORDS).map("".join), st.lists(_WORDS).map("".join))
def test_the_terms_of_a_line_do_not_depend_on_the_next(first: str, second: str) -> None:
    assert terms(f"{first}\n.\n{second}") == terms(first) + terms(second)


def test_terms_are_the_same_in_every_process() -> None:
    text = "The pilots of ISO-9001 in 故乡的明月 paid 1,200 yuan for C++"
    done = subprocess.run(
        [sys.executable, "-c", f"from rag.terms import terms; print(ascii(terms({text!a})))"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == ascii(terms(text))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "a" * 500_000,
        "a_" * 250_000,
        "a" + "_" * 500_000,
        "1,000" * 100_000,
        "1," + "000," * 100_000 + "0",
        "港" * 300_000,
        "'" * 500_000,
        "a'" * 250_000,
        "a\u0301" * 200_000,
        "a" + "\u0301" * 300_000,
        "x.y-" * 100_000,
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_hostile_text_takes_no_more_than_linear_time(text: str) -> None:
    # Were any of these quadratic, it would take minutes.
    assert terms(text + " pilot")[-1] == "pilot"
