"""DOCX becomes text: what a reader of the document sees, in blocks."""

import io
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import docx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rag
from rag.documents.docx import read
from rag.documents.parsed import Parsed
from rag.errors import DocumentError, EmptyDocument, UnreadableDocument

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
NAMESPACES = (
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:dc="http://purl.org/dc/elements/1.1/"'
)


def xml(root: str, inner: str, *, namespace: str = WORD) -> str:
    return f'<?xml version="1.0"?><w:{root} xmlns:w="{namespace}" {NAMESPACES}>{inner}</w:{root}>'


def relations(kinds: dict[str, str], *, base: str = RELATIONS) -> str:
    inner = "".join(
        f'<Relationship Id="r{n}" Type="{base}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(kinds.items())
    )
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    return f'<Relationships xmlns="{space}">{inner}</Relationships>'


def pack(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return out.getvalue()


def make_docx(body: str, *, namespace: str = WORD, **parts: str) -> bytes:
    """Write a package around the XML of a body; ``parts`` are styles, numbering, footnotes …"""
    files = {
        "_rels/.rels": relations({"officeDocument": "word/document.xml"}),
        "word/document.xml": xml("document", f"<w:body>{body}</w:body>", namespace=namespace),
        "word/_rels/document.xml.rels": relations({kind: f"{kind}.xml" for kind in parts}),
    }
    files |= {
        f"word/{kind}.xml": xml(kind, inner, namespace=namespace) for kind, inner in parts.items()
    }
    return pack(files)


def parse(body: str, **parts: str) -> Parsed:
    return read(make_docx(body, **parts), source="a.docx")


def text(body: str, **parts: str) -> str:
    return parse(body, **parts).text


def p(*runs: str, properties: str = "") -> str:
    """Write a paragraph; what is no XML becomes a run."""
    inner = "".join(run if run.startswith("<") else r(run) for run in runs)
    return f"<w:p><w:pPr>{properties}</w:pPr>{inner}</w:p>"


def r(words: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{words}</w:t></w:r>'


def styled(style: str, words: str) -> str:
    return p(words, properties=f'<w:pStyle w:val="{style}"/>')


def style(id: str, name: str, *, based_on: str = "", properties: str = "") -> str:  # noqa: A002
    base = f'<w:basedOn w:val="{based_on}"/>' if based_on else ""
    return (
        f'<w:style w:type="paragraph" w:styleId="{id}"><w:name w:val="{name}"/>{base}'
        f"<w:pPr>{properties}</w:pPr></w:style>"
    )


def saved(document: "docx.document.Document") -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def sections(parsed: Parsed) -> list[tuple[int, str]]:
    """List the sections, each checked to begin where its title stands."""
    for section in parsed.sections:
        assert parsed.text.startswith(section.title, section.start)
    return [(section.level, section.title) for section in parsed.sections]


# Paragraphs and headings


def test_a_document_written_by_python_docx_is_read() -> None:
    document = docx.Document()
    document.add_heading("Harbour rules", 0)
    document.add_heading("Pilots", 1)
    document.add_paragraph("The pilot boards two hours before the tide turns.")
    document.add_heading("引航", 2)
    document.add_paragraph("引航员须在转潮前两小时登船。")
    document.add_paragraph("lamp", style="List Bullet")
    document.add_paragraph("rope", style="List Bullet")
    document.add_paragraph("Signal.", style="List Number")
    document.add_paragraph("Wait.", style="List Number")
    table = document.add_table(2, 2)
    for cell, words in zip(
        [cell for row in table.rows for cell in row.cells],
        ["Vessel", "Fee", "Barge", "40"],
        strict=True,
    ):
        cell.text = words
    document.sections[0].header.paragraphs[0].text = "Draft"
    document.sections[0].footer.paragraphs[0].text = "Page 1"
    parsed = read(saved(document), source="a.docx")
    assert parsed.text == (
        "Harbour rules\n\n"
        "Pilots\n\n"
        "The pilot boards two hours before the tide turns.\n\n"
        "引航\n\n"
        "引航员须在转潮前两小时登船。\n\n"
        "- lamp\n- rope\n1. Signal.\n2. Wait.\n\n"
        "| Vessel | Fee |\n| Barge | 40 |"
    )
    assert parsed.title == "Harbour rules"
    assert [(s.level, s.title, s.start, s.end) for s in parsed.sections] == [
        (1, "Pilots", 15, 160),
        (2, "引航", 74, 160),
    ]


def test_blank_paragraphs_leave_no_gap() -> None:
    assert text(p("one") + p() + p(" ") + p("two")) == "one\n\ntwo"


def test_the_spaces_inside_a_paragraph_stay_and_those_around_it_fall() -> None:
    assert text(p(" 甲方　", "two  spaces ")) == "甲方　two  spaces"


def test_the_file_s_own_line_breaks_are_spaces() -> None:
    assert text(p("broken\nin the file")) == "broken in the file"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("Heading2", "heading 2"),
        ("berschrift2", "heading 2"),
        ("2", "heading 2"),
        ("a1", "标题 2"),
        ("a1", "標題 2"),
        ("a1", "Überschrift 2"),
        ("a1", "Heading 2,H2,二级标题"),
    ],
)
def test_a_heading_is_known_by_the_name_of_its_style(key: str, name: str) -> None:
    parsed = parse(styled(key, "Fees"), styles=style(key, name))
    assert sections(parsed) == [(2, "Fees")]


