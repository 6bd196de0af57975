"""One hostile case from a source of randomness, and what must hold of it whatever it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest import mock

import yaml

from gradstab.commands.estimate import estimate
from gradstab.errors import GradstabError, StudyError
from gradstab.loop.cost_model import CostModel
from gradstab.study.file import load_study_file
from gradstab.study.settings import resolve_settings
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe
from tests.fuzz.values import NUMBERS, SOUND, WORDS, hostile, mutated, sound, spelled

SECRET = "hunter2"
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SNIPPETS = (
    "&a [*a]", "{<<: &b {<<: *b}}", "!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!!binary aGVsbG8=",
    "!!set {a, b}", "!!omap [a: 1]", "2001-01-01", "1:30:00", "0o17", "0b1", "1_000", ".inf", ".NaN", "~", "---\na: 1\n---\nb: 2", "%YAML 9.9\n---\n",
    "\t- a", "? {a: b}\n: c", "!!float abc", "!!int 1e3", "!!null x", "!!timestamp x", "*missing", "&x", "[[[[[[[[", "{a: &c 1, b: *c}",
    "!<tag:yaml.org,2002:str> 3", "'unclosed", "\"\\ud800\"", "|\n  text", ">-\n  text", "- - - a", "!!merge <<", "!!bool maybe", "=", "!!value =",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A study file's bytes, overrides of the command line, an mlflow.env and an environment."""

    kind: str
    content: bytes
    overrides: tuple[str, ...]
    env_file: bytes
    environment: dict[str, str]


def make_case(random: Random) -> Case:
    kind = random.choice(list(KINDS))
    text = KINDS[kind](random)
    overrides = tuple(_override(random) for _ in range(random.choice((0, 0, 0, 1, 2))))
    environment = {
        name: _environment_value(random)
        for name in ("MLFLOW_TRACKING_URI", "OPTUNA_STORAGE", "RAY_ADDRESS")
        if random.random() < 0.2
    }
    env_file = _text(random).encode("utf-8", "surrogatepass") if random.random() < 0.2 else b""
    return Case(kind, text.encode("utf-8", "surrogatepass"), overrides, env_file, environment)


def check_case(case: Case, folder: Path) -> str:
    """How the case ended, "loaded" or "refused", if all that must hold does.

    Raises:
        AssertionError: with the case, if something else was raised or a sentence is none.
    """
    path = folder / "study.yaml"
    path.write_bytes(case.content)
    (folder / "mlflow.env").write_bytes(case.env_file)
    before = sorted(os.listdir(folder))  # noqa: PTH208 - names alone, two hundred thousand times
    try:
        study = load_study_file(path, case.overrides)
        _use(study, folder, case)
    except GradstabError as error:
        _require_sentences(error, case)
        outcome = "refused"
    except BaseException as error:
        raise AssertionError(f"{type(error).__name__}: {error}\n{case}") from error
    else:
        outcome = "loaded"
    assert sorted(os.listdir(folder)) == before, f"a refused study must leave nothing behind\n{case}"  # noqa: PTH208
    return outcome


def _use(study: Study, folder: Path, case: Case) -> None:
    """What `check` and the start of `run` do with a sound study."""
    assert SAFE_NAME.fullmatch(study.name), case
    assert Study.model_validate(study.dump()).fingerprint() == study.fingerprint(), case
    for u in (0.0, 0.5, 1.0):
        resolved_recipe(study, study.space.point_from_unit(dict.fromkeys(study.space.names(), u)))
    if len(case.content) % 16 == 0:
        estimate(study, CostModel(), 2, 2**30)
    with mock.patch.dict(os.environ, case.environment):
        settings = resolve_settings(study, folder, str(folder / "results"))
    shown = " ".join(settings.shown().values())
    assert f":{SECRET}@" not in shown, f"a password must not show: {shown}\n{case}"


