"""Locks that a forked child finds free, although no thread there will release what one held in the parent."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading

import pytest

import nncore as nn
from nncore.locks import Lock

FORK = """
import os, signal, sys, threading
import numpy as np
import nncore as nn
from nncore import packing, predicting
where, name = {"copies": (packing.dense, "pack"), "program": (predicting, "Predictor")}[sys.argv[1]]
made = nn.Model([nn.Input(128), nn.Dense(128), nn.Dense(128)], seed=0)  # large enough for copies
made.compile(matmul_precision="medium")
x = np.ones((3, 128), np.float32)
wanted, original = made.predict(x), getattr(where, name)
made.compile(matmul_precision="medium")  # forgets the program and the copies
inside, finish = threading.Event(), threading.Event()
def slow(*arguments):
    inside.set()
    assert finish.wait(60)
    return original(*arguments)
setattr(where, name, slow)
thread = threading.Thread(target=made.predict, args=(x,))
thread.start()
assert inside.wait(10)  # it holds the lock
child = os.fork()
if child == 0:
    signal.alarm(10)
    setattr(where, name, original)
    os._exit(not np.array_equal(made.predict(x), wanted))
status = os.waitpid(child, 0)[1]
finish.set()
thread.join()
assert np.array_equal(made.predict(x), wanted)
assert status == 0, status
"""


@pytest.mark.parametrize("what", ["copies", "program"])
def test_a_child_predicts_although_another_thread_was_about_to(what: str) -> None:
    """The fork comes while that thread makes the copies of weights, or the program of prediction."""
    if what == "copies" and nn.matmul_precisions()["medium"] == "float32":
        pytest.skip("this instruction set needs no copies")
    run = subprocess.run([sys.executable, "-c", FORK, what], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 has one where there are threads
def test_a_child_finds_every_lock_free() -> None:
    """Held by another thread, by the one that forks, or by nobody."""
    others, mine, free = Lock(), Lock(), Lock()
    inside, finish = threading.Event(), threading.Event()

    def hold() -> None:
        with others():
            inside.set()
            finish.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    with mine():
        child = os.fork()
    taken = [lock().acquire(blocking=False) for lock in (others, mine, free)]
    if child == 0:
        os._exit(taken != [True] * 3)
    finish.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert taken == [False, True, True]


def test_a_copy_is_a_lock_of_its_own() -> None:
    lock, made = Lock(), nn.Model([nn.Input(3), nn.Dense(1)])
    assert len({lock(), lock(), copy.deepcopy(lock)(), pickle.loads(pickle.dumps(lock))()}) == 3
    assert pickle.loads(pickle.dumps(made))._lock() is not made._lock()
