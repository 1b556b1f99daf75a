"""PPTX: each slide a page, and a section if it has a title."""

import io
from typing import Any

import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from rag.documents.parsed import Parsed
from rag.documents.slides import read
from rag.errors import UnreadableDocument
from rag.types import Page, Section

TITLED, CONTENT, TITLE_ONLY, BLANK = 0, 1, 5, 6
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63"
    "606060000000040001f61738550000000049454e44ae426082"
)


class Show:
    """A presentation as it is put together."""

    def __init__(self) -> None:
        self.presentation: Any = pptx.Presentation()

    def add(self, layout: int, title: str = "") -> Any:
        slide = self.presentation.slides.add_slide(self.presentation.slide_layouts[layout])
        if title:
            slide.shapes.title.text = title
        return slide

    def saved(self) -> bytes:
        out = io.BytesIO()
        self.presentation.save(out)
        return out.getvalue()

    def parsed(self) -> Parsed:
        return read(self.saved(), source="a.pptx")


def box(shapes: Any, text: str) -> None:
    shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = text


def test_slides_are_pages_and_those_with_a_title_sections() -> None:
    show = Show()
    show.add(TITLED, "Harbour\vdues").placeholders[1].text = "of 2024"
    box(show.add(BLANK).shapes, "水费")
    show.add(TITLE_ONLY, "Fees")
    found = show.parsed()
    assert found.text == "Harbour dues\n\nof 2024\n\n水费\n\nFees"
    assert found.pages == (
        Page(number=1, start=0, end=23),
        Page(number=2, start=23, end=27),
        Page(number=3, start=27, end=31),
    )
    assert found.sections == (
        Section(title="Harbour dues", level=1, start=0, end=23),
        Section(title="Fees", level=1, start=27, end=31),
    )
    assert (found.title, found.metadata) == ("Harbour dues", ())


def test_the_title_of_the_properties_wins() -> None:
    show = Show()
    show.add(TITLE_ONLY, "First")
    show.presentation.core_properties.title = "Dues"
    assert show.parsed().title == "Dues"


def test_lists_are_marked_and_indented() -> None:
    show = Show()
    frame = show.add(CONTENT, "Dues").placeholders[1].text_frame
    frame.text = "tugs\nover 300 tons\npilots"
    frame.paragraphs[1].level = 1
    assert show.parsed().text == "Dues\n\n- tugs\n  - over 300 tons\n- pilots"


def test_a_table_is_rows_and_a_merged_cell_stands_once() -> None:
    show = Show()
    table = show.add(BLANK).shapes.add_table(2, 3, 0, 0, Inches(3), Inches(1)).table
    for place, text in enumerate(["Vessel", "", "Tons", "Tug", "old\none", "300"]):
        table.cell(place // 3, place % 3).text = text
    table.cell(0, 0).merge(table.cell(0, 1))
    assert show.parsed().text == "| Vessel |  | Tons |\n| Tug | old one | 300 |"


def test_groups_are_opened_and_notes_follow() -> None:
    show = Show()
    slide = show.add(TITLE_ONLY, "Dues")
    box(slide.shapes.add_group_shape().shapes.add_group_shape().shapes, "deep inside")
    slide.notes_slide.notes_text_frame.text = "Speak\nslowly."
    assert show.parsed().text == "Dues\n\ndeep inside\n\nNotes:\nSpeak\nslowly."


def test_what_is_not_read_is_counted_and_what_is_hidden_named() -> None:
    show = Show()
    slide = show.add(TITLE_ONLY, "Dues")
    chart: Any = CategoryChartData()  # type: ignore[no-untyped-call]
    chart.categories = ["a"]
    chart.add_series("s", [1])
    slide.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 0, Inches(1), Inches(1), chart)
    slide.shapes.add_picture(io.BytesIO(PNG), 0, 0)
    slide._element.set("show", "0")
    show.add(BLANK)
    found = show.parsed()
    assert found.text == "Dues\n\n"
    assert dict(found.metadata) == {
        "charts": 1,
        "pictures": 1,
        "hidden_slides": "1",
        "pages_without_text": "2",
    }


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", Show().saved()[:5_000]])
def test_a_damaged_file_says_so(data: bytes) -> None:
    with pytest.raises(UnreadableDocument, match=r"'a\.pptx' is damaged"):
        read(data, source="a.pptx")


def test_a_show_without_slides_is_empty() -> None:
    assert Show().parsed() == Parsed(text="")
