"""PDF becomes text: page by page, in the order in which pdfium reads it.

1. pdfium opens the file; what is encrypted opens if its password is empty.
2. Running headers, footers and page numbers leave the text (``running``); the metadata name
   them. A header stays where it first stands.
3. The text of each page is cleaned: one kind of line break, words that were hyphenated at
   the end of a line whole again, Chinese lines that were broken at the margin joined.
4. Pages are joined by line breaks, save where one breaks a word, or a Chinese line. The
   outline, where there is one, gives the headings; each begins at the line of its page that
   bears its title, else at the top of that page.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from rag.documents.parsed import Parsed, ranges
from rag.documents.running import leave_out
from rag.documents.sections import Heading, find_sections
from rag.errors import UnreadableDocument
from rag.types import Page, Scalar

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfiumError

_WRONG_PASSWORD = 4
_UNKNOWN_SECURITY = 5
"""FPDF_ERR_PASSWORD and FPDF_ERR_SECURITY of pdfium's ``fpdfview.h``."""
_NO_TITLES = frozenset({"", "untitled", "(anonymous)"})
"""What programs write where nobody has given a title."""
# What begins with a repetition is tried at its first character alone, or it takes quadratic time.
_HYPHEN = re.compile(r"(?<!\w)(\w++)[\ufffe\x02]\s*+(\w+)")
"""pdfium puts U+FFFE, and some versions U+0002, where a hyphen ended a line."""
_HYPHENATED = re.compile(r"(?<!\w)\w++-\w+")
_PAGE_HYPHEN = re.compile(r"(?<!\w)(\w*[^\W\d_])-\Z")
"""At the end of a page it is an ordinary hyphen."""
_WORD = re.compile(r"\w+")
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
_LINE_END = re.compile(r"(?<![ \t])[ \t]*+(?:\r\n|\r|\n)")
_CHINESE_END = re.compile(r"[\u3400-\u9fff，、：；“‘（《]$")
_CHINESE_START = re.compile(
    r"(?!第[0-9〇零一二三四五六七八九十百千]+[编篇卷部章节条])[\u3400-\u9fff，。、：；！？”’）》]"
)
_FULL = 0.9
"""A line at least so wide, as a share of the widest of its page, reaches the margin."""
_FEWEST_COLUMNS = 30
"""A page whose lines are all shorter is a table or a list, not a broken paragraph."""
_WIDE = re.compile(r"[\u2e80-\uffdc]")
_LONGEST_TITLE = 200
"""Characters of a bookmark that are looked for on its page; a line of a page has a hundred."""
_SPACES = re.compile(r"\s+")


def read(data: bytes, *, source: str) -> Parsed:
    """Read a PDF file.

    Raises
    ------
    UnreadableDocument
        It is damaged, or encrypted with a password.
    """
    from pypdfium2 import PdfDocument, PdfiumError  # noqa: PLC0415

    try:
        with closing(PdfDocument(data)) as document:
            raw, running = leave_out(list(_page_lines(document, source)))
            texts = _joined(raw)
            title = _decoded(lambda: document.get_metadata_value("Title")).strip()
            pages = _pages(texts)
            text = "".join(texts)
            headings = _outline(document, text, pages)
    except PdfiumError as error:
        raise _unreadable(source, error) from error
    blank = [page.number for page, words in zip(pages, texts, strict=True) if not words.strip()]
    metadata: list[tuple[str, Scalar]] = []
    if running:
        metadata.append(("running_lines", running))
    if blank:
        metadata.append(("pages_without_text", ranges(blank)))
    return Parsed(
        text=text,
        title=None if title in _NO_TITLES else title,
        pages=pages,
        sections=find_sections(text, headings=headings),
        metadata=tuple(metadata),
    )


def _unreadable(source: str, error: "PdfiumError") -> UnreadableDocument:
    if error.err_code == _WRONG_PASSWORD:
        what = "is encrypted; save it without a password"
    elif error.err_code == _UNKNOWN_SECURITY:
        what = "is encrypted in a way that is not known; print it to a new PDF"
    else:
        said = str(error).rstrip(".")
        what = f"is damaged: {said}; get it again, or repair it with: qpdf in.pdf out.pdf"
    return UnreadableDocument(f"{source!r} {what}", source=source)


def _decoded(title: Callable[[], str]) -> str:
    """Give a title, or "" where it holds half a character; the text is worth more."""
    try:
        return title()
    except UnicodeDecodeError:
        return ""