@pytest.mark.parametrize("key", ["Heading1", "标题1"])
def test_a_heading_is_known_by_the_id_of_its_style_where_styles_are_missing(key: str) -> None:
    assert sections(parse(styled(key, "水费"))) == [(1, "水费")]


def test_a_heading_is_known_by_the_outline_level_of_its_style() -> None:
    outline = style("x", "Chapter", properties='<w:outlineLvl w:val="2"/>')
    assert sections(parse(styled("x", "Fees"), styles=outline)) == [(3, "Fees")]


def test_a_style_inherits_its_level_from_the_one_it_is_based_on() -> None:
    styles = style("a", "Legal", based_on="b") + style("b", "Bold", based_on="Heading3")
    styles += style("Heading3", "heading 3")
    assert sections(parse(styled("a", "Fees"), styles=styles)) == [(3, "Fees")]


def test_styles_based_on_each_other_in_a_circle_are_no_headings() -> None:
    styles = style("a", "A", based_on="b") + style("b", "B", based_on="a")
    assert sections(parse(styled("a", "Fees"), styles=styles)) == []


def test_a_paragraph_s_own_outline_level_wins() -> None:
    body = p("Fees", properties='<w:outlineLvl w:val="1"/>')
    body += p("Text", properties='<w:pStyle w:val="Heading1"/><w:outlineLvl w:val="9"/>')
    assert sections(parse(body)) == [(2, "Fees")]


def test_the_heading_of_a_table_of_contents_and_its_entries_are_no_sections() -> None:
    styles = style("Heading1", "heading 1") + style("TOC1", "toc 1")
    styles += style(
        "TOCHeading", "TOC Heading", based_on="Heading1", properties='<w:outlineLvl w:val="9"/>'
    )
    body = styled("TOCHeading", "Contents")
    body += styled("TOC1", "第一章　总则") + styled("TOC1", "第二章　水费")
    body += styled("Heading1", "第一章　总则") + p("本办法适用于全市。")
    body += styled("Heading1", "第二章　水费") + p("水费按月计。")
    parsed = parse(body, styles=styles)
    assert parsed.text.startswith(
        "Contents\n\n第一章　总则\n第二章　水费\n\n第一章　总则\n\n本办法"
    )
    assert [(s.title, s.start) for s in parsed.sections] == [
        ("第一章　总则", 25),
        ("第二章　水费", 44),
    ]


def test_levels_below_the_sixth_count_as_the_sixth() -> None:
    body = styled("Heading6", "six") + styled("Heading9", "nine")
    assert sections(parse(body)) == [(6, "six"), (6, "nine")]


def test_articles_that_only_their_number_gives_away_are_found() -> None:
    body = styled("Heading1", "第一章　总则")
    body += p("第一条　水费按月计。") + p("第二条　水费由用水人交付。")
    assert sections(parse(body)) == [(1, "第一章　总则"), (2, "第一条"), (2, "第二条")]


# The text of a paragraph


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<w:hyperlink>" + r("rules") + "</w:hyperlink>", "a rules z"),
        ("<w:sdt><w:sdtPr/><w:sdtContent>" + r("rules") + "</w:sdtContent></w:sdt>", "a rules z"),
        ("<w:smartTag><w:customXml>" + r("rules") + "</w:customXml></w:smartTag>", "a rules z"),
        ("<w:fldSimple>" + r("rules") + "</w:fldSimple>", "a rules z"),
        ("<w:ins>" + r("rules") + "</w:ins>", "a rules z"),
        ("<w:moveTo>" + r("rules") + "</w:moveTo>", "a rules z"),
        ("<w:new>" + r("rules") + "</w:new>", "a rules z"),
        ("<w:del><w:r><w:delText>no</w:delText></w:r></w:del>", "a  z"),
        ("<w:del>" + r("no") + "</w:del>", "a  z"),
        ("<w:ins><w:del>" + r("no") + "</w:del></w:ins>", "a  z"),
        ("<w:moveFrom>" + r("no") + "</w:moveFrom>", "a  z"),
        ("<w:r><w:rPr><w:vanish/></w:rPr><w:t>no</w:t></w:r>", "a  z"),
        ('<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>shown</w:t></w:r>', "a shown z"),
        ("<w:r><w:br/><w:t>b</w:t><w:cr/></w:r>", "a \nb\n z"),
        ("<w:r><w:tab/><w:ptab/></w:r>", "a \t\t z"),
        ("<w:r><w:t>twenty</w:t><w:noBreakHyphen/><w:t>one</w:t></w:r>", "a twenty-one z"),
        ("<w:r><w:t>har</w:t><w:softHyphen/><w:t>bour\xad</w:t></w:r>", "a harbour z"),
        ('<w:r><w:sym w:font="Symbol" w:char="F06D"/><w:t>m</w:t></w:r>', "a μm z"),
        ('<w:r><w:sym w:font="Symbol" w:char="F0B1"/><w:t>3</w:t></w:r>', "a ±3 z"),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0FE"/></w:r>', "a ☑ z"),
        ('<w:r><w:sym w:font="Wingdings 2" w:char="00A3"/></w:r>', "a ☐ z"),
        ('<w:r><w:sym w:font="Webdings" w:char="F022"/></w:r>', "a \uf022 z"),
        ('<w:r><w:sym w:font="Arial" w:char="D800"/></w:r>', "a  z"),
        (
            "<w:r><w:ruby><w:rt>"
            + r("hàn")
            + "</w:rt><w:rubyBase>"
            + r("汉")
            + "</w:rubyBase></w:ruby></w:r>",
            "a 汉(hàn) z",
        ),
    ],
)
def test_a_run_reads_as_it_shows(inner: str, expected: str) -> None:
    assert text(p("a ", inner, " z")) == expected