def _require_sentences(error: GradstabError, case: Case) -> None:
    assert error.exit_code == 2, f"exit code {error.exit_code}: {error}\n{case}"
    sentences = error.faults if isinstance(error, StudyError) else [str(error)]
    assert sentences, case
    for sentence in sentences:
        assert len(sentence.split()) >= 3, f"no sentence: {sentence!r}\n{case}"
        assert len(sentence) < 2000, f"too long: {sentence[:300]!r} ...\n{case}"
        assert sentence.isprintable(), f"it would break a line or colour a terminal: {sentence!r}\n{case}"
        # fragments of a URL that was torn apart are past telling
        assert f"//me:{SECRET}@" not in sentence, f"a password must not show: {sentence!r}\n{case}"


def _tree(random: Random) -> str:
    return spelled(mutated(random))


def _block(random: Random) -> str:
    try:
        return str(yaml.safe_dump(mutated(random), allow_unicode=random.random() < 0.5))
    except (yaml.YAMLError, ValueError, UnicodeError):
        return _tree(random)


def _text(random: Random) -> str:
    """A sound file with noise at a place or two."""
    text = str(yaml.safe_dump(sound(random), default_flow_style=None))
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(text) + 1)
        action = random.randrange(4)
        if action == 0:
            text = text[:at] + random.choice((*WORDS, *SNIPPETS)) + text[at:]
        elif action == 1:
            text = text[:at] + text[at + random.randrange(40) :]
        elif action == 2:
            text = text[:at] + chr(random.choice((*range(0, 160), 0xFEFF, 0x2028, 0xD7FF, 0x1F4A3))) + text[at:]
        else:
            lines = text.splitlines(keepends=True)
            lines.insert(random.randrange(len(lines) + 1), random.choice(lines) if lines else "")
            text = "".join(lines)
    return text


def _snippet(random: Random) -> str:
    field = random.choice([*SOUND, "recipe: {width", "space: {depth"])
    closing = "}" if "{" in field else ""
    return f"{random.choice(('', spelled(sound(random))[1:-1].replace(', ', chr(10)) + chr(10)))}{field}: {random.choice(SNIPPETS)}{closing}\n"


def _bomb(random: Random) -> str:
    """Few bytes that mean many values, or deep ones."""
    kind = random.randrange(5)
    size = random.randrange(2, 40)
    if kind == 0:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, size)]
        return "\n".join(lines) + f"\n{random.choice(list(SOUND))}: *a{size - 1}\n"
    if kind == 1:
        depth = random.choice((10, 60, 500, 3000))
        return f"{random.choice(list(SOUND))}: {'[' * depth}{']' * depth}\n"
    if kind == 2:
        depth = random.choice((10, 60, 500, 3000))
        return f"{random.choice(list(SOUND))}: {'{a: ' * depth}1{'}' * depth}\n"
    if kind == 3:
        return f"seed: {'9' * random.choice((20, 400, 4299, 4301, 20_000))}\n{spelled(sound(random))[1:-1]}"
    return f"{spelled(sound(random))[:-1]}, space: {{{', '.join(f'a{i}: {{type: real, low: 0, high: 1}}' for i in range(size * 20))}}}}}"


def _noise(random: Random) -> str:
    return "".join(chr(random.randrange(0x3000)) for _ in range(random.randrange(60)))


def _override(random: Random) -> str:
    key = random.choice(
        (*SOUND, "recipe.width", "budget.trials", "space.depth.low", "a.b.c.d", "", ".", "..", "recipe.", *WORDS[:8])
    )
    value = random.choice((*SNIPPETS, *WORDS, *map(str, NUMBERS[:9]), "[" * 2000, spelled(hostile(random))))
    return random.choice((f"{key}={value}", f"{key}={value}", key, f"={value}"))


def _environment_value(random: Random) -> str:
    word = random.choice(
        (
            *WORDS,
            f"postgresql://me:{SECRET}@h/db",
            f"http://me:{SECRET}@h:1/x?y#z",
            f"postgresql://h/db?password={SECRET}",
        )
    )
    return word.replace("\x00", "").encode("utf-8", "replace").decode()


KINDS: dict[str, Callable[[Random], str]] = {
    "tree": _tree,
    "block": _block,
    "text": _text,
    "snippet": _snippet,
    "bomb": _bomb,
    "noise": _noise,
}
