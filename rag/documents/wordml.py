"""The words of WordprocessingML, in whichever of its two namespaces a file is written.

What Office calls “Strict Open XML Document” has the same elements as the usual kind in
namespaces of its own; ``name_of`` gives both the same name.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element

_PREFIXES = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main": "w",
    "http://purl.oclc.org/ooxml/wordprocessingml/main": "w",
    "http://schemas.openxmlformats.org/officeDocument/2006/math": "m",
    "http://purl.oclc.org/ooxml/officeDocument/math": "m",
    "http://schemas.openxmlformats.org/markup-compatibility/2006": "mc",
    "http://purl.org/dc/elements/1.1/": "dc",
}
_NUMBER = re.compile(r"\d{1,9}")


@lru_cache(maxsize=1024)
def _prefixed(name: str) -> str:
    namespace, _, local = name.rpartition("}")
    return f"{_PREFIXES.get(namespace[1:], '')}:{local}"


def name_of(element: "_Element") -> str:
    """Name an element, as in "w:p"; ":p" where its namespace is none of those read here."""
    return _prefixed(element.tag)


def child(element: "_Element | None", *path: str) -> "_Element | None":
    """Follow names downwards, each to the first child that has it."""
    for name in path:
        for inner in () if element is None else element:
            if name_of(inner) == name:
                element = inner
                break
        else:
            return None
    return element


def children(element: "_Element | None", name: str) -> Iterator["_Element"]:
    """Yield the children of one name."""
    if element is not None:
        yield from (inner for inner in element if name_of(inner) == name)


def attribute(element: "_Element | None", name: str = "w:val") -> str | None:
    """Read an attribute; None where it or the element is missing."""
    if element is not None:
        for key, value in element.attrib.items():
            if _prefixed(key) == name:
                return str(value)
    return None


def number(element: "_Element | None", name: str = "w:val", *, default: int) -> int:
    """Read an attribute that is a natural number below a thousand million."""
    value = attribute(element, name) or ""
    return int(value) if _NUMBER.fullmatch(value) else default


def is_on(element: "_Element | None", *path: str) -> bool:
    """Tell whether a switch is there and not off."""
    switch = child(element, *path)
    return switch is not None and is_true(attribute(switch) or "1")


def is_true(value: str | None) -> bool:
    """Tell whether the value of a switch means on; None, a missing one, does not."""
    return value in {"1", "true", "on"}


def choice(alternatives: "_Element") -> "_Element | None":
    """Choose what is shown of ``mc:AlternateContent``; the others repeat it for old programs."""
    first = child(alternatives, "mc:Choice")
    return first if first is not None else child(alternatives, "mc:Fallback")
