"""HTML that cannot carry what it should not: every text is escaped unless it was made here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

_VOID = {"img", "meta", "br"}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, /, *children: object, **attributes: str) -> Html:
    """An element; children that are not Html are escaped, and so are attributes (`class_` stands for class)."""
    given = "".join(f' {key.rstrip("_")}="{escape(value, quote=True)}"' for key, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{given}>")
    return Html(f"<{tag}{given}>{joined(*children)}</{tag}>")


def joined(*children: object) -> Html:
    """Parts one after another."""
    return Html("".join(child if isinstance(child, Html) else escape(str(child)) for child in children))


def table(head: Sequence[object], rows: Sequence[Sequence[object]], caption: object = "", *, words: int = 1) -> Html:
    """A table; the first `words` columns hold words, the others numbers."""

    def cell(kind: str, index: int, content: object) -> Html:
        return element(kind, content, class_="word" if index < words else "number")

    body = [element("tr", *(cell("td", i, content) for i, content in enumerate(row))) for row in rows]
    top = element("tr", *(cell("th", i, content) for i, content in enumerate(head)))
    parts = [element("caption", caption)] if caption else []
    return element("table", *parts, element("thead", top), element("tbody", *body))


def picture(png: bytes, alternative: str, caption: object) -> Html:
    """A figure with its bytes in the page."""
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    return element("figure", element("img", src=source, alt=alternative), element("figcaption", caption))
