"""PDF becomes text: page by page, lines that the margin broke whole again."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.parsed import Parsed
from rag.documents.pdf import read
from rag.errors import UnreadableDocument
from rag.types import Page, Section
from tests.documents.make_pdf import make_pdf

ENGLISH = "The pilot must be on board two hours before the tide turns (see 4.2)."
CHINESE = "用水人应当按照计量装置的记录按月交付水费，逾期不交付的，供水人可以催告。"


def text_of(*lines: str) -> str:
    return pdf([lines]).text


def pdf(pages: list[tuple[str, ...]], **options: object) -> Parsed:
    return read(make_pdf(pages, **options), source="a.pdf")  # type: ignore[arg-type]


# Text and pages


@pytest.mark.parametrize(
    "line",
    [ENGLISH, CHINESE, "café — “naïve” 25 °C", "a 🚢 b 水", "a\ufffdb", "(a\\b)", "<|endoftext|>"],
)
def test_a_line_of_a_page_is_text(line: str) -> None:
    assert text_of(line) == line


def test_lines_stay_lines_and_blank_ones_go() -> None:
    assert text_of("Vessel  Tons", "", "Tanker  5,000", "Tug   300  ") == (
        "Vessel Tons\nTanker 5,000\nTug 300"
    )


def test_characters_that_control_are_no_text() -> None:
    assert text_of("水\x01b\x1fc\x7f") == "水bc"


def test_pages_are_consecutive_spans_of_the_text() -> None:
    parsed = pdf([(ENGLISH, "next"), (CHINESE,), ("last",)])
    assert [parsed.text[page.start : page.end] for page in parsed.pages] == [
        ENGLISH + "\nnext\n",
        CHINESE + "\n",
        "last",
    ]
    assert [page.number for page in parsed.pages] == [1, 2, 3]


def test_pages_without_text_are_spans_too_and_named_in_the_metadata() -> None:
    parsed = pdf([(), ("a",), (), (), ("b",), ()])
    assert parsed.text == "\na\n\n\nb\n"
    assert parsed.pages == (
        Page(number=1, start=0, end=1),
        Page(number=2, start=1, end=3),
        Page(number=3, start=3, end=4),
        Page(number=4, start=4, end=5),
        Page(number=5, start=5, end=7),
        Page(number=6, start=7, end=7),
    )
    assert parsed.metadata == (("pages_without_text", "1, 3-4, 6"),)
    assert pdf([("a",), ("b",)]).metadata == ()


_LINES = st.text(st.sampled_from("harbour dues-水费第一条，。 12.🚢"), max_size=60)


@given(st.lists(st.lists(_LINES, max_size=4).map(tuple), min_size=1, max_size=4))
def test_pages_cover_the_text_whatever_they_hold(pages: list[tuple[str, ...]]) -> None:
    parsed = pdf(pages)
    assert "".join(parsed.text[page.start : page.end] for page in parsed.pages) == parsed.text
    assert len(parsed.pages) == len(pages)
    for section in parsed.sections:
        assert 0 <= section.start <= section.end <= len(parsed.text)


# Words and lines that the margin broke


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (("at the har-", "bour office"), "at the harbour office"),
        (("at the har\xad", "bour office"), "at the harbour office"),
        (("of ISO-", "9001 and EN-", "ISO"), "of ISO-9001 and EN-ISO"),
        (("an Anglo-", "Saxon of 1970-", "72"), "an Anglo-Saxon of 1970-\n72"),
        (("a well-", "known and well-known man"), "a well-known and well-known man"),
        (("from 1 -", "to 2"), "from 1 -\nto 2"),
    ],
)
def test_a_word_that_a_hyphen_broke_is_whole_again(lines: tuple[str, ...], text: str) -> None:
    assert text_of(*lines) == text


def test_a_compound_is_recognised_by_any_page_of_the_document() -> None:
    assert pdf(
        [
            (
                "the well-",
                "known man",
            ),
            ("is well-known",),
        ]
    ).text == ("the well-known man\nis well-known")


def test_a_chinese_line_that_reaches_the_margin_goes_on_in_the_next() -> None:
    assert text_of(
        "第十二条　用水人应当按照计量装置的记录按月交付水",
        "费；逾期不交付的，供水人可以催告。经催告仍不交付",
        "的，可以中止供水。",
        "第十三条　供水人应当按照约定安全供水，并且检查和",
        "维护设施。",
    ) == (
        "第十二条　用水人应当按照计量装置的记录按月交付水费；逾期不交付的，供水人可以催告。"
        "经催告仍不交付的，可以中止供水。\n"
        "第十三条　供水人应当按照约定安全供水，并且检查和维护设施。"
    )


@pytest.mark.parametrize(
    "lines",
    [
        ("水位", "雨量", "水费"),
        ("用水人应当按照计量装置的记录按月交付水费", "其他"),
        ("用水人应当按照计量装置的记录按月交付水费。", "供水人应当按照约定的标准和时间安全供水"),
        ("用水人应当按照计量装置的记录按月交付水费", "第十三条供水人应当安全供水"),
        ("用水人应当按照计量装置的记录按月交付水费用于", "2024 年"),
        ("The master of every vessel shall notify the", "harbour office."),
    ],
)
def test_lines_that_end_on_their_own_are_not_joined(lines: tuple[str, ...]) -> None:
    if lines[1] == "其他":  # A wider line shows that the margin is further right.
        lines = (*lines, "计量装置由供水人安装、检查和维护，费用由供水人承担，法律另有规定的除外。")
    assert text_of(*lines) == "\n".join(lines)


def test_a_chinese_line_is_joined_beside_a_line_of_digits_that_has_more_characters() -> None:
    page = (
        "水位：2018-06-07 06:00 529.38, 06-23 529.47。",
        "水库在册职工二十三人，其中闸门工五人，年内退休",
        "二人，新招一人。",
    )
    assert text_of(*page) == (
        "水位：2018-06-07 06:00 529.38, 06-23 529.47。\n"
        "水库在册职工二十三人，其中闸门工五人，年内退休二人，新招一人。"
    )


# What runs over pages


def test_running_headers_and_page_numbers_are_no_text_and_named() -> None:
    parsed = pdf([("Tariff Notice 7", f"Line {word}", f"{n}") for n, word in enumerate("abc", 1)])
    assert parsed.text == "Tariff Notice 7\nLine a\nLine b\nLine c"
    assert [parsed.text[page.start : page.end] for page in parsed.pages] == [
        "Tariff Notice 7\nLine a\n",
        "Line b\n",
        "Line c",
    ]
    assert parsed.metadata == (("running_lines", "# (1-3); Tariff Notice 7 (2-3)"),)


def test_a_page_with_nothing_but_its_number_is_without_text() -> None:
    parsed = pdf([("text", "1"), ("2",), ("words", "3"), ("end", "4")])
    assert parsed.text == "text\n\nwords\nend"
    assert dict(parsed.metadata) == {"pages_without_text": "2", "running_lines": "# (1-4)"}


@pytest.mark.parametrize(
    ("last", "first", "text"),
    [
        ("at the har-", "bour office", "at the harbour office"),
        ("a well-", "known and well-known man", "a well-known and well-known man"),
        ("of ISO-", "9001", "of ISO-\n9001"),
        (
            "用水人应当按照计量装置的记录按月交付水",
            "费。",
            "用水人应当按照计量装置的记录按月交付水费。",
        ),
        (
            "用水人应当按照计量装置的记录按月交付。",
            "水费",
            "用水人应当按照计量装置的记录按月交付。\n水费",
        ),
        ("The pilot must be on", "board.", "The pilot must be on\nboard."),
    ],
)
def test_a_page_breaks_no_word_and_no_chinese_line(last: str, first: str, text: str) -> None:
    parsed = pdf([(last,), (first,)])
    assert parsed.text == text
    assert "".join(parsed.text[page.start : page.end] for page in parsed.pages) == text
    assert parsed.text[parsed.pages[1].start :] == first


# Titles and the outline


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Harbour dues", "Harbour dues"),
        ("  砚溪县志 🚢 ", "砚溪县志 🚢"),
        (None, None),
        ("  ", None),
        ("untitled", None),
        ("(anonymous)", None),
    ],
)
def test_the_title_is_that_of_the_metadata(written: str | None, title: str | None) -> None:
    assert pdf([("x",)], title=written).title == title


def test_the_outline_gives_the_sections_where_their_titles_stand() -> None:
    parsed = pdf(
        [
            ("Harbour manual", "1. Dues", "text"),
            ("1.1 Notice of arrival", "and departure", "text", "水费的 计收", "正文"),
        ],
        outline=[
            ("Not on its page", 0, 1),
            ("1.  Dues", 0, 1),
            ("1.1 Notice of Arrival and departure", 1, 2),
            ("水费的计收", 1, 2),
        ],
    )
    assert [(s.level, s.title, parsed.text[s.start :][:8]) for s in parsed.sections] == [
        (1, "Not on its page", "Harbour "),
        (1, "1. Dues", "1. Dues\n"),
        (2, "1.1 Notice of Arrival and departure", "1.1 Noti"),
        (2, "水费的计收", "水费的 计收\n正"),
    ]


def test_without_an_outline_numbers_give_the_sections() -> None:
    parsed = pdf([("第一章　总则", "第一条　水费按月计。"), ("第二条　由用水人交付。",)])
    assert [(s.level, s.title) for s in parsed.sections] == [
        (1, "第一章　总则"),
        (2, "第一条"),
        (2, "第二条"),
    ]


def test_a_bookmark_that_leads_nowhere_is_no_section() -> None:
    data = make_pdf([("a",), ("b",)], outline=[("A", 0, 1), ("B", 0, 2)])
    assert read(data.replace(b"/Dest [9 ", b"/Gone [9 "), source="a.pdf").sections == (
        Section(title="A", level=1, start=0, end=3),
    )


def test_an_outline_that_leads_back_to_itself_ends() -> None:
    data = make_pdf([("A",)], outline=[("A", 0, 1), ("B", 0, 1)])
    circular = data.replace(b"/Next 11 0 R", b"/Next 10 0 R")
    assert circular != data
    assert [s.title for s in read(circular, source="a.pdf").sections] == ["A"]


def test_half_a_character_in_a_title_costs_the_title_alone() -> None:
    data = make_pdf([("text",)], title="T", outline=[("U", 0, 1)])
    for whole in (b"feff0054", b"feff0055"):
        assert whole in data
        data = data.replace(whole, b"feffd83d")
    assert read(data, source="a.pdf") == Parsed(
        text="text", pages=(Page(number=1, start=0, end=4),)
    )


# Passwords and damage


def test_a_file_that_is_encrypted_with_an_empty_password_opens() -> None:
    parsed = pdf([(ENGLISH,), (CHINESE,)], password="", title="Dues", outline=[("A", 0, 2)])
    assert parsed.text == ENGLISH + "\n" + CHINESE
    assert (parsed.title, parsed.sections[0].title) == ("Dues", "A")


def test_a_file_with_another_password_says_so() -> None:
    with pytest.raises(UnreadableDocument) as told:
        pdf([(ENGLISH,)], password="tide")
    assert str(told.value) == "'a.pdf' is encrypted; save it without a password"
    assert told.value.source == "a.pdf"


def test_an_encryption_that_is_not_known_says_so() -> None:
    data = make_pdf([("x",)], password="").replace(b"/Filter /Standard", b"/Filter /Homemade")
    with pytest.raises(UnreadableDocument, match="is encrypted in a way that is not known; print"):
        read(data, source="a.pdf")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%PDF-1.4\n",
        b"<html>404 Not Found</html>",
        make_pdf([("x",)])[:300],
        make_pdf([("x",)])[:-200],
        make_pdf([]),
    ],
)
def test_a_damaged_file_says_so_with_advice(data: bytes) -> None:
    with pytest.raises(
        UnreadableDocument, match=r"'a\.pdf' is damaged: .*[^.]; .*qpdf in\.pdf out\.pdf"
    ):
        read(data, source="a.pdf")


def test_a_page_that_cannot_be_read_is_named_and_not_left_out() -> None:
    data = make_pdf([("a",), ("b",), ("c",)])
    broken = data.replace(b"9 0 obj\n<< /Type /Page ", b"9 0 obj\n<< /Type /Cage ")
    assert broken != data
    with pytest.raises(
        UnreadableDocument, match=r"'a\.pdf' is damaged: page 2 of 3 cannot be read"
    ):
        read(broken, source="a.pdf")


def test_what_stands_before_the_header_does_no_harm() -> None:
    assert read(b"\r\n\r\n" + make_pdf([("x",)]), source="a.pdf").text == "x"


_WHOLE = make_pdf(
    [(ENGLISH, "the har-", "bour"), (CHINESE, ""), ()],
    title="Dues",
    outline=[("Dues", 0, 1), ("水费", 1, 2)],
)


_PLACE = st.integers(0, len(_WHOLE) - 1)


@given(st.lists(st.tuples(_PLACE, st.integers(0, 7)), max_size=10), _PLACE, _PLACE)
def test_no_damage_is_more_than_an_error_of_ours(
    flipped: list[tuple[int, int]], start: int, end: int
) -> None:
    damaged = bytearray(_WHOLE)
    for place, bit in flipped:
        damaged[place] ^= 1 << bit
    damaged[start:end] = b""
    try:
        parsed = read(bytes(damaged), source="a.pdf")
    except UnreadableDocument:
        return
    assert "".join(parsed.text[page.start : page.end] for page in parsed.pages) == parsed.text
    assert parsed.text.encode().decode() == parsed.text


@pytest.mark.parametrize("length", range(0, len(_WHOLE), len(_WHOLE) // 50))
def test_a_file_that_was_cut_is_an_error(length: int) -> None:
    with pytest.raises(UnreadableDocument, match="is damaged"):
        read(_WHOLE[:length], source="a.pdf")


# Size


@pytest.mark.parametrize(
    "line",
    ["a" * 32_000, "水" * 16_000, "a-" * 16_000, "a\x02" * 16_000, "a" + "\t" * 30_000 + "b"],
)
def test_a_hostile_line_takes_linear_time(line: str) -> None:
    # What is quadratic takes minutes here, more than a test may take.
    assert len(pdf([(line,) * 4]).text) <= 4 * len(line) + 3


def test_a_long_outline_of_a_long_page_takes_little_time() -> None:
    lines = tuple(f"line {number}" for number in range(2_000))
    outline = [(f"line {number}", 0, 1) for number in range(0, 2_000, 10)]
    parsed = pdf([lines], outline=[*outline, ("x" * 30_000, 0, 1)])
    assert [s.title for s in parsed.sections[-2:]] == ["line 1980", "line 1990"]
    assert parsed.text[parsed.sections[-1].start :].startswith("line 1990\n")


def test_a_page_is_out_of_memory_before_the_next_is_read() -> None:
    # 300 pages take 30 MB; were they kept until the end, 125 MB.
    code = (
        "import resource\n"
        "from pypdfium2 import PdfDocument\n"
        "from rag.documents.pdf import read\n"
        "from tests.documents.make_pdf import make_pdf\n"
        f"data = make_pdf([[{ENGLISH!r}] * 50] * 300)\n"
        "read(make_pdf([['x']]), source='b.pdf')\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert len(read(data, source='a.pdf').pages) == 300\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    kilobytes = int(done.stdout) // (1024 if sys.platform == "darwin" else 1)
    assert kilobytes < 70_000
