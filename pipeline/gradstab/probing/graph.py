"""The autograd graph below a loss: which tensors does every path cross?

Paths are counted under random weights on the edges, modulo a large prime. The paths through z are all paths exactly
when up(z) * down(z) equals their total, but for a chance of about 1e-16 (Schwartz-Zippel).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node
from torch.utils.hooks import RemovableHandle

from gradstab.probing.events import edge_of

_PRIME = 2**61 - 1
_JOINTS = {"StackBackward0", "CatBackward0"}

Vertex = tuple[Node, int]
Silent = frozenset[tuple[Node, int]]  # an operation, and which of its inputs


def vertex_of(edge: GradientEdge) -> Vertex:
    """A tensor as a vertex of the graph: the operation that made it, and which of its outputs it is."""
    return (edge.node, edge.output_nr)


class Graph:
    """Everything that the backward pass from some tensors, the roots, reaches; `silent` edges are left out."""

    def __init__(self, *roots: GradientEdge, silent: Silent = frozenset()) -> None:
        self._order = _postorder([root.node for root in roots])
        weights = random.Random(0)  # its own generator: the user's stays where it is
        self._roots = {vertex_of(root): weights.randrange(1, _PRIME) for root in roots}
        self._edges: dict[Node, list[tuple[Vertex, int]]] = {
            node: [
                ((below, nr), weights.randrange(1, _PRIME))
                for index, (below, nr) in enumerate(node.next_functions)
                if below and (node, index) not in silent
            ]
            for node in self._order
        }
        self._down = self._paths_down()
        self._up: dict[frozenset[Vertex], dict[Node, int]] = {}

    def dismantle(self) -> None:
        """Free the graph from the roots down, once nothing else holds it.

        torch frees a chain of operations that Python has seen recursively, and 50,000 of them overflow the stack.
        """
        order = self._order
        vars(self).clear()
        while order:
            order.pop()

    def reaches(self, edges: Iterable[GradientEdge]) -> bool:
        """Whether the loss depends on any of the tensors."""
        return any(self._down.get(vertex_of(edge), 0) for edge in edges)

    def separating(self, positions: Sequence[Sequence[GradientEdge]]) -> list[bool]:
        """For each position: does every path from the roots to the first position cross it?

        A position of several tensors counts as one, if no path crosses two of them.
        """
        reached = self.reaches(positions[0])
        return [reached and self.crosses_once(position, positions[0]) for position in positions]

    def crosses_once(self, cut: Sequence[GradientEdge], position: Sequence[GradientEdge]) -> bool:
        """Whether every path from the roots to the position crosses the cut, and crosses it once."""
        target = frozenset(vertex_of(edge) for edge in position)
        up = self._paths_up(target)
        vertices = {vertex_of(edge) for edge in cut}
        crossing = sum(self._down.get(v, 0) * (1 if v in target else up.get(v[0], 0)) for v in vertices) % _PRIME
        return crossing == self._total(target)

    def _total(self, target: frozenset[Vertex]) -> int:
        up = self._paths_up(target)
        return sum((1 if v in target else up[v[0]]) * weight for v, weight in self._roots.items()) % _PRIME

    def topmost(self, positions: Sequence[Sequence[GradientEdge]]) -> list[bool]:
        """For each position: does the loss depend on it, and no path from the loss to it cross another one?"""
        ends = {vertex_of(edge) for position in positions for edge in position}
        crossed: dict[Node, bool] = {}
        below: dict[Vertex, bool] = dict.fromkeys(self._roots, False)
        for node in reversed(self._order):
            outputs = [(v, flag) for v, flag in self._entries(node, below)]
            crossed[node] = any(flag or v in ends for v, flag in outputs)
            for vertex, _ in self._edges[node]:
                below[vertex] = below.get(vertex, False) or crossed[node]
        return [
            self.reaches(position) and not any(below.get(vertex_of(edge), False) for edge in position)
            for position in positions
        ]

    def lowest(self, positions: Sequence[Sequence[GradientEdge]]) -> list[bool]:
        """For each position: does no path from it lead to another one?"""
        ends = {vertex_of(edge) for position in positions for edge in position}
        above: dict[Node, bool] = {}
        for node in self._order:
            above[node] = any(vertex in ends or above[vertex[0]] for vertex, _ in self._edges[node])
        return [not any(above.get(edge.node, False) for edge in position) for position in positions]

    def lies_above(self, position: Sequence[GradientEdge], other: Sequence[GradientEdge]) -> bool:
        """Whether a path from the loss to the other position crosses this one."""
        up = self._paths_up(frozenset(vertex_of(edge) for edge in other))
        return self.reaches(position) and any(up.get(edge.node, 0) for edge in position)

    def _entries(self, node: Node, below: dict[Vertex, bool]) -> list[tuple[Vertex, bool]]:
        return [((node, nr), below[node, nr]) for nr in self._outputs.get(node, ()) if (node, nr) in below]

    def _paths_down(self) -> dict[Vertex, int]:
        """Weighted paths from the roots to every vertex; also notes which outputs of each operation are used."""
        self._outputs: dict[Node, set[int]] = {}
        for node, nr in self._roots:
            self._outputs.setdefault(node, set()).add(nr)
        for node in self._order:
            for (below, nr), _ in self._edges[node]:
                self._outputs.setdefault(below, set()).add(nr)
        down: dict[Vertex, int] = dict(self._roots)
        for node in reversed(self._order):
            arriving = sum(down.get((node, nr), 0) for nr in self._outputs.get(node, ())) % _PRIME
            for vertex, weight in self._edges[node]:
                down[vertex] = (down.get(vertex, 0) + arriving * weight) % _PRIME
        return down

    def _paths_up(self, first: frozenset[Vertex]) -> dict[Node, int]:
        """Weighted paths from every operation to the first position."""
        if first not in self._up:
            up: dict[Node, int] = {}
            for node in self._order:
                edges = self._edges[node]
                up[node] = sum((1 if v in first else up[v[0]]) * weight for v, weight in edges) % _PRIME
            self._up[first] = up
        return self._up[first]


def silent_joints(value: Tensor, positions: Iterable[GradientEdge]) -> Silent:
    """Inputs of stack and cat to which exactly no gradient goes, as to all steps but the last in `stack(steps)[-1]`."""
    silent: set[tuple[Node, int]] = set()
    joints = [node for node in _postorder([edge_of(value).node]) if node.name() in _JOINTS]

    def watch(node: Node) -> RemovableHandle:
        def look(given: tuple[Tensor | None, ...], taken: tuple[Tensor | None, ...]) -> None:
            del taken
            silent.update((node, index) for index, part in enumerate(given) if part is not None and not part.any())

        return node.register_hook(look)

    handles = [watch(node) for node in joints]
    try:
        torch.autograd.grad(value, list(positions), retain_graph=True, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    return frozenset(silent)


def _postorder(roots: list[Node]) -> list[Node]:
    """Every operation after all that it depends on."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(root, False) for root in roots]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(below, False) for below, _ in node.next_functions if below is not None]
    return order
