"""`gradstab.probe`: equal to the packs' figures on plain chains, leaves everything as it was, refuses in a sentence."""

from __future__ import annotations

import copy
import random
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gradstab import probe
from gradstab.errors import UsageError
from gradstab.stability.judgement import layer_rate, phase_of
from gradstab.study.data_spec import Digits
from gradstab.study.recipe import Recipe
from gradstab.study.responses.library.gradient_ratio import gradient_ratio
from gradstab.training.data import Dataset, load_dataset
from gradstab.training.initialisation import hidden_biases, hidden_weights, readout_weights
from gradstab.training.trainer import train
from tests.zoo import cases, chains, peculiar, recurrent, streams, transformers

MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(Digits(), study_seed=5)


def as_module(recipe: Recipe, seed: int, data: Dataset) -> nn.Sequential:
    """The network that a trial draws, as anybody would write it."""
    weights = [*hidden_weights(recipe, seed, data.shape.num_features), readout_weights(recipe, seed, data.num_classes)]
    biases = [*hidden_biases(recipe, seed), np.zeros(data.num_classes)]
    parts: list[nn.Module] = []
    for weight_IO, bias_O in zip(weights, biases, strict=True):
        linear = nn.Linear(*weight_IO.shape)
        linear.weight.data = torch.tensor(weight_IO.T)
        linear.bias.data = torch.tensor(bias_O, dtype=torch.float32)
        parts += [linear, MODULES[recipe.activation]()]
    return nn.Sequential(*parts[:-1])


@pytest.mark.parametrize(
    ("activation", "depth", "init_scale"), [("tanh", 6, 1.8), ("relu", 30, 1.0), ("gelu", 5, 2.0), ("sigmoid", 70, 1.0)]
)
def test_equal_to_the_packs_figures(activation, depth, init_scale, digits):
    """To 1e-6, from a float32 module whose gradients float32 could not hold at 70 sigmoid layers."""
    recipe = Recipe(
        depth=depth,
        width=40,
        activation=activation,
        init_scale=init_scale,
        bias_scale=0.1,
        steps=0,
        precision="float64",
    )
    with torch.inference_mode():
        (trajectory,) = train([recipe], [3], digits)
    rows = digits.probe_rows(recipe.probe_samples)
    module = as_module(recipe, 3, digits)
    found = probe(module, torch.tensor(digits.x_ND[rows]), torch.tensor(digits.y_N[rows]), functional.cross_entropy)
    profile_L = trajectory["log10_delta_norm"][0]
    np.testing.assert_allclose(found.log10_delta_norm_L, profile_L, atol=1e-6)
    assert (found.gradient_ratio, found.flag) == pytest.approx(gradient_ratio(profile_L), abs=1e-6)
    assert found.rate == pytest.approx(layer_rate(profile_L, last_half=True)[0], abs=1e-6)
    assert found.phase == phase_of(gradient_ratio(profile_L)[0], 1.0)
    assert found.loss == pytest.approx(float(trajectory["probe_loss"][0]), abs=1e-6)
    assert found.layers == tuple(str(2 * layer) for layer in range(depth))
    assert found.phase in str(found)


def test_the_same_chain_flat_in_blocks_and_with_bare_weights():
    torch.manual_seed(0)
    flat = chains.flat(9, 1.3)
    linears = [part for part in flat if isinstance(part, nn.Linear)]
    blocks = nn.Sequential(*[chains.Block(part) for part in linears[:-1]], linears[-1])
    x, y = torch.randn(7, 6), torch.randint(0, 4, (7,))
    ratios = [
        probe(module, x, y, functional.cross_entropy).gradient_ratio for module in (flat, blocks, chains.Bare(flat))
    ]
    assert ratios == pytest.approx([ratios[0]] * 3, abs=1e-6)


