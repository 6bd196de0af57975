"""The table of trials as a DataFrame in which responses have two names: the readable one, and their letter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from gradstab.study.responses.registry import RESPONSES

# letters of other columns, as older notebooks have them
_OTHER_ALIASES = {"rate": "gradient_rate", "flag": "gradient_flag"}


class TrialTable(pd.DataFrame):
    """A DataFrame whose columns may also be named by the letters of the responses.

    `trials["R"]`, `trials[["R", "verdict"]]`, `trials.query("R > 1")` mean the column `gradient_ratio`. The columns
    themselves, as in a file written from the table, have the readable names.
    """

    @property
    def _constructor(self) -> Callable[..., TrialTable]:
        return TrialTable

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return super().__getitem__(self._column(key))
        if isinstance(key, list):
            return super().__getitem__([self._column(name) if isinstance(name, str) else name for name in key])
        return super().__getitem__(key)

    def eval(self, expr: str, **kwargs: Any) -> Any:
        """As in pandas; the expression may name columns by their letters. `query` uses it too."""
        known = {name: self[name] for name in _aliases() if self._column(name) in self.columns}
        return super().eval(expr, resolvers=(*kwargs.pop("resolvers", ()), known), **kwargs)

    def _column(self, name: str) -> str:
        return name if name in self.columns else _aliases().get(name, name)


def trial_table(rows: Sequence[dict[str, object]]) -> TrialTable:
    """The table of these rows, indexed by their `number`."""
    table = TrialTable(rows)
    return table.set_index("number") if len(table) else table


def _aliases() -> dict[str, str]:
    return {letter: response.name for letter, response in RESPONSES.items()} | _OTHER_ALIASES
