"""Small PDF files, made by hand: text in two fonts, an outline, a password, pages without text.

A page is a list of lines; an empty list is a page without text, as a scan has. Text outside
Latin-1 is written in a font without glyphs whose ToUnicode map says what each code means,
which is all that reading needs.
"""

import hashlib
from collections.abc import Sequence

Outline = Sequence[tuple[str, int, int]]
"""Title, depth from 0, page from 1."""

_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_FILE_ID = b"0123456789abcdef"
_UNICODE_MAP = b"""/CIDInit /ProcSet findresource begin 12 dict begin begincmap
/CMapName /Same def /CMapType 2 def
1 begincodespacerange <0000> <FFFF> endcodespacerange
1 beginbfrange <0000> <FFFF> <0000> endbfrange
endcmap CMapName currentdict /CMap defineresource pop end end"""


def make_pdf(
    pages: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    outline: Outline = (),
    password: str | None = None,
) -> bytes:
    """Write a PDF; ``password`` encrypts it, and "" is what opens without asking."""
    objects = _objects(pages, title, outline)
    key = None if password is None else _file_key(password)
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, parts in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + _serialise(number, parts, key) + b"\nendobj\n"
    trailer = b"/Size %d /Root 1 0 R /Info 2 0 R" % (len(objects) + 2)
    if key is not None and password is not None:
        offsets.append(len(out))
        number = len(objects) + 1
        out += b"%d 0 obj\n" % number + _encryption(password, key) + b"\nendobj\n"
        identity = _FILE_ID.hex().encode()
        trailer += b" /Encrypt %d 0 R /ID [<%b> <%b>]" % (number, identity, identity)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< " + trailer + b" >>\nstartxref\n%d\n%%%%EOF\n" % start
    return bytes(out)


class _Stream(bytes):
    """The contents of a stream object."""


class _Text(bytes):
    """A string inside an object, which is encrypted with it."""


_Parts = Sequence[bytes]


def _objects(pages: Sequence[Sequence[str]], title: str | None, outline: Outline) -> list[_Parts]:
    first_page = 7
    first_entry = first_page + 2 * len(pages)
    kids = b" ".join(b"%d 0 R" % (first_page + 2 * i) for i in range(len(pages)))
    outlines = b" /Outlines %d 0 R" % first_entry if outline else b""
    named = [] if title is None else [b" /Title ", _Text(_utf_16(title))]
    objects: list[_Parts] = [
        [b"<< /Type /Catalog /Pages 3 0 R" + outlines + b" >>"],
        [b"<<", *named, b" >>"],
        [b"<< /Type /Pages /Kids [" + kids + b"] /Count %d >>" % len(pages)],
        [b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"],
        [
            (
                b"<< /Type /Font /Subtype /Type0 /BaseFont /Same /Encoding /Identity-H"
                b" /ToUnicode 6 0 R"
                b" /DescendantFonts [<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Same"
                b" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >>"
                b" /DW 1000 >>] >>"
            )
        ],
        [b"<< /Length %d >>" % len(_UNICODE_MAP), _Stream(_UNICODE_MAP)],
    ]
    for index, lines in enumerate(pages):
        drawing = _drawing(lines)
        objects.append(
            [
                b"<< /Type /Page /Parent 3 0 R /MediaBox [0 0 612 792]"
                b" /Resources << /Font << /F1 4 0 R /F2 5 0 R >> >>"
                b" /Contents %d 0 R >>" % (first_page + 2 * index + 1)
            ]
        )
        objects.append([b"<< /Length %d >>" % len(drawing), _Stream(drawing)])
    return objects + _outline_objects(outline, first_entry, first_page)


def _outline_objects(outline: Outline, first_entry: int, first_page: int) -> list[_Parts]:
    """A root, then one object an entry, linked as a tree."""
    if not outline:
        return []
    parents = []
    for index, (_, depth, _) in enumerate(outline):
        above = [i for i in range(index) if outline[i][1] < depth]
        parents.append(above[-1] if above else -1)

    def links(owner: int) -> bytes:
        children = [i for i, parent in enumerate(parents) if parent == owner]
        if not children:
            return b""
        return b" /First %d 0 R /Last %d 0 R /Count %d" % (
            first_entry + 1 + children[0],
            first_entry + 1 + children[-1],
            len(children),
        )

    objects: list[_Parts] = [[b"<< /Type /Outlines" + links(-1) + b" >>"]]
    for index, (entry, _, page) in enumerate(outline):
        siblings = [i for i, parent in enumerate(parents) if parent == parents[index]]
        place = siblings.index(index)
        after = siblings[place + 1 :]
        before = siblings[:place]
        objects.append(
            [
                b"<< /Title ",
                _Text(_utf_16(entry)),
                b" /Parent %d 0 R" % (first_entry + 1 + parents[index]),
                b" /Dest [%d 0 R /XYZ 0 792 0]" % (first_page + 2 * (page - 1)),
                b" /Next %d 0 R" % (first_entry + 1 + after[0]) if after else b"",
                b" /Prev %d 0 R" % (first_entry + 1 + before[-1]) if before else b"",
                links(index) + b" >>",
            ]
        )
    return objects


def _drawing(lines: Sequence[str]) -> bytes:
    """One line below the other; a line is one run of text."""
    if not lines:
        return b"0 0 612 792 re f"
    shown = []
    for line in lines:
        try:
            written = b"/F1 12 Tf (" + _escaped(line.encode("cp1252")) + b") Tj"
        except UnicodeEncodeError:
            written = b"/F2 12 Tf <" + line.encode("utf-16-be").hex().encode() + b"> Tj"
        shown.append(written)
    return b"BT 72 720 Td 16 TL " + b" T* ".join(shown) + b" ET"


def _utf_16(text: str) -> bytes:
    return b"\xfe\xff" + text.encode("utf-16-be")


def _escaped(written: bytes) -> bytes:
    return written.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _serialise(number: int, parts: _Parts, key: bytes | None) -> bytes:
    out = b""
    for part in parts:
        match part:
            case _Stream():
                out += b"\nstream\n" + _encrypted(number, part, key) + b"\nendstream"
            case _Text():
                out += b"<" + _encrypted(number, part, key).hex().encode() + b">"
            case _:
                out += part
    return out


# The standard security handler, revision 2, with a key of 40 bits (PDF 1.4, section 3.5).


def _encrypted(number: int, content: bytes, key: bytes | None) -> bytes:
    if key is None:
        return content
    salted = key + number.to_bytes(3, "little") + b"\0\0"
    return _rc4(hashlib.md5(salted).digest()[:10], content)


def _encryption(password: str, key: bytes) -> bytes:
    return b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%b> /U <%b> >>" % (
        _owner_entry(password).hex().encode(),
        _rc4(key, _PADDING).hex().encode(),
    )


def _file_key(password: str) -> bytes:
    permissions = (-4).to_bytes(4, "little", signed=True)
    seed = _padded(password) + _owner_entry(password) + permissions + _FILE_ID
    return hashlib.md5(seed).digest()[:5]


def _owner_entry(password: str) -> bytes:
    owner_key = hashlib.md5(_padded("owner")).digest()[:5]
    return _rc4(owner_key, _padded(password))


def _padded(password: str) -> bytes:
    return (password.encode("latin-1") + _PADDING)[:32]


def _rc4(key: bytes, content: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for byte in content:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
