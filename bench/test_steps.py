"""Whole training steps and predictions of the nets, through the public interface."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import NETS, PREDICTED, Net
from numpy_nets import NumpyNet
from training import nncore_model, nncore_run

nn = pytest.importorskip("nncore")
if not hasattr(nn, "Model"):
    pytest.skip("nncore.Model is missing", allow_module_level=True)


@pytest.mark.benchmark(group="training steps")
@pytest.mark.parametrize("net", NETS.values(), ids=lambda net: net.label)
def test_step(pair: Any, net: Net, threads: int) -> None:
    """An epoch of shuffled batches, per step."""
    x, y = net.data()
    model = NumpyNet(net)
    pair(nncore_run(net, threads), lambda: model.epoch(x, y), calls=net.steps)


@pytest.mark.benchmark(group="predictions")
@pytest.mark.parametrize("rows", [1, 10_000], ids=["1 row", "10 000 rows"])
@pytest.mark.parametrize("net", PREDICTED.values(), ids=lambda net: net.shape)
def test_predict(pair: Any, net: Net, rows: int, threads: int) -> None:
    x = np.random.default_rng(1).random((rows, net.widths[0]), dtype=np.float32)
    ours, numpys = nncore_model(net, threads), NumpyNet(net)
    predict = ours if rows == 1 else ours.predict
    pair(lambda: predict(x), lambda: numpys.predict(x))
