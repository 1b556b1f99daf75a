"""Where sentences begin and end, and how what is too long is cut."""

from collections.abc import Callable

import pytest

from rag.sentences import TERMINATED, split_sentences, split_to_fit, windows


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


def parts(text: str, fits: Callable[[str], bool]) -> list[str]:
    return [text[start:end] for start, end in split_to_fit(text, 0, len(text), fits=fits)]


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("text", ["", " ", "\n\t\r\n\u3000"])
def test_a_blank_text_has_no_sentences(text: str) -> None:
    assert split_sentences(text) == []


def test_spans_are_offsets_of_trimmed_text() -> None:
    assert split_sentences("  One is here.\n\n Two is here.  ") == [(2, 14), (17, 29)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One came. Two left! Did three? Yes.", ["One came.", "Two left!", "Did three?", "Yes."]),
        ("It cost 3.5 yuan. He paid.", ["It cost 3.5 yuan.", "He paid."]),
        ("See www.example.com. Go there.", ["See www.example.com.", "Go there."]),
        ("It fell in 1999.[3] Then it rose.", ["It fell in 1999.[3]", "Then it rose."]),
        ("**Note.** Be there.", ["**Note.**", "Be there."]),
        ("It ended.—She left.", ["It ended.", "—She left."]),
        ("No end here", ["No end here"]),
    ],
)
def test_english_sentences_end_at_their_signs(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Lin met Mrs. Smith at St. James's.",
        "See e.g. Smith, i.e. That one, cf. Jones and No. 5 of Vol. II.",
        "It is in Fig. A1 on pp. 3 and 4, dated Sept. 5.",
        "J. R. R. Tolkien and J. Austen wrote it.",
        "The U.S. Army came at 5 p.m. Monday.",
        "Smith et al. (2019) and Acme Inc. Holdings agree.",
        "It grew approx. 5 m, i.e. a lot.",
    ],
)
def test_an_abbreviation_ends_no_sentence(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I said no. Then I sat. The sun shone.", ["I said no.", "Then I sat.", "The sun shone."]),
        ("No. I left.", ["No.", "I left."]),
        ("He lives in the U.S. The law is old.", ["He lives in the U.S.", "The law is old."]),
        ("It is Acme Inc. The firm is old.", ["It is Acme Inc.", "The firm is old."]),
        ("Take vitamin C. It helps.", ["Take vitamin C.", "It helps."]),
        ("It is I. Henry knows.", ["It is I.", "Henry knows."]),
        ("See point b. Tables follow.", ["See point b.", "Tables follow."]),
        ("Ships, boats etc. A pilot came.", ["Ships, boats etc.", "A pilot came."]),
    ],
)
def test_what_looks_like_an_abbreviation_may_end_a_sentence(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Why?” said Emma. “Go.” She left.", ["“Why?” said Emma.", "“Go.”", "She left."]),
        ("He asked 'why?' (and left). Then", ["He asked 'why?' (and left).", "Then"]),
        ("(It rained.) We stayed.", ["(It rained.)", "We stayed."]),
        ("Wait... then go. Well... Then go.", ["Wait... then go.", "Well...", "Then go."]),
        ("Wait . . . then go.", ["Wait . . . then go."]),
        ("He said , right ? , and left .", ["He said , right ? , and left ."]),
    ],
)
def test_quotes_and_ellipses_end_what_they_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("潮水来了。船走了！谁？我；你", ["潮水来了。", "船走了！", "谁？", "我；", "你"]),
        ("他说：“走吧。”然后走了。", ["他说：“走吧。”", "然后走了。"]),
        ("他说：「走吧。」然后走了。", ["他说：「走吧。」", "然后走了。"]),
        ("（他来了。）船走了。", ["（他来了。）", "船走了。"]),
        ("他等了很久……船来了。", ["他等了很久……", "船来了。"]),
        ("他说：“走吧。”。船走了。", ["他说：“走吧。”。", "船走了。"]),
        ("他问：「谁？」！她笑了。", ["他问：「谁？」！", "她笑了。"]),
        ("（一）水费。\r\n（二）电费。", ["（一）水费。", "（二）电费。"]),
        ("真的？！好吧！！！", ["真的？！", "好吧！！！"]),
        ("水位上涨。[12]船走了。", ["水位上涨。[12]", "船走了。"]),
        ('他走了。"为什么？"她问。', ["他走了。", '"为什么？"', "她问。"]),
        ('他说："走吧。"然后走了。', ['他说："走吧。"', "然后走了。"]),
        ("他走了.她来了!船也走了?", ["他走了.", "她来了!", "船也走了?"]),
        ("“Go!”他说。", ["“Go!”", "他说。"]),
        ("他来了。The tide turned. 船走了。", ["他来了。", "The tide turned.", "船走了。"]),
    ],
)
def test_chinese_sentences_end_at_their_signs_and_closing_quotes(
    text: str, expected: list[str]
) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "《谁是凶手？》是一部电影。",
        "《K-ON!》是一部动画。",
        "《Who?》 是一部电影。",
        "“走吧！”，他说。",
        "共3.5万人，见图1.系统，Yahoo!公司。",
        "目录……5",
        "well… that is all.",
    ],
)
def test_a_sign_inside_a_title_a_name_or_a_number_ends_no_sentence(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\u2028"])
def test_a_blank_line_ends_a_sentence(newline: str) -> None:
    text = newline.join(["the tide", "", "turned late"])
    assert sentences(text) == ["the tide", "turned late"]


@pytest.mark.parametrize(
    "text",
    [
        "The harbour master walked along the quay and\nlooked at the ships.",
        "The harbour master walked along the quay and saw\r\nJohn on the ship.",
        "The harbour master walked along the quay and said\n“Go” to the men.",
        "水费按月计，由用水人于每月月底之前交付，逾期不交的，按日加收滞纳金，由供水单\n位通知。",
        "In a narrow column of the paper\nthe lines are short.",
        "The harbour master walked along the quay until he found\nit. ",
    ],
)
def test_a_wrapped_paragraph_is_not_cut_at_its_line_breaks(text: str) -> None:
    assert sentences(text) == [text.strip()]


@pytest.mark.parametrize(
    "text",
    [
        "Harbour dues\nShips pay on arrival",
        "Pay on arrival\nand in cash",
        "- bread\n- salt",
        "The pilot must bring the following documents with him:\nPassport",
        "The harbour master keeps the following things in his house\n- a lamp",
        "The harbour master keeps the following things in his house\n(a) a lamp",
        "The harbour master keeps the following things in his house\n2. a lamp",
        "以下各项由港务局负责办理并且由港务局承担全部有关的费用和责任\n一、引航",
        "以下各项由港务局负责办理并且由港务局承担全部有关的费用和责任\n第二条 引航",
        "| ship | length in metres | year of building |\n| Anna | 91 | 1974 |",
        "ship\tlength in metres\tyear of building\tmaster\nAnna\t91\t1974\tLin",
        "ship            length in metres        year of building\nAnna            91",
        "# Harbour dues and what else ships pay in this harbour\nand more",
        "John Lin: I think that we should all wait for the next tide\nAnn Smith: Yes",
        "Harbour dues and other charges for ships\n" + "Every ship pays when it comes " * 5,
        "The harbour master keeps the following things in his house\n🚢 a ship",
    ],
)
def test_a_line_of_its_own_is_a_sentence_of_its_own(text: str) -> None:
    assert sentences(text) == [line.strip() for line in text.split("\n")]


@pytest.mark.parametrize("number", ["1.", "2.3.", "a.", "B.", "iv.", "(1.", "# 1.", "- 1."])
def test_the_number_of_an_item_is_no_sentence(number: str) -> None:
    text = f"Intro.\n{number} Ships pay dues."
    assert sentences(text) == ["Intro.", f"{number} Ships pay dues."]


def test_a_number_at_the_end_of_a_sentence_is_no_item() -> None:
    assert sentences("There were 12. Then 13 came.") == ["There were 12.", "Then 13 came."]


def test_a_text_that_begins_with_a_number_begins_an_item() -> None:
    assert sentences("1. Ships pay.") == ["1. Ships pay."]


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * 200_000 + "b",
        "." * 200_000 + "x",
        '."' * 100_000 + "x",
        "." + '"' * 200_000 + "x",
        "a.b" * 70_000 + ". X",
        "." + "[1]" * 70_000 + "x",
        "\n" * 200_000 + "x",
        "x" * 200_000,
    ],
)
@pytest.mark.timeout(20)
def test_hostile_text_takes_no_more_than_linear_time(text: str) -> None:
    # Were any of these quadratic, it would take minutes.
    kept = "".join(sentences(text))
    assert "".join(kept.split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["It ended.", "“Why?”", "走吧。”", "It fell.[3]", "**Go!**"])
