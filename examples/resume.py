"""A fit that is killed (SIGKILL, as by the kernel or a batch system) and goes on with the same bits.

The program starts itself again and again as a child process that trains and kills itself in the middle of an epoch;
in the end its file holds the weights of a fit without interruption. Needs nothing but nncore.
Run: .venv/bin/python -P examples/resume.py
"""

import os
import signal
import subprocess
import sys
import tempfile

import numpy as np

import nncore as nn


class Kill(nn.Callback):
    """Kill the process after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        """Count, and die."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def train(folder, *callbacks):
    """Train with a backup in `folder` after every 50 steps, and save the model there."""
    (x, y), _ = nn.datasets.load_digits()
    layers = [nn.Rescaling(1 / 16), nn.Flatten(), nn.Dense(64, activation="relu"), nn.Dropout(0.2)]
    model = nn.Model([*layers, nn.Dense(10, activation="softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    backup = nn.callbacks.BackupAndRestore(os.path.join(folder, "backup"), save_freq=50)
    model.fit(x, y, epochs=20, callbacks=[*callbacks, backup], verbose=0)
    model.save(os.path.join(folder, "model.safetensors"))
    return model


if len(sys.argv) > 1:
    train(sys.argv[1], Kill(int(sys.argv[2])))
    sys.exit()

with tempfile.TemporaryDirectory() as folder:
    deaths = 0
    while (code := subprocess.run([sys.executable, "-P", __file__, folder, "333"]).returncode) == -signal.SIGKILL:
        deaths += 1
    survivor = nn.load_model(os.path.join(folder, "model.safetensors"))
    assert code == 0 and not os.path.exists(os.path.join(folder, "backup"))
with tempfile.TemporaryDirectory() as folder:
    unharmed = train(folder)
same = all(np.array_equal(a, b) for a, b in zip(survivor.get_weights(), unharmed.get_weights(), strict=True))
print(f"killed {deaths} times; the same bits as without: {same}")
assert same and deaths >= 2
