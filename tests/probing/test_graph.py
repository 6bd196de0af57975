"""Path counting against lists of all paths, on small random graphs and on shapes that are known."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradstab.probing.events import edge_of
from gradstab.probing.graph import Graph, silent_joints, vertex_of

Path = frozenset[tuple[Node, int]]


def paths(node: Node, output: int, end: tuple[Node, int]) -> Iterator[Path]:
    """The vertices of each path from one vertex to the end."""
    if (node, output) == end:
        yield frozenset({end})
        return
    for below, number in node.next_functions:
        if below is not None:
            for path in paths(below, number, end):
                yield path | {(node, output)}


def random_tensors(seed: int) -> list[Tensor]:
    """A graph in which each tensor is made of one to three earlier ones; some operations have two outputs."""
    choose = random.Random(seed)
    made = [torch.randn(4, requires_grad=True) * 1.0]
    while len(made) < 12:
        parts = choose.sample(made, k=min(len(made), choose.randint(1, 3)))
        new = sum(parts[1:], parts[0] * 2)
        if choose.random() < 0.3:
            low, high = torch.cat([new, new]).chunk(2)
            made += [low, high]
        else:
            made.append(new)
    return made


@pytest.mark.parametrize("seed", range(12))
def test_a_tensor_separates_when_every_path_crosses_it(seed):
    made = random_tensors(seed)
    root = edge_of(made[-1].sum())
    graph = Graph(root)
    found = graph.separating([(edge_of(tensor),) for tensor in made])
    all_paths = list(paths(root.node, 0, vertex_of(edge_of(made[0]))))
    expected = [all(vertex_of(edge_of(tensor)) in path for path in all_paths) for tensor in made]
    assert found == expected
    assert any(expected[1:])


def test_members_of_a_state_separate_together_only():
    h = c = torch.randn(3, requires_grad=True) * 1.0
    states = []
    for _ in range(4):
        h, c = (h + c).clone(), (h * c).clone()
        states.append((edge_of(h), edge_of(c)))
    graph = Graph(edge_of((h + c).sum()))
    assert graph.separating(states) == [True] * 4
    assert graph.separating([states[0], *(state[:1] for state in states[1:])]) == [True, False, False, False]


def test_layers_with_another_one_above_are_no_readouts():
    x = torch.randn(3, requires_grad=True) * 1.0
    body = x * 2
    head, other = body * 3, body * 4
    unused = body * 5
    graph = Graph(edge_of(head.sum() + other.sum()))
    assert graph.topmost([(edge_of(tensor),) for tensor in (x, body, head, other, unused)]) == [
        False, False, True, True, False,
    ]  # fmt: skip


def test_stacked_steps_of_which_one_is_read_lead_to_that_one_only():
    steps = [torch.randn(3, requires_grad=True) * 1.0]
    for _ in range(3):
        steps.append(torch.tanh(steps[-1]))
    value = torch.stack(steps)[-1].sum()
    edges = [edge_of(step) for step in steps]
    positions = [(edge,) for edge in edges]
    assert Graph(edge_of(value)).separating(positions) == [True, False, False, False]
    silent = silent_joints(value, edges)
    assert Graph(edge_of(value), silent=silent).separating(positions) == [True] * 4


def test_a_long_chain_of_operations_overflows_no_stack():
    x = torch.randn(1, requires_grad=True) * 1.0
    positions = [(edge_of(x),)]
    for _ in range(60_000):
        x = x * 1.0
    positions.append((edge_of(x),))
    graph = Graph(edge_of(x))
    assert graph.separating(positions) == [True, True]
    del x, positions
    graph.dismantle()


def test_the_lowest_layers_and_what_lies_above_them():
    left, right = (torch.randn(3, requires_grad=True) * 1.0 for _ in range(2))
    above = left * 2
    joined = above + right
    graph = Graph(edge_of(joined.sum()))
    positions = [(edge_of(tensor),) for tensor in (left, above, right, joined)]
    assert graph.lowest(positions) == [True, False, True, False]
    assert [graph.lies_above(position, positions[0]) for position in positions] == [False, True, False, True]
    assert [graph.lies_above(position, positions[2]) for position in positions] == [False, False, False, True]
