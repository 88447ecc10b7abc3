"""Files that no model is made from: changed documents, missing tensors, extra keys, bytes of other programs."""

from __future__ import annotations

import pathlib
import shutil
import tracemalloc
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from saved_models import X, Y, put, rewritten, stack

import nncore as nn

CHANGES: dict[str, tuple[Any, str]] = {
    "version": (put("format", 3), "format: expected version 2 or an earlier one, got 3; it was written by nncore"),
    "no version": (lambda d, t: d.pop("format"), "format: expected version 2 or an earlier one, got None"),
    "an earlier version": (put("format", 1), "expected the keys of version 1, got also .*iterations"),
    "unknown layer": (
        put("architecture", "layers", 0, "class", "os.system"),
        "expected a known layer, got 'os.system'",
    ),
    "class is a list": (put("architecture", "layers", 0, "class", ["Dense"]), ""),
    "unknown key": (put("architecture", "layers", 0, "config", "evil", 1), "unknown keys"),
    "units": (put("architecture", "layers", 3, "config", "units", 2**40), r"weights/hidden/kernel: expected shape"),
    "fewer units": (
        put("architecture", "layers", 3, "config", "units", 5),
        r"weights/hidden/kernel: expected shape \(4, 5\)",
    ),
    "dtype": (put("architecture", "dtype", "float64"), "float64"),
    "shape": (put("architecture", "input_shape", [2**62]), "input_shape|shape"),
    "no layers": (lambda d, t: d["architecture"].pop("layers"), "damaged"),
    "architecture": (put("architecture", 3), ""),
    "optimizer": (put("compile", "optimizer", "class", "adamm"), "expected a known optimizer"),
    "loss": (put("compile", "loss", {"class": "mse", "config": {"evil": 1}}), "unknown keys"),
    "another loss": (
        put("compile", "loss", {"class": "gaussian_nll", "config": {}}),
        "expects a mean and a variance",
    ),
    "seed": (put("architecture", "seed", "-1"), "seed: expected"),
    "counters": (put("counters", [1, 2, 3]), ""),
    "counters of words": (put("counters", ["a", "b"]), ""),
    "rule": (put("rule", [1.0]), "expected the keys of version 2, got also .*rule"),
    "iterations": (put("iterations", -1), "iterations: expected an int"),
    "iterations that are no int": (put("iterations", 1.5), "iterations: expected an int"),
    "no iterations": (lambda d, t: d.pop("iterations"), ""),
    "learning rate": (put("compile", "optimizer", "config", "learning_rate", -1), "learning_rate: expected a number"),
    "unknown schedule": (
        put("compile", "optimizer", "config", "learning_rate", {"class": "evil", "config": {}}),
        "learning_rate: expected a known schedule, got 'evil'",
    ),
    "history": (put("history", {"epoch": [], "names": 3}), ""),
    "missing weights": (lambda d, t: t.pop("weights/hidden/kernel"), "weights/hidden/kernel: expected in the file"),
    "missing state": (
        lambda d, t: t.pop(next(n for n in t if n.startswith("optimizer"))),
        "optimizer/.*: expected in the file",
    ),
    "weights' shape": (
        lambda d, t: t.update({"weights/hidden/bias": np.zeros(7, "f4")}),
        "weights/hidden/bias: expected shape",
    ),
    "weights' dtype": (
        lambda d, t: t.update({"weights/hidden/bias": np.zeros(6, "f8")}),
        "weights/hidden/bias: .*float64",
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("saved") / "m"
    model = stack()
    model.fit(X, Y, verbose=0)
    model.save(path)
    return path


@pytest.mark.parametrize("case", CHANGES)
def test_changed_files_are_refused(case: str, saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    change, words = CHANGES[case]
    shutil.copy(saved, tmp_path / "m")
    path = rewritten(tmp_path / "m", change)
    with pytest.raises(nn.FormatError, match=f"{path}: .*{words}"):
        nn.load_model(path)


def test_a_small_file_makes_no_large_model(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Layers that claim more weights than the file has are refused before there is memory for them."""
    shutil.copy(saved, tmp_path / "m")
    path = rewritten(tmp_path / "m", put("architecture", "layers", 3, "config", "units", 5_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(nn.FormatError, match="weights/hidden/kernel: expected shape"):
            nn.load_model(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 4 * path.stat().st_size + (2 << 20)


def test_extra_keys_are_refused(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Unknown keys and versions: also at the top, and tensors that have no place."""
    shutil.copy(saved, tmp_path / "m")
    for change in (
        put("extra", 1),
        put("architecture", "extra", 1),
        lambda d, t: t.update({"weights/x/y": np.zeros(1)}),
    ):
        with pytest.raises(nn.FormatError):
            nn.load_model(rewritten(tmp_path / "m", change))


def test_files_that_are_none_of_ours(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    whole = saved.read_bytes()
    for n in (0, 7, 8, 100, 1000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:n])
        with pytest.raises(nn.FormatError, match=f"{tmp_path}/cut: "):
            nn.load_model(tmp_path / "cut")
    safetensors.numpy.save_file({"w": np.zeros(3)}, tmp_path / "foreign")
    with pytest.raises(nn.FormatError, match="not written by nncore"):
        nn.load_model(tmp_path / "foreign")
    for content in (b"hello, this is no model", b"PK\x03\x04" + bytes(500), b"\x89HDF\r\n" + bytes(500)):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(nn.FormatError):
            nn.load_model(tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        nn.load_model(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        stack().build(4) or nn.Model([nn.Input(4), nn.Dense(3)]).load_weights(tmp_path / "nowhere")
    with pytest.raises(nn.FormatError, match="directory"):
        nn.load_model(tmp_path)
    with pytest.raises(FileNotFoundError):
        nn.Model([nn.Input(4), nn.Dense(3)]).save(tmp_path / "no" / "directory")
