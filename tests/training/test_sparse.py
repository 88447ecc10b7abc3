"""Sparse matrices as inputs: the same bits as of the dense array, a batch of which is made at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.execution import team
from nncore.sparse import SparseRows

scipy = pytest.importorskip("scipy.sparse")
RNG = np.random.default_rng(6)
DENSE = RNG.standard_normal((150, 40)) * (RNG.random((150, 40)) < 0.1)
Y = RNG.standard_normal((150, 2))


def net(dtype: str = "float32", threads: int = 1) -> nn.Model:
    model = nn.Model([nn.Dense(6, "tanh"), nn.Dense(2)], seed=1, dtype=dtype, n_threads=threads)
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("form", ["csr_matrix", "csr_array", "csc_matrix", "coo_array", "lil_matrix"])
@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float64", 2)])
def test_they_train_and_predict_as_the_dense_array(
    form: str, dtype: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    x = getattr(scipy, form)(DENSE)
    of_sparse, of_dense = net(dtype, threads), net(dtype)
    settings: dict[str, Any] = {"epochs": 3, "verbose": 0, "validation_split": 0.2}
    a, b = (m.fit(rows, Y, **settings).history for m, rows in ((of_sparse, x), (of_dense, DENSE)))
    assert a == b
    for p, q in zip(of_sparse.get_weights(), of_dense.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
    np.testing.assert_array_equal(of_sparse.predict(x), of_dense.predict(DENSE))
    assert of_sparse.evaluate(x, Y, verbose=0) == of_dense.evaluate(DENSE, Y, verbose=0)
    assert of_sparse.train_on_batch(x[:9] if form.startswith("csr") else x.tocsr()[:9], Y[:9]) == (
        of_dense.train_on_batch(DENSE[:9], Y[:9])
    )
    batches = ((part.tocsr(), y) for part, y in ((x.tocsr()[:50], Y[:50]), (x.tocsr()[50:], Y[50:])))
    assert of_sparse.evaluate(batches, verbose=0) == pytest.approx(of_dense.evaluate(DENSE, Y, verbose=0), rel=1e-6)


def test_rows() -> None:
    rows = SparseRows.of(scipy.csr_matrix(DENSE), "x")
    for key in (slice(None), slice(3, 90, 7), slice(5, 5), np.array([4, 4, 149, 0])):
        np.testing.assert_array_equal(rows[key], DENSE[key])
    np.testing.assert_array_equal(rows[7], DENSE[7])
    np.testing.assert_array_equal(rows.rows(slice(20, 30))[2:5], DENSE[22:25])
    twice = scipy.csr_matrix((np.array([1.0, 2.0, 3.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 3))
    np.testing.assert_array_equal(SparseRows.of(twice, "x")[:], [[0, 3, 0], [3, 0, 0]])


def test_never_dense_as_a_whole() -> None:
    x = scipy.random_array((4000, 20_000), density=1e-4, format="csr", dtype=np.float32, rng=RNG)  # 320 MB if dense
    model = nn.Model([nn.Input(20_000), nn.Dense(2)], seed=1)
    model.compile("sgd", "mse")
    y = np.zeros((4000, 2), np.float32)
    tracemalloc.start()
    model.fit(x, y, verbose=0)
    model.predict(x)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 60e6


def test_beside_other_inputs_and_resumed(tmp_path: Path) -> None:
    a, b = nn.Input(40, name="a"), nn.Input(3, name="b")
    both = nn.Concatenate()([nn.Dense(4)(a), b])

    def made() -> nn.Model:
        model = nn.Model([a, b], nn.Dense(2)(both), seed=1)
        model.compile("adam", "mse")
        return model

    more, found = RNG.standard_normal((150, 3)), []
    start = [RNG.standard_normal(w.shape) for w in made().get_weights()]
    for x in (scipy.csr_matrix(DENSE), DENSE):
        model = made()
        model.set_weights(start)
        model.fit({"a": x, "b": more}, Y, verbose=0)
        found.append(model.get_weights())
    for p, q in zip(*found, strict=True):
        np.testing.assert_array_equal(p, q)

    class Stops(nn.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    x, whole = scipy.csr_matrix(DENSE), net()
    whole.fit(x, Y, epochs=4, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        net().fit(x, Y, epochs=4, verbose=0, callbacks=[nn.callbacks.BackupAndRestore(tmp_path / "b"), Stops()])
    other = x.copy()
    other.data[5] += 1
    with pytest.raises(nn.FormatError, match="x, y, sample_weight"):
        net().fit(other, Y, epochs=4, verbose=0, callbacks=[nn.callbacks.BackupAndRestore(tmp_path / "b")])
    again = net()
    again.fit(x, Y, epochs=4, verbose=0, callbacks=[nn.callbacks.BackupAndRestore(tmp_path / "b")])
    for p, q in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def test_what_is_not_right_is_told() -> None:
    x = scipy.csr_matrix(DENSE)
    model = net()
    model.build(40)
    with pytest.raises(ValueError, match=r"x: expected shape \(n, 40\), got sparse \(150, 39\)"):
        model.predict(x[:, :39])
    with pytest.raises(TypeError, match="y: expected an array of numbers, got a sparse"):
        model.fit(DENSE, scipy.csr_matrix(Y), verbose=0)
    bad = x.copy()
    bad.data[0] = np.nan
    with pytest.raises(ValueError, match="row .* of x holds nan"):
        model.fit(bad, Y, verbose=0)
    bad.data[0] = 1e300
    with pytest.raises(ValueError, match="float32 can hold, got .*1e.300"):
        model.fit(bad, Y, verbose=0)
    table = nn.Model([nn.Input(40), nn.Embedding(3, 2), nn.Flatten()])
    with pytest.raises(TypeError, match="x: expected an array of whole numbers, got a sparse matrix"):
        table.predict(x)
    with pytest.raises(TypeError, match="real numbers, got a sparse matrix of dtype complex128"):
        model.predict(x.astype(complex))
