"""Recurrent layers against networks written out step by step, and means over random numbers against many draws."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.special import stdtrit
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from gradstab import probe
from gradstab.stability.judgement import layer_rate
from tests.zoo import chains, peculiar, streams, transformers
from tests.zoo.recurrent import (
    HIDDEN,
    CellLoop,
    DeepHead,
    OwnCellLoop,
    Packed,
    Recurrent,
    Seq2Seq,
    Stacked,
)  # fmt: skip
from tests.zoo.twin import Profile, float64_by_default, hooked_profile, profile_of

B, STEPS = 5, 12

State = tuple[Tensor, ...]


def step(kind: type[nn.RNNBase], rnn: nn.RNNBase, layer: int, x: Tensor, state: State) -> State:
    """One layer's new state, as the formulas say it."""
    w_x, w_h, b_x, b_h = (getattr(rnn, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h = state[0]
    a, b = x @ w_x.T + b_x, h @ w_h.T + b_h
    if kind is nn.RNN:
        return (torch.tanh(a + b),)
    if kind is nn.GRU:
        (r_a, z_a, n_a), (r_b, z_b, n_b) = a.chunk(3, 1), b.chunk(3, 1)
        z = torch.sigmoid(z_a + z_b)
        return ((1 - z) * torch.tanh(n_a + torch.sigmoid(r_a + r_b) * n_b) + z * h,)
    i, f, g, o = (a + b).chunk(4, 1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def unrolled(kind: type[nn.RNNBase], rnn: nn.RNNBase, x: Tensor) -> tuple[list[Tensor], list[State]]:
    """Outputs and whole states of all steps; a state handed on is a copy, so that its members do not lie on each other."""
    width = 2 if kind is nn.LSTM else 1
    states = [tuple(torch.zeros(len(x), HIDDEN) for _ in range(width)) for _ in range(rnn.num_layers)]
    outputs, positions = [], []
    for index in range(x.shape[1]):
        below = x[:, index]
        for layer in range(rnn.num_layers):
            new = step(kind, rnn, layer, below, states[layer])
            below = new[0]
            states[layer] = tuple(member.clone() for member in new)
        outputs.append(states[-1][0])
        positions.append(tuple(member for state in states for member in state))
    return outputs, positions


def truth(kind: type[nn.RNNBase], module: nn.Module, x: Tensor, y: Tensor, *, every_step: bool = False) -> Profile:
    twin = copy.deepcopy(module).double()
    torch.set_default_dtype(torch.float64)
    try:
        outputs, positions = unrolled(kind, twin.rnn, x.double())  # type: ignore[arg-type]
        logits = twin.head(torch.stack(outputs, 1) if every_step else outputs[-1])  # type: ignore[operator]
        return profile_of(logits, positions, lambda out, b: functional.cross_entropy(out[b], y[b]), B)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM], ids=lambda kind: kind.__name__)
def test_the_state_at_every_step(kind, layers):
    torch.manual_seed(1)
    module, x, y = Recurrent(kind, num_layers=layers), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    found = probe(module, x, y, functional.cross_entropy)
    assert (found.series[0].axis, len(found.layers), found.series[0].remark) == ("time steps", STEPS, "")
    np.testing.assert_allclose(found.log10_delta_norm_L, truth(kind, module, x, y), atol=1e-6)
    assert found.headline().startswith("vanishing: factor")


def test_sequences_along_the_first_axis_are_the_same():
    torch.manual_seed(1)
    module, x, y = Recurrent(nn.GRU), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    turned = copy.deepcopy(module)
    turned.rnn.batch_first, turned.axis = False, 0
    one, other = (
        probe(m, given, y, functional.cross_entropy) for m, given in ((module, x), (turned, x.transpose(0, 1)))
    )
    np.testing.assert_allclose(one.log10_delta_norm_L, other.log10_delta_norm_L, atol=1e-9)


def test_a_loss_at_every_step_is_said():
    torch.manual_seed(1)
    module, x = Recurrent(nn.LSTM, every_step=True), torch.randn(B, STEPS, 3)
    y = torch.randint(0, 4, (B, STEPS))
    found = probe(module, x, y, lambda out, y: functional.cross_entropy(out.transpose(1, 2), y))
    np.testing.assert_allclose(found.log10_delta_norm_L, truth(nn.LSTM, module, x, y, every_step=True), atol=1e-6)
    assert "more than the last step" in found.series[0].remark


def test_a_deep_head_does_not_hide_the_recurrence():
    torch.manual_seed(1)
    module, x, y = DeepHead(), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    found = probe(module, x, y, functional.cross_entropy)
    assert found.phase == "vanishing"
    np.testing.assert_allclose(found.log10_delta_norm_L, truth(nn.LSTM, module, x, y), atol=1e-6)


def test_of_stacked_layers_the_upper_one_is_judged():
    torch.manual_seed(1)
    found = probe(Stacked(), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,)), functional.cross_entropy)
    assert [one.taps[0] for one in found.series] == ["upper step 0", "lower step 0"]
    assert found.series[0].remark == ""