def field(instruction: str, result: str | None) -> str:
    shown = "" if result is None else f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{result}'
    return (
        f'<w:r><w:fldChar w:fldCharType="begin"/></w:r>{instruction}{shown}'
        '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


def test_of_a_field_only_the_result_is_text() -> None:
    instruction = "<w:r><w:instrText>PAGEREF x</w:instrText></w:r>"
    assert text(p("page ", field(instruction, r("7")), ".")) == "page 7."


def test_a_field_in_the_instruction_of_another_is_not_text() -> None:
    condition = r("IF ") + field(r("MERGEFIELD"), r("Bob")) + r(" = x")
    assert text(p("Dear ", field(condition, r("Sir")), "!")) == "Dear Sir!"


def test_a_field_without_a_result_shows_nothing() -> None:
    assert text(p("a", field("<w:r><w:instrText>XE x</w:instrText></w:r>", None), "b")) == "ab"


def test_a_field_that_never_ends_costs_no_text() -> None:
    begin = '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'
    assert text(p("a ", begin, "b") + p("c")) == "a b\n\nc"


def test_a_field_over_several_paragraphs_keeps_its_result() -> None:
    begin = '<w:r><w:fldChar w:fldCharType="begin"/><w:instrText>TOC</w:instrText></w:r>'
    separate = '<w:r><w:fldChar w:fldCharType="separate"/></w:r>'
    end = '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    assert text(p(begin, separate, "one") + p("two") + p(end, "three")) == "one\n\ntwo\n\nthree"


ENTRY = "<w:listEntry w:val="


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("<w:checkBox><w:default w:val='1'/></w:checkBox>", "☒ paid"),
        ("<w:checkBox><w:default w:val='1'/><w:checked w:val='0'/></w:checkBox>", "☐ paid"),
        (f"<w:ddList><w:result w:val='1'/>{ENTRY}'rent'/>{ENTRY}'fee'/></w:ddList>", "fee paid"),
    ],
)
def test_a_form_shows_what_was_ticked_and_chosen(form: str, expected: str) -> None:
    begin = f'<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{form}</w:ffData></w:fldChar></w:r>'
    end = '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    assert text(p(begin, end, " paid")) == expected


def m(name: str, *inner: str) -> str:
    """Write an element of an equation; what is no XML becomes a run."""
    written = (part if part.startswith("<") else f"<m:r><m:t>{part}</m:t></m:r>" for part in inner)
    return f"<m:{name}>{''.join(written)}</m:{name}>"


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        (m("f", m("num", "1"), m("den", "2")), "1/2"),
        (m("f", m("num", "a+b"), m("den", "c")), "(a+b)/c"),
        (m("sSup", m("e", "x"), m("sup", "10")), "x^10"),
        (m("sSub", m("e", "x"), m("sub", "i-1")), "x_(i-1)"),
        (m("rad", m("deg"), m("e", "2")), "√2"),
        (m("rad", m("deg", "3"), m("e", "a+b")), "[3]√(a+b)"),
        (m("d", m("e", "a"), m("e", "b")), "(a|b)"),
        (m("d", m("dPr", "<m:begChr m:val='['/><m:endChr m:val=''/>"), m("e", "a")), "[a"),
        (m("nary", m("sub", "0"), m("sup", "n"), m("e", "x")), "∫_0^nx"),
        (m("nary", m("naryPr", "<m:chr m:val='∑'/>"), m("sub", "i=1"), m("e", "i")), "∑_(i=1)i"),
        (m("func", m("fName", "sin"), m("e", "x")), "sin x"),
        (m("m", m("mr", m("e", "1"), m("e", "0")), m("mr", m("e", "0"), m("e", "1"))), "1 0 0 1"),
    ],
)
def test_an_equation_keeps_its_meaning_on_one_line(equation: str, expected: str) -> None:
    assert text(p(m("oMath", equation))) == expected
    assert text(f"<m:oMathPara>{m('oMath', equation)}</m:oMathPara>") == expected


def test_paragraphs_whose_mark_was_deleted_are_one() -> None:
    deleted = "<w:rPr><w:del/></w:rPr>"
    body = p("The rent is ", properties=deleted) + p("due monthly.") + p("End.")
    assert text(body) == "The rent is due monthly.\n\nEnd."
    assert text(p("last", properties=deleted)) == "last"


def test_a_block_that_was_inserted_is_read_and_one_that_was_moved_away_is_not() -> None:
    body = f"<w:ins>{p('new')}</w:ins><w:moveFrom>{p('old')}</w:moveFrom>"
    body += f"<w:sdt><w:sdtPr/><w:sdtContent>{p('control')}</w:sdtContent></w:sdt>"
    assert text(body) == "new\n\ncontrol"


