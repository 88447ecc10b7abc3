"""A fit that is killed and run again ends as one that never was: weights, history, files, decisions, to the bit."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import time
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import files
from nncore.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, LambdaCallback

RNG = np.random.default_rng(12)
X = RNG.normal(size=(90, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 90)


class KilledError(BaseException):
    """What stands for a kill -9 within the process."""


def model(seed: int | None = 5, rate: float = 0.01, units: int = 6) -> nn.Model:
    layers = [
        nn.Dense(units, activation="relu", kernel_regularizer="l2"),
        nn.Dropout(0.3),
        nn.Dense(3, activation="softmax"),
    ]
    made = nn.Model(layers, seed=seed)
    made.compile(nn.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["acc"])
    return made


class Halve(nn.Callback):
    """A callback with a state of its own, which changes the learning rate."""

    def __init__(self) -> None:
        self.calls = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls += 1
        if self.calls % 3 == 0:
            self.model.optimizer.learning_rate *= 0.5

    def get_state(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def set_state(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


FITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no shuffle": {"shuffle": False},
    "steps": {"steps_per_epoch": 4},  # passes and epochs out of step
    "many passes": {"steps_per_epoch": 15},
    "weights": {"sample_weight": np.linspace(0, 2, 90), "class_weight": {1: 2.0}},
    "converted": {"x": np.asfortranarray(X.astype(np.float16))},
    "no validation": {"validation_split": 0.0},
}


def fit(made: nn.Model, directory: pathlib.Path, save_freq: Any, kill: Any = None, **settings: Any) -> Any:
    stop = EarlyStopping(
        "loss" if settings.get("validation_split") == 0 else "val_loss",
        patience=2,
        restore_best_weights=True,
        min_delta=0.01,
    )
    callbacks: list[Any] = [stop, Halve(), CSVLogger(directory / "log.csv")]
    if save_freq is not None:
        callbacks.insert(1, BackupAndRestore(directory / "backup", save_freq))
    if kill is not None:
        callbacks.append(kill)
    settings = {"x": X, "y": Y, "batch_size": 16, "epochs": 8, "validation_split": 0.2, "verbose": 0} | settings
    history = made.fit(**settings, callbacks=callbacks)
    return (
        history.epoch,
        history.history,
        [w.tobytes() for w in made.get_weights()],
        (directory / "log.csv").read_text(),
        made.optimizer.iterations,
        made.optimizer.learning_rate,
        stop.best,
        stop.best_epoch,
        stop.wait,
        stop.stopped_epoch,
    )


def uninterrupted(tmp_path: pathlib.Path, **settings: Any) -> Any:
    (tmp_path / "whole").mkdir()
    return fit(model(), tmp_path / "whole", None, **settings)


@pytest.mark.parametrize("save_freq", ["epoch", 1, 3])
@pytest.mark.parametrize("case", FITS)
def test_killed_again_and_again(case: str, save_freq: Any, tmp_path: pathlib.Path) -> None:
    """Killed after 2, 9, 14 … batches of each life, sometimes before anything was saved."""
    expected = uninterrupted(tmp_path, **FITS[case])
    lives = 0
    for after in [2, 9, 14, 6, 23, 7, 31, 8, 17, 12, 19, 10**9]:
        left = [after]

        def kill(batch: int, logs: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KilledError

        lives += 1
        # a new process draws another seed, and has been told another learning rate: both come from the backup
        fresh = model(None if lives > 1 and (tmp_path / "backup").exists() else 5, 0.01 * lives)
        if not (tmp_path / "backup").exists():
            fresh.optimizer.learning_rate = 0.01
        try:
            result = fit(fresh, tmp_path, save_freq, LambdaCallback(on_train_batch_end=kill), **FITS[case])
            break
        except KilledError:
            continue
    assert lives > 3 and result == expected
    assert not (tmp_path / "backup").exists() and fresh.seed == 5


@pytest.mark.parametrize("where", ["on_epoch_end", "on_epoch_begin", "on_test_end", "on_train_begin"])
def test_killed_in_any_hook(where: str, tmp_path: pathlib.Path) -> None:
    expected = uninterrupted(tmp_path)
    calls = [0]

    def kill(*_: Any) -> None:
        calls[0] += 1
        if calls[0] % 3 == 0:
            raise KilledError

    for _ in range(12):
        try:
            assert fit(model(), tmp_path, 2, LambdaCallback(**{where: kill})) == expected
            break
        except KilledError:
            continue
    else:
        raise AssertionError("never done")


def test_longer_training_may_follow_and_new_callbacks_may_not(tmp_path: pathlib.Path) -> None:
    whole = model()
    whole.fit(X, Y, epochs=6, verbose=0)
    part = model()
    part.fit(X, Y, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path, delete_checkpoint=False)])
    rest = model()
    history = rest.fit(X, Y, epochs=6, verbose=0, callbacks=[BackupAndRestore(tmp_path, delete_checkpoint=False)])
    assert history.history == whole.history.history  # with the epochs before the interruption
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), rest.get_weights(), strict=True))
    with pytest.raises(ValueError, match="callbacks: expected those with which the backup was written"):
        model().fit(X, Y, epochs=9, verbose=0, callbacks=[BackupAndRestore(tmp_path), EarlyStopping("loss")])


OTHER: dict[str, tuple[Any, dict[str, Any], str]] = {
    "x": (model, {"x": X + 1}, "x, y, sample_weight.*: expected what the interrupted fit was given"),
    "one value": (model, {"x": np.concatenate([X[:89], X[:1]])}, "x, y"),
    "dtype": (model, {"x": X.astype(np.float64)}, "x, y"),
    "fewer rows": (model, {"x": X[:80], "y": Y[:80]}, "x, y"),
    "y": (model, {"y": (Y + 1) % 3}, "x, y"),
    "weights": (model, {"sample_weight": np.ones(90)}, "x, y, sample_weight"),
    "validation": (model, {"validation_data": (X[:9], Y[:9])}, "validation_data"),
    "batch_size": (model, {"batch_size": 15}, "batch_size: expected .*15, was 16.*delete the backup"),
    "steps": (model, {"steps_per_epoch": 3}, "steps_per_epoch: expected .*3, was 6"),
    "shuffle": (model, {"shuffle": False}, "shuffle: expected"),
    "units": (lambda: model(units=7), {}, "architecture: expected that of the interrupted fit.*delete the backup"),
}


def recompiled(*arguments: Any, **settings: Any) -> nn.Model:
    made = model()
    made.compile(*arguments, **settings)
    return made


LOSS = "sparse_categorical_crossentropy"
OTHER |= {
    "optimizer": (
        lambda: recompiled(nn.AdamW(), LOSS, metrics=["accuracy"], weighted_metrics=["acc"]),
        {},
        "compile: expected",
    ),
    "beta": (
        lambda: recompiled(nn.Adam(beta_1=0.8), LOSS, metrics=["accuracy"], weighted_metrics=["acc"]),
        {},
        "compile: expected",
    ),
    "metrics": (lambda: recompiled(nn.Adam(), LOSS, metrics=["accuracy"]), {}, "compile: expected"),
    "loss": (
        lambda: recompiled(nn.Adam(), "categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["acc"]),
        {"y": nn.to_categorical(Y)},
        "compile: expected",
    ),
}


@pytest.mark.parametrize("case", OTHER)
def test_another_fit_is_refused_and_changes_nothing(case: str, tmp_path: pathlib.Path) -> None:
    make, settings, words = OTHER[case]
    common = {"x": X, "y": Y, "batch_size": 16, "verbose": 0}
    keep = BackupAndRestore(tmp_path, delete_checkpoint=False)
    model().fit(**common, callbacks=[keep])
    backup = (tmp_path / "backup.safetensors").read_bytes()
    other = make()
    other.build(4)
    before, seed, rate = other.get_weights(), other.seed, other.optimizer.learning_rate
    with pytest.raises(ValueError, match=f"{tmp_path}/backup.safetensors: .*{words}"):
        other.fit(**(common | settings), epochs=3, callbacks=[keep])
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))
    assert (other.seed, other.optimizer.learning_rate, other.optimizer.iterations) == (seed, rate, 0)
    assert (tmp_path / "backup.safetensors").read_bytes() == backup and other.fit_state is None
    other.fit(**(common | settings))


def test_backups_that_are_none(tmp_path: pathlib.Path) -> None:
    saved = model()
    saved.fit(X, Y, verbose=0)
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    saved.save(backup.path)
    with pytest.raises(nn.FormatError, match="expected the backup of a running fit, got a saved model"):
        model().fit(X, Y, verbose=0, callbacks=[backup])
    saved.save_weights(backup.path)
    with pytest.raises(nn.FormatError, match="expected a whole model, got weights only"):
        model().fit(X, Y, verbose=0, callbacks=[backup])
    pathlib.Path(backup.path).write_bytes(b"torn")
    with pytest.raises(nn.FormatError, match=r"backup\.safetensors"):
        model().fit(X, Y, verbose=0, callbacks=[backup])


POSITION = "expected a position within the fit"
TAMPERED: dict[str, tuple[Any, str]] = {
    "row before the data": (lambda fit: fit.update(row=-(10**9)), f"row: {POSITION}"),
    "row beyond the data": (lambda fit: fit.update(row=10**9), f"row: {POSITION}"),
    "batch": (lambda fit: fit.update(batch=1000), f"batch: {POSITION}"),
    "epoch": (lambda fit: fit.update(epoch="1"), f"epoch: {POSITION}"),
    "attribute": (lambda fit: fit["callbacks"]["callbacks"][-1]["state"].update(path="victim"), "got .*path"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_tampered_backups_reach_no_memory_and_no_other_file(case: str, tmp_path: pathlib.Path) -> None:
    """Positions lie within the data, and a callback's state does not say where it writes or what it deletes."""
    change, words = TAMPERED[case]
    keep = BackupAndRestore(tmp_path, delete_checkpoint=False)
    model().fit(X, Y, batch_size=16, verbose=0, callbacks=[keep])
    tensors, document = files.read(keep.path)
    change(document["fit"])
    files.write(keep.path, tensors, document)
    path = keep.path
    with pytest.raises(ValueError, match=words):
        model().fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[keep])
    assert keep.path == path