def test_what_ends_like_a_sentence_is_known(text: str) -> None:
    assert TERMINATED.search(text)


@pytest.mark.parametrize("text", ["Harbour dues", "dues (general)", "as follows:", "e.g"])
def test_what_does_not_end_like_a_sentence_is_known(text: str) -> None:
    assert TERMINATED.search(text) is None


def test_rows_of_a_table_that_end_in_amounts_are_not_joined() -> None:
    rows = [
        "34 Mooring gang of six, attendance by night 192",
        "35 Shore power, the kilowatt hour, by day 0.31",
        "Crane with driver, the working hour (by day) $1,200.50",
        "Share of the pilots in all that is earned (12%)",
    ]
    text = "\n".join(rows)
    assert [text[start:end] for start, end in split_sentences(text)] == rows


def test_a_line_of_prose_that_ends_in_a_number_goes_on_in_the_next() -> None:
    text = (
        "The dues were fixed by the trustees on 11 November 2024\n"
        "Sunday or not, and are payable from January of the next\n"
        "year, which is what the notice of 3 December 2024\n"
        "and that of 2025"
    )
    assert split_sentences(text) == [(0, len(text))]


def test_a_part_that_fits_stays_whole_and_is_trimmed() -> None:
    assert split_to_fit("xx a, b xx", 2, 8, fits=lambda part: True) == [(3, 7)]


