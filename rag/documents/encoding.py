"""Bytes become text, exactly: ``data`` -> ``(text, encoding)``.

1. A byte order mark says it all: UTF-8, UTF-16 or UTF-32. The mark is no part of the text.
2. What is valid UTF-8 is UTF-8, unless it holds NUL: then it is UTF-16 without a mark, or
   no text at all.
3. What is UTF-8 but for a few bytes is damaged, and said to be so: guessing another
   encoding would turn all of it into nonsense.
4. What the file says of itself is believed where the bytes fit (``declared``), save that
   valid UTF-8 is in no single-byte encoding, nor in another if it makes East Asian text.
5. East Asian encodings accept almost any bytes, so validity decides nothing between them.
   Each is tried, and the share of everyday characters in the result decides; in a wrong
   encoding text becomes rare characters. GB18030 comes first, and also wins with rare
   characters when they are those of GB 2312, as in a short text of names.
6. Of the single-byte encodings charset-normalizer chooses. All of them accept nearly all
   bytes: Hungarian and Romanian may be taken for Western European. The metadata say what was
   chosen; UTF-8 leaves nothing to choose.

Nothing is translated, normalised or replaced: what cannot be decoded to the last byte is an
error that names the byte.
"""

import codecs
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import islice

from rag.errors import UnreadableDocument

_MARKS = (
    # UTF-32 before UTF-16: its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_EVERYDAY = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道"
    "行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者"
    "意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被"
    "利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论"
    "处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德"
    "資命山金指克許統區保至隊形社便空決治展馬科司五基眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南"
    "资许统区队决马书则听却达强难权设记品住告類类求據据程北邊边死張张該该交規规萬万取拉格望覺觉術术領领共確确"
    "這個們來為國說時會對於著過發後裡種經麼學現當沒動還進樣開從實軍無與長機關業將兩間問應戰頭體見產話給內門"
    "兒東聲員論處義幾認條係氣題爾變總電數報結務場計單戶費收付款供需商品节章编项標标準准办文字写短篇算"
)
"""The characters that make up most of Chinese prose, simplified and traditional; ours, after
the lists of character frequency that textbooks have. The exact members matter little: text
has half of them in the right encoding, and less than a tenth in a wrong one."""
_EVERYDAY_SHARE = 0.2
_KANA = frozenset(map(chr, range(0x3041, 0x3100)))
_HANGUL = frozenset(map(chr, range(0xAC00, 0xD7A4)))
_EAST_ASIAN = _EVERYDAY | _KANA | _HANGUL
_HANGUL_SHARE = 0.95
_FEWEST_HANGUL = 8
"""Chinese in GBK that uses only half of the characters reads as Korean too; in fewer than
these that may be chance."""
_GB2312_COMMON_SHARE = 0.8
"""Big5 read as GB18030 has .4 to .6 of the common characters of GB 2312, Shift JIS less,
Latin-1 hardly any."""
_GB2312_SHARE = 0.95
_FEWEST_GB2312 = 6
"""Level 2 is what pairs of Latin and Greek letters are read as, which are rare."""
_SAMPLE = 20_000
"""Characters that are judged; an encoding does not change within a file."""
_SINGLE_BYTE = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp874"),
    *("koi8_u", "cp1257", "cp1258", "cp866", "iso8859_2", "iso8859_5", "iso8859_6", "iso8859_7"),
    *("iso8859_8", "iso8859_13", "iso8859_15"),
)
_MULTI_BYTE = frozenset({"gb18030", "cp950", "big5hkscs", "cp932", "euc_jp", "iso2022_jp", "cp949"})
_MEANT = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "cp950",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
}
"""What is declared -> the larger encoding that is meant, as the WHATWG Encoding Standard has it."""
_RARE = frozenset(_SINGLE_BYTE[9:])
_RARENESS = 0.12
"""Coherence that a rare encoding must have more than a common one, which French in cp1252
has not, read as cp1257: .4 against .3."""
_SIGN_AS_LETTER = re.compile(r"(?<![^\W\d_])[^\W\d_a-zA-Z](?=\d)")
"""“£40” read as “Ł40”, which costs an encoding as much as being rare: English of two lines with
prices has .68 so, and .67 in cp1252. A language that writes so, “Д1”, is surer than that."""
_SINGLE_BYTE_SAMPLE = 20_000
_MOST_CHAOS = 0.1
"""charset-normalizer's measure of implausible characters; its own limit is .2."""
_LEAST_COHERENCE = 0.1
"""Right guesses have .15 to .8, random bytes and short wrong ones 0."""
_WESTERN = frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüÿœšžßÀÁÂÄÅÆÇÈÉÊËÎÏÑÓÔÖØÙÚÜŒ") | frozenset(
    "\xa0°§©®™«»¿¡“”‘’„…–—•·€£½¼¾²³±×µ"
)
_WESTERN_SHARE = 0.3
_FOREIGN_WORDS_SHARE = 0.01
"""So few letters beyond ASCII are in foreign words, “São Paulo” in English, and tell nothing
of the language; German and French have 2 to 4 %, others more."""
_UTF8_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_BEYOND_EUROPEAN = re.compile(r"[^\x00-\u052f\u2010-\u2026]")
_FEW = 0.1
"""The share up to which characters beyond European ones are signs between words."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
_PLAUSIBLE = re.compile(
    r"[\t\n\r\f -~\xa0-\u024f\u0370-\u052f\u2010-\u2026\u3000-\u30ff\u4e00-\u9fff"
    r"\uac00-\ud7a3\uff01-\uff5e]"
)
"""What texts are written in; more than half of all code points lie outside."""
_PLAUSIBLE_SHARE = 0.95
_FEWEST_UTF16 = 10
"""Without NUL, which ASCII has in UTF-16, fewer characters prove nothing."""


def decode(data: bytes, *, source: str, declared: str | None = None) -> tuple[str, str]:
    """Decode a text file without knowing its encoding.

    Parameters
    ----------
    data : the whole file.
    source : names the file in errors.
    declared : the encoding that the file itself names, as an HTML page does.

    Returns
    -------
    text : every character of the file but a byte order mark at its very start.
    encoding : the name of a Python codec, in lower case, with
        ``data.decode(encoding) == text``. ``text.encode(encoding) == data`` holds as well,
        save for UTF-16 and UTF-32 with the mark of the other byte order, and for encodings
        that write one text in several ways.

    Raises
    ------
    UnreadableDocument
        The bytes are not text, or in no encoding that can be told with confidence; the
        message names the first offending byte.

    Examples
    --------
    >>> decode("第三章　水费".encode("gbk"), source="fees.txt")
    ('第三章　水费', 'gb18030')
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_marked(data, encoding, source), encoding
    if b"\0" in data:
        return _decode_with_nul(data, source)
    codec = _codec(declared or "")
    if codec in _MULTI_BYTE and not _guess_by_share(data, "utf-8", _EAST_ASIAN, _EVERYDAY_SHARE):
        text = _try(data, codec)
        if text is not None:
            return text, codec
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if codec in _SINGLE_BYTE and (text := _try(data, codec)) is not None:
            return text, codec
        found = None if _is_damaged_utf8(data) else _guess(data)
        if found is None:
            raise _undecodable(source, error.encoding, error.start) from error
        return found