def test_a_backup_is_a_model_too(tmp_path: pathlib.Path) -> None:
    made = model()
    made.fit(X, Y, epochs=2, verbose=0, callbacks=[BackupAndRestore(tmp_path, 1, delete_checkpoint=False)])
    loaded = nn.load_model(tmp_path / "backup.safetensors")
    assert np.array_equal(loaded.predict(X), made.predict(X))


def test_data_errors_and_divergence_leave_a_backup_that_goes_on(tmp_path: pathlib.Path) -> None:
    whole = uninterrupted(tmp_path)
    bad = X.copy()
    bad[40] = np.nan
    with pytest.raises(ValueError, match="row 40 of x"):
        fit(model(), tmp_path, 1, x=bad)
    assert (tmp_path / "backup").exists()
    with pytest.raises(ValueError, match="delete the backup"):
        fit(model(), tmp_path, 1)
    (tmp_path / "backup" / "backup.safetensors").unlink()
    assert fit(model(), tmp_path, 1) == whole


def test_ctrl_c_and_again(tmp_path: pathlib.Path) -> None:
    expected = uninterrupted(tmp_path)
    once = [True]

    def interrupt(*_: Any) -> None:
        if once:
            once.clear()
            signal.raise_signal(signal.SIGINT)

    made = model()
    with pytest.raises(KeyboardInterrupt):
        fit(made, tmp_path, 1, LambdaCallback(on_train_batch_end=lambda b, _: interrupt() if b == 3 else None))
    assert fit(made, tmp_path, 1) == expected  # the same object, in the same process


