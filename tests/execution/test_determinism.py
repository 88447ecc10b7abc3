"""The same bits whatever the threads, batches and slices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from every_layer import ROWS, Array, assert_all_same, data, every_layer, python, results
from kernels import assert_same_bits
from networks import use_isa

import nncore as nn
from nncore import optimizers, runtime

OPTIMIZERS: dict[str, Callable[[], optimizers.Optimizer]] = {
    "sgd": lambda: nn.SGD(0.05, momentum=0.9, nesterov=True, clipvalue=0.01),
    "adam-clipnorm": lambda: nn.Adam(0.003, clipnorm=0.1),
    "adamw-global": lambda: nn.AdamW(0.003, global_clipnorm=0.2),
    "rmsprop": lambda: nn.RMSprop(0.001, momentum=0.5, centered=True, weight_decay=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.usefixtures("teams")
def test_threads_do_not_change_a_training(name: str) -> None:
    wanted: list[Array] = []
    for threads in (1, 2, 3, 4, 7):
        model = every_layer(threads)
        model.compile(
            OPTIMIZERS[name](), "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["acc"]
        )
        found = results(model)
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.usefixtures("teams")
def test_threads_on_every_instruction_set(isa: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_isa(isa, monkeypatch)
    wanted: list[Array] = []
    for threads, batch in ((1, 37), (3, 37)):
        model = every_layer(threads, dtype)
        model.compile(nn.Adam(global_clipnorm=0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
        found = results(model, batch_size=batch)
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.usefixtures("teams")
def test_threads_where_the_forward_product_is_cut_by_its_depth(
    isa: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows of many inputs, in several blocks of K; activations with Z and without; a smaller last batch."""
    use_isa(isa, monkeypatch)
    rng = np.random.default_rng(0)
    for inputs, activation in ((784, "relu"), (1300, "gelu"), (2111, None)):
        x, y = rng.standard_normal((43, inputs)), rng.integers(0, 3, 43)
        wanted: list[Array] = []
        for threads in (1, 2, 3, 5):
            layers = [nn.Input(inputs), nn.Dense(97, activation), nn.Dense(3, "softmax")]
            model = nn.Model(layers, seed=1, n_threads=threads, dtype=dtype)
            model.compile(nn.SGD(0.1), "sparse_categorical_crossentropy")
            history = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history
            found = [*model.get_weights(), np.array(history["loss"]), np.array(model.evaluate(x, y, verbose=0))]
            wanted = wanted or found
            assert_all_same(found, wanted, (inputs, threads))


@pytest.mark.usefixtures("teams")
def test_threads_where_several_products_of_a_stage_are_cut_by_their_depth() -> None:
    """Layers side by side, between which the team does not meet."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 784)), rng.integers(0, 3, 200)
    wanted: list[Array] = []
    for threads in (1, 2, 3, 5) * 3:
        inputs = nn.Input(784)
        beside = nn.Concatenate()([nn.Dense(units, "relu")(inputs) for units in (512, 512, 96)])
        model = nn.Model(inputs, nn.Dense(3, "softmax")(beside), seed=1, n_threads=threads)
        model.compile(nn.SGD(0.1), "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=16, epochs=8, verbose=0)
        found = model.get_weights()
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.parametrize(("loss", "last"), [("mse", None), ("mae", "tanh"), ("huber", "softmax"), ("bce", "sigmoid")])
@pytest.mark.usefixtures("teams")
def test_threads_with_every_kind_of_loss(loss: str, last: str | None) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((ROWS, 40)), rng.random((ROWS, 300))
    wanted: list[Array] = []
    for threads in (1, 2, 3):
        layers = [nn.Input(40), nn.Dense(90, "softplus"), nn.Dense(300, last)]
        model = nn.Model(layers, seed=1, n_threads=threads)
        model.compile(nn.SGD(0.1), loss, metrics=["mse", "mae"])
        history = model.fit(x, y, batch_size=101, epochs=2, verbose=0).history
        found = [*model.get_weights(), np.array(list(history.values()))]
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_teams_are_really_used() -> None:
    """The tests above would compare one thread with itself if teams were not."""
    code = """
        import os
        import numpy as np
        import nncore as nn
        from nncore.execution import team
        team.PARALLEL_FLOPS = 0
        model = nn.Model([nn.Input(64), nn.Dense(64, "relu"), nn.Dense(4)], seed=0, n_threads=5)
        model.compile("sgd", "mse")
        before = len(os.listdir("/proc/self/task"))
        model.fit(np.zeros((200, 64)), np.zeros((200, 4)), verbose=0)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    assert python(code) == "4"


