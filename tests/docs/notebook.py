"""Runs the cells of a notebook in order in one namespace, as Jupyter does, and keeps what they show.

Jupyter itself is not needed: cells hold plain Python, without magics. ``python -m tests.docs.notebook`` runs the notebook of
the documentation and puts what its cells show into it.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
DOTS_PER_INCH = 60


class CellError(Exception):
    """A cell that fails: its number, counted from 1 over the cells of code, and its source."""


def read_notebook(path: Path = NOTEBOOK) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def run_cells(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """What each cell of code shows, as a notebook holds it.

    Raises:
        CellError: a cell fails.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    shown = []
    for number, cell in enumerate(cells, start=1):
        source = "".join(cell["source"])
        try:
            shown.append(_run(source, namespace, number))
        except Exception as error:
            raise CellError(f"cell {number}: {type(error).__name__}: {error}\n{source}") from error
    return shown


def _run(source: str, namespace: dict[str, Any], number: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"<cell {number}>", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"<cell {number}>", "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    if value is not None:
        outputs.append(
            {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": _data(value)}
        )
    return outputs


def _data(value: Any) -> dict[str, Any]:
    """The forms of a value that a notebook can show, by MIME type."""
    data: dict[str, Any] = {"text/plain": _lines(repr(value))}
    html = value._repr_html_() if hasattr(value, "_repr_html_") else None
    if html is not None:
        data["text/html"] = _lines(html)
    if hasattr(value, "savefig"):
        picture = io.BytesIO()
        value.savefig(picture, format="png", dpi=DOTS_PER_INCH)
        data["image/png"] = base64.b64encode(picture.getvalue()).decode()
    return data


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> int:
    os.environ["MPLBACKEND"] = "agg"
    notebook = read_notebook()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADSTAB_RESULTS"] = folder
        shown = run_cells(notebook)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, outputs) in enumerate(zip(cells, shown, strict=True), start=1):
        cell["outputs"], cell["execution_count"] = outputs, number
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