def boxed(*paragraphs: str) -> str:
    """Write a text box as Word does: once as a shape, once for old programs."""
    inner = f"<w:txbxContent>{''.join(paragraphs)}</w:txbxContent>"
    shape = f"<w:drawing><wps:txbx>{inner}</wps:txbx></w:drawing>"
    old = f"<w:pict><v:textbox>{inner}</v:textbox></w:pict>"
    versions = f'<mc:Choice Requires="wps">{shape}</mc:Choice><mc:Fallback>{old}</mc:Fallback>'
    return f"<w:r><mc:AlternateContent>{versions}</mc:AlternateContent></w:r>"


def test_a_text_box_follows_its_paragraph_once() -> None:
    body = p("Before", boxed(p("注意水位"), p("Mind the tide")), " after") + p("Next")
    assert text(body) == "Before after\n\n注意水位\n\nMind the tide\n\nNext"


def test_what_only_old_programs_can_show_is_read() -> None:
    fallback = f"<mc:AlternateContent><mc:Fallback>{r('shown')}</mc:Fallback></mc:AlternateContent>"
    assert text(p(f"<w:r>{fallback}</w:r>")) == "shown"
    choice = (
        f'<mc:Choice Requires="w14">{p("new")}</mc:Choice><mc:Fallback>{p("old")}</mc:Fallback>'
    )
    assert text(f"<mc:AlternateContent>{choice}</mc:AlternateContent>") == "new"


# Tables


def table(*rows: str) -> str:
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{''.join(rows)}</w:tbl>"


def row(*cells: str, properties: str = "") -> str:
    inner = "".join(cell if cell.startswith("<w:tc>") else tc(p(cell)) for cell in cells)
    return f"<w:tr><w:trPr>{properties}</w:trPr>{inner}</w:tr>"


