"""What a file may cost: whatever is written can be read, and a reader judges a file before it reads tensors."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import nncore as nn
from nncore import files
from nncore.callbacks import BackupAndRestore
from nncore.files import layout
from nncore.files.documents import document_cost

DOCUMENTS: dict[str, Any] = {
    "dicts": {"a": [{}] * 50_000},
    "lists": {"a": [[]] * 50_000},
    "numbers": {"a": list(range(50_000))},
    "strings": {"a": [str(i) for i in range(50_000)]},
    "brackets in strings": {"a": "[{,:" * 50_000, "b": '\\"' * 9999},
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_any_document_can_be_written(case: str, tmp_path: pathlib.Path) -> None:
    path, document = tmp_path / "m", DOCUMENTS[case]
    files.write(path, {"a": np.arange(3)}, document)
    assert files.read(path)[1] == document
    assert load_file(path)["a"].tolist() == [0, 1, 2]
    cost = document_cost(json.dumps(document, separators=(",", ":")))
    assert path.stat().st_size <= max(cost // 2 + 100, 2 * len(json.dumps(document)) + 1000)


@pytest.mark.parametrize("n", [2000, 2049, 6000])
def test_any_number_of_tensors_can_be_written(n: int, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m"
    tensors = {f"{i}": np.array(i, np.int16) for i in range(n)}
    files.write(path, tensors, {})
    assert {name: int(a) for name, a in files.read(path)[0].items()} == {f"{i}": i for i in range(n)}
    assert len(load_file(path)) == n
    assert layout.tensor_limit(path.stat().st_size) >= n


def test_a_file_is_no_larger_than_it_must_be(tmp_path: pathlib.Path) -> None:
    """Spaces only where there are more tensors or values than a file of this size may hold."""
    files.write(tmp_path / "m", {"a": np.zeros(100, np.uint8)}, {"a": 1})
    assert (tmp_path / "m").stat().st_size < 400
    for n, cost in [(2048, 0), (2049, 0), (5000, 10), (0, 3 << 19), (0, (3 << 19) + 1), (3, 10**7)]:
        size = layout.least_size(n, cost)
        assert layout.tensor_limit(size) >= n and layout.document_limit(size) >= cost
        assert size == 0 or layout.tensor_limit(size - 1) < n or layout.document_limit(size - 1) < cost


def test_a_model_of_many_layers_and_a_long_history(tmp_path: pathlib.Path) -> None:
    """Without a shape, so that only the file is measured: 3,000 layers, and 20,000 epochs of words."""
    model = nn.Model([nn.Dense(4, activation="tanh", kernel_regularizer="l2") for _ in range(3000)], seed=0)
    about = nn.Model([nn.Input(2), nn.Dense(1)], seed=0)
    about.history = nn.callbacks.History()
    about.history.epoch = list(range(20_000))
    about.history.history = {"mood": ["good", "bad"] * 10_000}
    about.save(tmp_path / "m")
    assert nn.load_model(tmp_path / "m").history.history == about.history.history
    layers = [{"class": "dense", "config": layer.get_config()} for layer in model.layers]
    files.write(tmp_path / "n", {}, {"layers": layers})
    assert files.read(tmp_path / "n")[1] == {"layers": layers}


# ---- judged before tensors are read ----------------------------------------------------------------------------------

GIB = 1 << 30


def sparse(path: pathlib.Path, header: dict[str, Any], size: int) -> None:
    """A file with this header, and a hole for its data."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + size)


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    counts: list[int] = []
    real = os.preadv

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        counts.append(real(fd, buffers, offset))
        return counts[-1]

    monkeypatch.setattr(os, "preadv", preadv)
    tracemalloc.start()
    yield counts
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(counts) < 200_000 and peak < 4 << 20


def fitted(**settings: Any) -> nn.Model:
    model = nn.Model([nn.Input(3), nn.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0, **settings)
    return model


def document(**changes: Any) -> str:
    about = {
        "name": "m", "dtype": "float32", "seed": "0", "stack": True, "input_shape": [3],
        "layers": [{"class": "dense", "config": {"units": 2, "name": "d"}, "inputs": [0]}],
    }  # fmt: skip
    whole = {"format": 1, "nncore": "0", "architecture": about, "compile": None, "counters": [0, 0], "history": None}
    return json.dumps(whole | {"fit": None} | changes)


def weights(units: int) -> dict[str, Any]:
    end = 12 * units
    return {
        "weights/d/kernel": {"dtype": "F32", "shape": [3, units], "data_offsets": [0, end]},
        "weights/d/bias": {"dtype": "F32", "shape": [units], "data_offsets": [end, end + 4 * units]},
    }


def padded(name: str) -> dict[str, Any]:
    return weights(2) | {name: {"dtype": "U8", "shape": [GIB], "data_offsets": [32, 32 + GIB]}}


NO_MODELS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "weights only": ('{"format": 1}', padded("weights/x/y"), GIB + 32, "weights only|expected the layers"),
    "another format": ('{"format": 7}', padded("x"), GIB + 32, "format: expected version 2 or an earlier one, got 7"),
    "an array too many": (document(), padded("pad"), GIB + 32, "pad: expected no|backup|weights/d/bias"),
    "a weight too many": (document(), padded("weights/d/z"), GIB + 32, "weights/d/z: expected|backup"),
    "a slot of no optimizer": (
        document(),
        padded("optimizer/m/d/z"),
        GIB + 32,
        "optimizer/m/d/z|backup|weights/d/bias",
    ),
    "a state of no fit": (document(), padded("fit/x"), GIB + 32, "fit/x: expected no|backup|weights/d/bias"),
    "a larger layer": (document(), weights(GIB >> 4), GIB, r"expected shape|backup|expected the layers"),
    "counters": (document(counters=[1]), weights(2), 32, "reshape|backup|weights/d/bias"),
    "no layers": (document(architecture={}), weights(2), 32, "damaged|backup|weights/d/bias"),
}


