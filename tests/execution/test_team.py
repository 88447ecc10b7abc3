"""The team in a process of its own: many more threads than cores, on stages of a microsecond; and after a fork."""

import os
import subprocess
import sys

import pytest

CODE = """
import faulthandler, sys
faulthandler.dump_traceback_later(100, exit=True)
import numpy as np
import nncore as nn
from nncore.execution import team, tuning
team.PARALLEL_FLOPS = 0
tuning.Pace.choose = lambda self: (self.most, 0.002)  # regions open and close all the time, also within steps
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

FORK = """
import os, signal
import numpy as np
import nncore as nn
from nncore.execution import team
team.PARALLEL_FLOPS = 0
x, y = np.eye(64, 6), np.arange(64) % 3
def weights():
    model = nn.Model([nn.Dense(33), nn.Dense(3, activation="softmax")], seed=1, n_threads=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, verbose=0)
    return b"".join(w.tobytes() for w in model.get_weights())
before = weights()
child = os.fork()
if child == 0:
    signal.alarm(30)
    os._exit(weights() != before)
assert os.waitpid(child, 0)[1] == 0
assert weights() == before
"""


AFFINITY = """
import os
import numpy as np
import nncore as nn
from nncore.execution import team
team.PARALLEL_FLOPS = 0
allowed = os.sched_getaffinity(0)
x, y = np.ones((512, 64), np.float32), np.arange(512) % 3
model = nn.Model([nn.Dense(33), nn.Dense(3, activation="softmax")], seed=1, n_threads=4)
model.compile("sgd", "sparse_categorical_crossentropy")
nn.set_num_threads(4)
for _ in range(20):
    model.fit(x, y, verbose=0)
    model.predict(x, verbose=0)
    nn.matmul(x, x.T)
threads = [int(thread) for thread in os.listdir("/proc/self/task")]
assert len(threads) >= 4, threads
assert all(os.sched_getaffinity(thread) == allowed for thread in threads)
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads cannot be held to cores here")
def test_threads_that_change_cores_may_use_all_of_them_afterwards():
    run = subprocess.run([sys.executable, "-c", AFFINITY], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("threads", [2, 5, 16])
def test_late_threads_do_no_harm(threads):
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-c", CODE, *[str(threads)] * 2]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


def test_a_forked_child_has_a_team_of_its_own():
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