# ---- kill -9 ---------------------------------------------------------------------------------------------------------

PROGRAM = """
    import os, sys, time
    import numpy as np
    import nncore as nn
    from nncore.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ModelCheckpoint

    directory, save_freq, n, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, 16)).astype(np.uint8)
    y = (x[:, 0] > x[:, 1]).astype(int) + (x[:, 2] > 128)
    layers = [nn.Rescaling(1 / 255), nn.Dense(24, "relu"), nn.Dropout(0.2), nn.Dense(3, "softmax")]
    model = nn.Sequential(layers, seed=4, n_threads=1 + os.getpid() % 2)
    model.compile(nn.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])

    class Kill(nn.Callback):
        seen = 0
        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1
            if self.seen == kill_at:
                os.kill(os.getpid(), 9)

    callbacks = [
        EarlyStopping("val_accuracy", patience=3, restore_best_weights=True),
        CSVLogger(directory + "/log.csv"),
        ModelCheckpoint(directory + "/best", monitor="val_loss", save_best_only=True),
    ]
    if save_freq != "none":
        callbacks.append(BackupAndRestore(directory + "/backup", save_freq if save_freq == "epoch" else int(save_freq)))
    if kill_at:
        callbacks.append(Kill())
    print("begin", flush=True)
    history = model.fit(
        x, y, batch_size=20, epochs=14, validation_split=0.25, steps_per_epoch=n // 30, callbacks=callbacks, verbose=0
    )
    model.save(directory + "/end")
    print("end", history.epoch[-1], flush=True)
"""