@pytest.mark.parametrize("case", NO_MODELS)
def test_what_is_no_model_is_refused_before_its_tensors_are_read(
    case: str, tmp_path: pathlib.Path, bytes_read: list[int]
) -> None:
    text, tensors, size, words = NO_MODELS[case]
    path = tmp_path / "backup.safetensors"
    sparse(path, {"__metadata__": {"nncore": text}} | tensors, size)
    other = nn.Model([nn.Input(3), nn.Dense(2, name="other")])
    actions: list[Callable[[], Any]] = [
        lambda: nn.load_model(path),
        lambda: other.load_weights(path),
        lambda: fitted(callbacks=[BackupAndRestore(tmp_path)]),
    ]
    for action in actions:
        bytes_read.clear()
        with pytest.raises(nn.FormatError, match=words):
            action()
        assert sum(bytes_read) <= 8 + len(json.dumps({"__metadata__": {"nncore": text}} | tensors))


@pytest.mark.parametrize("begin", [b"", b"{", b'{"__metadata__":{"nncore":"'])
def test_a_header_that_is_a_hole(begin: bytes, tmp_path: pathlib.Path, bytes_read: list[int]) -> None:
    path = tmp_path / "m"
    path.write_bytes((90_000_000).to_bytes(8, "little") + begin)
    os.truncate(path, GIB)
    with pytest.raises(nn.FormatError, match=f"header: expected JSON, found a byte 0 at {8 + len(begin)}"):
        nn.load_model(path)


def test_the_fit_of_a_backup_is_not_kept_by_load_model(tmp_path: pathlib.Path) -> None:
    class Heavy(nn.Callback):
        def get_state(self) -> dict[str, Any]:
            return {"heavy": np.zeros(1 << 22)}

        def set_state(self, state: Any) -> None:
            self.heavy = state["heavy"]

    keep = BackupAndRestore(tmp_path, delete_checkpoint=False)
    expected = fitted(callbacks=[keep, Heavy()])
    tracemalloc.start()
    try:
        loaded = nn.load_model(keep.path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20
    assert loaded.predict(np.ones((1, 3))).tobytes() == expected.predict(np.ones((1, 3))).tobytes()


# ---- work that grows as the file -------------------------------------------------------------------------------------


def calls(action: Callable[[], Any]) -> int:
    """How many functions are called, those of C included."""
    count = [0]

    def profile(frame: Any, event: str, _: Any) -> None:
        count[0] += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count[0]


def many(n: int, last: dict[str, Any], stack: bool) -> str:
    layers = [{"class": "dense", "config": {"units": 3, "name": f"d{i}"}, "inputs": [i]} for i in range(n)]
    about = {"name": "m", "dtype": "float32", "seed": "0", "stack": stack, "input_shape": [3]}
    return document(architecture=about | {"layers": [*layers, last | {"inputs": [0]}]})


@pytest.mark.parametrize("stack", [True, False])
@pytest.mark.parametrize(
    "last", [{"class": "dense", "config": {"units": -1, "name": "z"}}, {"class": "none", "config": {"name": "z"}}]
)
def test_refusing_is_linear_in_the_layers(last: Any, stack: bool, tmp_path: pathlib.Path) -> None:
    def refuse(n: int) -> int:
        tensors = {f"weights/d{i}/kernel": np.zeros((3, 3), np.float32) for i in range(n)}
        tensors |= {f"weights/d{i}/bias": np.zeros(3, np.float32) for i in range(n)}
        save_file(tensors, tmp_path / "m", {"nncore": many(n, last, stack)})

        def load() -> None:
            with pytest.raises(nn.FormatError, match="units|known layer"):
                nn.load_model(tmp_path / "m")

        return calls(load)

    few, more = refuse(100), refuse(400)
    assert more < 4.2 * few and more < 400 * 450
