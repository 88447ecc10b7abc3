"""Threads that come late: many more of them than cores, on stages of a microsecond, in a process of their own."""

import os
import subprocess
import sys

import pytest

CODE = """
import faulthandler, sys
faulthandler.dump_traceback_later(100, exit=True)
import numpy as np
import nncore as nn
from nncore import pace, running
running.PARALLEL_FLOPS = 0
pace.Pace.choose = lambda self: (self.most, 0.002)  # regions open and close all the time, also within steps
rng = np.random.default_rng(0)
x, y = rng.standard_normal((403, 6)), rng.integers(0, 3, 403)  # a smaller last batch
def weights(threads):
    layers = [nn.Dense(33, activation="relu"), nn.Dropout(0.1), nn.Dense(3, activation="softmax")]
    model = nn.Model(layers, seed=1, n_threads=threads)
    model.compile(nn.Adam(clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=8, epochs=100, verbose=0)
    return b"".join(w.tobytes() for w in model.get_weights())
alone = weights(1)
for threads in map(int, sys.argv[1:]):
    assert weights(threads) == alone, threads
"""


@pytest.mark.parametrize("threads", [2, 5, 16])
def test_late_threads_do_no_harm(threads):
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-c", CODE, *[str(threads)] * 2]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
