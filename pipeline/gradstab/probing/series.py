"""Which positions make the series that is judged: time steps, else layers, else the stream's outputs or inputs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from gradstab.errors import UsageError
from gradstab.probing.events import Event, edge_of
from gradstab.probing.graph import Graph, silent_joints, vertex_of
from gradstab.probing.name_patterns import name_pattern
from gradstab.probing.refusals import refuse

FEWEST = 3  # positions of a stream, and time steps, that make a series
CHAIN = 0.8  # part of the layers that must separate where layers are the series
SPAN = 3  # a stream must span one third of the layers
SPAN_OF_MORE = 10  # another stack must span one tenth

_MOST_TOWERS = 8

_NO_PLACE = (
    "no series of layers or blocks passes the whole gradient, because paths lead round each of them (skip connections "
    "across the network, several branches): name modules yourself, as taps='encoder.blocks.*'"
)

_EVERY_STEP = "the loss reads more than the last step, so the gradient at a step adds up those of later ones"
_STEP_INPUTS = "packed or bidirectional: gradients are read at the inputs of the steps, not at the state"


@dataclass(frozen=True)
class Run:
    """A series of positions, in the order in which they ran.

    Attributes:
        axis: what the positions are: "time steps", "layers", "blocks", "block inputs", "calls" of one
            module, or "taps".
        whole: for each event, whether it passes the whole gradient.
        joint: whether all tensors that a module returned are one position; else the first one is.
        remark: what a reader must know beside.
    """

    axis: str
    events: tuple[Event, ...]
    whole: tuple[bool, ...]
    joint: bool = False
    remark: str = ""

    @property
    def judged(self) -> bool:
        """Whether whole gradients can be compared."""
        return any(self.whole)


def choose_runs(
    events: Sequence[Event], graph: Graph, value: Tensor, taps: Sequence[str], fewest: int = FEWEST
) -> list[Run]:
    """The series that are judged, the headline first.

    Args:
        fewest: positions that make a stream. A study, whose networks are alike, may have some of two blocks.

    Raises:
        UsageError: no place passes the whole gradient, or `taps` names none.
    """
    if taps:
        return [_named(events, graph, taps)]
    if time := _time_steps(events, value):
        return time
    layers = [event for event in events if event.layer]
    hidden = hidden_layers(events, graph)
    if hidden:
        whole = graph.separating([event.edges[:1] for event in hidden])
        if sum(whole) > CHAIN * len(whole):
            kept = tuple(event for event, is_whole in zip(hidden, whole, strict=True) if is_whole)
            remark = "R of one hidden layer is 0 by definition" if len(kept) == 1 else ""
            return [Run(_axis("layers", kept), kept, (True,) * len(kept), remark=remark)]
    blocks = [event for event in events if event.role == "output" and event.block]
    inputs = [event for event in events if event.role == "input"]
    runs = (
        _streams(blocks, events, layers, graph, "blocks", fewest)
        or _towers(hidden, graph)
        or _streams(inputs, events, layers, graph, "block inputs", fewest)
        or _calls(events, value)
    )
    if not runs:
        raise _no_series(events, layers, hidden)
    return runs


def _no_series(events: Sequence[Event], layers: Sequence[Event], hidden: Sequence[Event]) -> UsageError:
    """Why no series can be judged."""
    short = {event.name.split(" step ")[0] for event in events if event.kind is nn.RNNBase}
    if short:
        sentence = (
            f"{min(short)} must run at least {FEWEST} time steps to have a profile over time: give longer sequences"
        )
    elif not layers:
        sentence = (
            "the module must have at least one hidden layer before its readout, but no layer with a weight matrix "
            "passed a gradient that can be seen (torch.no_grad, detach, or torch.func.vmap around it)"
        )
    elif not hidden:
        sentence = (
            "the module must have at least one hidden layer before its readout, got only the readout: layers are "
            "modules of the module, and products of bare parameters"
        )
    else:
        sentence = _NO_PLACE
    return UsageError(f"probe: {sentence}")


def hidden_layers(events: Sequence[Event], graph: Graph) -> list[Event]:
    """Layers that the loss depends on, less the readouts: those above which there is no other layer."""
    layers = [event for event in events if event.layer and graph.reaches(event.edges[:1])]
    top = graph.topmost([event.edges[:1] for event in layers])
    return [event for event, is_readout in zip(layers, top, strict=True) if not is_readout]


def readouts(events: Sequence[Event], graph: Graph) -> list[Event]:
    """Layers above which there is no other layer."""
    layers = [event for event in events if event.layer]
    top = graph.topmost([event.edges[:1] for event in layers])
    return [event for event, is_readout in zip(layers, top, strict=True) if is_readout]


def _time_steps(events: Sequence[Event], value: Tensor) -> list[Run]:
    """A series for each recurrent layer; those first whose states the whole gradient crosses, longest first."""
    names = dict.fromkeys(event.name.split(" step ")[0] for event in events if event.kind is nn.RNNBase)
    if not names:
        return []
    graph = _without_silent_joints(events, value)
    found: list[tuple[bool, int, Run]] = []
    for name in names:
        ran = [event for event in events if event.kind is nn.RNNBase and event.name.startswith(f"{name} step ")]
        steps = [event for event in ran if graph.reaches(event.edges)]
        if len(steps) < FEWEST:
            continue
        state = steps[0].role == "state"
        whole = state and all(graph.separating([event.edges for event in steps]))
        remark = "" if whole else _EVERY_STEP if state else _STEP_INPUTS
        if len(steps) < len(ran):
            cut = f"only {len(steps)} of {len(ran)} steps pass a gradient on to the loss, and those are shown"
            remark = f"{cut}; {remark}" if remark else cut
        found.append((whole, len(steps), Run("time steps", tuple(steps), (True,) * len(steps), remark=remark)))
    return [run for _, _, run in sorted(found, key=lambda one: one[:2], reverse=True)]


def _without_silent_joints(events: Sequence[Event], value: Tensor) -> Graph:
    """The graph without what only looks like a path from the loss to every step."""
    edges = [edge for event in events for edge in event.edges]
    return Graph(edge_of(value), silent=silent_joints(value, edges))


def _streams(
    chosen: Sequence[Event], events: Sequence[Event], layers: Sequence[Event], graph: Graph, axis: str, fewest: int
) -> list[Run]:
    """The longest run of alike modules that all separate, and such runs of other stacks that do not overlap with it."""
    place = {id(event): index for index, event in enumerate(events)}
    call = _calls_before(chosen)
    keys: tuple[Callable[[Event], Hashable], ...] = (
        lambda event: event.kind,
        lambda event: (event.kind, event.pattern),
        lambda event: (event.kind, event.pattern, call[id(event)]),  # one encoder on two inputs
    )
    found: list[tuple[bool, int, int, Run]] = []
    for key in keys:
        for kind in dict.fromkeys(map(key, chosen)):
            run = _distinct([event for event in chosen if key(event) == kind])
            twins = max(call[id(event)] for event in chosen if event.name == run[0].name) + 1 if key is keys[2] else 1
            span = _span(run, events, place) + (_inside(run[0], layers) if fewest < FEWEST else 0)
            if len(run) < fewest or SPAN_OF_MORE * span < len(layers):
                continue
            wide = SPAN * twins * span >= len(layers)
            for joint in (False, True):
                if all(graph.separating([event.edges if joint else event.edges[:1] for event in run])):
                    found.append(
                        (wide, len(run), len(found), Run(_axis(axis, run), run, (True,) * len(run), joint=joint))
                    )
                    break
    chosen_runs: list[Run] = []
    for wide, _, _, candidate in sorted(found, key=lambda one: one[:3], reverse=True):
        if not (wide or chosen_runs):
            break
        first, last = place[id(candidate.events[0])], place[id(candidate.events[-1])]
        taken = [(place[id(other.events[0])], place[id(other.events[-1])]) for other in chosen_runs]
        if all(last < start or first > end for start, end in taken):
            chosen_runs.append(candidate)
    return chosen_runs


def _towers(hidden: Sequence[Event], graph: Graph) -> list[Run]:
    """A plain chain from each of several lowest layers, as of two encoders; chains that are mostly shared once.

    They must be more than four fifths of the layers; a cell in a loop, which meets an input at every step, is none.
    """
    lowest = [
        event
        for event, is_lowest in zip(hidden, graph.lowest([event.edges[:1] for event in hidden]), strict=True)
        if is_lowest
    ]
    if not 1 < len(lowest) <= _MOST_TOWERS:
        return []
    found: list[tuple[Event, ...]] = []
    for bottom in lowest:
        first = bottom.edges[:1]
        above = [event for event in hidden if event is not bottom and graph.lies_above(event.edges[:1], first)]
        whole = graph.separating([first, *(event.edges[:1] for event in above)])
        kept = (bottom, *(event for event, is_whole in zip(above, whole[1:], strict=True) if is_whole))
        if len(kept) > 1 and len(kept) > CHAIN * len(whole) and len({event.name for event in kept}) == len(kept):
            found.append(kept)
    if len({id(event) for kept in found for event in kept}) <= CHAIN * len(hidden):
        return []
    runs: list[Run] = []
    shown: set[Event] = set()
    for kept in sorted(found, key=lambda kept: (len(kept), found.index(kept)), reverse=True):
        if 2 * len(shown.intersection(kept)) <= len(kept):
            runs.append(Run("layers", kept, (True,) * len(kept)))
            shown.update(kept)
    return runs


def _distinct(events: Sequence[Event]) -> tuple[Event, ...]:
    """Each tensor once: query, key and value projections take the same one."""
    return tuple({vertex_of(event.edges[0]): event for event in reversed(events)}.values())[::-1]


def _calls_before(events: Sequence[Event]) -> dict[int, int]:
    """For each event, how often its module had run before."""
    counts: dict[str, int] = {}
    found = {}
    for event in events:
        found[id(event)] = counts.get(event.name, 0)
        counts[event.name] = found[id(event)] + 1
    return found


def _axis(axis: str, run: Sequence[Event]) -> str:
    return "calls" if len(run) > 1 and len({event.name for event in run}) == 1 else axis


def _span(run: Sequence[Event], events: Sequence[Event], place: dict[int, int]) -> int:
    """How many layers lie between the ends: a series on a corner of the network gives no verdict."""
    return sum(event.layer for event in events[place[id(run[0])] : place[id(run[-1])]])


def _inside(event: Event, layers: Sequence[Event]) -> int:
    """Layers of the module itself, which count where a stream may be of two blocks."""
    return sum(layer.name.startswith(f"{event.name}.") for layer in layers)


def _calls(events: Sequence[Event], value: Tensor) -> list[Run]:
    """The calls of one cell in a loop, each of which takes the state of the one before; whole gradients first."""
    by_name: dict[str, list[Event]] = {}
    for event in events:
        if event.role == "output" and (event.layer or event.block):
            by_name.setdefault(event.name, []).append(event)
    found = []
    graph = None
    for calls in by_name.values():
        if len(calls) < FEWEST:
            continue
        for joint in (False, True):
            positions = [event.edges if joint else event.edges[:1] for event in calls]
            if all(Graph(*positions[-1]).separating(positions)):
                graph = graph or _without_silent_joints(events, value)
                whole = all(graph.separating(positions))
                remark = "" if whole else _EVERY_STEP
                run = Run("calls", tuple(calls), (True,) * len(calls), joint=joint, remark=remark)
                found.append((whole, len(calls), run))
                break
    return [max(found, key=lambda one: one[:2])[2]] if found else []


def _named(events: Sequence[Event], graph: Graph, taps: Sequence[str]) -> Run:
    """The outputs of modules that the user names by patterns; * stands for one part of a name, ** for any number."""
    outputs = [event for event in events if event.role in {"output", "state", "step input"}]
    patterns = [(tap, name_pattern(tap)) for tap in taps]
    for tap, pattern in patterns:
        if not any(pattern.fullmatch(event.name) for event in outputs):
            names = list(dict.fromkeys(event.name for event in outputs))
            near = difflib.get_close_matches(tap, names, n=3, cutoff=0.4) or names[:3]
            refuse(f"taps={tap!r} must name modules that run and pass a gradient, and names none: {', '.join(near)} do")
    chosen = [event for event in outputs if any(pattern.fullmatch(event.name) for _, pattern in patterns)]
    whole = graph.separating([event.edges[:1] for event in chosen])
    if not graph.reaches(chosen[0].edges):
        refuse(f"the loss must depend on every tap, but not on {chosen[0].name}")
    if sum(whole) < 2:  # the first one crosses itself, which says nothing
        whole = [False] * len(whole)
    return Run("taps", tuple(chosen), tuple(whole))
