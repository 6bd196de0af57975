"""When a watch reads, and what it does where something goes wrong: the user's training goes on."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

import gradstab
from gradstab.errors import UsageError
from tests.watching import loops

CE = functional.cross_entropy


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), 0.05)


def steps_of(eyes) -> list[int]:
    return list(eyes.trajectory.probe_step_P)


def test_optimizer_steps_count_and_not_batches():
    model = loops.chain()
    optimizer = sgd(model)
    with gradstab.watch(model, *loops.SIDE, CE, every=2) as eyes:
        for step in range(20):
            inputs, targets = loops.batch_of(step)
            loops.backward(CE(model(inputs), targets) / 4)
            if step % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    assert steps_of(eyes) == [0, 2, 4, 5]


def test_steps_of_other_models_do_not_count():
    model, other = loops.chain(), loops.chain()
    with gradstab.watch(model, *loops.SIDE, CE, every=2) as eyes:
        for step in range(4):
            loops.train(other, sgd(other), 3)
            loops.train(model, sgd(model), 1, first=step)
    assert steps_of(eyes) == [0, 2, 4]


def test_steps_of_an_optimizer_that_takes_over_count_on():
    model = loops.chain()
    first, second = sgd(model), torch.optim.Adam(model.parameters())
    with gradstab.watch(model, *loops.SIDE, CE, every=4) as eyes:
        loops.train(model, first, 5)
        loops.train(model, second, 8)  # the first step counts with the last of the one before
    assert steps_of(eyes) == [0, 4, 8, 12]


def test_a_round_of_several_optimizers_is_one_step():
    model = loops.chain()
    optimizers = [torch.optim.SGD(part.parameters(), 0.05) for part in (model[0], model[2], model[-1])]
    seen = []
    with gradstab.watch(model, *loops.SIDE, CE, every=2) as eyes:
        for step in range(5):
            if step % 2 == 0:
                seen.append(float(CE(model(loops.SIDE[0]), loops.SIDE[1]).detach()))
            inputs, targets = loops.batch_of(step)
            model.zero_grad()
            loops.backward(CE(model(inputs), targets))
            for optimizer in optimizers:
                optimizer.step()
    assert steps_of(eyes) == [0, 2, 4, 5]
    np.testing.assert_allclose(eyes.trajectory["probe_loss"][:3], seen, rtol=1e-5)  # before any of them moved


def test_by_hand():
    model = loops.chain()
    eyes = gradstab.watch(model, *loops.SIDE, CE)
    with pytest.raises(UsageError, match="nothing was read yet"):
        assert eyes.trajectory
    assert str(eyes) == "nothing was read yet"
    eyes.read(0)
    loops.train(model, sgd(model), 3)
    eyes.read(3)
    eyes.close()
    assert steps_of(eyes) == [0, 3]
    assert eyes.judgement.verdict in str(eyes)


def test_steps_by_hand_never_fall():
    eyes = gradstab.watch(loops.chain(), *loops.SIDE, CE)
    eyes.read(5)
    eyes.read(5)
    with pytest.warns(UserWarning, match="steps must not fall, and step 4 came after 5"):
        eyes.read(4)
    assert steps_of(eyes) == [5]


def test_a_loop_without_torch_optimizer_is_told_so():
    model = loops.chain()
    with (
        pytest.warns(UserWarning, match=r"call eyes.read\(step\) in the loop"),
        gradstab.watch(model, *loops.SIDE, CE) as eyes,
    ):
        pass
    assert steps_of(eyes) == [0]


@pytest.mark.parametrize("error", [ValueError("of the user"), KeyboardInterrupt(), SystemExit(3)])
def test_what_the_loop_raises_passes_through_and_what_was_read_is_kept(error):
    model = loops.chain()
    eyes = gradstab.watch(model, *loops.SIDE, CE, every=2)

    def loop() -> None:
        loops.train(model, sgd(model), 3)
        raise error

    with pytest.raises(type(error)) as raised, eyes:
        loop()
    assert raised.value is error
    assert raised.value.__context__ is None
    assert steps_of(eyes) == [0, 2]
    assert not _global_optimizer_pre_hooks
    assert not _global_optimizer_post_hooks


def test_one_watch_sees_one_training():
    model = loops.chain()
    eyes = gradstab.watch(model, *loops.SIDE, CE, every=2)
    with eyes:
        loops.train(model, sgd(model), 2)
        with pytest.raises(UsageError, match="was used already"), eyes:
            pass
        loops.train(model, sgd(model), 2)
    with pytest.raises(UsageError, match="was used already"), eyes:
        pass
    with pytest.warns(UserWarning, match="the watch has ended"):
        eyes.read(9)
    assert steps_of(eyes) == [0, 2, 4]


def test_two_watches_see_two_models_or_one():
    model, other = loops.chain(), loops.chain(depth=6)
    with (
        gradstab.watch(model, *loops.SIDE, CE, every=2) as outer,
        gradstab.watch(other, *loops.SIDE, CE, every=3) as inner,
        gradstab.watch(model, *loops.SIDE, CE, every=1, taps=("0", "2")) as named,
    ):
        loops.train(model, sgd(model), 4)
        loops.train(other, sgd(other), 3)
    assert (steps_of(outer), steps_of(inner), steps_of(named)) == ([0, 2, 4], [0, 3], [0, 1, 2, 3, 4])
    assert not _global_optimizer_pre_hooks


def test_the_last_reading_is_in_the_mode_of_the_training():
    model = loops.rich()
    with gradstab.watch(model, *loops.SIDE, CE, every=100) as eyes:
        loops.train(model, sgd(model), 2)
        model.eval()
    by_hand = gradstab.watch(model.train(), *loops.SIDE, CE)
    by_hand.read(0)
    np.testing.assert_array_equal(eyes.trajectory["log10_delta_norm"][-1], by_hand.trajectory["log10_delta_norm"][0])


def test_a_model_in_eval_mode_is_read_as_it_is_trained():
    model = loops.rich()
    loops.train(model, sgd(model), 1)
    model.eval()
    expected = gradstab.watch(model.train(), *loops.SIDE, CE)
    expected.read(0)
    model.eval()
    with gradstab.watch(model, *loops.SIDE, CE) as eyes:
        model.train()  # as loops do at the start of an epoch
        loops.train(model, torch.optim.SGD(model.parameters(), 0.0), 1)
    np.testing.assert_allclose(
        eyes.trajectory["log10_delta_norm"][0], expected.trajectory["log10_delta_norm"][0], atol=1e-6
    )


def test_weights_that_are_nan_are_data():
    model = loops.chain()
    optimizer = sgd(model)
    with gradstab.watch(model, *loops.SIDE, CE, every=2) as eyes:
        loops.train(model, optimizer, 3)
        with torch.no_grad():
            model[2].weight[0, 0] = torch.nan
        loops.train(model, optimizer, 4, first=3)
    assert steps_of(eyes) == [0, 2, 4, 6, 7]
    assert eyes.trajectory.nonfinite_step == 4
    assert eyes.judgement.verdict == "diverged"
    assert "became non-finite at step 4" in str(eyes)


class Fails(nn.Sequential):
    """Raises when it is told to."""

    broken = False

    def forward(self, x: torch.Tensor) -> Any:
        if self.broken and not torch.is_autocast_enabled("cpu") and x.dtype == torch.float64:
            raise RuntimeError("not today")
        return super().forward(x)  # type: ignore[no-untyped-call]


def test_readings_that_fail_are_warnings_and_end_after_three():
    model = Fails(*loops.chain())
    twin = Fails(*loops.chain())
    optimizer, of_twin = sgd(model), sgd(twin)
    eyes = gradstab.watch(model, *loops.SIDE, CE, every=2)

    def loop() -> None:
        loops.train(model, optimizer, 3)
        model.broken = True
        loops.train(model, optimizer, 9, first=3)

    with pytest.warns(UserWarning, match="a reading failed.*: the module raised RuntimeError: not today") as told, eyes:
        loop()
    loops.train(twin, of_twin, 12)
    assert steps_of(eyes) == [0, 2]
    assert len(told) == 3
    assert str(told[0].message).startswith("gradstab.watch: a reading failed: the module raised RuntimeError")
    assert "so nothing more is read" in str(told[-1].message)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_a_failure_once_does_not_end_the_readings():
    model = Fails(*loops.chain())
    optimizer = sgd(model)
    eyes = gradstab.watch(model, *loops.SIDE, CE, every=2)

    def loop() -> None:
        for step in range(8):
            model.broken = step in (2, 3)
            loops.train(model, optimizer, 1, first=step)

    with pytest.warns(UserWarning, match="a reading failed"), eyes:
        loop()
    assert steps_of(eyes) == [0, 4, 6, 8]


def test_warnings_that_the_user_makes_errors_do_not_end_the_training():
    model = Fails(*loops.chain())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with gradstab.watch(model, *loops.SIDE, CE, every=2) as eyes:
            loops.train(model, sgd(model), 1)
            model.broken = True
            loops.train(model, sgd(model), 5)
    assert any("not today" in sentence for sentence in eyes.notes)


def test_the_model_is_let_go_of():
    model = loops.chain()
    with gradstab.watch(model, *loops.SIDE, CE, every=2) as eyes:
        loops.train(model, sgd(model), 2)
    held = weakref.ref(model)
    del model
    gc.collect()
    assert held() is None
    assert eyes.judgement is not None


def test_parts_that_are_added_and_unfrozen_are_read():
    model = loops.chain()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.05)
    with gradstab.watch(model, *loops.SIDE, CE, every=2) as eyes:
        loops.train(model, optimizer, 2)
        model[0].requires_grad_(True)
        optimizer.add_param_group({"params": list(model[0].parameters())})
        loops.train(model, optimizer, 3, first=2)
    assert steps_of(eyes) == [0, 2, 4, 5]
    assert list(np.isnan(eyes.trajectory["log10_update_ratio"][:, 0])) == [True, False, False, True]