def _page_lines(document: "PdfDocument", source: str) -> Iterator[list[str]]:
    """Yield the lines of each page, none for a page without text."""
    from pypdfium2 import PdfiumError  # noqa: PLC0415

    for index in range(len(document)):
        try:
            # A page that is not closed stays in memory as long as the document.
            with closing(document[index]) as page, closing(page.get_textpage()) as content:
                text = _LINE_END.sub("\n", content.get_text_range()).strip()
        except PdfiumError as error:
            message = (
                f"{source!r} is damaged: page {index + 1} of {len(document)} cannot be read; get "
                "it again, or repair it with: qpdf in.pdf out.pdf"
            )
            raise UnreadableDocument(message, source=source) from error
        yield text.split("\n") if text else []


def _joined(pages: Sequence[Sequence[str]]) -> list[str]:
    """Clean the pages; each ends with what sets it apart from the next, a line break mostly."""
    raw = ["\n".join(lines) for lines in pages]
    compounds = {word for text in raw for word in _HYPHENATED.findall(text)}
    cleaned = [_cleaned(text, compounds) for text in raw]
    texts = [_join_chinese(lines) for lines in cleaned]
    for place, (above, below) in enumerate(pairwise(cleaned)):
        broken = _PAGE_HYPHEN.search(above[-1])
        goes_on = _WORD.match(below[0])
        if broken and goes_on and below[0][0].islower():
            if f"{broken[1]}-{goes_on[0]}" not in compounds:
                texts[place] = texts[place][:-1]
        elif not _is_broken(above[-1], below[0], widest=max(map(_columns, above))):
            texts[place] += "\n"
    return texts


def _cleaned(text: str, compounds: set[str]) -> list[str]:
    """Make words whole that the margin broke, and drop what is no text; returns the lines."""

    def joined(match: re.Match[str]) -> str:
        before, after = match.groups()
        compound = f"{before}-{after}"
        # ISO-9001, Anglo-Saxon, and what is written with a hyphen elsewhere, keep theirs.
        keeps = not after[0].islower() or not before[-1].isalpha() or compound in compounds
        return compound if keeps else before + after

    return _NO_TEXT.sub("", _HYPHEN.sub(joined, text)).strip().split("\n")


def _join_chinese(lines: Sequence[str]) -> str:
    """Join Chinese lines that the margin broke, which no space and no sentence end tells."""
    widest = max(map(_columns, lines))
    parts = [lines[0]]
    for before, after in pairwise(lines):
        parts.append(after if _is_broken(before, after, widest=widest) else "\n" + after)
    return "".join(parts)


def _is_broken(before: str, after: str, *, widest: int) -> bool:
    """Whether a Chinese line that reaches the margin goes on in the next."""
    return bool(
        _columns(before) >= max(_FULL * widest, _FEWEST_COLUMNS)
        and _CHINESE_END.search(before)
        and _CHINESE_START.match(after)
    )


def _columns(line: str) -> int:
    """Count what a line takes on paper, where a Chinese character is as wide as two digits."""
    return len(line) + len(_WIDE.findall(line))


def _pages(texts: Sequence[str]) -> tuple[Page, ...]:
    """Let each page reach to the next, the line break between them included."""
    ends = list(accumulate(map(len, texts)))
    return tuple(
        Page(number=number, start=end - len(text), end=end)
        for number, (text, end) in enumerate(zip(texts, ends, strict=True), start=1)
    )


def _outline(document: "PdfDocument", text: str, pages: Sequence[Page]) -> list[Heading]:
    headings: list[Heading] = []
    lines: dict[int, list[tuple[int, str]]] = {}
    for bookmark in document.get_toc():
        destination = bookmark.get_dest()
        index = None if destination is None else destination.get_index()
        title = _SPACES.sub(" ", _NO_TEXT.sub("", _decoded(bookmark.get_title))).strip()
        if title and index is not None and index < len(pages):
            page = pages[index]
            lines[index] = lines.get(index) or list(_lines(text, page))
            wanted = _letters(title[:_LONGEST_TITLE])
            starts = (start for start, letters in lines[index] if letters.startswith(wanted))
            headings.append(Heading(title, bookmark.level + 1, next(starts, page.start)))
    return sorted(headings, key=lambda heading: heading.start)


def _lines(text: str, page: Page) -> Iterator[tuple[int, str]]:
    """Yield where each line of a page starts, and as many letters as a title may have.

    A title may take several lines.
    """
    start = page.start
    while start < page.end:
        # As many characters as a title has, and as many spaces that are left out.
        yield start, _letters(text[start : min(start + 2 * _LONGEST_TITLE, page.end)])
        start = (text.find("\n", start, page.end) + 1) or page.end


def _letters(text: str) -> str:
    return _SPACES.sub("", text).casefold()
