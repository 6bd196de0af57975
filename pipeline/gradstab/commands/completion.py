"""What the shell completes: studies, study files, axes and their values. Only file names and study.json are read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

_FILES = (".py", ".yaml", ".yml")


def complete_study(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the studies in the results folder, and study files."""
    del param
    names = [] if "/" in incomplete else sorted(_studies(ctx))
    return _items([*names, *_files(incomplete)], incomplete)


def complete_place(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`AXIS=` for the axes of the study on the line, and behind `=` the values of a choice or the ends of a range."""
    del param
    space = _space(ctx)
    name, equals, _ = incomplete.partition("=")
    if not equals:
        return _items([f"{axis}=" for axis in space], incomplete)
    axis = space.get(name, {})
    values = axis["choices"] if "choices" in axis else [axis[end] for end in ("low", "high") if end in axis]
    words = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return _items([f"{name}={word}" for word in words], incomplete)


def complete_numeric_axis(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The axes with numbers of the study on the line."""
    del param
    return _items([name for name, axis in _space(ctx).items() if "choices" not in axis], incomplete)


def complete_criterion(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The fields of a criterion."""
    del ctx, param
    return _items(["ratio_band=", "target_fraction=", "responses="], incomplete)


def complete_activation(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The activations of the library, by the names of their files."""
    del ctx, param
    from gradstab.activations import library

    files = Path(library.__path__[0]).glob("[a-z]*.py")
    return _items(sorted(path.stem for path in files), incomplete)


def _items(values: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]


def _studies(ctx: click.Context) -> list[str]:
    root = _root(ctx)
    return [path.name for path in root.iterdir() if (path / "study.json").is_file()] if root.is_dir() else []


def _root(ctx: click.Context) -> Path:
    from gradstab.study.settings import results_setting

    return results_setting(ctx.params.get("results")).value


def _space(ctx: click.Context) -> dict[str, dict[str, Any]]:
    """The axes of the study that the line names so far, as its study.json has them; none where it has not begun."""
    # click has read nothing of a line that ends in an option without its value
    given = str(ctx.params.get("study") or next(filter(set(_studies(ctx)).__contains__, _typed()), ""))
    try:
        declared = json.loads((_root(ctx) / given / "study.json").read_text())
        return dict(declared["study"]["space"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _typed() -> list[str]:
    """The words of the line, as every shell gives them."""
    return os.environ.get("COMP_WORDS", "").split()


def _files(incomplete: str) -> list[str]:
    """Study files in the folder that is being typed, and the folders in it."""
    typed, _, _ = incomplete.rpartition("/")
    folder = Path(f"{typed}/" if incomplete.startswith("/") or typed else ".")
    beginning = f"{typed}/" if "/" in incomplete else ""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    folders = [f"{beginning}{path.name}/" for path in paths if path.is_dir()]
    return [f"{beginning}{path.name}" for path in paths if path.suffix.lower() in _FILES and path.is_file()] + folders


class WholeWordBash(BashComplete):
    """Bash cuts words at `=`: this puts `clip = fa` together again, and gives back what stands behind the sign."""

    name = "bash"

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        self._cut = ""
        if incomplete == "=" and args:
            incomplete = ""
            self._cut = f"{args.pop()}="
        elif len(args) > 1 and args[-1] == "=":
            self._cut = f"{args[-2]}="
            args = args[:-2]
        return args, f"{self._cut}{incomplete}"

    def format_completion(self, item: CompletionItem) -> str:
        return super().format_completion(CompletionItem(item.value.removeprefix(self._cut), item.type, item.help))


def register() -> None:
    """Have click complete in bash as above."""
    add_completion_class(WholeWordBash)