def test_a_part_that_does_not_fit_is_cut_at_clauses() -> None:
    text = "If it rains, the pilot waits; if not (which is rare), he goes."
    assert parts(text, lambda part: words(part) <= 5) == [
        "If it rains,",
        "the pilot waits;",
        "if not (which is rare),",
        "he goes.",
    ]
    chinese = "如果下雨，引航员等待；如果不下雨，他就走"
    assert parts(chinese, lambda part: len(part) <= 8) == [
        "如果下雨，",
        "引航员等待；",
        "如果不下雨，",
        "他就走",
    ]


def test_the_values_of_json_are_clauses() -> None:
    text = '[{"id":1,"name":"Tug"},{"id":2,"tons":[1,[2,"x"]]}]'
    parts = split_to_fit(text, 0, len(text), fits=lambda part: len(part) <= 14)
    assert [text[start:end] for start, end in parts] == [
        '[{"id":1,',
        '"name":"Tug"},',
        '{"id":2,',
        '"tons":[1,',
        "[2,",
        '"x"]]}]',
    ]


def test_no_clause_ends_inside_a_number_or_an_address() -> None:
    text = "It cost 1,200 yuan at 10:30, see https://example.com"
    assert parts(text, lambda part: words(part) <= 5) == [
        "It cost 1,200 yuan at",
        "10:30,",
        "see https://example.com",
    ]


