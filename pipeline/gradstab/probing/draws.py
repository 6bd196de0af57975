"""One draw of a measurement: a private copy, a recorded forward pass, and the backward passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gradstab.probing.activated import Activated, Activations
from gradstab.probing.copies import private_copy
from gradstab.probing.events import kind_of
from gradstab.probing.forward import Batch, Forward, run_forward, sgd_step
from gradstab.probing.gradients import Edges, Reading, norms_at, read
from gradstab.probing.graph import vertex_of
from gradstab.probing.randomness import generator_states, held_generators, seed_generators
from gradstab.probing.refusals import refuse
from gradstab.probing.samples import MOST_PASSES
from gradstab.probing.series import choose_runs, readouts
from gradstab.probing.table import Key, Members, keyed

DRAWS = 16  # where the module draws random numbers
STEP = 0.1  # learning rate of the one step after which a zero readout without weights passes a gradient
_MOST_PASSES_OF_ALL_DRAWS = 64


@dataclass(frozen=True)
class Draw:
    """What is kept of one forward pass and its backward passes: no part of its graph.

    Attributes:
        drew: whether it drew random numbers.
        members: the series, and how to find their positions in another draw.
        keys: of each series' positions.
        kinds: keys of all layers, by kind.
        positions: keys of all that was read.
        reading: the norms.
        activated: what activations did, at positions that one takes or returns.
        normalises: whether the module normalises over the batch.
    """

    drew: bool
    members: Sequence[Members]
    keys: list[list[Key]]
    kinds: dict[str, list[Key]]
    positions: list[Key]
    reading: Reading
    activated: dict[Key, Activated]
    normalises: bool

    @property
    def without_gradient(self) -> bool:
        """Whether the headline's positions have no gradient at all."""
        places = [self.positions.index(key) for key in self.keys[0]]
        return not bool(self.reading.norm_KP[:, places].any())


class Draws:
    """Takes draws of one module on one batch.

    Attributes:
        drawn_anew: names of the weights of zero readouts, which are drawn anew on each copy.
        stepped: whether each copy takes a step of gradient descent first.
        dead: whether a gradient enters below the readouts and reaches no position, as where all units are dead.
    """

    def __init__(self, module: nn.Module, batch: Batch, taps: Sequence[str]) -> None:
        self._module, self._batch, self._taps = module, batch, taps
        self.drawn_anew: list[str] = []
        self.stepped = False
        self.dead = False

    def take(self, number: int, first: Draw | None) -> tuple[Draw, nn.Module, Forward]:
        """A draw, its copy and its forward pass; later draws take what the first one found out."""
        own = private_copy(self._module, self._batch.types)
        generators = held_generators(own)
        seed_generators(number, generators)
        for name in self.drawn_anew:
            weight = own.get_parameter(name)
            nn.init.normal_(weight, std=math.prod(weight.shape[1:]) ** -0.5)
        if self.stepped:
            sgd_step(own, self._batch, STEP)
        before = generator_states(generators)
        activations = Activations()
        forward = run_forward(own, self._batch, activations=activations)
        drew = generator_states(generators) != before
        events = forward.events
        if first is None:
            runs = choose_runs(events, forward.graph, forward.value, self._taps)
            members: Sequence[Members] = [Members(run, events) for run in runs]
        else:
            members = first.members
        places = [part.of(events) for part in members]
        positions: dict[Key, Edges] = {}
        for part, found in zip(members, places, strict=True):
            positions |= {key: part.edges(event) for key, event in found.items()}
        judged = len(positions)
        kinds: dict[str, list[Key]] = {}
        for key, event in keyed(events).items():
            if event.layer:
                kinds.setdefault(kind_of(event.name), []).append(key)
                positions.setdefault(key, event.edges[:1])
        normalises = any(isinstance(part, _BatchNorm) and part.training for part in own.modules())
        known = first.reading if first else None
        reading = read(
            forward.value,
            list(positions.values()),
            judged,
            forward.cut,
            forward.candidates if known is None else [known.rows] if known.rows else [],
            most_passes=min(MOST_PASSES, _MOST_PASSES_OF_ALL_DRAWS // (DRAWS if drew else 1)),
            known_mix=known.mix if known else None,
            normalises=normalises,
        )
        activated = {
            key: activations.found[vertex]
            for key, edges in positions.items()
            if (vertex := vertex_of(edges[0])) in activations.found
        }
        draw = Draw(drew, members, [[*found] for found in places], kinds, [*positions], reading, activated, normalises)
        return draw, own, forward

    def take_first(self) -> tuple[Draw, nn.Module, Forward]:
        """The first draw, with a gradient at its positions unless the network is dead.

        Raises:
            UsageError: nothing has a gradient, and no readout passes one.
        """
        first, own, forward = self.take(0, None)
        while first.without_gradient:
            self._make_readouts_pass(own, forward)
            forward.release(own)
            first, own, forward = self.take(0, None)
            if self.dead:
                break
        return first, own, forward

    def _make_readouts_pass(self, own: nn.Module, forward: Forward) -> None:
        """Let zero readouts be drawn anew, or else a step be taken, or else find that the units below are dead.

        Raises:
            UsageError: nothing has a gradient, and no readout passes one.
        """
        parameters = dict(own.named_parameters())
        tops = {top.name for top in readouts(forward.events, forward.graph)}
        names = [name if name in parameters else f"{name}.weight" for name in tops]
        zero = [name for name in names if name in parameters and not parameters[name].any()]
        taken = [event.edges for event in forward.events if event.role == "input" and event.name in tops]
        if zero and not self.drawn_anew:
            self.drawn_anew = zero
        elif not self.stepped:
            self.stepped = True
        elif taken and norms_at(forward.value, taken).any():
            self.dead, self.stepped = True, False
        else:
            refuse(
                "the loss has no gradient at any position, so there is nothing to compare (a branch multiplied by "
                "zero, dead units, a constant loss): call it on a batch on which the network learns"
            )
