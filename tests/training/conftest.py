"""What every training test shares: one thread, flushed denormals and small data, as a CPU slot has them."""

import numpy as np
import pytest
import torch

from gradstab.study.data_spec import Digits
from gradstab.training.data import Dataset, load_dataset, make_dataset


@pytest.fixture(autouse=True)
def _one_slot():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with torch.inference_mode(False):
        yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_dataset(Digits(), study_seed=5)


@pytest.fixture(scope="session")
def odd_data() -> Dataset:
    """Sizes that fill no vector register: 150 rows, 19 features, 3 classes."""
    rng = np.random.default_rng(3)
    x_ND = rng.standard_normal((150, 19))
    return make_dataset(x_ND, np.argmax(x_ND[:, :3], axis=1), study_seed=5, source="odd data")
