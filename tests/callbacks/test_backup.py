"""`BackupAndRestore`: a fit that is killed goes on from the last backup."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np
import pytest
from callback_runs import Model, nan

from nncore import callbacks, files
from nncore.callbacks import BackupAndRestore, Callback, CallbackList, EarlyStopping, History, ModelCheckpoint

# ---- resume ----------------------------------------------------------------------------------------------------------


class KilledError(BaseException):
    pass


class Fit:
    """A miniature of the engine: the weight and the loss follow from the number of steps done."""

    STEPS, EPOCHS = 3, 6
    LOSSES = (5.0, 4.0, nan, 3.0, 3.5, 3.2)

    def __init__(self, model: Model, found: list[Callback], kill_after: int = -1) -> None:
        self.model, self.kill_after = model, kill_after
        self.epoch, self.batch, self.restored = 0, 0, False
        model.fit_state = self
        self.callbacks = CallbackList(found, model=model, history=History())

    def save(self, path: str) -> None:
        tensors: dict[str, Any] = {"weights": self.model.weights[0]}
        state = {"epoch": self.epoch, "batch": self.batch, "stop": self.model.stop_training}
        files.write(path, tensors, files.encode(state | {"callbacks": self.callbacks.get_state()}, tensors))

    def restore(self, path: str, allow_other_bits: bool) -> None:
        tensors, document = files.read(path)
        state = files.decode(document, tensors)
        self.model.weights = [tensors["weights"]]
        self.epoch, self.batch, self.model.stop_training = state["epoch"], state["batch"], state["stop"]
        self.callbacks.set_state(state["callbacks"])
        self.restored = True

    def run(self) -> None:
        try:
            self.go()
        finally:
            self.callbacks.on_close()

    def go(self) -> None:
        every, model = self.callbacks, self.model
        every.on_train_begin()
        while self.epoch < self.EPOCHS and not model.stop_training:
            epoch = self.epoch
            if self.batch == 0:
                every.on_epoch_begin(epoch)
            while self.batch < self.STEPS:
                batch = self.batch
                every.on_train_batch_begin(batch)
                model.weights[0] += 1
                self.batch += 1
                if model.weights[0] == self.kill_after:
                    raise KilledError
                every.on_train_batch_end(batch, {"loss": 1.0 / float(model.weights[0][0])})
            self.epoch, self.batch = epoch + 1, 0
            every.on_epoch_end(epoch, {"loss": 0.1 * epoch, "val_loss": self.LOSSES[epoch], "n": epoch})
        every.on_train_end()


@pytest.mark.parametrize("save_freq", ["epoch", 1, 2, 5])
@pytest.mark.parametrize("kill_after", range(1, 19))
def test_resume_after_every_batch(tmp_path: pathlib.Path, save_freq: str | int, kill_after: int) -> None:
    """Killed once, run again: histories, files, best weights and saves are those of an uninterrupted run."""

    def made(where: str) -> list[Callback]:
        (tmp_path / where).mkdir(exist_ok=True)
        found = [
            BackupAndRestore(tmp_path / where / "backup", save_freq),
            callbacks.CSVLogger(tmp_path / where / "log"),
        ]
        found += [EarlyStopping(patience=3, restore_best_weights=True)]
        return [
            *found,
            ModelCheckpoint("{epoch}.{batch}", save_freq=4),
            ModelCheckpoint("{epoch}", save_best_only=True),
        ]

    straight = Model()
    Fit(straight, made("straight")).run()
    killed = Model()
    with pytest.raises(KilledError):
        Fit(killed, made("killed"), kill_after).run()
    before = killed.saved
    resumed = Model()
    fit = Fit(resumed, made("killed"))
    fit.run()
    done_before = {"epoch": (kill_after - 1) // 3 * 3, 1: kill_after - 1, 2: (kill_after - 1) // 2 * 2}
    done_before[5] = (kill_after - 1) // 5 * 5
    assert fit.restored == (done_before[save_freq] > 0)
    assert straight.weights[0] == resumed.weights[0] == 12  # the best epoch, 3, ended with step 12
    assert straight.history.epoch == resumed.history.epoch == [0, 1, 2, 3, 4, 5]
    np.testing.assert_equal(resumed.history.history, straight.history.history)
    assert {k: [type(v) for v in vs] for k, vs in resumed.history.history.items()} == {
        k: [type(v) for v in vs] for k, vs in straight.history.history.items()
    }
    assert (tmp_path / "killed/log").read_bytes() == (tmp_path / "straight/log").read_bytes()
    # Saves between the backup and the kill are made again, none is left out.
    assert straight.saved == sorted(set(before + resumed.saved), key=straight.saved.index)
    assert sorted(os.listdir(tmp_path / "killed")) == ["log"]


def test_backup_is_kept_if_asked_for(tmp_path: pathlib.Path) -> None:
    keep = BackupAndRestore(tmp_path, delete_checkpoint=False)
    first = Fit(Model(), [keep])
    first.run()
    first.model.fit_state = None
    assert os.listdir(tmp_path) == ["backup.safetensors"]
    again = Fit(Model(), [keep])
    again.run()
    assert again.restored and again.model.weights[0] == 18  # there was nothing left to do


def test_backup_leaves_other_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine").touch()
    Fit(Model(), [BackupAndRestore(tmp_path)]).run()
    assert os.listdir(tmp_path) == ["mine"]


def test_a_loop_of_ones_own_has_no_place_to_hold(tmp_path: pathlib.Path) -> None:
    model = Model()
    model.fit_state = None
    with pytest.raises(RuntimeError, match=r"BackupAndRestore: expected a fit, .* Call model\.save"):
        CallbackList([BackupAndRestore(str(tmp_path))], model=model).on_train_begin()
