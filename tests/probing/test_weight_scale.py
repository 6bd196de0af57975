"""`gradstab.find_weight_scale`: against exact laws and theory, and by applying what it found."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from gradstab import find_weight_scale, probe, scale_
from gradstab.errors import UsageError
from gradstab.families import conv, transformer
from gradstab.probing.weight_scale import WeightScale
from gradstab.theory.critical_scales import band_edges
from tests.test_module_probe import everything
from tests.zoo import cases, chains, recurrent, streams, transformers

X, Y = torch.randn(9, 6, generator=torch.Generator().manual_seed(3)), torch.arange(9) % 4


def linear_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Its gradient by the outputs does not depend on them."""
    return outputs[torch.arange(len(targets)), targets]


def factor_of(found: WeightScale) -> float:
    assert found.factor is not None
    return found.factor


def assert_it_works(found: WeightScale, module: nn.Module, *given: Any) -> None:
    """R after the factor was applied in place is what was found, and 0."""
    before = probe(module, *given).gradient_ratio
    after = probe(scale_(copy.deepcopy(module), factor_of(found), found.names), *given).gradient_ratio
    assert found.ratio_before == pytest.approx(before, abs=1e-9)
    assert found.ratio == pytest.approx(after, abs=1e-9)
    assert abs(after) <= 0.05


def relu_chain(depth: int, width: int = 16) -> nn.Sequential:
    parts: list[nn.Module] = [part for _ in range(depth) for part in (nn.Linear(width, width, bias=False), nn.ReLU())]
    return nn.Sequential(nn.Linear(6, width, bias=False), nn.ReLU(), *parts[2:], nn.Linear(width, 4, bias=False))


@pytest.mark.parametrize("depth", [2, 10, 40])
def test_a_relu_chain_without_biases_follows_its_law(depth):
    """Homogeneous: each of L - 1 weights between the first and the last position multiplies the gradient by s."""
    torch.manual_seed(0)
    module = relu_chain(depth)
    found = find_weight_scale(module, X, Y, linear_loss)
    before = probe(module, X, Y, linear_loss).gradient_ratio
    measured = [(factor, ratio) for factor, ratio in found.tried if ratio is not None and abs(ratio) < 37]
    assert len(measured) > 3
    for factor, ratio in measured:
        assert ratio == pytest.approx(before + (depth - 1) * math.log10(factor), abs=1e-5)
    expected = 10 ** (-before / (depth - 1))
    assert found.factor == pytest.approx(expected, rel=0.012 / (depth - 1) + 1e-4)
    assert found.low == pytest.approx(expected * 10 ** (-1 / (depth - 1)), rel=0.02)
    assert found.high == pytest.approx(expected * 10 ** (1 / (depth - 1)), rel=0.02)
    assert found.names == tuple(str(2 * layer) for layer in range(depth))
    assert_it_works(found, module, X, Y, linear_loss)


@pytest.mark.parametrize(("activation", "init_scale", "bias_scale"), [("tanh", 0.6, 0.05), ("tanh", 2.5, 0.2)])
def test_a_wide_network_is_put_where_theory_says(activation, init_scale, bias_scale):
    """The factor times the init scale is that of R = 0 in mean-field theory, and so are the ends of the band."""
    torch.manual_seed(1)
    depth, width = 20, 512
    module = nn.Sequential(*[part for _ in range(depth) for part in (nn.Linear(width, width), nn.Tanh())])
    module.append(nn.Linear(width, 4))
    for layer in [part for part in module if isinstance(part, nn.Linear)][:-1]:
        nn.init.normal_(layer.weight, std=init_scale / math.sqrt(width))
        nn.init.normal_(layer.bias, std=bias_scale)
    inputs = torch.randn(32, width)
    inputs /= inputs.square().mean(1, keepdim=True).sqrt()
    found = find_weight_scale(module, inputs, torch.arange(32) % 4, functional.cross_entropy)
    theory = band_edges(activation, bias_scale, depth)
    assert None not in (found.factor, found.low, found.high, theory.centre, theory.lower, theory.upper)
    assert found.factor * init_scale == pytest.approx(theory.centre, rel=0.02)
    assert found.low * init_scale == pytest.approx(theory.lower, rel=0.02)
    assert found.high * init_scale == pytest.approx(theory.upper, rel=0.06)