def tc(*blocks: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{''.join(blocks)}</w:tc>"


def test_a_table_becomes_rows() -> None:
    body = p("Fees:") + table(row("船", "费"), row("", ""), row("barge", "40")) + p("End")
    assert text(body) == "Fees:\n\n| 船 | 费 |\n| barge | 40 |\n\nEnd"


def test_a_cell_is_one_line() -> None:
    cell = tc(p("one", "<w:r><w:br/></w:r>", "two"), p("three"))
    assert text(table(row(cell, "b"))) == "| one two three | b |"


def test_a_merged_cell_stands_once_and_shifts_nothing() -> None:
    wide = tc(p("total"), properties='<w:gridSpan w:val="2"/>')
    tall = tc(p("barge"), properties='<w:vMerge w:val="restart"/>')
    rest = tc(p(), properties="<w:vMerge/>")
    body = table(row("a", "b", "c"), row(wide, "9"), row(tall, "1", "2"), row(rest, "3", "4"))
    assert text(body) == "| a | b | c |\n| total |  | 9 |\n| barge | 1 | 2 |\n|  | 3 | 4 |"


def test_a_row_that_begins_further_right_keeps_its_columns() -> None:
    late = row("x", "y", properties='<w:gridBefore w:val="1"/>')
    assert text(table(row("a", "b", "c"), late)) == "| a | b | c |\n|  | x | y |"


def test_a_span_that_claims_too_much_costs_no_memory() -> None:
    wide = tc(p("a"), properties='<w:gridSpan w:val="999999999"/>')
    assert len(text(table(row(wide, "b")))) < 300


def test_a_deleted_row_is_not_text() -> None:
    body = table(row("a", "b"), row("c", "d", properties="<w:del/>"))
    assert text(body) == "| a | b |"


def test_rows_and_cells_in_content_controls_are_read() -> None:
    cell = f"<w:sdt><w:sdtContent>{tc(p('b'))}</w:sdtContent></w:sdt>"
    inner = f"<w:tr>{tc(p('a'))}{cell}</w:tr>"
    assert text(table(f"<w:sdt><w:sdtContent>{inner}</w:sdtContent></w:sdt>")) == "| a | b |"


def test_a_table_of_one_column_is_a_frame_around_paragraphs() -> None:
    assert text(table(row(tc(p("one"), p("two"))))) == "one\n\ntwo"


def test_a_table_with_another_table_or_a_heading_lays_out_the_page() -> None:
    nested = table(row("a", "b"), row("c", "d"))
    assert (
        text(table(row("left", tc(nested, p("right"))))) == "left\n\n| a | b |\n| c | d |\n\nright"
    )
    parsed = parse(table(row(tc(styled("Heading1", "Fees"), p("40")), "side")))
    assert parsed.text == "Fees\n\n40\n\nside"
    assert sections(parsed) == [(1, "Fees")]


def test_two_tables_are_set_apart() -> None:
    outer = table(row(tc(table(row("a", "b"))), tc(table(row("c", "d")))))
    assert text(outer) == "| a | b |\n\n| c | d |"


def test_numbers_in_a_table_are_no_headings() -> None:
    body = table(row("第一章", "总则"), row("第二章", "水费"))
    assert parse(body).sections == ()


# Lists


def numbering(*levels: str, id: str = "1", start: str = "") -> str:  # noqa: A002
    inner = "".join(
        level if level.startswith("<") else lvl(place, *level.split("|"))
        for place, level in enumerate(levels)
    )
    return (
        f'<w:abstractNum w:abstractNumId="{id}">{inner}</w:abstractNum>'
        f'<w:num w:numId="{id}"><w:abstractNumId w:val="{id}"/>{start}</w:num>'
    )


def lvl(place: int, form: str, pattern: str, extra: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{place}"><w:start w:val="1"/><w:numFmt w:val="{form}"/>{extra}'
        f'<w:lvlText w:val="{pattern}"/></w:lvl>'
    )


def item(words: str, place: int = 0, *, id: str = "1") -> str:  # noqa: A002
    return p(
        words, properties=f'<w:numPr><w:ilvl w:val="{place}"/><w:numId w:val="{id}"/></w:numPr>'
    )


def test_bullets_and_numbers_are_indented_by_level() -> None:
    lists = numbering("bullet|•", "decimal|%2.")
    body = p("Bring:") + item("a lamp") + item("oil", 1) + item("wick", 1) + item("a rope")
    body += item("a knife", 1) + p("Then go.")
    assert text(body, numbering=lists) == (
        "Bring:\n\n- a lamp\n  1. oil\n  2. wick\n- a rope\n  1. a knife\n\nThen go."
    )


def test_a_number_names_the_levels_above_it() -> None:
    lists = numbering("upperRoman|%1.", "decimal|%1.%2", "lowerLetter|(%3)")
    body = item("a") + item("b", 1) + item("c", 2) + item("d", 2) + item("e", 1) + item("f")
    body += item("g", 1)
    assert text(body, numbering=lists).split("\n") == [
        *("I. a", "  I.1 b", "    (a) c", "    (b) d", "  I.2 e", "II. f", "  II.1 g")
    ]


def test_headings_bear_the_numbers_that_word_writes() -> None:
    lists = numbering(
        lvl(0, "chineseCountingThousand", "第%1章", '<w:pStyle w:val="Heading1"/>'),
        lvl(1, "decimal", "%1.%2", '<w:pStyle w:val="Heading2"/><w:isLgl/>'),
    )
    listed = '<w:numPr><w:numId w:val="1"/></w:numPr>'
    styles = style("Heading1", "heading 1", properties=listed)
    styles += style("Heading2", "heading 2", properties=listed)
    body = styled("Heading1", "总则") + styled("Heading2", "目的") + styled("Heading1", "水费")
    body += styled("Heading2", "Fees") + styled("Heading2", "Terms")
    parsed = parse(body, numbering=lists, styles=styles)
    assert sections(parsed) == [
        (1, "第一章 总则"),
        (2, "1.1 目的"),
        (1, "第二章 水费"),
        (2, "2.1 Fees"),
        (2, "2.2 Terms"),
    ]


def test_a_bullet_is_no_part_of_a_heading() -> None:
    listed = '<w:numPr><w:numId w:val="1"/></w:numPr>'
    styles = style("Heading1", "heading 1", properties=listed)
    parsed = parse(styled("Heading1", "Fees"), numbering=numbering("bullet|•"), styles=styles)
    assert sections(parsed) == [(1, "Fees")]


def test_articles_that_word_numbers_are_sections() -> None:
    lists = numbering("chineseCounting|第%1条" + "|" + '<w:suff w:val="nothing"/>')
    body = item("　水费按月计。") + item("　水费由用水人交付。")
    parsed = parse(body, numbering=lists)
    assert parsed.text == "第一条　水费按月计。\n\n第二条　水费由用水人交付。"
    assert sections(parsed) == [(1, "第一条"), (1, "第二条")]


def test_an_empty_paragraph_of_a_list_counts() -> None:
    assert (
        text(item("a") + item("") + item("c"), numbering=numbering("decimal|%1)")) == "1) a\n3) c"
    )


def test_lists_that_share_a_definition_count_on_unless_told_to_start_again() -> None:
    again = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride>'
    lists = numbering("decimal|%1.")
    lists += '<w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>'
    lists += f'<w:num w:numId="3"><w:abstractNumId w:val="1"/>{again}</w:num>'
    body = item("a") + item("b", id="2") + item("c", id="3") + item("d", id="3")
    assert text(body, numbering=lists) == "1. a\n2. b\n1. c\n2. d"


def test_a_level_may_go_on_counting_under_the_next_item() -> None:
    going = '<w:lvlRestart w:val="0"/>'
    lists = numbering("upperLetter|%1.", f"decimal|%2.|{going}")
    body = item("a") + item("b", 1) + item("c") + item("d", 1)
    assert text(body, numbering=lists) == "A. a\n  1. b\nB. c\n  2. d"


def test_a_list_may_take_its_levels_from_a_list_style() -> None:
    lists = '<w:abstractNum w:abstractNumId="9"><w:numStyleLink w:val="Legal"/></w:abstractNum>'
    lists += '<w:abstractNum w:abstractNumId="8"><w:styleLink w:val="Legal"/>'
    lists += lvl(0, "decimal", "§ %1") + "</w:abstractNum>"
    lists += '<w:num w:numId="1"><w:abstractNumId w:val="9"/></w:num>'
    assert text(item("Scope"), numbering=lists) == "§ 1 Scope"


def test_a_paragraph_may_leave_the_list_of_its_style() -> None:
    styles = style("x", "Clause", properties='<w:numPr><w:numId w:val="1"/></w:numPr>')
    leaves = '<w:pStyle w:val="x"/><w:numPr><w:numId w:val="0"/></w:numPr>'
    body = styled("x", "one") + p("between", properties=leaves) + styled("x", "two")
    assert text(body, styles=styles, numbering=numbering("decimal|%1.")) == (
        "1. one\n\nbetween\n\n2. two"
    )


def test_a_format_that_is_not_known_gives_a_bullet_and_no_wrong_number() -> None:
    assert text(item("a"), numbering=numbering("hebrew1|%1.")) == "- a"
    assert text(item("a", 1), numbering=numbering("hebrew1|%1.", "decimal|%1.%2")) == "  - a"
    assert text(item("a"), numbering=numbering(f"decimal|{'%1' * 500}")) == "- a"


def test_numbers_count_in_a_table_and_bullets_do_not_show_there() -> None:
    lists = numbering("decimal|%1.") + numbering("bullet|•", id="2")
    body = table(row(tc(item("")), "x"), row(tc(item("a")), tc(item("b", id="2"))))
    assert text(body, numbering=lists) == "|  | x |\n| 2. a | b |"


# Notes


def note(id: int, *blocks: str, kind: str = "footnote") -> str:  # noqa: A002
    return f'<w:{kind} w:id="{id}">{"".join(blocks)}</w:{kind}>'


def refer(id: int, *, kind: str = "footnote", custom: str = "") -> str:  # noqa: A002
    mark = f'w:customMarkFollows="1"/><w:t>{custom}</w:t>' if custom else "/>"
    return f'<w:r><w:{kind}Reference w:id="{id}" {mark}</w:r>'


MARK = "<w:r><w:footnoteRef/></w:r>"


def test_a_note_follows_the_paragraph_that_refers_to_it() -> None:
    body = p("The rent", refer(2), " is due", refer(3), ".") + p("End.")
    notes = note(-1, p("separator")) + note(2, p(MARK, " 租金。")) + note(3, p(MARK, " Monthly."))
    assert text(body, footnotes=notes) == (
        "The rent[^1] is due[^2].\n\n[^1]: 租金。\n\n[^2]: Monthly.\n\nEnd."
    )


def test_endnotes_count_in_roman_numerals_beside_footnotes() -> None:
    body = p("a", refer(1), refer(1, kind="endnote"), refer(2, kind="endnote"))
    ends = note(1, p("x"), kind="endnote") + note(2, p("y"), kind="endnote")
    assert text(body, footnotes=note(1, p("f")), endnotes=ends) == (
        "a[^1][^i][^ii]\n\n[^1]: f\n\n[^i]: x\n\n[^ii]: y"
    )


def test_a_note_with_its_own_mark_keeps_it() -> None:
    body = p("fee", refer(1, custom="*"), " and", refer(2))
    notes = note(1, p("* net")) + note(2, p("due"))
    assert text(body, footnotes=notes) == "fee* and[^1]\n\n* net\n\n[^1]: due"


def test_the_notes_of_a_list_or_a_table_follow_it() -> None:
    lists = numbering("bullet|•")
    listed = '<w:numPr><w:numId w:val="1"/></w:numPr>'
    body = p("a", refer(1), properties=listed) + item("b") + p("x")
    assert text(body, numbering=lists, footnotes=note(1, p("n"))) == (
        "- a[^1]\n- b\n\n[^1]: n\n\nx"
    )
    body = table(row(tc(p("a", refer(1))), "b"), row("c", "d"))
    assert text(body, footnotes=note(1, p("n"))) == "| a[^1] | b |\n| c | d |\n\n[^1]: n"


def test_a_note_is_no_part_of_a_title_or_an_outline() -> None:
    heading = p("Fees", refer(1), properties='<w:pStyle w:val="Heading1"/>')
    parsed = parse(
        heading + p("x"), footnotes=note(1, styled("Heading2", "第二章　水费"), p("more"))
    )
    assert parsed.text == "Fees[^1]\n\n[^1]: 第二章　水费\n\nmore\n\nx"
    assert [(s.level, s.title) for s in parsed.sections] == [(1, "Fees")]
    assert parsed.title == "Fees"


def test_a_note_that_is_referred_to_again_stands_once() -> None:
    body = p("a", refer(1)) + p("b", refer(1))
    assert text(body, footnotes=note(1, p("n"))) == "a[^1]\n\n[^1]: n\n\nb[^1]"


def test_notes_that_refer_to_each_other_end() -> None:
    notes = note(1, p("see", refer(2))) + note(2, p("see", refer(1)))
    assert text(p("a", refer(1)), footnotes=notes) == "a[^1]\n\n[^1]: see[^2]\n\n[^2]: see[^1]"


def test_a_note_that_nothing_refers_to_is_not_shown() -> None:
    body = p("a", f"<w:del>{refer(1)}</w:del>")
    assert text(body, footnotes=note(1, p("gone"))) == "a"


def test_a_missing_note_is_damage() -> None:
    with pytest.raises(UnreadableDocument, match="damaged: footnote 7 is missing in it"):
        parse(p("a", refer(7)))


# Titles


def test_the_title_is_that_of_the_properties() -> None:
    document = docx.Document()
    document.core_properties.title = " 供水\n办法 "
    document.add_heading("Title", 0)
    assert read(saved(document), source="a.docx").title == "供水 办法"


def test_without_one_it_is_the_paragraph_of_that_style_else_the_first_outermost_heading() -> None:
    styles = style("a3", "Title") + style("Heading1", "heading 1")
    body = styled("Heading2", "Inner") + styled("Heading1", "Outer")
    assert parse(body, styles=styles).title == "Outer"
    assert parse(body + styled("a3", "总标题"), styles=styles).title == "总标题"
    assert parse(p("text")).title is None


# Packages that are not as Word writes them


def test_a_strict_document_is_read() -> None:
    body = styled("Heading1", "Fees") + item("one") + p("a", refer(1))
    data = make_docx(
        body,
        namespace=STRICT,
        styles=style("Heading1", "heading 1"),
        numbering=numbering("decimal|%1."),
        footnotes=note(1, p("n")),
    )
    parsed = read(data, source="a.docx")
    assert parsed.text == "Fees\n\n1. one\n\na[^1]\n\n[^1]: n"
    assert sections(parsed) == [(1, "Fees")]


def test_relationships_lead_to_the_body_wherever_it_is() -> None:
    files = {
        "_rels/.rels": relations({"officeDocument": "/main/text.xml"}),
        "main/text.xml": xml("document", f"<w:body>{styled('x', 'Fees')}</w:body>"),
        "main/_rels/text.xml.rels": relations({"styles": "../looks/s.xml"}, base=STRICT),
        "looks/s.xml": xml("styles", style("x", "heading 1")),
    }
    assert sections(read(pack(files), source="a.docx")) == [(1, "Fees")]


def test_a_body_without_styles_lists_or_relationships_is_read() -> None:
    files = {"word/document.xml": xml("document", f"<w:body>{item('a')}</w:body>")}
    assert read(pack(files), source="a.docx").text == "a"


def test_a_document_with_macros_is_read(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("The tide turns.")
    files = zipfile.ZipFile(io.BytesIO(saved(document)))
    macros = {name: files.read(name).decode("latin-1") for name in files.namelist()}
    macros["[Content_Types].xml"] = macros["[Content_Types].xml"].replace(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
        "application/vnd.ms-word.document.macroEnabled.main+xml",
    )
    path = tmp_path / "a.docx"
    path.write_bytes(pack(macros))
    with pytest.raises(ValueError, match="not a Word file"):
        docx.Document(str(path))
    assert rag.load(path).text == "The tide turns."


# Damage


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is damaged"),
        (pack({"word/styles.xml": xml("styles", "")}), "'word/document.xml' is missing"),
        (pack({"word/document.xml": "<w:document"}), r"damaged: 'word/document\.xml', "),
        (pack({"word/document.xml": xml("document", "<w:body>" + p("a"))}), "damaged"),
        (pack({"word/document.xml": xml("document", p("a"))}), "has no 'body'"),
        (make_docx(p("a"), styles="<w:style>"), r"damaged: 'word/styles\.xml', "),
        (make_docx("<w:sdt>" * 300 + "</w:sdt>" * 300), "depth"),
    ],
)
def test_what_is_broken_is_damaged(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableDocument, match=message) as caught:
        read(data, source="a.docx")
    assert "get it again" in str(caught.value)


