"""`ModelCheckpoint`: which epochs and batches are saved, under which names."""

from __future__ import annotations

import pathlib
import warnings
from typing import Any

import pytest
from callback_runs import Model, nan, run

from nncore.callbacks import BackupAndRestore, CallbackList, ModelCheckpoint

# ---- checkpoints -----------------------------------------------------------------------------------------------------


def test_checkpoint_names(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "new" / "m-{epoch:02d}-{val_loss:.2f}.safetensors")
    model = run(ModelCheckpoint(path), 0.126, 3)
    assert model.saved == [str(tmp_path / "new" / name) for name in ("m-01-0.13.safetensors", "m-02-3.00.safetensors")]
    assert (tmp_path / "new").is_dir()
    model = run(ModelCheckpoint(tmp_path / "m", save_weights_only=True), 1, 2)
    assert model.saved == [f"weights of {tmp_path / 'm'}"] * 2
    with pytest.raises(ValueError, match=r"filepath.*names 'val_acc', known are val_loss, epoch"):
        run(ModelCheckpoint("{val_acc}"), 1)


@pytest.mark.parametrize(
    ("arguments", "values", "saved"),
    [
        ({}, [3, 2, 2.5, 1], "124"),
        ({"mode": "max"}, [3, 2, 3, 4], "14"),
        ({}, [nan, 3, nan, 2], "24"),
        ({}, [nan, nan], ""),
        ({"mode": "max"}, [nan, 3, nan, 2], "2"),
        ({"initial_value_threshold": 2.2}, [3, 2.2, 2, 1], "34"),
        ({"save_best_only": False}, [1, nan, 3], "123"),
    ],
)
def test_best_only(arguments: dict[str, Any], values: list[float], saved: str) -> None:
    assert run(ModelCheckpoint("{epoch}", **{"save_best_only": True} | arguments), *values).saved == list(saved)


def test_best_is_remembered_over_fits() -> None:
    keep = ModelCheckpoint("{epoch}", save_best_only=True)
    assert run(keep, 2).saved == ["1"]
    assert run(keep, 3, 1).saved == ["2"]


def test_checkpoint_without_its_monitor_warns_once_and_saves() -> None:
    with pytest.warns(UserWarning, match="ModelCheckpoint expected 'val_loss'") as caught:
        assert run(ModelCheckpoint("{epoch}", save_best_only=True), {"loss": 1}, {"loss": 1}).saved == ["1", "2"]
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(ModelCheckpoint("{epoch}", monitor="strange"), {"loss": 1}).saved == ["1"]  # not asked for


def test_an_epoch_without_the_monitor_saves_nothing() -> None:
    keep = ModelCheckpoint("{epoch}", save_best_only=True)
    keep.set_params({"metrics": ["loss", "val_loss"], "validation_freq": 2})
    with pytest.warns(UserWarning, match="after epochs without 'val_loss', which validation_freq=2 leaves") as caught:
        logs: Any = [
            {"loss": 1},
            {"loss": 1, "val_loss": 2},
            {"loss": 1},
            {"val_loss": 3},
            {"loss": 1},
            {"val_loss": 1},
        ]
        assert run(keep, *logs).saved == ["2", "6"]
    assert len(caught) == 1 and "validation_data" not in str(caught[0].message)


def test_a_name_that_only_some_logs_have_never_replaces_the_best() -> None:
    keep = ModelCheckpoint("{epoch}", "f1", save_best_only=True)  # a callback adds it now and then: fit cannot know
    with pytest.warns(UserWarning, match="expected 'f1'"):
        assert run(keep, {"loss": 1}, {"f1": 0.5}, {"loss": 1}, {"f1": 0.4}, {"f1": 0.6}).saved == ["1", "2", "5"]


def test_a_failed_save_is_not_the_best() -> None:
    class Full(Model):
        def save(self, path: str) -> None:
            raise OSError("no space")

    keep = ModelCheckpoint("m", save_best_only=True)
    keep.set_model(full := Full())
    with pytest.raises(OSError):
        keep.on_epoch_end(0, {"val_loss": 1.0})
    keep.set_model(other := Model())
    keep.on_epoch_end(1, {"val_loss": 2.0})
    assert (full.saved, other.saved) == ([], ["m"])


def test_the_best_validation_with_a_frequency_in_batches() -> None:
    model = Model()
    keep = ModelCheckpoint("{epoch}-{val_loss}", save_best_only=True, save_freq=2)
    every = CallbackList(keep, model=model)
    every.set_params({"metrics": ["loss", "val_loss"], "validation_freq": 1})
    with pytest.warns(UserWarning, match="after epochs, not after every 2 batches, whose logs lack 'val_l") as caught:
        for epoch, value in enumerate([3, 4, 2]):
            every.on_epoch_begin(epoch)
            for batch in range(5):
                every.on_train_batch_end(batch, {"loss": 1.0})
            every.on_epoch_end(epoch, {"loss": 1.0, "val_loss": value})
    assert model.saved == ["1-3", "3-2"] and len(caught) == 1


def test_checkpoint_names_of_any_logs() -> None:
    odd: Any = {"val_loss": 1.0, 0: 2}
    assert run(ModelCheckpoint("{epoch}-{val_loss:.1f}"), odd).saved == ["1-1.0"]
    for pattern, words in (("{}", "cannot fill in '{}'"), ("{val_loss:d}", "cannot fill in"), ("{0.x}", "cannot fill")):
        with pytest.raises(ValueError, match="filepath: " + words):
            run(ModelCheckpoint(pattern), odd)
    late = ModelCheckpoint("{val_loss}")
    late.set_params({"metrics": ["loss", "val_loss"]})
    with pytest.raises(
        ValueError, match=r"filepath: .*names 'val_loss' only after a validation, known are loss, epoch"
    ):
        run(late, {"loss": 1.0})


def test_checkpoint_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    run(ModelCheckpoint("m", save_best_only=True, verbose=1), 2, 3, 1)
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1: val_loss improved from None to 2.00000, saving model to m",
        "Epoch 2: val_loss did not improve from 2.00000",
        "Epoch 3: val_loss improved from 2.00000 to 1.00000, saving model to m",
    ]
    run(ModelCheckpoint("m", verbose=1), 2)
    assert capsys.readouterr().out == "Epoch 1: saving model to m\n"


def test_batches_are_counted_over_epochs() -> None:
    model = Model()
    every = CallbackList(ModelCheckpoint("{epoch}.{batch}", save_freq=3), model=model)
    every.on_train_begin()
    for epoch in range(3):
        every.on_epoch_begin(epoch)
        for batch in range(4):
            every.on_train_batch_end(batch, {"loss": 1.0})
        every.on_epoch_end(epoch, {"loss": 1.0})
    assert model.saved == ["1.3", "2.2", "3.1", "3.4"]


@pytest.mark.parametrize("freq", [0, -1, 1.5, True, "batch", None])
@pytest.mark.parametrize("kind", [ModelCheckpoint, BackupAndRestore])
def test_save_freq(kind: Any, freq: Any) -> None:
    with pytest.raises(
        ValueError, match="save_freq: expected 'epoch' or a positive number.*Invalid value for argument `save_freq`"
    ):
        kind("x", save_freq=freq)