def _codec(label: str) -> str:
    """Find the codec that browsers take for a label; "" for one that is not known."""
    try:
        name = codecs.lookup(label).name.replace("-", "_")
    except LookupError:
        return ""
    return _MEANT.get(name, name)


def _decode_marked(data: bytes, encoding: str, source: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # Only the codec of UTF-8 counts from behind the mark.
        skipped = len(codecs.BOM_UTF8) if encoding == "utf-8-sig" else 0
        raise _undecodable(source, error.encoding, error.start + skipped) from error
    if "\0" in text:
        message = f"{source!r} is not text: its character {text.index(chr(0))} is NUL"
        raise UnreadableDocument(message, source=source)
    return text


def _undecodable(source: str, encoding: str, offset: int) -> UnreadableDocument:
    message = (
        f"{source!r} cannot be decoded: byte {offset} is not valid {encoding}, and no other "
        "encoding fits; convert the file to UTF-8"
    )
    return UnreadableDocument(message, source=source)


def _decode_with_nul(data: bytes, source: str) -> tuple[str, str]:
    """Decode UTF-16 without a mark, the only text that holds NUL bytes."""
    found = _guess_utf16(data)
    if found is None:
        message = (
            f"{source!r} is not text: byte {data.index(0)} is NUL; if it is text after all, "
            "convert it to UTF-8"
        )
        raise UnreadableDocument(message, source=source)
    return found


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_damaged_utf8(data: bytes) -> bool:
    """Whether most bytes above ASCII are valid UTF-8, and not Chinese in GB18030 by chance.

    In a short Chinese text in GBK four bytes of five may look like UTF-8.
    """
    sequences = _UTF8_SEQUENCE.findall(data)
    strays = len(_HIGH_BYTE.findall(data)) - sum(map(len, sequences))
    return len(sequences) > strays and not (
        _guess_by_share(data, "gb18030", _EVERYDAY, _EVERYDAY_SHARE) or _guess_gb2312(data)
    )


def _guess(data: bytes) -> tuple[str, str] | None:
    return (
        _guess_by_share(data, "gb18030", _EVERYDAY, _EVERYDAY_SHARE)
        or _guess_by_share(data, "cp932", _KANA, _EVERYDAY_SHARE)
        or _guess_by_share(data, "euc_jp", _KANA, _EVERYDAY_SHARE)
        or _guess_by_share(data, "cp949", _HANGUL, _HANGUL_SHARE, fewest=_FEWEST_HANGUL)
        or _guess_gb2312(data)
        or _guess_by_share(data, "big5", _EVERYDAY, _EVERYDAY_SHARE)
        or _guess_by_share(data, "cp950", _EVERYDAY, _EVERYDAY_SHARE)
        or _guess_utf16(data)
        or _guess_single_byte(data)
    )


def _guess_gb2312(data: bytes) -> tuple[str, str] | None:
    """Accept Chinese without everyday characters: names, headings, tables."""
    common, rare = _gb2312()
    return _guess_by_share(data, "gb18030", common, _GB2312_COMMON_SHARE) or _guess_by_share(
        data, "gb18030", common | rare, _GB2312_SHARE, fewest=_FEWEST_GB2312
    )


@cache
def _gb2312() -> tuple[frozenset[str], frozenset[str]]:
    """List GB 2312: level 1, punctuation and full-width letters; and level 2."""
    common, rare = (
        frozenset(
            character
            for row in rows
            for cell in range(0xA1, 0xFF)
            for character in bytes((row, cell)).decode("gb2312", errors="ignore")
        )
        for rows in ((0xA1, 0xA3, *range(0xB0, 0xD8)), range(0xD8, 0xF8))
    )
    return common, rare


def _guess_by_share(
    data: bytes, encoding: str, expected: AbstractSet[str], least: float, *, fewest: int = 1
) -> tuple[str, str] | None:
    """Accept an encoding if enough of the characters beyond ASCII are expected ones."""
    text = _try(data, encoding)
    if text is None:
        return None
    beyond_ascii = [match[0] for match in islice(_BEYOND_ASCII.finditer(text), _SAMPLE)]
    if len(beyond_ascii) < fewest or _share(beyond_ascii, expected) < least:
        return None
    return text, encoding


def _share(characters: Sequence[str], expected: AbstractSet[str]) -> float:
    """Tell which part of the characters, at least one, is expected."""
    return sum(character in expected for character in characters) / len(characters)


def _guess_utf16(data: bytes) -> tuple[str, str] | None:
    """Try both byte orders; in the wrong one a text is rare characters."""
    fewest = 0 if b"\0" in data else _FEWEST_UTF16
    for encoding in ("utf-16-le", "utf-16-be"):
        text = _try(data, encoding)
        if text is None or "\0" in text:
            continue
        sample = text[:_SAMPLE]
        beyond_european = _BEYOND_EUROPEAN.findall(sample)
        if (
            len(beyond_european) >= fewest
            and (
                len(beyond_european) <= _FEW * len(sample)
                or _share(beyond_european, _EAST_ASIAN) >= _EVERYDAY_SHARE
            )
            and len(_PLAUSIBLE.findall(sample)) >= _PLAUSIBLE_SHARE * len(sample)
        ):
            return text, encoding
    return None


def _guess_single_byte(data: bytes) -> tuple[str, str] | None:
    """Take the encoding in which charset-normalizer best recognises a language.

    Often several are equally good, as they agree on the letters in question; then the more
    common one is meant.
    """
    western = _try(data, "cp1252")
    if western is not None and _is_western(western, most=_FOREIGN_WORDS_SHARE):
        return western, "cp1252"
    sample = _sample_beyond_ascii(data)
    coherences = {encoding: _coherence(sample, encoding) for encoding in _SINGLE_BYTE}
    best = max(_SINGLE_BYTE, key=lambda name: coherences[name] - _unlikely(sample, name))
    if coherences[best] >= _LEAST_COHERENCE:
        text = _try(data, best)
        return None if text is None else (text, best)
    if western is not None and _is_western(western, most=_WESTERN_SHARE):
        return western, "cp1252"
    return None


def _unlikely(sample: bytes, encoding: str) -> float:
    """Weigh what speaks against an encoding besides its language, in units of coherence."""
    signs_are_letters = _SIGN_AS_LETTER.search(sample.decode(encoding, errors="replace"))
    return _RARENESS * ((encoding in _RARE) + (signs_are_letters is not None))


def _sample_beyond_ascii(data: bytes) -> bytes:
    """Cut out the part of the file around its first byte beyond ASCII."""
    high = _HIGH_BYTE.search(data)
    middle = 0 if high is None else high.start()
    return data[max(0, middle - _SINGLE_BYTE_SAMPLE // 2) :][:_SINGLE_BYTE_SAMPLE]


def _coherence(sample: bytes, encoding: str) -> float:
    """How sure charset-normalizer is of a language, from 0 to 1; 0 if the bytes do not fit."""
    from charset_normalizer import from_bytes  # noqa: PLC0415

    match = from_bytes(sample, cp_isolation=[encoding], threshold=_MOST_CHAOS).best()
    return 0.0 if match is None else match.coherence


def _is_western(text: str, *, most: float) -> bool:
    """Whether this is mostly ASCII, with the letters and signs of Western Europe between.

    In a text too short to recognise a language that is all there is to go by.
    """
    beyond_ascii = _BEYOND_ASCII.findall(text)
    return (
        _CONTROL.search(text) is None
        and _share(beyond_ascii, _WESTERN) == 1.0
        and len(beyond_ascii) <= most * len(text)
    )