def test_a_document_that_declares_entities_is_refused() -> None:
    entity = '<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    body = xml("document", f"<w:body>{p('&b;')}</w:body>").replace("?>", f"?>{entity}")
    with pytest.raises(UnreadableDocument, match="declares a document type"):
        read(pack({"word/document.xml": body}), source="a.docx")


def test_a_document_that_would_fill_the_memory_is_refused() -> None:
    files = {"word/document.xml": xml("document", f"<w:body>{p('a')}</w:body>")}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
        archive.infolist()[0].file_size = 4_000_000_000
    with pytest.raises(UnreadableDocument, match="would unpack to 4,000,000,000 bytes"):
        read(out.getvalue(), source="a.docx")


def test_another_file_inside_the_text_is_said_to_be_there() -> None:
    with pytest.raises(UnreadableDocument, match=r"embeds another file.*save it again"):
        parse(p("a") + '<w:altChunk w:val="x"/>')


def test_a_document_without_text_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(saved(docx.Document()))
    with pytest.raises(EmptyDocument, match="it holds no text"):
        rag.load(path)


def test_the_deepest_nesting_that_parses_is_read() -> None:
    # 256 elements: the body's own two, then tables in tables.
    layers = 80
    body = "<w:tbl><w:tr><w:tc>" * layers + p("deep") + "</w:tc></w:tr></w:tbl>" * layers
    assert text(body) == "deep"
    layers = 60
    opened = "<w:p><w:r><w:pict><w:txbxContent>" * layers
    assert text(opened + p("deep") + "</w:txbxContent></w:pict></w:r></w:p>" * layers) == "deep"
    opened, closed = "<w:p>" + "<m:sup>" * 240, "</m:sup>" * 240 + "</w:p>"
    assert text(opened + m("r", "<m:t>n</m:t>") + closed) == "^(" * 239 + "^n" + ")" * 239


