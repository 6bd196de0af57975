"""What a probe found, as a notebook shows it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from gradstab.probing.profiles import Series
from gradstab.probing.wording import headline


def probe_html(
    series: Sequence[Series],
    kinds: Sequence[Series],
    untapped: Sequence[tuple[str, str]],
    notes: Sequence[str],
    picture: bytes,
) -> str:
    """Headline, picture, notes, and a table of kinds of layers; names are escaped."""
    encoded = base64.b64encode(picture).decode()
    said = [*filter(None, [series[0].remark]), *notes, *(f"{one.name}: {headline(one)}" for one in series[1:])]
    rows = [
        (
            kind.name,
            str(len(kind.taps)),
            f"{kind.log10_delta_norm_L[0]:+.2f}",
            f"{kind.log10_delta_norm_L[-1]:+.2f}",
            kind.remark,
        )
        for kind in kinds
    ]
    return "".join(
        [
            f"<p><b>{escape(headline(series[0]))}</b></p>",
            f'<img alt="gradient profile" src="data:image/png;base64,{encoded}">',
            "<ul>", *(f"<li>{escape(sentence)}</li>" for sentence in said), "</ul>",
            _table(["shown, not judged", "times", "log10 |delta| at the first", "at the last", "why"], rows),
            _table(["not read", "because"], untapped) if untapped else "",
        ]
    )  # fmt: skip


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
