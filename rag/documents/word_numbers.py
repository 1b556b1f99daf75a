"""The numbers that Word writes before paragraphs, which stand nowhere in the file.

1. A list (``w:num``) uses a definition (``w:abstractNum``) of up to nine levels, each with a
   pattern such as “%1.%2” or “第%1条”, and may override where they start.
2. One row of counters belongs to each definition: lists that share it count on. A paragraph
   raises the counter of its level and lets the deeper ones begin again.
3. Each %k of the pattern is replaced by the counter of level k as that level is written.

After ECMA-376 part 1, 17.9 (numbering) and 17.18.59 (formats). A format that is not known
here gives the bullet of a list rather than a wrong number.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag.documents.wordml import attribute, child, children, is_on, name_of, number

if TYPE_CHECKING:
    from lxml.etree import _Element

BULLET = "- "
_LEVELS = 9
_LONGEST_PATTERN = 100
"""Characters. Word's own dialog stops far below; a pattern of a megabyte before each of a
million paragraphs would fill the memory."""
_DIGITS = "〇一二三四五六七八九"
_FORMAL = "零壹贰叁肆伍陆柒捌玖"


def roman(count: int) -> str:
    """Write a number from 1 to 3,999 in Roman numerals, another as it is.

    Examples
    --------
    >>> roman(4), roman(1987)
    ('iv', 'mcmlxxxvii')
    """
    if not 1 <= count <= 3999:
        return str(count)
    values = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
    signs = ("m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i")
    parts = []
    for value, sign in zip(values, signs, strict=True):
        parts.append(sign * (count // value))
        count %= value
    return "".join(parts)


def chinese(count: int, *, digits: str = _DIGITS, units: str = "十百千") -> str:
    """Write a number from 1 to 9,999 as it is counted in Chinese, another digit by digit.

    Examples
    --------
    >>> chinese(10), chinese(12), chinese(20), chinese(101), chinese(2010)
    ('十', '十二', '二十', '一百〇一', '二千〇一十')
    """
    if not 1 <= count <= 9999:
        return _one_by_one(count)
    parts: list[str] = []
    skipped = False
    for place, digit in zip(range(3, -1, -1), f"{count:04}", strict=True):
        if digit == "0":
            skipped = bool(parts)
            continue
        parts += [digits[0] * skipped, digits[int(digit)], units[place - 1] if place else ""]
        skipped = False
    written = "".join(parts)
    # 十二, but 一百一十二 and 壹拾贰.
    return written[1:] if 10 <= count < 20 and digits == _DIGITS else written


def _one_by_one(count: int) -> str:
    return "".join(_DIGITS[int(digit)] for digit in str(count))


def _chinese_to_99(count: int) -> str:
    """Count up to 99; Office writes larger numbers digit by digit."""
    return chinese(count) if count < 100 else _one_by_one(count)


def _letter(count: int) -> str:
    """Write a … z, aa, bb …, as far as anyone reads them."""
    turns, place = divmod(count - 1, 26)
    return chr(ord("a") + place) * (turns + 1) if 0 <= turns < 30 else str(count)


def _ordinal(count: int) -> str:
    ending = "th" if 11 <= count % 100 <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"


def _one_of(signs: str) -> Callable[[int], str]:
    """Take the sign at a place, and plain digits where there are no more."""
    return lambda count: signs[count - 1] if 1 <= count <= len(signs) else str(count)


def _row(first: str, length: int) -> Callable[[int], str]:
    return _one_of("".join(chr(ord(first) + place) for place in range(length)))


def _full_width(count: int) -> str:
    return "".join(chr(ord("０") + int(digit)) for digit in str(count))


_FORMATS: dict[str, Callable[[int], str]] = {
    "decimal": str,
    "decimalHalfWidth": str,
    "decimalZero": lambda count: f"{count:02}",
    "decimalFullWidth": _full_width,
    "decimalFullWidth2": _full_width,
    "lowerRoman": roman,
    "upperRoman": lambda count: roman(count).upper(),
    "lowerLetter": _letter,
    "upperLetter": lambda count: _letter(count).upper(),
    "ordinal": _ordinal,
    "chineseCounting": _chinese_to_99,
    "taiwaneseCounting": _chinese_to_99,
    "chineseCountingThousand": chinese,
    "taiwaneseCountingThousand": chinese,
    "japaneseCounting": chinese,
    "chineseLegalSimplified": lambda count: chinese(count, digits=_FORMAL, units="拾佰仟"),
    "ideographDigital": _one_by_one,
    "taiwaneseDigital": _one_by_one,
    "japaneseDigitalTenThousand": _one_by_one,
    "ideographTraditional": _one_of("甲乙丙丁戊己庚辛壬癸"),
    "ideographZodiac": _one_of("子丑寅卯辰巳午未申酉戌亥"),
    "decimalEnclosedCircle": _row("①", 20),
    "decimalEnclosedCircleChinese": _row("①", 20),
    "decimalEnclosedParen": _row("⑴", 20),
    "decimalEnclosedFullstop": _row("⒈", 20),
    "ideographEnclosedCircle": _row("㊀", 10),
    "none": lambda _: "",
}


@dataclass(frozen=True, slots=True)
class _Level:
    """How one level of a list is numbered."""

    start: int
    style: str
    pattern: str
    separator: str
    restart: int | None
    """The level, from 1, after which it begins again; None means any above it, 0 none."""
    in_digits: bool
    """Whether the numbers of all levels are written as decimals."""
    linked: str | None
    """The paragraph style that has this level."""


_UNDEFINED = _Level(1, "bullet", "", " ", None, in_digits=False, linked=None)


@dataclass(slots=True)
class _List:
    """A list, its levels as it overrides them."""

    definition: str
    levels: dict[int, _Level]
    starts: dict[int, int]
    """Where levels begin the first time this list has them."""


@dataclass(slots=True)
class Numbers:
    """The counters of one document, raised paragraph by paragraph in its order."""

    _lists: dict[str, _List]
    _counters: dict[str, dict[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, numbering: "_Element | None") -> "Numbers":
        """Read the lists that ``numbering.xml`` defines; None means that there are none."""
        definitions: dict[str, dict[int, _Level]] = {}
        styled: dict[str, str] = {}
        links: dict[str, str] = {}
        for definition in children(numbering, "w:abstractNum"):
            key = attribute(definition, "w:abstractNumId") or ""
            definitions[key] = _levels(definition)
            styled[attribute(child(definition, "w:styleLink")) or ""] = key
            links[key] = attribute(child(definition, "w:numStyleLink")) or ""
        lists: dict[str, _List] = {}
        for made in children(numbering, "w:num"):
            key = attribute(child(made, "w:abstractNumId")) or ""
            if links.get(key):
                key = styled.get(links[key], key)
            overrides = list(children(made, "w:lvlOverride"))
            levels = dict(definitions.get(key, {}))
            starts: dict[int, int] = {}
            for override in overrides:
                levels |= _levels(override)
                start = number(child(override, "w:startOverride"), default=-1)
                if start >= 0:
                    starts[number(override, "w:ilvl", default=0)] = start
            lists[attribute(made, "w:numId") or ""] = _List(key, levels, starts)
        return cls(lists)

    def level_of(self, list_id: str, style: str) -> int | None:
        """Tell which level of a list a paragraph style has; None where no one says so."""
        numbered = self._lists.get(list_id)
        levels = numbered.levels if numbered else {}
        return next((place for place, level in levels.items() if level.linked == style), None)

    def mark(self, list_id: str, place: int) -> str:
        """Count a paragraph, and tell what stands before it.

        Parameters
        ----------
        list_id : the list (``w:numId``) that it belongs to; "0" and unknown ones are none.
        place : its level, from 0.

        Returns
        -------
        str
            The number and what separates it from the text; ``BULLET``; or "" for nothing.
        """
        numbered = self._lists.get(list_id)
        if numbered is None:
            return ""
        place = min(place, _LEVELS - 1)
        level = numbered.levels.get(place, _UNDEFINED)
        counters = self._counters.setdefault(numbered.definition, {})
        if place in numbered.starts:
            counters[place] = numbered.starts.pop(place)
        elif place in counters:
            counters[place] += 1
        else:
            counters[place] = level.start
        for deeper in range(place + 1, _LEVELS):
            restart = numbered.levels.get(deeper, _UNDEFINED).restart
            if restart is None or place < restart:
                counters.pop(deeper, None)
        return _written(level, numbered.levels, counters)


def _levels(parent: "_Element") -> dict[int, _Level]:
    return {
        number(level, "w:ilvl", default=0): _Level(
            start=number(child(level, "w:start"), default=0),
            style=_format(level),
            pattern=attribute(child(level, "w:lvlText")) or "",
            separator="" if attribute(child(level, "w:suff")) == "nothing" else " ",
            restart=None
            if child(level, "w:lvlRestart") is None
            else number(child(level, "w:lvlRestart"), default=0),
            in_digits=is_on(level, "w:isLgl"),
            linked=attribute(child(level, "w:pStyle")),
        )
        for level in children(parent, "w:lvl")
    }


def _format(level: "_Element") -> str:
    """Tell how a level counts; of ``mc:AlternateContent`` the last, plain one."""
    formats = [inner for inner in level.iter("*") if name_of(inner) == "w:numFmt"]
    return (attribute(formats[-1]) if formats else None) or "decimal"


def _written(level: _Level, levels: dict[int, _Level], counters: dict[int, int]) -> str:
    if level.style not in _FORMATS or len(level.pattern) > _LONGEST_PATTERN:
        return BULLET
    written = level.pattern
    for place in range(_LEVELS):
        if f"%{place + 1}" not in written:
            continue
        other = levels.get(place, _UNDEFINED)
        style = "decimal" if level.in_digits else other.style
        if style not in _FORMATS:
            return BULLET
        count = counters.get(place, other.start)
        written = written.replace(f"%{place + 1}", _FORMATS[style](count))
    return written + level.separator if written.strip() else ""
