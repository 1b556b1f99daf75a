"""Make the PDF files of the corpora: each ``NAME.pdf.md`` becomes ``NAME.pdf`` beside it.

    python corpora/make_pdfs.py [FOLDER ...]    every corpus beside this script by default

1. A small Markdown is read: headings from ``#`` (the first is the title of the whole) to
   ``###``, paragraphs, and ``| tables |`` whose second line is a rule. Nothing is markup inside
   a line.
2. reportlab sets it on A4: the title over every page but the first, its number under each, a
   bookmark for each heading, a table's first row again wherever a page cuts the table.
3. The same Markdown gives the same bytes: no clock and no random identifier goes in.

Chinese is set in STSong-Light, which viewers supply, so that no font is needed here.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from reportlab.lib.colors import grey
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Table

MARGIN = 25 * mm
WIDTH = A4[0] - 2 * MARGIN
NARROWEST = 14 * mm
"""Of a column: room for the longest number of a table."""
PADDING = 4
GAP = 3.5 * mm
BODY_SIZE, TABLE_SIZE, SMALL_SIZE = 10.5, 9, 8.5
HEADING_SIZES = (19, 14, 11.5)
CHINESE = re.compile(r"[\u3400-\u9fff]")
HEADING = re.compile(r"(#{1,3}) +(.+)")
RULE = re.compile(r"\|[ |:-]+\|")


class SongFont(UnicodeCIDFont):  # type: ignore[misc]  # reportlab has no types.
    """The font of the Chinese files, which puts a space behind a character that stands alone.

    pdfium gives a character that it has no glyph for no width, and takes a text without a
    width for none: where no Chinese font is installed, the last line of a paragraph would be
    lost if it were a single character.
    """

    def formatForPdf(self, text: str) -> object:  # noqa: N802  # reportlab calls it so.
        """Encode a text."""
        return super().formatForPdf(text if len(text) > 1 else f"{text} ")


class Fonts(NamedTuple):
    """What a language is set in, and how its lines break."""

    body: str
    bold: str
    break_lines: str | None


LATIN = Fonts("Times-Roman", "Times-Bold", None)
SONG = Fonts("STSong-Light", "STSong-Light", "CJK")


class Heading(NamedTuple):
    """A heading, from level 1, the outermost."""

    level: int
    text: str


Rows = list[list[str]]
Block = Heading | str | Rows


def main(folders: list[str]) -> None:
    """Make the PDF files below some folders."""
    registerFont(SongFont(SONG.body))
    for folder in folders or [str(Path(__file__).parent)]:
        for source in sorted(Path(folder).rglob("*.pdf.md")):
            make(source, source.with_suffix(""))


def make(source: Path, target: Path) -> None:
    """Set one Markdown file as a PDF."""
    text = source.read_text(encoding="utf-8")
    blocks = list(read(text))
    title = next(block.text for block in blocks if isinstance(block, Heading))
    fonts = SONG if CHINESE.search(text) else LATIN
    Book(target, title, fonts).build([flow for block in blocks for flow in set_block(block, fonts)])


def read(text: str) -> Iterator[Block]:
    """Read the blocks of a text, which blank lines set apart."""
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.split("\n")
        heading = HEADING.fullmatch(block)
        if heading:
            yield Heading(len(heading[1]), heading[2].strip())
        elif all(line.startswith("|") for line in lines):
            rows = (line for line in lines if not RULE.fullmatch(line))
            yield [[cell.strip() for cell in row.strip()[1:-1].split("|")] for row in rows]
        else:
            yield ("" if CHINESE.search(block) else " ").join(lines)


def set_block(block: Block, fonts: Fonts) -> Iterator[Flowable]:
    """Turn a block into what reportlab sets."""
    if isinstance(block, Heading):
        size = HEADING_SIZES[block.level - 1]
        heading = paragraph(block.text, fonts, size=size, bold=True)
        heading.keepWithNext = True
        heading.bookmark = block
        yield heading
    elif isinstance(block, str):
        yield paragraph(block, fonts, size=BODY_SIZE)
    else:
        cells = [
            [paragraph(cell, fonts, size=TABLE_SIZE, bold=not number, gap=0) for cell in row]
            for number, row in enumerate(block)
        ]
        style = [
            ("GRID", (0, 0), (-1, -1), 0.4, grey),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), PADDING),
            ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
        ]
        yield Table(
            cells, column_widths(block, fonts), repeatRows=1, style=style, spaceAfter=2 * GAP
        )


def paragraph(
    text: str, fonts: Fonts, *, size: float, bold: bool = False, gap: float = GAP
) -> Paragraph:
    """Set a paragraph."""
    style = ParagraphStyle(
        "paragraph",
        fontName=fonts.bold if bold else fonts.body,
        fontSize=size,
        leading=1.4 * size,
        spaceBefore=gap if bold else 0,
        spaceAfter=gap,
        wordWrap=fonts.break_lines,
    )
    return Paragraph(escape(text), style)


def column_widths(rows: Rows, fonts: Fonts) -> list[float]:
    """Give each column what its longest cell needs, and the widest what is left.

    A line of a cell that breaks comes out of a PDF before the next cell does; so only the
    widest column breaks, and only if it must.
    """
    wanted = [
        max(
            NARROWEST,
            *(stringWidth(cell, fonts.bold, TABLE_SIZE) + 2 * PADDING + 1 for cell in column),
        )
        for column in zip(*rows, strict=True)
    ]
    widest = wanted.index(max(wanted))
    wanted[widest] = min(wanted[widest], max(WIDTH - sum(wanted) + wanted[widest], WIDTH / 4))
    return [width * min(1, WIDTH / sum(wanted)) for width in wanted]


class Book(BaseDocTemplate):  # type: ignore[misc]  # reportlab has no types.
    """Pages with a running title, a number, and bookmarks."""

    def __init__(self, target: Path, title: str, fonts: Fonts) -> None:
        # Invariant files have no date and no random identifier.
        super().__init__(str(target), pagesize=A4, title=title, author="", invariant=1)
        self.running, self.fonts = title, fonts
        frame = Frame(MARGIN, MARGIN, WIDTH, A4[1] - 2 * MARGIN, 0, 0, 0, 0)
        self.addPageTemplates(PageTemplate("page", frame, onPage=self.head, onPageEnd=self.foot))

    def head(self, canvas: Any, _: object) -> None:
        """Write the title over every page but the first, before the text of the page."""
        if self.page > 1:
            canvas.setFont(self.fonts.body, SMALL_SIZE)
            canvas.drawString(MARGIN, A4[1] - MARGIN + 3 * GAP, self.running)

    def foot(self, canvas: Any, _: object) -> None:
        """Write the number of the page under it."""
        canvas.setFont(self.fonts.body, SMALL_SIZE)
        canvas.drawCentredString(A4[0] / 2, MARGIN - 3 * GAP, str(canvas.getPageNumber()))

    def afterFlowable(self, flowable: Flowable) -> None:  # noqa: N802  # reportlab calls it so.
        """Set a bookmark where a heading came to stand."""
        heading = getattr(flowable, "bookmark", None)
        if heading is not None:
            key = f"{self.page}-{self.frame._y}"  # noqa: SLF001  # Its only record of the place.
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(heading.text, key, heading.level - 1)


if __name__ == "__main__":
    main(sys.argv[1:])