@pytest.mark.parametrize("isa", nn.available_isas())
def test_processes_agree(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own, told by NNCORE_ISA, has the bits that this one has with the same kernels."""
    code = """
        import hashlib
        import nncore as nn
        import every_layer as t
        model = t.every_layer(2)
        model.compile("adam", "sparse_categorical_crossentropy")
        print(nn.isa(), *(hashlib.sha256(a.tobytes()).hexdigest() for a in t.results(model)))
    """
    use_isa(isa, monkeypatch)
    model = every_layer(1)
    model.compile("adam", "sparse_categorical_crossentropy")
    wanted = " ".join([isa, *(hashlib.sha256(a.tobytes()).hexdigest() for a in results(model))])
    assert python(code, NNCORE_ISA=isa) == wanted


# -- rows of predictions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.usefixtures("teams")
def test_a_row_has_the_same_prediction_in_whatever_company(
    isa: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_isa(isa, monkeypatch)
    x = data(301)[0].astype(dtype)
    model = every_layer(1, dtype)
    networks.randomize(model, 1, 0.2)
    whole = model.predict(x)
    for start, stop in (
        (0, 1),
        (300, 301),
        (17, 18),
        (0, 2),
        (1, 8),
        (5, 21),
        (100, 228),
        (100, 229),
        (3, 300),
        (0, 0),
    ):
        assert_same_bits(model.predict(x[start:stop]), whole[start:stop], (start, stop))
        assert_same_bits(model(x[start:stop]), whole[start:stop], (start, stop))
    for i in range(0, 301, 7):
        assert_same_bits(model.predict_on_batch(x[i : i + 1]), whole[i : i + 1], i)
    order = np.random.default_rng(0).permutation(301)
    assert_same_bits(model.predict(x[order]), whole[order], "shuffled")
    assert_same_bits(model.predict(x[::-2]), whole[::-2], "strided")
    assert_same_bits(model.predict(np.asfortranarray(x)), whole, "Fortran order")
    for size in (1, 50, 129):
        assert_same_bits(model.predict(x, batch_size=size, callbacks=[EveryBatch()]), whole, size)
    for threads in (2, 3, 7):
        team = every_layer(threads, dtype)
        team.set_weights(model.get_weights())
        assert_same_bits(team.predict(x), whole, threads)
        assert_same_bits(team.predict(x[:130]), whole[:130], threads)


class EveryBatch(nn.Callback):
    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None


@pytest.mark.usefixtures("teams")
def test_a_team_takes_turns_with_shuffled_and_unshuffled_data() -> None:
    """A stage that finds nothing to gather, after one that did, must not wait for what it gathered then."""
    x, y, w = data()
    found = []
    for threads in (1, 3):
        model = every_layer(threads)
        model.compile("sgd", "sparse_categorical_crossentropy")
        for shuffle, rows in ((True, ROWS), (False, ROWS), (True, 90), (False, 33)):
            model.fit(x[:rows], y[:rows], sample_weight=w[:rows], batch_size=30, shuffle=shuffle, epochs=2, verbose=0)
        found.append(model.get_weights())
    assert_all_same(*found, "turns")


def test_evaluate_does_not_depend_on_batches() -> None:
    class Watch(nn.Callback):
        def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            pass

    model = every_layer()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y, w = data()
    wanted = model.evaluate(x, y, verbose=0, sample_weight=w)
    for size in (32, 64, 224, 1000):
        assert model.evaluate(x, y, batch_size=size, verbose=0, sample_weight=w, callbacks=[Watch()]) == wanted
    assert model.evaluate(x, y, batch_size=7, verbose=0, sample_weight=w, callbacks=[Watch()]) == pytest.approx(
        wanted, rel=1e-6
    )


# -- seeds ---------------------------------------------------------------------------------------------------------


def trained(seed: int | None) -> list[Array]:
    model = nn.Model([nn.Input(96), nn.Dense(30, "relu"), nn.Dropout(0.2), nn.Dense(10, "softmax")], seed=seed)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y, _ = data()
    model.fit(x.reshape(ROWS, 96), y, batch_size=50, epochs=2, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_seeds(seed: int) -> None:
    assert_all_same(trained(seed), trained(seed), seed)
    for a, b in zip(trained(seed), trained(seed ^ 2), strict=True):
        assert not np.array_equal(a, b)


def test_a_model_draws_another_seed_where_none_is_given() -> None:
    seeds = {nn.Model([nn.Dense(1)]).seed for _ in range(20)}
    assert len(seeds) == 20


def test_set_random_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_seed", None)
    drawn = []
    for seed in (7, 7, 8):
        nn.set_random_seed(seed)
        drawn.append([nn.Model([nn.Dense(1)]).seed for _ in range(3)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3
    nn.set_random_seed(7)
    a = trained(None)
    nn.set_random_seed(7)
    assert_all_same(trained(None), a, "set_random_seed")


@pytest.mark.parametrize("what", ["shuffle", "dropout", "weights"])
def test_each_random_choice_depends_on_the_seed(what: str) -> None:
    x, y, _ = data()
    x = x.reshape(ROWS, 96)
    found = []
    for seed in (1, 2):
        layers = [nn.Input(96), nn.Dropout(0.3 if what == "dropout" else 0.0), nn.Dense(10, "softmax")]
        model = nn.Model(layers, seed=seed)
        if what != "weights":
            networks.randomize(model)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=0 if what == "weights" else 1, shuffle=what == "shuffle", verbose=0)
        found.append(model.get_weights()[0])
    assert not np.array_equal(*found)


def test_dropout_and_shuffle_go_on_from_fit_to_fit() -> None:
    """Two epochs of one fit are two fits of one epoch, and an epoch never repeats the one before."""
    x, y, _ = data()
    found = []
    for fits in ((2,), (1, 1)):
        model = every_layer()
        model.compile(nn.Adam(), "sparse_categorical_crossentropy")
        for epochs in fits:
            model.fit(x, y, epochs=epochs, verbose=0)
        found.append(model.get_weights())
    assert_all_same(*found, "fits")
