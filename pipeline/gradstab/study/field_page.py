"""The page of all fields of a study file. `docs/study_file.md` is written from it:

``python -m gradstab.study.field_page > docs/study_file.md``
"""

from __future__ import annotations

from collections.abc import Iterator

from gradstab.study.axes import Choice
from gradstab.study.criterion import Criterion
from gradstab.study.field_list import AS_BELOW, NOTHING, DeclaredField, Kind, fields_of, yaml_text
from gradstab.study.responses.registry import RESPONSES
from gradstab.study.study import FINGERPRINTED, Study

_HEAD = f"""\
# The study file

Written by `python -m gradstab.study.field_page > docs/study_file.md` from the code's own definitions.

A study is a YAML file, or a Python file that defines `STUDY = Study(...)` with the same fields. These two files declare
the same study:

```yaml
name: my-first
question: Does clipping save deep ReLU networks that start too large?
space:
  depth: {{type: log_integer, low: 4, high: 32}}
  init_scale: {{type: log_real, low: 1, high: 3}}
  clip: {{type: choice, choices: [false, true]}}
recipe: {{activation: relu, learning_rate: 0.05, momentum: 0.9, steps: 150}}
budget: {{trials: 300}}
```

```python
from gradstab import Choice, LogInteger, LogReal, Study

STUDY = Study(
    name="my-first",
    question="Does clipping save deep ReLU networks that start too large?",
    space={{
        "depth": LogInteger(4, 32),
        "init_scale": LogReal(1, 3),
        "clip": Choice((False, True)),
    }},
    recipe={{"activation": "relu", "learning_rate": 0.05, "momentum": 0.9, "steps": 150}},
    budget={{"trials": 300}},
)
```

`gradstab check FILE` lists all faults of a study file and trains nothing. `--set recipe.width=256` replaces one field
for one run.

The examples below are YAML. In Python, axes are objects, as above, and every other section is a dictionary:
`sampler={{"type": "boundary", "batch": 8}}` is `sampler: {{type: boundary, batch: 8}}`.

When a study has begun, {", ".join(f"`{name}`" for name in FINGERPRINTED[:-1])} and `{FINGERPRINTED[-1]}` may not
change any more, because its trials would no longer mean the same. The other fields may change.
"""
BAR = "\\|"  # a bar inside a cell of a table
_INTRODUCTIONS = {
    "space": (
        "Each axis varies one setting of the training: its name is the name of a field of `recipe`, and every value of "
        "the axis must be allowed there. A setting is an axis or a fixed value of the recipe, not both. A seed is no "
        "axis: `replicates` trains each point several times."
    ),
    "recipe": "A setting that is an axis of `space` must not stand here.",
    "data": "What every network of the study trains on. A relative path starts at the folder of the study file.",
    "sampler": (
        "How the points of the trials are chosen. `random`, `sobol` and `grid` do not look at results. The others do, "
        "after each batch of trials."
    ),
}


def page() -> str:
    """The page of all fields, Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    fields = fields_of(Study)
    yield _HEAD
    yield "## The fields of a study"
    yield ""
    yield from _table(fields)
    for field in fields:
        yield from _section(field, "##")


def _section(field: DeclaredField, heading: str) -> Iterator[str]:
    """The fields that a field holds: a table, or one part for each kind. Nothing for a plain value."""
    if not field.kinds:
        return
    yield ""
    yield f"{heading} {field.path}"
    is_one_kind = len(field.kinds) == 1
    for paragraph in (field.kinds[0].meaning if is_one_kind else "", _INTRODUCTIONS.get(field.path, "")):
        if paragraph:
            yield ""
            yield paragraph
    for kind in field.kinds:
        if not is_one_kind:
            yield from _part(field, kind, f"{heading}#")
        elif kind.fields:
            yield ""
            yield from _table(kind.fields)
        for inner in kind.fields:
            yield from _section(inner, f"{heading}#")
    if field.path == "criterion":
        yield from _responses()


def _part(field: DeclaredField, kind: Kind, heading: str) -> Iterator[str]:
    """One of several kinds, with an example."""
    is_axis = field.path == "space"
    yield ""
    yield f"{heading} {kind.tag}"
    yield ""
    yield kind.meaning
    yield ""
    yield "```yaml"
    yield _lines_of(field.name, {_axis_name(kind): kind.example()} if is_axis else kind.example())
    yield "```"
    if is_axis:
        shown = ", ".join(repr(field.example) for field in kind.fields)
        yield ""
        yield f"In Python: `{kind.python.__name__}({shown})`."
    if kind.fields:
        yield ""
        yield from _table(kind.fields)


def _axis_name(kind: Kind) -> str:
    """A field of the recipe over which an axis of that kind may run."""
    if kind.python is Choice:
        return "activation"
    return "depth" if getattr(kind.python, "is_whole", False) else "init_scale"


def _table(fields: tuple[DeclaredField, ...]) -> Iterator[str]:
    yield "| field | allowed | default | example | meaning |"
    yield "|---|---|---|---|---|"
    for field in fields:
        default = "must be given" if field.default is None else field.default
        link = f"[below](#{field.path.replace('.', '')})"
        cells = (
            f"`{field.name}`",
            link if field.kinds else field.allowed,
            default if default in (NOTHING, AS_BELOW, "must be given") else f"`{default}`",
            link if field.kinds else f"`{_lines_of(field.name, field.example)}`",
            field.meaning,
        )
        yield f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"


def _lines_of(name: str, value: object) -> str:
    """A field and its value as they stand in a study file."""
    return yaml_text({name: value})[1:-1]


def _responses() -> Iterator[str]:
    yield ""
    yield "| response | readable name | meaning | stable by default | counts by default |"
    yield "|---|---|---|---|---|"
    for response in RESPONSES.values():
        trained = "where something is trained" if response.needs_training else "yes"
        cells = (
            f"`{response.letter}`",
            f"`{response.name}`",
            response.meaning,
            response.formula(Criterion()),
            trained if response.by_default else "no",
        )
        yield f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"


if __name__ == "__main__":
    print(page(), end="")
