"""What training costs: floating-point operations, and the memory of a pack.

A pack is trained as one set of batched matrix products. Fields of the recipe that change array shapes or the
step loop form the pack key; everything else may differ between the members of a pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from gradstab.activations.registry import is_dear, keeps_z
from gradstab.record.statistics.registry import stored_bytes
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.pack_key import DataShape, padded, stack_key
from gradstab.study.recipe import NUM_ACCURACY_ROWS, Recipe, probe_steps, reads_accuracy

_BYTES = {"float32": 4, "float64": 8}
_OPTIMIZER_STATES = {"sgd": 0, "adam": 2, "adamw": 2, "rmsprop": 1}
_TAKES_MOMENTUM = ("sgd", "rmsprop")
# what is no matrix product, in operations of one that take as long (measured at widths 32 to 128, one thread)
_OPERATIONS_A_DRAW = 1300.0  # of a weight's initial value
_OPERATIONS_A_DEAR_VALUE = 170.0  # of a hidden unit on a row, beyond what tanh, relu and sigmoid take
_OPERATIONS_A_STATE_UPDATE = 125.0  # of a weight by an optimizer that keeps moments
_FIXED_BYTES = 4 * 2**20  # what does not grow with the pack
_HEAD_BYTES = 512  # of one trial in a segment's head
_PROBE_STEP_BYTES = 8
MODULE_STACK_BYTES = 2**28  # that modules which are computed at once may take; the others go one after another
FREE_MEMORY_SHARE = 0.5  # of a device's free memory that all packs on it may take together


def num_parameters(recipe: Recipe, shape: DataShape) -> int:
    """Stored numbers of one network's weights and biases, padding included."""
    width, features, classes = padded(recipe.width), padded(shape.num_features), padded(shape.num_classes)
    hidden = features * width + (recipe.depth - 1) * width * width + recipe.depth * width
    return hidden + width * classes + classes


def flops(recipe: Recipe, shape: DataShape) -> float:
    """Floating-point operations of one training: matrix products of forward and backward, probes included."""
    width = padded(recipe.width)
    multiplies = shape.num_features * width + (recipe.depth - 1) * width * width + width * padded(shape.num_classes)
    train_rows = padded(recipe.batch_size) * recipe.steps
    probe_rows = padded(recipe.probe_samples) * min(2, 1 + recipe.steps)
    accuracy_rows = NUM_ACCURACY_ROWS * sum(reads_accuracy(recipe, step) for step in probe_steps(recipe))
    return 2.0 * multiplies * (3 * train_rows + 3 * probe_rows + accuracy_rows)


@lru_cache(maxsize=4096)  # the sizes of packs are tried again and again with the same waiting trials
def operations(recipe: Recipe, shape: DataShape) -> float:
    """The cost of a training: the operations of its matrix products, and the rest as operations that take as long."""
    num_weights, dear = num_parameters(recipe, shape), is_dear(recipe.activation)
    values = padded(recipe.batch_size) * recipe.steps * recipe.depth * padded(recipe.width)
    updates = num_weights * recipe.steps if _OPTIMIZER_STATES[recipe.optimizer] else 0
    rest = _OPERATIONS_A_DRAW * num_weights + _OPERATIONS_A_STATE_UPDATE * updates
    return flops(recipe, shape) + rest + (_OPERATIONS_A_DEAR_VALUE * values if dear else 0.0)


def pack_bytes(recipes: Sequence[Recipe], shape: DataShape) -> int:
    """Memory that one pack adds to its worker: its largest stack (stacks take turns) and the results of all members."""
    return PackMemory(shape).total(recipes)


class PackMemory:
    """The memory of a pack to which one recipe is added at a time."""

    def __init__(self, shape: DataShape) -> None:
        self._shape = shape
        self._stacks: dict[tuple[object, ...], int] = {}
        self._results = _FIXED_BYTES

    def total(self, recipes: Sequence[Recipe]) -> int:
        for recipe in recipes:
            self.add(recipe)
        return self.add(None)

    def add(self, recipe: Recipe | None) -> int:
        """The bytes of the pack, with this member if one is given."""
        if recipe is not None:
            key, own = stack_key(recipe), member_bytes(recipe, self._shape)
            before = self._stacks.get(key, 0)
            together = before + own
            if isinstance(recipe, ModuleRecipe):
                together = max(before, own, min(together, MODULE_STACK_BYTES))
            self._stacks[key] = together
            self._results += 2 * result_bytes(recipe)
        return self._results + max(self._stacks.values(), default=0)


def member_bytes(recipe: Recipe, shape: DataShape) -> int:
    """Memory of one member of a stack: parameters, gradient, optimizer state, kept layers and passing buffers."""
    states = _OPTIMIZER_STATES[recipe.optimizer] + (recipe.optimizer in _TAKES_MOMENTUM and recipe.momentum > 0)
    width = padded(recipe.width)
    rows = max(padded(recipe.batch_size), padded(recipe.probe_samples))
    kept = recipe.depth * width * (2 if keeps_z(recipe.activation) else 1)
    # the last term stands for what the layer statistics gather; measured to be about that
    passing = padded(shape.num_features) + 4 * width + 4 * padded(shape.num_classes) + rows
    return _BYTES[recipe.precision] * ((2 + states) * num_parameters(recipe, shape) + rows * (kept + passing))


def result_bytes(recipe: Recipe) -> int:
    """Bytes of one trajectory on disk."""
    num_probes = len(probe_steps(recipe))
    return _HEAD_BYTES + _PROBE_STEP_BYTES * num_probes + stored_bytes(recipe.steps, num_probes, recipe.depth)