# All the way


def test_a_document_loads_with_its_offsets(tmp_path: Path) -> None:
    path = tmp_path / "供水办法.docx"
    path.write_bytes(make_docx(styled("Heading1", "第一章　总则") + p("水费按月计。")))
    document = rag.load(path)
    assert document.id == "供水办法.docx"
    assert document.title == "第一章　总则"
    assert document.text == "第一章　总则\n\n水费按月计。"
    assert dict(document.metadata) == {"format": "docx"}
    (chapter,) = document.sections
    assert document.text[chapter.start : chapter.end] == document.text


# Whatever is in the file


BLOCK = ["w:p", "w:tbl", "w:sdt", "w:ins", "mc:AlternateContent", "w:altChunk", "m:oMath"]
NAMES = [
    *BLOCK,
    *("w:r", "w:t", "w:tr", "w:tc", "w:pPr", "w:tcPr", "w:rPr", "w:del", "w:moveTo", "w:br"),
    *("w:txbxContent", "mc:Choice", "mc:Fallback", "w:fldChar", "w:ffData", "w:checkBox", "w:ruby"),
    *("w:footnoteReference", "w:endnoteReference", "w:sym", "w:numPr", "w:numId", "w:ilvl"),
    *("w:pStyle", "w:outlineLvl", "w:gridSpan", "w:vMerge", "w:vanish", "w:rubyBase", "w:rt"),
    *("m:f", "m:num", "m:den", "m:rad", "m:d", "m:nary", "m:e", "m:t", "m:mr", "m:func", "m:dPr"),
]
VALUES = ["", "0", "1", "2", "-1", "9" * 30, "begin", "separate", "end", "x", "Heading1", "F06D"]
ATTRIBUTES = ["w:val", "w:id", "w:fldCharType", "w:char", "w:font", "m:val", "w:customMarkFollows"]


