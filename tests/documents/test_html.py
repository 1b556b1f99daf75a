"""HTML becomes the text that its reader sees, whatever else the file holds."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.html import read, render
from rag.documents.parsed import Parsed
from rag.errors import UnreadableDocument


def text_of(markup: str) -> str:
    return render(markup, source="page.html").text


def page(markup: str) -> Parsed:
    return read(markup.encode(), source="page.html")


def titles(parsed: Parsed) -> list[tuple[int, str, str]]:
    """Level, title, and the line where the section begins."""
    return [(s.level, s.title, parsed.text[s.start :].split("\n")[0]) for s in parsed.sections]


# Encodings


@pytest.mark.parametrize(
    ("declaration", "written", "told"),
    [
        ('<meta charset="gbk">', "gbk", "gb18030"),
        ("<meta charset=GB2312>", "gbk", "gb18030"),
        ("<meta http-equiv=Content-Type content='text/html; charset=gb18030'>", "gbk", "gb18030"),
        ('<?xml version="1.0" encoding="GBK"?>', "gbk", "gb18030"),
        ("<meta charset='utf-8'>", "utf-8", "utf-8"),
        ("<meta charset='utf-8'>", "gbk", "gb18030"),
        ("<meta charset='gbk'>", "utf-8", "utf-8"),
        ("<meta charset='gbk'>", "utf-16", "utf-16"),
        ("", "utf-8-sig", "utf-8-sig"),
        ("", "gbk", "gb18030"),
    ],
)
def test_the_declared_encoding_is_believed_where_the_bytes_fit(
    declaration: str, written: str, told: str
) -> None:
    parsed = read(f"{declaration}<p>县志水利</p>".encode(written), source="page.html")
    assert (parsed.text, parsed.metadata) == ("县志水利", (("encoding", told),))


def test_a_declaration_behind_a_long_comment_is_found() -> None:
    comment = "<!-- saved from url=(0020)" + "x" * 3000 + " -->"
    data = f'{comment}<meta charset="big5"><p>水費</p>'.encode("big5")
    assert read(data, source="page.html").text == "水費"


def test_what_is_in_no_encoding_is_an_error() -> None:
    with pytest.raises(UnreadableDocument, match=r"page\.html.*byte 29"):
        read("<p>水费</p>".encode() * 2 + b"<p>\xff</p>", source="page.html")


# Running text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p> a  b\n\tc </p>", "a b c"),
        ("<p>a</p><p>b</p>\n\n<p>c", "a\n\nb\n\nc"),
        ("<p>a <b>b </b>c<i> d</i>e</p>", "a b c de"),
        ("<p>a<b> </b>b</p>", "a b"),
        ("<span>a</span>\n<span>b</span>", "a b"),
        ("<p>中文<b>加粗</b>文字。</p>", "中文加粗文字。"),
        ("a<br>b <br/> c<br><br><br>d", "a\nb\nc\n\nd"),
        ("<div><div><p>a</p></div></div><div>b</div>", "a\n\nb"),
        ("a<hr>b<blockquote>c</blockquote>d", "a\n\nb\n\nc\n\nd"),
        ("<dl><dt>Draught<dd>12.5 m<dt>Beam<dd>32 m</dl>", "Draught\n12.5 m\nBeam\n32 m"),
        ("<details><summary>More</summary>text</details>", "More\ntext"),
        ("<a href=x>link</a>, <q>quote</q>, <label>name</label>", "link, quote, name"),
        ("<p>a&nbsp;b\u3000c", "a\xa0b\u3000c"),
        ("<p>x\r\ny", "x y"),
        ("<center>a</center><font size=7>b</font>", "a\n\nb"),
        ("<p>a</p></body></html>behind the end", "a\n\nbehind the end"),
    ],
)
def test_white_space_and_blocks_are_as_on_the_screen(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("&lt;p&gt; &amp;amp; &hellip; &copy", "<p> &amp; … ©"),
        ("&#20013;&#x6587; &#128674;", "中文 🚢"),
        ("&nosuch; AT&T", "&nosuch; AT&T"),
        ("&lt;|endoftext|&gt; and <|endoftext|>", "<|endoftext|> and <|endoftext|>"),
        ("a\ufffdb", "a\ufffdb"),
        ("1 < 2 <> 3", "1 < 2 <> 3"),
        ("<textarea><b>not bold</b></textarea>", "<b>not bold</b>"),
    ],
)
def test_what_is_written_as_an_entity_is_text_and_no_markup(markup: str, text: str) -> None:
    assert text_of(markup) == text


def test_a_soft_hyphen_is_not_shown() -> None:
    assert text_of("har&shy;bour mas\xadter") == "harbour master"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("10<sup>3</sup> m<sup>2</sup>, 10<sup>-6</sup>", "10³ m², 10⁻⁶"),
        ("the tide<sup>12</sup> turns", "the tide¹² turns"),
        ("the 1<sup>st</sup><sup>[1]</sup> H<sub>2</sub>O", "the 1st[1] H2O"),
    ],
)
def test_an_exponent_is_not_read_as_digits_of_its_number(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<ruby>砚<rt>yàn</rt>溪<rt>xī</rt></ruby>县", "砚(yàn)溪(xī)县"),
        ("<ruby>漢字<rp>（</rp><rt>かんじ</rt><rp>）</rp></ruby>", "漢字(かんじ)"),
        ("<ruby>砚<rt></rt>溪<rt>xī</ruby>", "砚溪(xī)"),
    ],
)
def test_what_is_written_above_a_character_stands_in_brackets(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>if (a<b) { x('</p>') }</script>",
        "<style>p { color: red }</style>",
        "<noscript>no</noscript>",
        "<template><p>no</p></template>",
        "<!-- no -->",
        "<!--><!--->",
        "<p hidden>no</p>",
        "<div hidden=until-found><p>no</p></div>",
        "<p style='color: red; display: none'>no</p>",
        "<p style='DISPLAY:NONE !important'>no</p>",
        "<iframe>no</iframe><object>no</object><video>no</video>",
        "<svg><title>no</title><text>no</text></svg>",
        "<select><option>no</option><optgroup label=no></select>",
        "<title>no</title>",
        "<b hidden>no</b><i style='display:none'>no</i>",
    ],
)
def test_what_the_screen_does_not_show_is_no_text(hidden: str) -> None:
    assert text_of(f"<p>before</p>{hidden}<p>after</p>") == "before\n\nafter"


def test_an_address_that_looks_like_a_style_hides_nothing() -> None:
    assert (
        text_of("<p style='background:url(display:none)'>shown</p><p style>too") == "shown\n\ntoo"
    )


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<pre>\n  if a:\n\n    b\n</pre>after", "  if a:\n\n    b\n\nafter"),
        ("<pre><code>x = <b>1</b>\ny  = 2</code></pre>", "x = 1\ny  = 2"),
        ("a<pre>b</pre><pre>c\n</pre>d", "a\n\nb\n\nc\n\nd"),
        ("<pre>a<br>b\n\n\nc</pre>", "a\nb\n\n\nc"),
        ("<pre>a</pre><pre>\n\n</pre><p>b", "a\n\nb"),
    ],
)
def test_preformatted_text_keeps_its_lines_and_spaces(markup: str, text: str) -> None:
    assert text_of(markup) == text


# Lists and tables


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<ul><li>a<li>b</ul>c", "- a\n- b\n\nc"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
        ("<ol start=7><li>a<li value=20>b<li>c</ol>", "7. a\n20. b\n21. c"),
        ("<ol start=x><li>a<li value=y>b</ol>", "1. a\n2. b"),
        ("<ol type=a><li>in letters</ol><ol reversed><li>down</ol>", "- in letters\n\n- down"),
        ("<ul><li>a<ol><li>b<li>c</ol><li>d</ul>", "- a\n  1. b\n  2. c\n- d"),
        ("<ol><li></li><li>b</ol>", "2. b"),
        ("<ul><li><p>a</p><p>b</p><li>c</ul>", "- a\n\nb\n\n- c"),
        ("<li>without a list", "- without a list"),
    ],
)
def test_items_are_marked_as_on_the_screen(markup: str, text: str) -> None:
    assert text_of(markup) == text


def test_the_indent_of_nested_lists_is_bounded() -> None:
    deepest = text_of("<ul><li>x" * 40).split("\n")[-1]
    assert deepest == " " * 16 + "- x"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<table><tr><th>A<th>B<tr><td>1<td>2</table>", "| A | B |\n| 1 | 2 |"),
        (
            "a<table><caption>Dues</caption><thead><tr><th>A<th>B</thead><tr><td>1<td>2</table>b",
            "a\n\nDues\n| A | B |\n| 1 | 2 |\n\nb",
        ),
        ("<table><tr><td>a<br>b<td><p>c</p><p>d</p></table>", "| a b | c d |"),
        ("<table><tr><td><ul><li>x<li>y</ul><td><pre>1\n2</pre></table>", "| x y | 1 2 |"),
        ("<table><tr><td>a<td></td><tr><td><td></table>b", "| a |  |\n\nb"),
        ("<table><tr><td hidden>no<td>a<td>b</table>", "| a | b |"),
        ("<table><tr><!-- c --><td>a</td> <!-- d --> <td>b</table>", "| a | b |"),
        ("<table><tr><td><ruby>砚<rt>yàn</ruby><td>m<sup>2</sup></table>", "| 砚(yàn) | m² |"),
    ],
)
def test_a_table_of_data_becomes_rows(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<table><tr><td>a<tr><td>b</table>", "a\n\nb"),
        ("<table><tr><td><h2>Head</h2>text<td>side</table>", "Head\n\ntext\n\nside"),
        (
            "<table><tr><td>menu<td><table><tr><td>1<td>2</table>text</table>",
            "menu\n\n| 1 | 2 |\n\ntext",
        ),
    ],
)
def test_a_table_that_lays_out_the_page_becomes_blocks(markup: str, text: str) -> None:
    assert text_of(markup) == text


# Sections and titles


def test_headings_become_sections_at_their_line() -> None:
    parsed = page("<h1>Har<b>bour</b>\n dues</h1>a<h2>Pilots</h2>b<h3> </h3><h2>水费<br>Fees</h2>c")
    assert parsed.text == "Harbour dues\n\na\n\nPilots\n\nb\n\n水费\nFees\n\nc"
    assert titles(parsed) == [
        (1, "Harbour dues", "Harbour dues"),
        (2, "Pilots", "Pilots"),
        (2, "水费 Fees", "水费"),
    ]
    assert [parsed.text[s.start : s.end] for s in parsed.sections[1:]] == [
        "Pilots\n\nb\n\n",
        "水费\nFees\n\nc",
    ]


def test_a_heading_within_a_heading_or_a_data_table_is_none_of_its_own() -> None:
    assert titles(page("<h1>a<div><h2>b</h2></div></h1>")) == [(1, "a b", "a")]
    assert page("<table><tr><td>a<td>b</table>").sections == ()


def test_numbered_headings_are_found_in_prose_only() -> None:
    prose = page("<p>第一章　总则</p><p>第一条　水费按月计。</p><div>第二条　由用水人交付。</div>")
    assert titles(prose) == [
        (1, "第一章\u3000总则", "第一章\u3000总则"),
        (2, "第一条", "第一条\u3000水费按月计。"),
        (2, "第二条", "第二条\u3000由用水人交付。"),
    ]
    for markup in (
        "<ul><li>第一章　总则<li>第二章　水费</ul>",
        "<table><tr><td>第一章　总则<td>1<tr><td>第二章　水费<td>5</table>",
        "<pre>第一章　总则\n\n第二章　水费</pre>",
        "<blockquote>第一章　总则</blockquote>",
    ):
        assert page(markup).sections == ()


def test_prose_that_inline_markup_interrupts_is_one_paragraph() -> None:
    assert titles(page("<p>第一<b>章</b>　总则</p><p>正文。</p>")) == [
        (1, "第一章\u3000总则", "第一章\u3000总则")
    ]


@pytest.mark.parametrize(
    ("markup", "title"),
    [
        ("<title> Dues\n &amp; fees </title><h1>Head</h1>", "Dues & fees"),
        ("<title>1 <b> 2</title>x", "1 <b> 2"),
        ("<title> </title><h2>First</h2><h1>Outermost</h1><h1>Second</h1>", "Outermost"),
        ("<h2>Only an inner one</h2>", None),
        ("<p>text</p>", None),
    ],
)
def test_the_title_is_the_pages_own_or_its_outermost_heading(
    markup: str, title: str | None
) -> None:
    assert page(markup).title == title


# XHTML


def test_in_xhtml_an_element_may_close_itself() -> None:
    markup = (
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/>'
        '<script src="a.js"/></head><body><p/>one<br/>two<a id="x"/>three <i/>four<img src="b"/>'
        "</body></html>"
    )
    assert text_of(markup) == "one\ntwothree four"


def test_in_html_a_slash_closes_nothing() -> None:
    assert text_of("<b/>one<script/>two</script>three") == "onethree"


# What pages do to harm


def test_nothing_is_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        markup = (
            f"<!DOCTYPE html SYSTEM '{address}/dtd'><base href='{address}/'>"
            f"<link rel=stylesheet href='{address}/css'><script src='{address}/js'></script>"
            f"<meta http-equiv=refresh content='0; url={address}'><img src='{address}/png'>"
            f"<iframe src='{address}/frame'></iframe><p>text"
        )
        assert text_of(markup) == "text"
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    "markup",
    [
        "<div>" * 50_000,
        "<section><article>" * 50_000,
        "<!--><div>" * 50_000,
        "<!---><!-- --!>" + "<div>" * 50_000,
        "<svg><style>" + "<div>" * 50_000,
        "<math><title>" + "<div>" * 50_000,
        "<rt>" * 50_000,
        "<ruby><rt><b>" * 50_000,
        "<b>" * 50_000,
        "<x y='z'>" * 50_000,
        "<table><tr><td>" * 50_000,
    ],
)
def test_a_page_that_nests_without_end_is_refused(markup: str) -> None:
    with pytest.raises(UnreadableDocument, match=r"'bomb\.html' nests more than 5,000 elements"):
        read(markup.encode(), source="bomb.html")


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>x" * 6_000, "x\n\nx"),
        ("<ul>" + "<li>x" * 6_000, "- x\n- x"),
        ("<table>" + "<tr><td>a<td>b" * 6_000, "| a | b |\n| a | b |"),
        ("<ruby>漢<rt>k</ruby>" * 6_000, "漢(k)漢(k)"),
        ("<script>" + "'<div>' + " * 10_000 + "</script><p>x", "x"),
        ("<style>" + "<i>" * 10_000 + "</style><textarea>" + "<i>" * 9 + "</textarea>x", "<i><i>"),
        ("<div>x</div></div>" * 6_000, "x\n\nx"),
        ("<div>" * 4_000 + "x", "x"),
        ("<title>" + "<div>" * 10_000 + "</title>x", "x"),
        ("<script>" + "<div>" * 10_000, ""),
    ],
)
def test_a_long_page_that_does_not_nest_is_read(markup: str, text: str) -> None:
    assert text_of(markup).startswith(text)


@pytest.mark.parametrize(
    "markup",
    [
        # Browsers repeat each open <b> in each paragraph: 12 million elements, 4 GB.
        "".join(f"<p><b id={number}>x" for number in range(4_900)),
        "".join(f"<p><font color={number}>x</p>" for number in range(4_900)),
        # lexbor looks through all options for each new one.
        "<select>" + "<option>x</option>" * 60_000 + "</select>",
        "<!--" * 100_000,
        "<" * 500_000,
        "&#" * 200_000,
        "<a" * 200_000,
        "<?xml?><a" + "/" * 500_000,
        "<?xml?>" + "<a" * 200_000,
        "<meta " * 100_000,
        "x" + " " * 1_000_000 + "y",
        "<b> </b>" * 20_000,
        "<p style='" + "display : " * 50_000 + "'>",
        "<ol start=" + "9" * 500_000 + "><li>x",
        "<p>1. A</p>" * 10_000,
        "<script>" * 50_000 + "</script" * 50_000,
        "<h1>x</h1>" * 10_000,
    ],
)
def test_a_hostile_page_takes_linear_time(markup: str) -> None:
    # What is quadratic takes minutes here, more than a test may take.
    assert len(text_of(markup)) <= len(markup)


_TAGS = (
    *("p", "div", "b", "i", "a", "br", "span", "font", "sup", "ruby", "rt", "h1", "h2", "section"),
    *("ul", "ol", "li", "dl", "dt", "dd", "table", "tr", "td", "th", "pre", "blockquote", "svg"),
    *("select", "option", "script", "style", "template", "textarea", "title"),
)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(_TAGS).map("<{}>".format),
            st.sampled_from(_TAGS).map("</{}>".format),
            st.sampled_from(
                ["x ", " 水费。", "\n", "&amp;", "<!--", "-->", "<", "1. A", "\xad", "🚢"]
            ),
        ),
        max_size=40,
    )
)
def test_any_page_has_a_text_whose_sections_lie_in_it(parts: list[str]) -> None:
    parsed = page("".join(parts))
    assert not {"\ufdd0", "\xad", "\r"} & set(parsed.text)
    for section in parsed.sections:
        assert 0 <= section.start < section.end <= len(parsed.text)
        assert parsed.text[section.start : section.start + 1].strip()