def images(channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(8, channels, 8, 8, generator=generator), torch.arange(8) % 4


SEQUENCES = torch.randn(4, 12, 3, generator=torch.Generator().manual_seed(4))
TOKENS = torch.randint(0, 11, (6, 5), generator=torch.Generator().manual_seed(6))

NETWORKS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor, torch.Tensor, Any]] = {
    "convolutions": (lambda: conv.build(depth=8, width=8, activation="relu", init_scale=0.8), *images(1), None),
    "residual convolutions": (lambda: streams.ResNet("none"), *images(2), None),
    "pre-norm decoder": (lambda: transformer.build(depth=8, width=32, init_scale=2.0), TOKENS, TOKENS, transformer.loss),
    "post-norm decoder": (
        lambda: transformer.build(depth=8, width=32, norm_place="post"), TOKENS, TOKENS, transformer.loss,
    ),
    "Llama": (transformers.Llama, TOKENS, TOKENS, cases.token_loss),
    "recurrent": (lambda: recurrent.Recurrent(nn.RNN), SEQUENCES, Y[:4], None),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_any_network_stands_near_zero_once_it_is_scaled(name):
    build, inputs, targets, loss = NETWORKS[name]
    torch.manual_seed(0)
    module, given = build(), (inputs, targets, loss or functional.cross_entropy)
    assert_it_works(find_weight_scale(module, *given), module, *given)


class Residual(nn.Module):
    """Branches that end in a normalisation, or that have none."""

    def __init__(self, *, normed: bool, depth: int = 12, width: int = 16) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, width), nn.Linear(width, 4)

        def layer() -> list[nn.Module]:
            return [nn.Linear(width, width, bias=False), nn.LayerNorm(width) if normed else nn.Identity()]

        self.blocks = nn.ModuleList(nn.Sequential(*layer(), nn.ReLU(), *layer()) for _ in range(depth))

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


def spectral() -> nn.Module:
    torch.manual_seed(0)
    module = chains.flat(6, 1.0)
    for layer in list(module)[:-1:2]:
        nn.utils.parametrizations.spectral_norm(layer)
    return module


@pytest.mark.parametrize(
    "build", [lambda: Residual(normed=True), lambda: chains.normalised(6), spectral], ids=["layer", "batch", "spectral"]
)
def test_where_weights_are_normalised_a_factor_changes_nothing(build):
    torch.manual_seed(0)
    module = build()
    found = find_weight_scale(module, X, Y, functional.cross_entropy)
    assert (found.found, found.factor, found.low, found.high) == ("no effect", None, None, None)
    assert "changes nothing" in found.answer()
    assert f"{found.ratio_before:+.2f}" in found.answer()
    after = probe(scale_(module, 2.0, found.names), X, Y, functional.cross_entropy).gradient_ratio
    assert found.ratio == pytest.approx(after, abs=0.02)


def test_a_residual_stack_fades_to_zero_and_says_so():
    torch.manual_seed(0)
    module = Residual(normed=False)
    with torch.no_grad():
        scale_(module, 3.0, "blocks.*")
    found = find_weight_scale(module, X, Y, functional.cross_entropy)
    assert found.ratio_before > 1
    assert found.found in ("near zero", "zero")
    assert found.names == ("blocks.*",)
    assert found.low is None
    assert not found.stands
    assert str(found).startswith("multiply the weights of blocks.* by ")
    assert_it_works(found, module, X, Y, functional.cross_entropy)
    edge = probe(scale_(copy.deepcopy(module), found.high or 0.0, "blocks.*"), X, Y, functional.cross_entropy)
    assert edge.gradient_ratio == pytest.approx(1, abs=0.05)


def test_where_it_stands_it_says_that_nothing_must_be_scaled():
    torch.manual_seed(0)
    found = find_weight_scale(streams.ResNet("none"), *images(2), functional.cross_entropy)
    assert found.stands
    assert str(found).startswith("nothing must be scaled, because |R| is below 1")
    torch.manual_seed(0)
    module = chains.flat(6, 1.0)
    near = find_weight_scale(module, X, Y, functional.cross_entropy)
    scale_(module, factor_of(near), near.names)
    again = find_weight_scale(module, X, Y, functional.cross_entropy)
    assert again.factor == 1.0
    assert again.answer().startswith("nothing to scale: R is ")
    assert "gradstab.scale_" not in str(again)