def share_norms(module: nn.Module, shares: list[torch.Tensor], first: torch.Tensor) -> float:
    """log10 of the root mean square norm of the gradient at the first layer, of each sample's share of the loss."""
    squares = [float((torch.autograd.grad(share, first, retain_graph=True)[0] ** 2).sum()) for share in shares]
    return float(0.5 * np.log10(np.mean(squares)))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_mean_a_sum_and_losses_per_sample_give_the_same_level(reduction):
    torch.manual_seed(0)
    module, x, y = chains.flat(5), torch.randn(7, 6), torch.randint(0, 4, (7,))
    twin = copy.deepcopy(module).double()
    first = twin[0](x.double())
    own = functional.cross_entropy(twin[1:](first), y, reduction="none")
    found = probe(module, x, y, nn.CrossEntropyLoss(reduction=reduction))
    assert found.loss == pytest.approx(float(own.detach().mean()), abs=1e-9)
    assert found.log10_delta_norm_L[0] == pytest.approx(share_norms(twin, list(own), first), abs=1e-9)


def test_the_weights_of_a_weighted_mean_are_recovered():
    torch.manual_seed(0)
    module, x, y = chains.flat(5), torch.randn(7, 6), torch.tensor([0, 1, 2, 3, 3, 2, 1])
    weight = torch.tensor([0.2, 1.0, 1.5, 3.0])
    twin = copy.deepcopy(module).double()
    first = twin[0](x.double())
    own = functional.cross_entropy(twin[1:](first), y, reduction="none") * weight[y] / weight[y].mean()
    found = probe(module, x, y, nn.CrossEntropyLoss(weight=weight))
    assert found.log10_delta_norm_L[0] == pytest.approx(share_norms(twin, list(own), first), abs=1e-6)
    assert f"weighs samples by {0.2 / float(weight[y].mean()):.3g} to" in " ".join(found.notes)


def test_a_loss_that_compares_samples_is_taken_as_a_mean():
    torch.manual_seed(0)
    module, x = chains.flat(5), torch.randn(7, 6)
    found = probe(module, x, None, lambda out, _: functional.cross_entropy(out @ out.T, torch.arange(len(out))))
    assert "compares samples" in " ".join(found.notes)
    assert found.verdict == "stable"


def test_an_activation_in_place_does_not_disturb_the_reading():
    torch.manual_seed(0)
    apart = chains.flat(6, 1.4, nn.ReLU)
    in_place = nn.Sequential(*[nn.ReLU(inplace=True) if isinstance(part, nn.ReLU) else part for part in apart])
    x, y = torch.randn(9, 6), torch.randint(0, 3, (9,))
    first, second = (probe(module, x, y, functional.cross_entropy) for module in (apart, in_place))
    np.testing.assert_array_equal(first.log10_delta_norm_L, second.log10_delta_norm_L)


def everything(module: nn.Module, x: torch.Tensor) -> list[object]:
    """What a probe must leave as it was."""
    return [
        {name: value.tolist() for name, value in module.state_dict().items()},
        [(part.training, len(part._forward_hooks), len(part._forward_pre_hooks)) for part in module.modules()],
        [(p.requires_grad, None if p.grad is None else p.grad.tolist()) for p in module.parameters()],
        [part.get_state().tolist() for part in vars(module).values() if isinstance(part, torch.Generator)],
        (x.tolist(), x.requires_grad, x.grad),
        (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())),
        (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        torch.utils.checkpoint.CheckpointFunction.apply,
    ]


@pytest.mark.parametrize(
    "build",
    [
        chains.normalised,
        chains.dropped,
        chains.Noisy,
        chains.Locked,
        lambda: chains.Checkpointed(reentrant=True),
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, 4)),
        lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4), nn.LSTM(4, 4)),
    ],
    ids=["batch normalisation", "dropout", "own generator", "own lock", "checkpoints", "spectral norm", "refused"],
)
def test_everything_stays_as_it_was(build):
    torch.manual_seed(0)
    module, x, y = build(), torch.randn(9, 6), torch.randint(0, 4, (9,))
    first, *others = module.parameters()
    first.requires_grad_(False)
    others[0].grad = torch.ones_like(others[0])
    module.train()
    next(iter(module.children())).eval()
    before = everything(module, x)
    try:
        probe(module, x, y, functional.cross_entropy)
    except UsageError:
        assert isinstance(module, nn.Sequential)
    assert everything(module, x) == before