def element(inner: Iterable[str], name: str, attributes: dict[str, str]) -> str:
    written = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<{name}{written}>{''.join(inner)}</{name}>"


def trees() -> st.SearchStrategy[str]:
    names = st.sampled_from(NAMES)
    attributes = st.dictionaries(st.sampled_from(ATTRIBUTES), st.sampled_from(VALUES), max_size=2)
    leaves = st.sampled_from(["", "x", "水", r("text"), p("text")])
    return st.recursive(
        leaves,
        lambda inner: st.builds(element, st.lists(inner, max_size=4), names, attributes),
        max_leaves=30,
    )


@given(st.lists(trees(), max_size=5))
def test_any_arrangement_of_elements_is_read_or_refused(blocks: list[str]) -> None:
    lists = numbering("decimal|%1.", "chineseCounting|第%1条")
    styles = style("Heading1", "heading 1") + style("x", "X", based_on="Heading1")
    data = make_docx("".join(blocks), styles=styles, numbering=lists, footnotes=note(1, p("n")))
    try:
        parsed = read(data, source="a.docx")
    except DocumentError:
        return
    parsed.text.encode()  # No half of a surrogate pair.
    for section in parsed.sections:
        assert 0 <= section.start < section.end <= len(parsed.text)


def rich() -> bytes:
    document = docx.Document()
    document.add_heading("Harbour rules 港口规则", 1)
    for number in range(5):
        document.add_paragraph(f"Rule {number}: the pilot boards first.", style="List Number")
    document.add_table(2, 2).cell(0, 0).text = "fee"
    return saved(document)


RICH = rich()


def loads_or_refuses(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with suppress(DocumentError):
        assert rag.load(path).text


@given(st.integers(0, len(RICH) - 1))
def test_a_document_cut_short_is_refused(length: int) -> None:
    path = Path("cut.docx")
    path.write_bytes(RICH[:length])
    with pytest.raises(DocumentError):
        rag.load(path)


@given(st.lists(st.tuples(st.integers(0, len(RICH) - 1), st.integers(1, 255)), min_size=1))
def test_flipped_bits_raise_nothing_but_our_errors(flips: list[tuple[int, int]]) -> None:
    data = bytearray(RICH)
    for place, bits in flips:
        data[place] ^= bits
    loads_or_refuses(Path("flipped.docx"), bytes(data))


PARTS = {
    name: zipfile.ZipFile(io.BytesIO(RICH)).read(name)
    for name in zipfile.ZipFile(io.BytesIO(RICH)).namelist()
    if name.endswith((".xml", ".rels"))
}


@given(st.sampled_from(sorted(PARTS)), st.data())
def test_a_damaged_part_raises_nothing_but_our_errors(name: str, draw: st.DataObject) -> None:
    part = PARTS[name]
    start = draw.draw(st.integers(0, len(part)))
    end = draw.draw(st.integers(start, min(start + 200, len(part))))
    put = draw.draw(
        st.sampled_from([b"", b"<", b"\xff", b"&x;", b"w:p", b"</w:p>", b"\xed\xa0\x80"])
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for other, contents in PARTS.items():
            archive.writestr(other, part[:start] + put + part[end:] if other == name else contents)
    loads_or_refuses(Path("part.docx"), out.getvalue())
