"""Product feeds in XML: the items of RSS 2.0 and the entries of Atom, an item at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final
from xml.etree.ElementTree import Element, ParseError
from xml.parsers import expat

from product_match_client.loading.sources.records import Record

MAX_ITEM_BYTES: Final = 1024 * 1024
"""Text of one item; what is longer is no product."""

_CHUNK: Final = 1 << 16
_GOOGLE: Final = "g:"
_ITEMS: Final = frozenset({"item", "entry"})


class _Items:
    """Hears the parser; holds one item."""

    def __init__(self) -> None:
        self.items: list[tuple[int, dict[str, Any], bool]] = []
        self._stack: list[Element] = []
        self._line, self._size = 0, 0
        self.parser = expat.ParserCreate(namespace_separator="}")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        # An entity may stand for others, and so for gigabytes: a feed has no use for its own.
        self.parser.EntityDeclHandler = self._refuse

    def _refuse(self, *declared: object) -> None:
        raise ParseError(f"it declares an entity, `{declared[0]}`, which a feed has no use for")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition("}")
        tag = f"{_GOOGLE}{local}" if "base.google.com" in space else local
        if not self._stack:
            if tag not in _ITEMS:
                return
            self._line, self._size = self.parser.CurrentLineNumber, 0
        self._stack.append(Element(tag, attributes))

    def _data(self, text: str) -> None:
        if not self._stack:
            return
        self._size += len(text)
        if self._size <= MAX_ITEM_BYTES:
            self._stack[-1].text = (self._stack[-1].text or "") + text

    def _end(self, name: str) -> None:  # noqa: ARG002  the stack has it
        if not self._stack:
            return
        element = self._stack.pop()
        if self._stack:
            self._stack[-1].append(element)
        else:
            fields = {key: value for key, value in _value(element, outermost=True).items() if value}
            self.items.append((self._line, fields, self._size > MAX_ITEM_BYTES))


def _value(element: Element, *, outermost: bool = False) -> Any:
    """Return an element's text, or the elements in it by name: a list where a name comes several times."""
    if not len(element) and not outermost:
        return (element.text or "").strip() or element.get("href", "")
    found: dict[str, Any] = {}
    googles = {inner.tag for inner in element}
    for inner in element:
        if f"{_GOOGLE}{inner.tag}" in googles:
            continue  # Google's own element goes before the one of RSS or Atom
        name, value = inner.tag.removeprefix(_GOOGLE), _value(inner)
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def xml_items(file: BinaryIO, source: str, directory: Path) -> Iterator[Record]:
    """Read the items of a feed; where the XML breaks off is a reject, what comes before it is read."""
    heard = _Items()
    ended = False
    while not ended:
        data = file.read(_CHUNK)
        ended, reason = not data, ""
        try:
            heard.parser.Parse(data, ended)
        except (expat.ExpatError, ParseError) as error:
            reason = f"not valid XML ({error}), and what follows in the file cannot be read; mend the file"
        for line, fields, long in heard.items:
            place = Record(source=source, line=line, directory=directory, fields=fields, raw=fields)
            if long:
                reason_long = f"the item has more than {MAX_ITEM_BYTES:,} letters; it is no product"
                place = Record(source=source, line=line, directory=directory, reason=reason_long, raw="")
            yield place
        heard.items.clear()
        if reason:
            line = heard.parser.CurrentLineNumber
            yield Record(source=source, line=line, directory=directory, reason=reason, raw="")
            return