class Growing(nn.Module):
    """The gradient grows fourfold here, beside what the weights do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, x):
        return x + 3 * (x - x.detach()) + torch.tanh(self.inner(x))


def test_where_no_factor_helps_it_says_how_near_it_comes():
    torch.manual_seed(0)
    module = nn.Sequential(*[Growing() for _ in range(6)], nn.Linear(6, 4))
    found = find_weight_scale(module, X, Y, functional.cross_entropy)
    assert (found.found, found.factor) == ("none", None)
    assert not found.stands
    assert "no factor from 1/32 to 32 on the weights of 0, 1 ... 5 brings R within 1 of 0" in str(found)
    nearest, least = min(((factor, ratio) for factor, ratio in found.tried if ratio), key=lambda point: abs(point[1]))
    assert least == pytest.approx(5 * math.log10(4), abs=0.05)
    assert str(found).endswith(f"it is nearest at {nearest:.3g}, {least:+.2f} decades")


def test_an_estimate_carries_its_interval_over_to_the_factor():
    """Wide enough that the factor of many more draws lies in it."""
    torch.manual_seed(0)
    module = chains.dropped(5)
    found = find_weight_scale(module, X, Y, functional.cross_entropy)
    assert found.found == "zero"
    assert found.interval is not None
    low, high = found.interval
    assert 0 < low < factor_of(found) < high
    at_ends = [
        probe(scale_(copy.deepcopy(module), factor, found.names), X, Y, functional.cross_entropy)
        for factor in (low, high)
    ]
    interval = probe(scale_(module, factor_of(found), found.names), X, Y, functional.cross_entropy).series[0].interval
    assert interval is not None
    assert [one.gradient_ratio for one in at_ends] == pytest.approx(interval, abs=0.1)
    assert "R is an estimate, and so is the factor" in str(found)


@pytest.mark.parametrize(
    "build",
    [
        chains.normalised,
        lambda: chains.dropped(3),
        chains.Noisy,
        chains.Locked,
        lambda: chains.Checkpointed(reentrant=True),
        spectral,
    ],
    ids=["batch normalisation", "dropout", "own generator", "own lock", "checkpoints", "spectral norm"],
)
def test_everything_stays_as_it_was(build):
    torch.manual_seed(0)
    module = build()
    first, *others = module.parameters()
    first.requires_grad_(False)
    others[0].grad = torch.ones_like(others[0])
    module.train()
    next(iter(module.children())).eval()
    before = everything(module, X)
    find_weight_scale(module, X, Y, functional.cross_entropy)
    assert everything(module, X) == before


def trained_statistics() -> nn.Module:
    module = chains.normalised(6)
    for _ in range(20):
        module(X)
    return module.eval()


class OneMatrix(nn.Module):
    """Layers of one weight, each under its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 4)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))
        for layer in self.layers[1:]:
            layer.weight = self.layers[0].weight

    def forward(self, x):
        x = torch.relu(self.first(x))
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.last(x)


def normed(change, **settings) -> nn.Module:
    module = chains.flat(6, 0.5)
    for layer in list(module)[:-1:2]:
        change(layer, **settings)
    return module


def compiled_inside() -> nn.Module:
    *body, last = chains.flat(6, 0.5)
    module = nn.Sequential(nn.Sequential(*body), last)
    module[0] = torch.compile(module[0], backend="eager")  # type: ignore[assignment]
    return module


