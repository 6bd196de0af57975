"""How a pack is divided into members that are computed at once and those that go one by one."""

from __future__ import annotations

from typing import Any

from gradstab.record.dry_run import TriedModule
from gradstab.training.modules.stacks import ModuleStacks
from tests.modules.kit import recipe


def tried(together: int, **arguments: Any) -> TriedModule:
    return TriedModule({}, arguments, 1, ("a", "b"), "layers", 0.0, 0.0, 0.0, 0.0, 0, together)


def divided(found: list[TriedModule], pack: list[Any], equal: bool = True) -> list[list[int]]:
    return ModuleStacks(found, lambda one: equal)(pack)


def test_tried_structures_go_as_was_found():
    found = [tried(8, depth=2, norm="a"), tried(1, depth=4, norm="a")]
    assert divided(found, _pack([(2, "a"), (4, "a"), (2, "a"), (4, "a")])) == [[0, 2], [1], [3]]


def _pack(points: list[tuple[int, str]], **more: Any) -> list[Any]:
    return [_recipe(depth=depth, norm=norm, **more) for depth, norm in points]


def _recipe(*, traced: tuple[str, ...] = (), momentum: float = 0.0, **arguments: Any) -> Any:
    base = recipe(momentum=momentum, traced=traced)
    return base.model_copy(update={"arguments": arguments, "given": tuple(arguments)})


def test_stacks_are_no_larger_than_memory_allows():
    stacks = divided([tried(3, depth=2, norm="a")], _pack([(2, "a")] * 7))
    assert sorted(map(len, stacks)) == [2, 2, 3]
    assert sorted(index for stack in stacks for index in stack) == [*range(7)]


def test_one_member_needs_no_comparison():
    def never(one: object) -> bool:
        raise AssertionError(one)

    found = [tried(8, depth=2, norm="a"), tried(8, depth=6, norm="a")]
    assert ModuleStacks(found, never)(_pack([(4, "a")])) == [[0]]


def test_structures_between_tried_ones_are_compared_once():
    asked = []

    def equal(one: Any) -> bool:
        asked.append(one.arguments["depth"])
        return bool(one.arguments["depth"] == 4)

    stacks = ModuleStacks([tried(8, depth=2, norm="a"), tried(8, depth=6, norm="a")], equal)
    pack = _pack([(4, "a"), (4, "a"), (5, "a"), (5, "a")])
    assert stacks(pack) == [[0, 1], [2], [3]]
    assert stacks(pack) == [[0, 1], [2], [3]]
    assert asked == [4, 5]


def test_structures_that_were_not_tried_go_one_by_one():
    found = [tried(8, depth=2, norm="a"), tried(8, depth=6, norm="a")]
    assert divided(found, _pack([(7, "a"), (7, "a")])) == [[0], [1]]  # deeper than any
    assert divided(found, _pack([(4, "b"), (4, "b")])) == [[0], [1]]  # another choice
    assert divided([*found, tried(1, depth=3, norm="a")], _pack([(4, "a"), (4, "a")])) == [[0], [1]]
    assert divided([], _pack([(4, "a"), (4, "a")])) == [[0], [1]]


def test_only_traced_arguments_may_differ_in_a_stack():
    found = [tried(8, depth=2, norm="a", scale=1.0)]
    apart = [_recipe(depth=2, norm="a", scale=scale) for scale in (1.0, 2.0)]
    traced = [_recipe(depth=2, norm="a", scale=scale, traced=("scale",)) for scale in (1.0, 2.0)]
    assert divided(found, apart) == [[0], [1]]
    assert divided(found, traced) == [[0, 1]]


def test_members_with_and_without_momentum_go_apart():
    found = [tried(8, depth=2, norm="a")]
    pack = [_recipe(depth=2, norm="a", momentum=momentum) for momentum in (0.0, 0.9, 0.0, 0.9)]
    assert divided(found, pack) == [[0, 2], [1, 3]]