def input_truth(module: nn.Module, x: Tensor, y: Tensor, *more: Tensor) -> Profile:
    """At the inputs of the steps, each a tensor of its own."""
    twin = copy.deepcopy(module).double()
    steps = [part.requires_grad_() for part in x.double().unbind(1)]
    outputs = twin(torch.stack(steps, 1), *more)
    return profile_of(outputs, steps, lambda out, b: functional.cross_entropy(out[b], y[b]), B)


def test_bidirectional_and_packed_sequences_are_read_at_the_inputs():
    torch.manual_seed(1)
    x, y = torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    both = Recurrent(nn.LSTM, bidirectional=True)
    found = probe(both, x, y, functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L, input_truth(both, x, y), atol=1e-6)
    assert "at the inputs" in found.series[0].remark
    packed, lengths = Packed(), torch.tensor([STEPS, 4, 7, STEPS, 9])
    found = probe(packed, (x, lengths), y, functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L, input_truth(packed, x, y, lengths), atol=1e-6)


@pytest.mark.parametrize("module", ["LSTMCell", "own cell"])
def test_a_cell_with_two_states_in_a_loop(module):
    """Equal to the built-in layer with the same weights, whose truth is above."""
    torch.manual_seed(1)
    built_in, x, y = Recurrent(nn.LSTM), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    loop: nn.Module
    if module == "LSTMCell":
        loop = CellLoop(nn.LSTMCell)
        loop.cell.load_state_dict(
            {name.removesuffix("_l0"): value for name, value in built_in.rnn.state_dict().items()}
        )
    else:
        loop = OwnCellLoop()
        for layer, name in ((loop.cell.x2h, "ih"), (loop.cell.h2h, "hh")):
            layer.weight = getattr(built_in.rnn, f"weight_{name}_l0")
            layer.bias = getattr(built_in.rnn, f"bias_{name}_l0")
    loop.head = built_in.head
    one, other = (probe(part, x, y, functional.cross_entropy) for part in (built_in, loop))
    np.testing.assert_allclose(one.log10_delta_norm_L, other.log10_delta_norm_L, atol=1e-6)
    assert other.series[0].axis == "calls"


def test_of_stacked_cells_the_upper_one_is_judged():
    """Equal to the upper of two built-in layers with the same weights, which only the last step's loss reads."""
    torch.manual_seed(1)
    cells, x, y = peculiar.StackedCells(), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    layers = Stacked()
    layers.upper = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)  # type: ignore[assignment]
    for cell, layer in ((cells.lower, layers.lower), (cells.upper, layers.upper)):
        layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    layers.head = cells.head
    one, other = (probe(module, x, y, functional.cross_entropy) for module in (cells, layers))
    assert one.layers == ("upper",) * STEPS
    np.testing.assert_allclose(one.log10_delta_norm_L, other.log10_delta_norm_L, atol=1e-6)
    assert one.series[0].remark == ""


@pytest.mark.parametrize("shown", [slice(4, None), slice(None, 7)], ids=["detached before", "read before the end"])
def test_steps_that_pass_no_gradient_are_left_out(shown):
    class Cut(Recurrent):
        def forward(self, x):
            if shown.stop:
                return self.head(self.rnn(x)[0][:, shown.stop - 1])
            _, state = self.rnn(x[:, : shown.start])
            return self.head(self.rnn(x[:, shown.start :], state.detach())[0][:, -1])

    torch.manual_seed(1)
    module, x, y = Cut(nn.RNN), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    found = probe(module, x, y, functional.cross_entropy)
    kept = range(STEPS)[shown]
    assert found.layers == tuple(f"rnn step {index}" for index in kept)
    assert f"only {len(kept)} of {STEPS} steps pass a gradient" in found.series[0].remark
    twin = copy.deepcopy(module).double()
    with float64_by_default():
        outputs, positions = unrolled(nn.RNN, twin.rnn, x.double())
    logits = twin.head(outputs[kept[-1]])
    cut = positions[kept[0] : kept[-1] + 1]
    expected = profile_of(logits, cut, lambda out, b: functional.cross_entropy(out[b], y[b]), B)
    np.testing.assert_allclose(found.log10_delta_norm_L, expected, atol=1e-6)