PECULIAR: dict[str, Callable[[], Any]] = {
    "shared weights": OneMatrix,
    "eval mode": trained_statistics,
    "compiled": lambda: torch.compile(chains.flat(6, 0.5), backend="eager"),
    "compiled inside": compiled_inside,
    "data parallel": lambda: nn.DataParallel(chains.flat(6, 0.5)),
    "weight norm": lambda: normed(nn.utils.parametrizations.weight_norm),
    "weight norm of the whole weight": lambda: normed(nn.utils.parametrizations.weight_norm, dim=None),
    "weight norm by a hook": lambda: normed(nn.utils.weight_norm),
    "bare parameters": lambda: chains.Bare(chains.flat(6, 0.5)),
    "half precision": lambda: chains.flat(6, 0.5).bfloat16(),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("name", PECULIAR)
def test_peculiar_modules_are_scaled_where_it_counts(name):
    torch.manual_seed(0)
    module = PECULIAR[name]()
    inputs = X.bfloat16() if name == "half precision" else X
    found = find_weight_scale(module, inputs, Y, functional.cross_entropy)
    before = probe(module, inputs, Y, functional.cross_entropy).gradient_ratio
    head = [value.detach().clone() for value in list(module.parameters())[-2:]]
    scale_(module, factor_of(found), found.names)  # in place: a compiled module cannot be copied
    after = probe(module, inputs, Y, functional.cross_entropy).gradient_ratio
    assert (found.ratio_before, found.ratio) == pytest.approx((before, after), abs=1e-9)
    assert abs(after) <= 0.05 < abs(before)
    if name != "bare parameters":  # whose biases stand last
        for value, kept in zip(list(module.parameters())[-2:], head, strict=True):
            torch.testing.assert_close(value, kept, rtol=0, atol=0, msg="the readout is no tap")


def test_weights_that_are_not_trained_are_named():
    torch.manual_seed(0)
    module = chains.flat(6, 0.5)
    module[2].requires_grad_(False)
    found = find_weight_scale(module, X, Y, functional.cross_entropy)
    assert "the factor also multiplies weights that are not trained: 2.weight" in found.notes
    others = find_weight_scale(module, X, Y, functional.cross_entropy, scaled=["0", "4"])
    assert others.names == ("0", "4")
    assert not [note for note in others.notes if "not trained" in note]


def test_a_recurrent_layer_by_itself_is_scaled_as_a_whole():
    torch.manual_seed(0)
    module = nn.RNN(3, 6, batch_first=True)
    given = (SEQUENCES, None, lambda outputs, _: outputs[0][:, -1].square().sum(1))
    found = find_weight_scale(module, *given)
    assert found.names == ("**",)
    assert "the weights of the module" in found.answer()
    after = probe(scale_(module, factor_of(found), found.names), *given).gradient_ratio
    assert found.ratio == pytest.approx(after, abs=1e-9)
    assert abs(after) < 0.2 < abs(found.ratio_before)


def lost() -> nn.Module:
    module = chains.flat(3)
    nn.init.constant_(module[2].weight, torch.nan)  # type: ignore[arg-type]
    return module


@pytest.mark.parametrize(
    ("build", "settings", "sentence"),
    [
        (lost, {}, "2.weight holds NaN or infinite weights"),
        (lambda: nn.Sequential(nn.LazyLinear(8), nn.LazyLinear(4)), {}, "call the module once on a batch"),
        (lambda: chains.flat(3).to("meta"), {}, "0.weight lies on the meta device"),
        (lambda: "text", {}, "must be a torch.nn.Module, got str"),
        (chains.flat, {"scaled": "1"}, "a factor needs weights of two or more dimensions, but 1 hold none"),
        (chains.flat, {"scaled": "layers.*"}, "but layers.* hold none"),
        (chains.flat, {"scaled": 3}, "scaled must be names of modules, as 'blocks.*', got 3"),
        (chains.flat, {"taps": 3}, "taps must be names of modules, as 'blocks.*', got 3"),
    ],
)
def test_what_cannot_be_scaled_is_refused_in_a_sentence(build, settings, sentence):
    with pytest.raises(UsageError) as refused:
        find_weight_scale(build(), X, Y, functional.cross_entropy, **settings)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_taps_that_pass_a_part_give_no_factor():
    with pytest.raises(UsageError, match="pass a part of the gradient only: name other taps"):
        find_weight_scale(transformers.Llama(), TOKENS, TOKENS, cases.token_loss, taps="layers.*.q_proj")


def test_another_stack_is_named():
    case = next(case for case in cases.CASES if case.name == "nn.Transformer, sequence first")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about nested tensors
        found = find_weight_scale(case.build(), *case.data(), case.loss)
    assert "R is that of transformer.decoder.layers.# alone: for transformer.encoder.layers.# give taps" in found.notes
