"""docs/optuna_sampler.md: its example runs as it is printed there, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "optuna_sampler.md"


def test_the_example_prints_what_the_page_says():
    text = PAGE.read_text()
    code, example = (re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[0] for language in ("python", "text"))
    assert len([line for line in code.splitlines() if line]) == 15
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(PAGE), "exec"), {})
    number = re.compile(r"\d+\.\d+")
    assert number.sub("#", printed.getvalue()) == number.sub("#", example)
    found, said = ([float(value) for value in number.findall(of)] for of in (printed.getvalue(), example))
    assert found == pytest.approx(said, abs=0.2)  # another machine's last digits may lead to other points
    for momentum, edge, theory in zip(found[::3], found[1::3], found[2::3], strict=True):
        assert edge == pytest.approx(theory, rel=0.08), f"momentum {momentum}"


def test_the_second_example_is_accepted():
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    names: dict[str, object] = {}
    exec("import math\nfrom gradstab import BoundarySampler\n" + code, names)
    assert type(names["sampler"]).__name__ == "BoundarySampler"
