"""Values that break things, and a sound study to put them into."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

SOUND: dict[str, Any] = {
    "name": "sound",
    "question": "Where?",
    "prediction": "Here.",
    "space": {
        "depth": {"type": "log_integer", "low": 2, "high": 16},
        "init_scale": {"type": "log_real", "low": 0.5, "high": 4.0},
        "momentum": {"type": "real", "low": 0.0, "high": 0.9},
        "batch_size": {"type": "integer", "low": 8, "high": 64},
        "activation": {"type": "choice", "choices": ["relu", "tanh"]},
    },
    "recipe": {"width": 32, "learning_rate": 0.01, "steps": 20, "clip": True, "precision": "float32"},
    "data": {"type": "teacher", "num_rows": 512, "num_features": 8, "num_classes": 3},
    "criterion": {},
    "sampler": {"type": "sobol"},
    "budget": {"trials": 12, "minutes": 3.5},
    "replicates": 2,
    "seed": 7,
    "resources": {"slots": 2, "gpu_share": 0.5, "address": "auto"},
    "tracking": {"uri": "http://h:5000", "child_runs": 5, "detail": "full"},
    "storage": "postgresql://me@h/db",
}

WORDS = (
    "postgresql://me:hunter2@h/db", "http://me:hunter2@h", "postgresql://h/db?password=hunter2",
    "", " ", ".", "..", "../../etc/passwd", "/etc/passwd", "~", "a/b", "a\\b", "con", "-rf", "--help", "'; DROP TABLE x; --",
    "<script>alert(1)</script>", "{{7*7}}", "${HOME}", "%s%n", "%2e%2e%2f", "\x00", "a\nb", "\u202eabc", "ä" * 70, "\U0001d54f", "🧨", "\ud800",
    "nan", "inf", "null", "True", "0x10", "1e400", "journal:", "sqlite:///", "postgresql://", "mysql://u:p@h/d", "http://[::1",
    "http://u:p@h:99999/", "file:///etc/passwd", "a" * 5000, "relu", "depth", "type", "digits", "npz", "mnist", "\N{BOM}x", "\x1b[31m",
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2, 10**9, -(10**9), 2**63, 2**64, 10**30, 10**400, -(10**400), 0.0, -0.0, 1e-320, 1e308, -1e308, 0.1, 1.5,
    float("nan"), float("inf"), float("-inf"), True, False,
)  # fmt: skip


REQUIRED = ("name", "question", "space", "budget")


def sound(random: Random) -> dict[str, Any]:
    """A sound study: what every one needs, some of what one may have, some of the axes."""
    tree = {key: copy.deepcopy(part) for key, part in SOUND.items() if key in REQUIRED or random.random() < 0.3}
    axes = list(tree["space"])
    for name in random.sample(axes, random.randrange(len(axes))):
        del tree["space"][name]
    return tree


def hostile(random: Random, depth: int = 0) -> Any:
    """Any value that YAML or JSON can spell."""
    kind = random.randrange(8 if depth < 3 else 5)
    if kind < 2:
        return random.choice(NUMBERS)
    if kind < 4:
        return random.choice(WORDS)
    if kind == 4:
        return random.choice([None, [], {}, "".join(chr(random.randrange(32, 0x2FFF)) for _ in range(5))])
    if kind == 5:
        return [hostile(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 6:
        return {random.choice(WORDS): hostile(random, depth + 1) for _ in range(random.randrange(4))}
    return random.choice(
        [
            {
                "type": random.choice(["real", "log_real", "integer", "log_integer"]),
                "low": hostile(random, 3),
                "high": hostile(random, 3),
            },
            {"type": "choice", "choices": [hostile(random, 3) for _ in range(random.randrange(4))]},
            {
                "type": random.choice(
                    ["digits", "teacher", "npz", "mnist", "grid", "random", "tpe", "gp", "cmaes", "boundary"]
                )
            },
        ]
    )


def mutated(random: Random) -> dict[str, Any]:
    """A sound study with one to four parts replaced, removed, renamed or added."""
    tree = sound(random)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        node, key = _place(random, tree)
        action = random.randrange(6)
        if action == 0 and key in node:
            del node[key]
        elif action == 1:
            node[random.choice(WORDS) or "x"] = hostile(random)
        elif action == 2 and key in node:
            node[key + random.choice("sx_ ")] = node.pop(key)
        else:
            node[key] = hostile(random)
    return tree


def _place(random: Random, tree: dict[str, Any]) -> tuple[dict[str, Any], str]:
    node = tree
    while True:
        if not node:
            return node, "x"
        key = random.choice(list(node))
        below = node[key]
        if isinstance(below, dict) and below and random.random() < 0.7:
            node = below
        else:
            return node, key


def spelled(tree: object) -> str:
    """A tree as JSON that YAML reads too, NaN and infinities as YAML spells them."""
    text = json.dumps(tree, ensure_ascii=False)
    return text.replace("NaN", ".nan").replace("-Infinity", "-.inf").replace("Infinity", ".inf")