def test_the_result_is_the_same_each_time():
    torch.manual_seed(0)
    module, x, y = chains.dropped(), torch.randn(9, 6), torch.randint(0, 4, (9,))
    first = probe(module, x, y, functional.cross_entropy)
    torch.manual_seed(1)
    second = probe(module, x, y, functional.cross_entropy)
    np.testing.assert_array_equal(first.log10_delta_norm_L, second.log10_delta_norm_L)


def never(*_: object) -> torch.Tensor:
    sys.exit(3)


def diverged(value: float) -> nn.Module:
    module = chains.flat(3)
    nn.init.constant_(module[2].weight, value)  # type: ignore[arg-type]
    return module


def chain(end: object) -> nn.Module:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = chains.flat(3)

        def forward(self, x):
            return end(self.body(x))  # type: ignore[operator]

    return Chain()


X, Y = torch.randn(9, 6), torch.randint(0, 4, (9,))


@pytest.mark.parametrize(
    ("build", "given", "loss", "sentence"),
    [
        (lambda: nn.Linear(6, 4), (X, Y), None, "at least one hidden layer before its readout"),
        (lambda: nn.Sequential(nn.Tanh()), (X, Y), None, "at least one hidden layer"),
        (lambda: (lambda x: x), (X, Y), None, "must be a torch.nn.Module, got function"),
        (lambda: nn.Sequential(nn.LazyLinear(8), nn.LazyLinear(4)), (X, Y), None, "call the module once on a batch"),
        (lambda: diverged(torch.nan), (X, Y), None, "2.weight holds NaN or infinite weights"),
        (lambda: diverged(torch.inf), (X, Y), None, "2.weight holds NaN or infinite weights"),
        (lambda: chains.flat(3).to("meta"), (X, Y), None, "0.weight lies on the meta device"),
        (chains.flat, (X.to("meta"), Y), None, "inputs must hold numbers, got a tensor of shape (9, 6) on the meta device"),
        (peculiar.Mapped, (X, Y), None, "torch.func.vmap around it"),
        (lambda: chains.normalised().eval(), (X, Y), None, "running statistics that were never updated"),
        (streams.UNet, (torch.randn(9, 2, 8, 8), Y), None, "name modules yourself"),
        (lambda: recurrent.Recurrent(nn.LSTM), (torch.randn(9, 2, 3), Y), None, "at least 3 time steps"),
        (lambda: chain(lambda x: x.detach()), (X, Y), None, "nothing that it returned has one"),
        (lambda: chain(lambda x: None), (X, Y), None, "nothing that it returned has one"),
        (lambda: chain(lambda x: x * 0.0), (X, Y), None, "no gradient at any position"),
        (lambda: chain(never), (X, Y), None, "the module raised SystemExit"),
        (chains.flat, (torch.randn(9, 5), Y), None, "the module raised RuntimeError: mat1 and mat2"),
        (chains.flat, ((X, X), Y), None, "the module raised TypeError"),
        (chains.flat, ("text", Y), None, "the module raised TypeError"),
        (chains.flat, (None, Y), None, "the module raised TypeError"),
        (chains.flat, (X[:0], Y[:0]), None, "at least one sample"),
        (chains.flat, (X * torch.nan, Y), None, "inputs must be numbers, got NaN"),
        (chains.flat, (X.index_fill(0, torch.tensor(2), torch.inf), Y), None, "inputs must be finite, got 6 infinite numbers"),
        (chains.flat, (X.index_fill(1, torch.tensor(2), -torch.inf), Y), None, "inputs must be finite, got 9 infinite"),
        (chains.flat, (X, (Y + 1) / 0.0), functional.l1_loss, "targets must be finite, got 9 infinite numbers"),
        (chains.flat, (X, Y + 7), None, "the loss raised IndexError"),
        (chains.flat, (X, Y), lambda out, y: out - 0 * y[:, None], "one number or one a sample, got a tensor of shape (9, 4)"),
        (chains.flat, (X, Y), lambda out, y: 1.0, "got float"),
        (chains.flat, (X, Y), lambda out, y: out.detach().sum(), "its gradient was cut off"),
        (chains.flat, (X, Y), lambda out, y: 1 / 0, "the loss raised ZeroDivisionError"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused_in_a_sentence(build, given, loss, sentence):
    torch.manual_seed(0)
    inputs, targets = given
    with pytest.raises(UsageError) as refused:
        probe(build(), inputs, targets, loss or functional.cross_entropy)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_a_script_is_refused():
    with pytest.raises(UsageError, match="probe the Python module instead"):
        probe(torch.jit.script(chains.flat(3)), X, Y, functional.cross_entropy)
    with pytest.raises(UsageError, match="probe: 1 is compiled to TorchScript"):
        probe(nn.Sequential(nn.Linear(6, 6), torch.jit.script(chains.flat(3))), X, Y, functional.cross_entropy)


def test_taps_choose_other_positions():
    torch.manual_seed(0)
    module, x, y = chains.flat(8, 0.6), torch.randn(9, 6), torch.randint(0, 4, (9,))
    found = probe(module, x, y, functional.cross_entropy, taps=["0", "6", "1?"])
    assert found.layers == ("0", "6", "10", "11", "12", "13", "14", "15", "16")
    whole = probe(module, x, y, functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L[[0, 1, 2]], whole.log10_delta_norm_L[[0, 3, 5]], atol=1e-12)
    with pytest.raises(UsageError, match="names none"):
        probe(module, x, y, functional.cross_entropy, taps="layer.*")
    with pytest.raises(UsageError, match=r"taps must be names of modules, as 'blocks\.\*', got \[3\]"):
        probe(module, x, y, functional.cross_entropy, taps=3)  # type: ignore[arg-type]


def test_a_tap_that_passes_a_part_is_shown_and_never_judged():
    torch.manual_seed(0)
    tokens = torch.randint(0, 11, (6, 5))
    found = probe(transformers.Llama(), tokens, tokens, cases.token_loss, taps="layers.*.q_proj")
    assert found.layers == tuple(f"layers.{index}.q_proj" for index in range(4))
    assert found.verdict is None
    assert found.phase is None
    assert "a part of the gradient" in str(found)
    assert "no verdict" in found.headline()


def test_a_network_of_two_stacks_has_two_series():
    case = next(case for case in cases.CASES if case.name == "nn.Transformer, sequence first")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about nested tensors
        found = probe(case.build(), *case.data(), case.loss)
    assert [one.name for one in found.series] == ["transformer.decoder.layers.#", "transformer.encoder.layers.#"]
    assert all(one.judged for one in found.series)


def test_kinds_inside_blocks_are_shown_with_one_point_a_block():
    torch.manual_seed(0)
    tokens = torch.randint(0, 11, (6, 5))
    found = probe(transformers.Llama(), tokens, tokens, cases.token_loss)
    kinds = {kind.name: kind for kind in found.kinds}
    assert kinds["layers.#.q_proj"].taps == tuple(f"layers.{index}.q_proj" for index in range(4))
    assert kinds["layers.#.q_proj"].verdict is None
    assert kinds["lm_head"].remark == "the readout"
    assert ("embed_tokens", "an embedding: nothing lies before it") in found.untapped


def test_headroom_counts_the_positions_that_float16_loses():
    torch.manual_seed(0)
    module, x, y = chains.flat(16, 0.2), torch.randn(9, 6), torch.randint(0, 4, (9,))
    found = probe(module, x, y, functional.cross_entropy)
    twin = copy.deepcopy(module).double()
    positions, value = [], x.double()
    for part in twin:
        value = part(value)
        positions.append(value)
    gradients = torch.autograd.grad(functional.cross_entropy(value, y), positions[:-1:2])
    lost = sum(float(gradient.abs().max()) < 2.0**-24 for gradient in gradients)
    assert 0 < lost < 16
    assert f"float16 loses it at {lost} of 16 hidden layers" in found.headroom


def test_an_overflow_is_exploding_and_says_so():
    found = probe(chain(lambda x: (x * 1e200) ** 3), X, Y, functional.cross_entropy)
    assert (found.phase, found.gradient_ratio, found.flag) == ("exploding", 37.0, "overflow")
    assert "the loss is not finite on this batch" in found.notes
    assert "overflow" in str(found)


def test_every_view_shows_what_was_found(tmp_path):
    torch.manual_seed(0)
    tokens = torch.randint(0, 11, (6, 5))
    found = probe(transformers.Llama(), tokens, tokens, cases.token_loss)
    figure = found.figure(tmp_path / "mine.png")
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")
    left, right = figure.axes
    drawn = np.asarray(left.lines[0].get_ydata(), dtype=np.float64)
    np.testing.assert_allclose(drawn, found.log10_delta_norm_L - found.log10_delta_norm_L[-1])
    assert len(right.lines) == 1 + sum(len(kind.taps) > 1 for kind in found.kinds)
    frame = found.to_frame()
    assert len(frame) == sum(len(one.taps) for one in (*found.series, *found.kinds))
    judged = frame[frame.judged]
    assert judged.tap.tolist() == list(found.layers)
    assert judged.log10_delta_norm.tolist() == pytest.approx(list(found.log10_delta_norm_L))
    html = found._repr_html_()
    for words in (found.headline(), found.headroom, "layers.#.q_proj"):
        assert words in html
        assert words in str(found)
    assert "  log10 |delta|, and relative to the last\n" in str(found)


def test_dead_and_saturated_fractions_stand_where_an_activation_is():
    """Behind the layer that feeds it in a chain, also where it writes in place; at its own output in a residual net."""
    torch.manual_seed(0)
    module = chains.flat(4, 1.5, nn.ReLU, inplace=True)
    nn.init.constant_(module[4].bias, -100.0)  # type: ignore[arg-type]
    found = probe(module, X, Y, functional.cross_entropy)
    z, dead, saturated = X, [], []
    for part in list(module)[:-1:2]:
        z = part(z)
        dead.append(float((z <= 0).all(0).double().mean()))
        saturated.append(float((z <= 0).double().mean()))
        z = torch.relu(z)
    frame = found.to_frame()
    judged = frame[frame.judged]
    assert judged.dead_fraction.tolist() == pytest.approx(dead)
    assert judged.saturated_fraction.tolist() == pytest.approx(saturated)
    assert dead[2] == 1.0
    assert "dead and saturated units" in str(found)
    assert "100 %   100 %" in str(found)
    block = probe(streams.ResNet(), torch.randn(6, 2, 8, 8), Y[:6], functional.cross_entropy)
    assert np.isfinite(block.series[0].dead_L).all()
    assert np.isnan(block.kinds[0].dead_L).all(), "a convolution under a normalisation feeds no activation"


def test_without_activations_the_table_has_no_columns_for_them():
    found = probe(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)), X, Y, functional.cross_entropy)
    assert "dead" not in str(found)


def test_where_all_units_below_the_readout_are_dead_the_gradient_vanishes():
    module = chains.flat(4, 1.0, nn.ReLU)
    nn.init.constant_(module[6].bias, -100.0)  # type: ignore[arg-type]
    found = probe(module, X, Y, functional.cross_entropy)
    assert (found.verdict, found.flag) == ("vanishing", "underflow")
    assert "the units between are dead" in " ".join(found.notes)
    assert found.loss == pytest.approx(functional.cross_entropy(module(X), Y).item(), abs=1e-6)


def test_a_forward_put_on_an_object_runs_on_the_copy():
    torch.manual_seed(0)
    module = chains.normalised(4)
    twin = nn.Sequential(copy.deepcopy(module), Doubling())
    before = copy.deepcopy(module.state_dict())
    found = probe(peculiar.forward_put_on(module), X, Y, functional.cross_entropy)
    expected = probe(twin, X, Y, functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L, expected.log10_delta_norm_L, atol=1e-12)
    assert all(bool((module.state_dict()[name] == value).all()) for name, value in before.items())


class Doubling(nn.Module):
    def forward(self, x):
        return 2 * x


def test_a_mask_of_infinities_is_no_weight_that_diverged():
    module = chain(lambda x: x)
    module.mask = nn.Parameter(torch.tensor([0.0, -torch.inf]), requires_grad=False)
    assert probe(module, X, Y, functional.cross_entropy).verdict is not None


class Masked(nn.Module):
    """One attention whose scores a mask of minus infinities is added to, before a chain."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chains.flat(3)

    def forward(self, mask, x):
        return self.body(torch.softmax(x @ x.T + mask, 1) @ x)


@pytest.mark.parametrize("given", [lambda mask: {"mask": mask, "x": X}, lambda mask: (mask, X)], ids=["names", "order"])
@pytest.mark.parametrize("slope", [0.0, 0.5], ids=["plain", "with a bias of distance"])
def test_a_mask_of_infinities_is_an_input(given, slope):
    torch.manual_seed(0)
    places = torch.arange(9)
    distance = (places[:, None] - places[None]).double()
    mask = torch.where(distance < 0, -torch.inf, -slope * distance)
    module = Masked().double()
    found = probe(module, given(mask), Y, functional.cross_entropy)
    expected = probe(module, given(mask.clamp(min=-1e30)), Y, functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L, expected.log10_delta_norm_L, atol=1e-9)


def test_each_tower_has_its_series():
    torch.manual_seed(0)
    found = probe(peculiar.TwoTowers(), (X, X), Y, functional.cross_entropy)
    assert [one.name for one in found.series] == ["key.#", "query.#"]
    assert [len(one.taps) for one in found.series] == [6, 4]


def test_a_nested_tensor_is_an_input():
    torch.manual_seed(0)
    rows = [torch.randn(length, 6) for length in (3, 1, 2)]
    padded = torch.zeros(3, 3, 6)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    module = peculiar.Ragged()
    nested = torch.nested.nested_tensor(rows, layout=torch.jagged)
    found = probe(module, nested, Y[:3], functional.cross_entropy)
    expected = probe(module.body, padded.sum(1), Y[:3], functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L, expected.log10_delta_norm_L, atol=1e-6)


def test_losses_in_a_column_are_losses_per_sample():
    torch.manual_seed(0)
    module, targets = chains.flat(4), torch.randn(9, 4)
    one, other = (
        probe(module, X, targets, loss)
        for loss in (
            lambda out, y: (out - y).square().mean(1, keepdim=True),
            lambda out, y: (out - y).square().mean(1),
        )
    )
    np.testing.assert_array_equal(one.log10_delta_norm_L, other.log10_delta_norm_L)


def test_a_hostile_name_is_escaped_in_a_notebook():
    module = nn.Sequential()
    module.add_module("<script>", nn.Linear(6, 8))
    module.add_module("last", nn.Linear(8, 4))
    html = probe(module, X, Y, functional.cross_entropy)._repr_html_()
    assert "<script>" not in html


def test_what_a_module_keeps_from_its_calls_is_not_touched():
    torch.manual_seed(0)
    module = chains.Keeping()
    kept = module(X)
    probe(module, X, Y, functional.cross_entropy)
    assert module.last is kept
    assert len(module.seen) == 1