def start(directory: pathlib.Path, save_freq: Any, n: int, kill_at: int = 0) -> subprocess.Popen[str]:
    directory.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(directory), str(save_freq), str(n), str(kill_at)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(directory: pathlib.Path) -> Any:
    loaded, best = nn.load_model(directory / "end"), nn.load_model(directory / "best")
    return (
        [w.tobytes() for w in loaded.get_weights() + best.get_weights()],
        loaded.history.history,
        loaded.counters.tolist(),
        loaded.optimizer.iterations,
        (directory / "log.csv").read_text(),
    )


@pytest.mark.parametrize("save_freq", ["epoch", 7])
def test_kill_9_at_chosen_batches(save_freq: Any, tmp_path: pathlib.Path) -> None:
    whole = start(tmp_path / "whole", "none", 400)
    for kill_at in (5, 33, 50, 0):
        run = start(tmp_path / "killed", save_freq, 400, kill_at)
        _, err = run.communicate(timeout=60)
        assert run.returncode == (-signal.SIGKILL if kill_at else 0), err
    assert whole.wait(60) == 0 and results(tmp_path / "killed") == results(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path / "killed")) == ["best", "end", "log.csv"]


@pytest.mark.parametrize("save_freq", ["epoch", 1])
def test_kill_9_at_random_moments(save_freq: Any, tmp_path: pathlib.Path) -> None:
    """Within a step, a save, a validation, a line of the log: wherever it hits."""
    rows = 30_000 if save_freq == "epoch" else 1500
    whole = start(tmp_path / "whole", "none", rows)
    assert whole.wait(60) == 0
    dice, kills = random.Random(f"{time.time()}"), 0
    for _ in range(30):
        run = start(tmp_path / "killed", save_freq, rows)
        assert run.stdout is not None and run.stdout.readline() == "begin\n"
        try:
            run.wait(dice.uniform(0.001, 0.04 * (1 + kills)) if kills < 8 else 60)
        except subprocess.TimeoutExpired:
            run.kill()
            kills += 1
        _, err = run.communicate(timeout=60)
        assert run.returncode in (0, -signal.SIGKILL), err
        if run.returncode == 0:
            break
    assert kills and results(tmp_path / "killed") == results(tmp_path / "whole")
