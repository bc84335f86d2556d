"""HTML and SVG built as a tree, so that text can never become markup: the serializer escapes all of it.

el("p", "3 < 4 ", el("b", name), class_="note")
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

Element = ElementTree.Element
Child = Element | str | None | Iterable["Child"]


def el(name: str, /, *children: Child, **attributes: object) -> Element:
    """An element. Children are elements, texts, or iterables of them; None is left out, as is an attribute of None.

    An underscore in an attribute's name stands for a hyphen, one at its end is dropped (`class_`, `aria_label`).
    """
    shown = {key.rstrip("_").replace("_", "-"): str(it) for key, it in attributes.items() if it is not None}
    element = ElementTree.Element(name, shown)
    _append(element, children)
    return element


def html(element: Element) -> str:
    """The element as HTML text."""
    return ElementTree.tostring(element, encoding="unicode", method="html")


def _append(element: Element, children: Iterable[Child]) -> None:
    for child in children:
        if isinstance(child, str):
            _append_text(element, child)
        elif isinstance(child, ElementTree.Element):
            element.append(child)
        elif child is not None:
            _append(element, child)


def _append_text(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text