def test_arguments_may_be_given_by_the_names_that_torch_has():
    class Named(Recurrent):
        def forward(self, x):
            return self.head(self.rnn(input=x, hx=torch.zeros(1, len(x), HIDDEN))[0][:, -1])

    torch.manual_seed(1)
    module, x, y = Named(nn.GRU), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    found = probe(module, x, y, functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L, truth(nn.GRU, module, x, y), atol=1e-6)


def test_a_layer_called_one_step_at_a_time():
    torch.manual_seed(1)
    found = probe(Seq2Seq(), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,)), functional.cross_entropy)
    assert {one.taps[-1] for one in found.series} == {f"encoder step {STEPS - 1}", "decoder step 3"}


def test_a_layer_whose_steps_differ_from_the_whole_is_refused():
    class Peeking(nn.GRU):
        def forward(self, x, state=None):
            return super().forward(x + x.mean(1, keepdim=True), state)

    module = Recurrent(Peeking)
    with pytest.raises(Exception, match="another output when it is run one time step at a time"):
        probe(module, torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,)), functional.cross_entropy)


def test_all_rows_of_a_hadamard_matrix_are_exact():
    torch.manual_seed(0)
    module, x, y = chains.normalised(), torch.randn(8, 6), torch.randint(0, 4, (8,))
    found = probe(module, x, y, functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L, mixing_truth(module, x, y), atol=1e-10)
    assert found.series[0].interval is None
    assert "a batch of 8: exact" in " ".join(found.notes)


def mixing_truth(module: nn.Module, x: Tensor, y: Tensor) -> Profile:
    twin = copy.deepcopy(module).double()
    return hooked_profile(
        twin, (x.double(),), lambda out, b: functional.cross_entropy(out[b], y[b]), len(x),
        [str(3 * index) for index in range(6)], inputs=False,
    )  # fmt: skip


def test_errors_of_a_large_batch_are_as_large_as_the_interval_says():
    standardised = []
    for seed in range(12):
        torch.manual_seed(seed)
        module, x, y = chains.normalised(), torch.randn(40, 6), torch.randint(0, 4, (40,))
        found = probe(module, x, y, functional.cross_entropy)
        expected = mixing_truth(module, x, y)
        low, high = found.series[0].interval or (np.nan, np.nan)
        error = (high - low) / 2 / float(stdtrit(15, 0.975))
        standardised.append((found.gradient_ratio - (expected[0] - expected[-1])) / error)
    assert 0.5 < np.mean(np.square(standardised)) < 2
    assert np.abs(standardised).max() < 5


def test_dropout_is_averaged_over_draws_in_training_mode():
    torch.manual_seed(0)
    module, x, y = chains.dropped(6), torch.randn(8, 6), torch.randint(0, 4, (8,))
    found = probe(module, x, y, functional.cross_entropy)
    twin = copy.deepcopy(module).double()
    squares = np.zeros(6)
    for draw in range(300):
        torch.manual_seed(1000 + draw)
        positions, value = [], x.double()
        for index, part in enumerate(twin):
            value = part(value)
            if index % 3 == 0:
                positions.append(value)
        loss = functional.cross_entropy(value, y, reduction="sum")
        squares += [float((part**2).sum()) / 8 for part in torch.autograd.grad(loss, positions[:-1])]
    expected = 0.5 * np.log10(squares / 300)
    low, high = found.series[0].interval or (np.nan, np.nan)
    assert low < expected[0] - expected[-1] < high
    assert "averaged over 16 draws" in " ".join(found.notes)


def test_a_ratio_whose_interval_crosses_the_band_is_undecided():
    torch.manual_seed(4)
    module, x, y = chains.dropped(12), torch.randn(6, 6), torch.randint(0, 4, (6,))
    ratio = probe(module, x, y, functional.cross_entropy).gradient_ratio
    with torch.no_grad():  # the same network with R at the edge of the band
        for part in list(module)[3:-1:3]:
            assert isinstance(part, nn.Linear)
            part.weight.mul_(10 ** ((1.0 - ratio) / 11))
            part.bias.mul_(10 ** ((1.0 - ratio) / 11))
    found = probe(module, x, y, functional.cross_entropy)
    assert found.verdict == "undecided"
    assert found.headline().startswith("undecided")
    assert found.phase in {"stable", "exploding"}


