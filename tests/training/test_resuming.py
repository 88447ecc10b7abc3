"""What a resume refuses: other data, other bits, a directory that another fit uses; and what it says."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import checkpoint, files, runtime
from nncore._version import ARITHMETIC
from nncore.callbacks import BackupAndRestore, LambdaCallback
from nncore.training import fit as training

RNG = np.random.default_rng(3)
X = RNG.standard_normal((2000, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 2000)
W = RNG.random(2000)


def model(dtype: str = "float32", precision: str = "highest", threads: int | None = None, units: int = 64) -> nn.Model:
    layers = [nn.Dense(units, activation="relu"), nn.Dense(3, activation="softmax")]
    made = nn.Model(layers, seed=0, dtype=dtype, n_threads=threads)
    made.compile("adam", "sparse_categorical_crossentropy", matmul_precision=precision)
    return made


def fit(made: nn.Model, backup: BackupAndRestore, *more: Any, epochs: int = 2, **changed: Any) -> Any:
    data = {"x": X, "y": Y, "sample_weight": W, "validation_data": (X[:900], Y[:900], W[:900])} | changed
    return made.fit(**data, epochs=epochs, verbose=0, callbacks=[backup, *more]).history


@pytest.fixture
def kept(tmp_path: pathlib.Path) -> BackupAndRestore:
    backup = BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
    fit(model(), backup, epochs=1)
    return backup


def changed(array: Any, row: int) -> Any:
    other = array.copy()
    other[row] = (other[row] + 1) % 3
    return other


@pytest.mark.parametrize("row", [0, 1, 777, 1998, 1999])
def test_one_other_value_is_refused(row: int, kept: BackupAndRestore) -> None:
    small = row % 900
    for other in (
        {"x": changed(X, row)},
        {"y": changed(Y, row)},
        {"sample_weight": changed(W, row)},
        {"validation_data": (changed(X[:900], small), Y[:900], W[:900])},
        {"validation_data": (X[:900], changed(Y[:900], small), W[:900])},
        {"validation_data": (X[:900], Y[:900], changed(W[:900], small))},
        {"class_weight": {0: 1.5}},
    ):
        with pytest.raises(ValueError, match="x, y, sample_weight, validation_data: expected what the interrupted fit"):
            fit(model(), kept, **other)
    whole = fit(model(), BackupAndRestore(f"{kept.backup_dir}2"))
    assert fit(model(), kept) == whole


def test_layouts_and_threads_do_not_matter(kept: BackupAndRestore) -> None:
    whole = fit(model(), BackupAndRestore(f"{kept.backup_dir}2"))
    assert fit(model(threads=3), kept, x=np.asfortranarray(X).astype(">f4"), y=np.repeat(Y, 2)[::2]) == whole


def test_only_backups_ask_for_the_fingerprint(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(training, "fingerprint", lambda *data: calls.append(data) or "print")
    model().fit(X, Y, epochs=2, verbose=0)
    assert calls == []
    fit(model(), BackupAndRestore(tmp_path, 5))
    assert len(calls) == 1


# ---- other bits ------------------------------------------------------------------------------------------------------

OTHER_BITS: dict[str, tuple[dict[str, Any], str]] = {
    "another machine": ({"NNCORE_ISA": "avx9000"}, "Go on where NNCORE_ISA=avx9000 can be had"),
    "a weaker level": ({"NNCORE_ISA": "portable"}, "Start Python with NNCORE_ISA=portable in its environment"),
    "another processor": ({"machine": "riscv64"}, "machine: expected 'riscv64'"),
    "another product": ({"products": "bfloat17"}, "products: expected 'bfloat17'"),
    "a later arithmetic": ({"arithmetic": 10**6}, "arithmetic: expected 1000000"),
    "something unknown": ({"rounding": "up"}, "rounding: expected 'up', .* got None"),
}


@pytest.mark.parametrize("case", OTHER_BITS)
def test_other_bits(case: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, words = OTHER_BITS[case]
    own = runtime.arithmetic
    if other.get("NNCORE_ISA") == runtime.isa():
        other = {"NNCORE_ISA": "avx9000"}
        words = "Go on where"
    backup = BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "arithmetic", lambda *settings: own(*settings) | other)
        fit(model(), backup, epochs=1)
    with pytest.raises(nn.FormatError, match=f"{words}.*allow_other_bits=True.*delete the backup"):
        fit(model(), backup)
    willing = BackupAndRestore(tmp_path / "b", delete_checkpoint=False, allow_other_bits=True)
    assert len(fit(model(), willing)["loss"]) == 2
    fit(model(), backup, epochs=3)  # from now on with these bits


def test_another_instruction_set(tmp_path: pathlib.Path) -> None:
    """As it happens: a backup of a process at the weakest level, which a process at another one finds."""
    code = (
        "import sys, numpy as np, nncore as nn\n"
        "m = nn.Model([nn.Input(2), nn.Dense(1)], seed=0); m.compile('sgd', 'mse')\n"
        "keep = nn.callbacks.BackupAndRestore(sys.argv[1], delete_checkpoint=False)\n"
        "m.fit(np.ones((4, 2)), np.ones(4), epochs=int(sys.argv[2]), verbose=0, callbacks=[keep]); print(nn.isa())\n"
    )

    def run(isa: str, epochs: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, str(tmp_path), str(epochs)]
        return subprocess.run(command, env=os.environ | {"NNCORE_ISA": isa}, capture_output=True, text=True)

    weakest, strongest = nn.available_isas()[0], nn.available_isas()[-1]
    assert run(weakest, 1).stdout == f"{weakest}\n"
    if strongest != weakest:
        assert f"NNCORE_ISA={weakest}" in run(strongest, 2).stderr
    assert run(weakest, 2).stdout == f"{weakest}\n"


def test_precision_and_dtype(kept: BackupAndRestore) -> None:
    with pytest.raises(nn.FormatError, match="matmul_precision: 'medium', was 'highest'.*allow_other_bits=True"):
        fit(model(precision="medium"), kept)
    with pytest.raises(nn.FormatError, match="dtype: 'float64', was 'float32'. Make the same model, or delete"):
        fit(model(dtype="float64"), kept)
    willing = BackupAndRestore(kept.backup_dir, allow_other_bits=True)
    with pytest.raises(nn.FormatError, match="dtype: 'float64', was 'float32'"):
        fit(model(dtype="float64"), willing)
    assert len(fit(model(precision="medium"), willing)["loss"]) == 2


def test_what_differs_is_named(kept: BackupAndRestore) -> None:
    with pytest.raises(nn.FormatError, match="architecture: .*got another: layers: 0: config: units: 65, was 64"):
        fit(model(units=65), kept)
    words = r"callbacks: expected .* written, \['BackupAndRestore'\], got \['EarlyStopping', 'BackupAndRestore'\]; "
    with pytest.raises(nn.FormatError, match=words):
        fit(model(), kept, nn.callbacks.EarlyStopping("loss"))


@pytest.mark.parametrize("missing", ["bits", "identity"])
def test_backups_of_earlier_versions(missing: str, kept: BackupAndRestore) -> None:
    tensors, document = files.read(kept.path)
    if missing == "bits":
        del document["fit"]["bits"]
    else:
        document["fit"]["identity"] = {"x, y": "0" * 32}
    files.write(kept.path, tensors, document)
    with pytest.raises(nn.FormatError, match="another version of nncore. Delete it to start anew"):
        fit(model(), BackupAndRestore(kept.backup_dir, allow_other_bits=True))


def test_the_arithmetic_has_a_version() -> None:
    assert runtime.arithmetic("float32", "highest") == {
        "NNCORE_ISA": nn.isa(),
        "machine": os.uname().machine,
        "products": nn.matmul_precisions()["highest"],
        "arithmetic": ARITHMETIC,
    }


# ---- another fit -----------------------------------------------------------------------------------------------------


def test_two_fits_of_one_directory(tmp_path: pathlib.Path) -> None:
    """In a callback of the first a second one is tried; afterwards the directory is free, and goes."""
    errors = []

    def second(epoch: int, logs: Any = None) -> None:
        with pytest.raises(RuntimeError, match=f"backup_dir: .*the fit of process {os.getpid()} .* is using") as caught:
            fit(model(), BackupAndRestore(tmp_path / "b"))
        errors.append(caught.value)

    whole = fit(model(), BackupAndRestore(tmp_path / "c"))
    assert fit(model(), BackupAndRestore(tmp_path / "b"), LambdaCallback(on_epoch_begin=second)) == whole
    assert len(errors) == 2 and os.listdir(tmp_path) == []


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_lock_is_freed_on_every_way_out(hook: str, error: type[BaseException], tmp_path: pathlib.Path) -> None:
    def fail(*_: Any) -> None:
        raise error

    with pytest.raises(error):
        fit(model(), BackupAndRestore(tmp_path / "b"), LambdaCallback(**{hook: fail}))
    assert not (tmp_path / "b" / "backup.lock").exists()
    fit(model(), BackupAndRestore(tmp_path / "b"))
    assert os.listdir(tmp_path) == []


def test_a_refused_backup_frees_the_lock(kept: BackupAndRestore) -> None:
    with pytest.raises(ValueError, match="expected what"):
        fit(model(), kept, y=changed(Y, 5))
    assert os.listdir(kept.backup_dir) == ["backup.safetensors"]


def test_a_damaged_backup_changes_nothing(kept: BackupAndRestore) -> None:
    content = bytearray(pathlib.Path(kept.path).read_bytes())
    content[-7] ^= 4
    pathlib.Path(kept.path).write_bytes(content)
    made = model()
    made.build(5)
    before = made.get_weights()
    with pytest.raises(nn.FormatError, match="checksum"):
        fit(made, kept)
    assert all(np.array_equal(a, b) for a, b in zip(before, made.get_weights(), strict=True))
    assert made.counters.tolist() == [0, 0]


@pytest.mark.parametrize("key", ["sums", "callbacks", "epoch", "identity"])
def test_a_backup_without_a_part_is_refused(key: str, kept: BackupAndRestore) -> None:
    tensors, document = files.read(kept.path)
    name = f"fit/{key}"
    del document["fit"][key]
    files.write(kept.path, {n: a for n, a in tensors.items() if not n.startswith(name)}, document)
    with pytest.raises(nn.FormatError, match=f"{kept.path}: damaged, or not of nncore: KeyError: '{key}'"):
        fit(model(), kept)


def test_difference() -> None:
    ignored = {"seed"}
    assert checkpoint.difference({"a": 1, "seed": 2}, {"seed": 3, "a": 1}, ignored) is None
    assert checkpoint.difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, ignored) == "a: 1: b: 2, was 3"
    assert checkpoint.difference({"a": [1]}, {"a": [1, 2]}, ignored) == "a: a list of 1, was a list of 2"
    assert checkpoint.difference({}, {"a": 1}, ignored) == "a: 'nothing', was 1"
    assert checkpoint.difference(None, {"a": 1}, ignored) == "None, was {'a': 1}"
