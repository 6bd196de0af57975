"""A training of two processes: the first reads, and neither waits for the other."""

from __future__ import annotations

import multiprocessing
import socket
import traceback
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.nn import functional

import gradstab
from gradstab.errors import UsageError
from gradstab.watching.processes import make_local
from tests.watching import loops

PATIENCE_S = 240


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def talking_loss(outputs: Any, targets: Any) -> Any:
    total = outputs.detach().sum()
    distributed.all_reduce(total)
    return functional.cross_entropy(outputs, targets) + 0 * total


def of_rank(rank: int, port: int, answers: Any) -> None:
    """One process of two trainings under DistributedDataParallel, every step of which waits for the other process."""
    torch.set_num_threads(1)
    try:
        distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
        _, without = trained(rank, watched=False)  # first, when no watch can have left anything behind
        told, watched = trained(rank, watched=True)
        distributed.destroy_process_group()
        answers.put((rank, told, (watched, without)))
    except BaseException:
        answers.put((rank, traceback.format_exc(), None))


def trained(rank: int, *, watched: bool) -> tuple[Any, list[Any]]:
    """What the watch read, and the weights in the end."""
    model = nn.parallel.DistributedDataParallel(loops.rich())
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    told: Any = None
    if watched:
        if rank == 0:
            with pytest.raises(UsageError, match="they talk to the other processes"):
                gradstab.watch(model, *loops.SIDE, talking_loss)
        with gradstab.watch(model, *loops.SIDE, functional.cross_entropy, every=3, run=None) as eyes:
            train(model, optimizer, rank)
        if eyes.reads:
            told = (list(eyes.trajectory.probe_step_P), eyes.trajectory["probe_loss"])
        assert rank == 0 or str(eyes) == "the process of rank 0 reads"
    else:
        train(model, optimizer, rank)
    return told, [value.detach().numpy().copy() for value in model.module.state_dict().values()]


def train(model: Any, optimizer: Any, rank: int) -> None:
    for step in range(8):
        inputs, targets = loops.batch_of(2 * step + rank)
        optimizer.zero_grad()
        loops.backward(functional.cross_entropy(model(inputs), targets))
        optimizer.step()


def both() -> dict[int, tuple[Any, Any]]:
    context = multiprocessing.get_context("spawn")
    answers, port = context.Queue(), free_port()
    processes = [context.Process(target=of_rank, args=(rank, port, answers)) for rank in range(2)]
    for process in processes:
        process.start()
    got = [answers.get(timeout=PATIENCE_S) for _ in range(2)]
    found = {rank: (told, weights) for rank, told, weights in got}
    for process in processes:
        process.join(PATIENCE_S)
        assert process.exitcode == 0
    for told, weights in found.values():
        assert weights is not None, told
    return found


def test_the_first_process_reads_and_the_training_is_the_same():
    found = both()
    steps, losses = found[0][0]
    assert steps == [0, 3, 6, 8]
    assert np.isfinite(losses).all()
    assert found[1][0] is None
    for rank in range(2):
        for one, other in zip(*found[rank][1], strict=True):
            np.testing.assert_array_equal(one, other)


def test_synchronised_batch_normalisation_becomes_that_of_one_process():
    norm = nn.BatchNorm1d(4)
    inputs = torch.randn(8, 4)
    expected = norm(inputs)
    synchronised = nn.Sequential(nn.SyncBatchNorm(4))
    make_local(synchronised)
    torch.testing.assert_close(synchronised(inputs), expected)


def test_a_sharded_model_is_refused():
    model = loops.chain()
    model[0].weight.device_mesh = "of a DTensor"
    with pytest.raises(UsageError, match="must be whole in one process"):
        gradstab.watch(model, *loops.SIDE, functional.cross_entropy)