def test_blocks_that_are_left_out_at_random_have_their_place():
    torch.manual_seed(0)
    found = probe(streams.LayerDrop(), torch.randn(8, 6), torch.randint(0, 4, (8,)), functional.cross_entropy)
    assert found.layers == tuple(f"blocks.{index}" for index in range(6))
    assert np.isfinite(found.log10_delta_norm_L).all()


def test_noise_from_a_generator_of_the_modules_own_is_found():
    torch.manual_seed(0)
    found = probe(chains.Noisy(), torch.randn(8, 6), torch.randint(0, 4, (8,)), functional.cross_entropy)
    assert "averaged over 16 draws" in " ".join(found.notes)


def test_rates_of_states_and_of_inputs_agree_over_long_sequences():
    torch.manual_seed(0)
    module, x, y = Recurrent(nn.RNN), torch.randn(B, 60, 3), torch.randint(0, 4, (B,))
    found = probe(module, x, y, functional.cross_entropy)
    rate, _ = layer_rate(input_truth(module, x, y), last_half=True)
    assert rate is not None
    assert found.rate == pytest.approx(rate, rel=0.04)


@pytest.mark.parametrize("change", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_parametrised_recurrence(change, mode):
    """Equal to the plain layer with the weight that one call of the parametrisation gives."""
    torch.manual_seed(1)
    module, x, y = Recurrent(nn.LSTM), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    getattr(nn.utils.parametrizations, change)(module.rnn, "weight_hh_l0")
    module.train(mode == "train")
    plain = Recurrent(nn.LSTM)
    twin = copy.deepcopy(module).double()
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            setattr(plain.rnn, name, nn.Parameter(getattr(twin.rnn, name).detach()))
    plain.head = copy.deepcopy(module.head)
    found = probe(module, x, y, functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L, truth(nn.LSTM, plain, x, y), atol=1e-6)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_recurrence_inside_a_checkpoint(reentrant):
    class Checkpointed(Recurrent):
        def forward(self, x):
            return self.head(checkpoint(lambda given: self.rnn(given)[0], x, use_reentrant=reentrant)[:, -1])

    torch.manual_seed(1)
    module, x, y = Checkpointed(nn.GRU), torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))
    found = probe(module, x, y, functional.cross_entropy)
    np.testing.assert_allclose(found.log10_delta_norm_L, truth(nn.GRU, module, x, y), atol=1e-6)


@pytest.mark.parametrize("build", [transformers.ViT, transformers.DiT])
def test_a_zero_readout_is_drawn_anew(build):
    """R is that of the body: the mean over readouts drawn by hand."""
    torch.manual_seed(0)
    module = build()
    given: tuple[Tensor, ...] = (
        (torch.randn(6, 2, 8, 8),) if build is transformers.ViT else (torch.randn(6, 6), torch.rand(6))
    )
    target = torch.randn(6, 4) if build is transformers.ViT else torch.randn(6, 6)
    found = probe(module, given, target, functional.mse_loss)
    places = [f"{'layers' if build is transformers.ViT else 'blocks'}.{index}" for index in range(4)]
    ratios = []
    for seed in range(8):
        twin = copy.deepcopy(module).double()
        torch.manual_seed(seed)
        readout = twin.head if build is transformers.ViT else twin.final
        nn.init.normal_(readout.weight, std=readout.in_features**-0.5)
        profile = hooked_profile(
            twin, tuple(part.double() for part in given), lambda out, b: ((out[b] - target[b].double()) ** 2).mean(), 6,
            places, inputs=False,
        )  # fmt: skip
        ratios.append(profile[0] - profile[-1])
    assert found.gradient_ratio == pytest.approx(np.mean(ratios), abs=0.15)
    assert "drawn anew on a copy" in " ".join(found.notes)
    assert "one step" not in " ".join(found.notes)


def test_a_zero_gain_takes_one_step():
    class ZeroGain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.gain = chains.flat(6, 0.5), nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return self.body(x) * self.gain

    torch.manual_seed(0)
    module, x, y = ZeroGain(), torch.randn(8, 6), torch.randint(0, 4, (8,))
    found = probe(module, x, y, functional.cross_entropy)
    body = probe(module.body, x, y, functional.cross_entropy)
    assert found.gradient_ratio == pytest.approx(body.gradient_ratio, abs=0.3)
    assert "after one step" in " ".join(found.notes)