def test_a_clause_that_does_not_fit_is_cut_at_words() -> None:
    assert parts("one two three four five six seven", lambda part: words(part) <= 2) == [
        "one two",
        "three four",
        "five six",
        "seven",
    ]
    assert parts("港口的潮水涨了又落", lambda part: len(part) <= 4) == [
        "港口的潮",
        "水涨了又",
        "落",
    ]


def test_a_word_that_does_not_fit_is_cut_anywhere() -> None:
    assert parts("to abcdefghij end", lambda part: len(part) <= 4) == [
        "to",
        "abcd",
        "efgh",
        "ij",
        "end",
    ]


def test_a_cut_keeps_marks_joiners_and_skin_tones_with_their_character() -> None:
    family, wave, accent = "👨\u200d👩\u200d👧", "👋🏽", "e\u0301"
    assert parts("abc" + accent + "d", lambda part: len(part) <= 4) == ["abc", accent + "d"]
    assert parts("abc" + wave, lambda part: len(part) <= 4) == ["abc", wave]
    assert parts("abc" + family, lambda part: len(part) <= 5) == ["abc", family]


def test_a_cut_leaves_what_closes_with_the_character_before_it() -> None:
    assert parts("x" * 8 + "。y", lambda part: len(part) <= 8) == ["x" * 7, "x。y"]
    assert parts("x" * 7 + "！”y", lambda part: len(part) <= 8) == ["x" * 6, "x！”y"]


def test_a_cut_takes_nothing_away_where_the_rest_would_not_fit() -> None:
    # A word of 101 letters may be one unknown token, and 99 of them fifty known ones.
    def fits(part: str) -> bool:
        return len(part) <= 4 and part != "abc"

    assert parts("abcd\u0301xyz", fits) == ["abcd", "\u0301xyz"]


def test_a_long_run_is_cut_into_parts_that_are_mostly_full() -> None:
    found = parts("x" * 100_000, lambda part: len(part) <= 1000)
    assert max(map(len, found)) <= 1000
    assert min(map(len, found[1:-1])) >= 800


def test_a_run_of_nothing_but_marks_is_cut_all_the_same() -> None:
    text = "a" + "\u0301" * 100
    found = parts(text, lambda part: len(part) <= 32)
    assert "".join(found) == text
    assert all(len(part) <= 32 for part in found)


def test_a_single_character_is_taken_even_if_nothing_fits() -> None:
    assert parts("ab 港口", lambda part: False) == ["a", "b", "港", "口"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["a" * 300_000, "word " * 60_000, "港" * 100_000, "ab, " * 50_000])
def test_a_long_line_is_cut_into_parts_that_fit(text: str) -> None:
    asked: list[int] = []

    def fits(part: str) -> bool:
        asked.append(len(part))
        return len(part) <= 100

    found = parts(text, fits)
    assert max(map(len, found)) <= 100
    assert "".join("".join(found).split()) == "".join(text.split())
    # The stretch and the clause once each, and for the rest a bounded number of looks.
    assert sum(asked) < 100 * len(text)


def test_a_text_that_fits_is_its_only_window() -> None:
    assert windows(" The tide turned. \n", limit=3, count=words) == ["The tide turned."]


def test_a_blank_text_has_no_windows() -> None:
    assert windows(" \n", limit=3, count=words) == []


def test_windows_hold_whole_sentences_and_as_many_as_fit() -> None:
    text = "The tide turned. The ship left. Nobody saw it. It rained."
    assert windows(text, limit=6, count=words) == [
        "The tide turned. The ship left.",
        "Nobody saw it. It rained.",
    ]


def test_a_sentence_over_the_limit_fills_windows_of_its_own() -> None:
    text = "Go. When the tide turned, the old ship left the quay. It rained."
    assert windows(text, limit=4, count=words) == [
        "Go.",
        "When the tide turned,",
        "the old ship left",
        "the quay. It rained.",
    ]


def test_a_window_is_bounded_in_characters_too() -> None:
    found = windows("x" * 1000, limit=10, count=lambda text: 1)
    assert max(map(len, found)) <= 160
    assert "".join(found) == "x" * 1000
