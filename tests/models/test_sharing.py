"""Models that share weights: one state, one turn, whoever trains."""

from __future__ import annotations

import copy
import gc
import threading
from typing import Any

import numpy as np
import pytest
from structures import RNG, X, Y, base, close, dense, same

import nncore as nn

# ---- one state for what is shared ------------------------------------------------------------------------------------


def test_a_model_of_symbols_within_another_shares_its_weights() -> None:
    model = base()
    model.compile(nn.SGD(0.1), "mse")
    features = nn.Model(model.input, model.get_layer("hidden").output, dtype="float64")
    assert features.state is model.state and features.get_weights()[0].shape == (4, 5)
    for _ in range(2):
        close(features.predict(X), dense(X, model.get_layer("hidden")))
        model.fit(X, Y, verbose=0)
    features.set_weights([w + 1 for w in features.get_weights()])
    close(model.get_weights()[0], features.get_weights()[0])


def test_a_new_head_on_the_output_of_another_model() -> None:
    model = base()
    model.compile(nn.Adam(0.01), "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    twin, weights = copy.deepcopy(model), model.get_weights()
    old = model.predict(X)
    x = model.get_layer("hidden").output
    new = nn.Model(model.input, nn.Dense(3, name="other")(x), seed=7, dtype="float64")
    assert new.state is model.state and model.predict(X).tobytes() == old.tobytes()
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    close(new.predict(X), dense(dense(X, model.layers[0]), new.layers[1]))
    # the older model goes on as if nothing had happened, its optimizer's state included
    for m in (model, twin):
        m.fit(X, Y, epochs=2, verbose=0)
    assert same(model, twin) and model.history.history == twin.history.history
    close(new.predict(X), dense(dense(X, model.layers[0]), new.layers[1]))
    new.compile(nn.Adam(0.01), "mse")
    head = model.layers[1].get_weights()
    new.fit(X, RNG.normal(size=(40, 3)), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(head, model.layers[1].get_weights(), strict=True))  # not its own
    close(model.predict(X), dense(dense(X, model.layers[0]), model.layers[1]))


def test_initial_weights_of_new_layers_follow_the_new_model_s_seed() -> None:
    heads = []
    for seed in (7, 7, 8):
        model = base()
        new = nn.Model(model.input, nn.Dense(3, name="other")(model.output), seed=seed, dtype="float64")
        heads.append(new.layers[-1].get_weights()[0])
    assert np.array_equal(heads[0], heads[1]) and not np.array_equal(heads[0], heads[2])


def test_states_of_several_models_become_one() -> None:
    models = [base(seed, f"m{seed}") for seed in range(4)]
    for m in models:
        m.compile(nn.Adam(0.01, global_clipnorm=0.1), "mse")
        m.fit(X, Y, verbose=0)
    twins = copy.deepcopy(models)
    x = nn.Input(4)
    pairs = [nn.Model(x, nn.Add()([a(x), b(x)]), dtype="float64") for a, b in (models[:2], models[2:])]
    assert models[0].state is models[1].state is not models[2].state is models[3].state
    nn.Model(x, nn.Add()([p(x) for p in pairs]), dtype="float64")
    assert len({id(m.state) for m in models}) == 1 and len({id(m.turn.root) for m in models}) == 1
    for m, twin in zip(models, twins, strict=True):
        for each in (m, twin):
            each.fit(X, Y, epochs=2, verbose=0)
        assert same(m, twin)
        assert np.array_equal(m.predict(X), twin.predict(X))


def test_what_is_trainable_is_a_matter_of_each_model_s_compile() -> None:
    """As in an adversarial pair: the judge learns by itself, and is frozen in the pair."""
    judge = base(name="judge")
    judge.compile(nn.SGD(0.1), "mse")
    judge.trainable = False
    maker = nn.Dense(4, name="maker")
    x = nn.Input(3)
    pair = nn.Model(x, judge(maker(x)), dtype="float64")
    pair.compile(nn.SGD(0.1), "mse")
    before, made = judge.get_weights(), maker.get_weights()
    noise = RNG.normal(size=(40, 3))
    pair.train_on_batch(noise, Y)
    assert all(np.array_equal(a, b) for a, b in zip(before, judge.get_weights(), strict=True))
    assert not np.array_equal(made[0], maker.get_weights()[0])
    made = maker.get_weights()
    judge.train_on_batch(X, Y)
    assert not any(np.array_equal(a, b) for a, b in zip(before, judge.get_weights(), strict=True))
    assert np.array_equal(made[0], maker.get_weights()[0])
    judge.evaluate(X, Y, verbose=0)
    before = judge.get_weights()
    pair.fit(noise, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, judge.get_weights(), strict=True))


def test_a_dtype_that_differs() -> None:
    model = base()
    with pytest.raises(ValueError, match=r"dtype: expected that of .* layer hidden.* Call Model\(…, dtype='float64'\)"):
        nn.Model(model.input, model.layers[0].output)


def test_layers_of_several_models_keep_their_arguments() -> None:
    model = base()
    features = nn.Model(model.input, model.layers[0].output, dtype="float64")
    with pytest.raises(AttributeError, match="units: fixed since 2 models share it, cannot become 7"):
        model.layers[0].units = 7
    with pytest.raises(AttributeError, match="units: fixed since its layer hidden is part of another model, too"):
        model.layers[1].units = 7
    del features
    gc.collect()
    model.layers[1].units = 7
    assert model.output_shape == (None, 7)


class DuringFit(nn.Callback):
    def __init__(self, action: Any) -> None:
        self.action, self.found = action, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.found = self.action()


def test_models_that_share_weights_have_one_turn() -> None:
    model = base()
    features = nn.Model(model.input, model.layers[0].output, dtype="float64")
    features.compile("sgd", "mse")
    model.compile("sgd", "mse")
    found: list[str] = []

    def others() -> None:
        for action in (
            lambda: features.set_weights(features.get_weights()),
            lambda: features.train_on_batch(X, np.zeros((40, 5))),
            lambda: nn.Model(model.input, nn.Dense(3)(model.output), dtype="float64"),
        ):
            try:
                action()
            except RuntimeError as error:
                found.append(str(error))

    def thread() -> None:
        other = threading.Thread(target=others)
        other.start()
        other.join()

    model.fit(X, Y, verbose=0, callbacks=[DuringFit(thread)])
    assert [text.partition(" is being")[0] for text in found] == [
        "weights: this model, or one that shares its weights,",
        "train_on_batch: this model, or one that shares its weights,",
        "Model: this model, or one that shares its weights,",
    ]
    assert features.fit_state is None
    # its own thread may look at it by a new model, which needs no other state
    seen = DuringFit(lambda: nn.Model(model.input, model.layers[0].output, dtype="float64").predict(X))
    model.fit(X, Y, verbose=0, callbacks=[seen])
    close(seen.found, dense(X, model.layers[0]))
    with pytest.raises(RuntimeError, match="Model: .* is being fitted"):
        model.fit(
            X, Y, verbose=0,
            callbacks=[DuringFit(lambda: nn.Model(model.input, nn.Dense(3)(model.output), dtype="float64"))],
        )  # fmt: skip


def test_readers_and_a_training_thread_while_states_are_joined() -> None:
    """Other threads predict, read and train while models join theirs: each sees one network or the next."""
    shared = base()
    stop, errors = threading.Event(), list[BaseException]()
    weights = shared.get_weights()
    expected = shared.predict(X)

    def read() -> None:
        try:
            while not stop.is_set():
                assert shared.predict(X).tobytes() == expected.tobytes()
                assert all(np.array_equal(a, b) for a, b in zip(shared.get_weights(), weights, strict=True))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for t in threads:
        t.start()
    held = [nn.Model(shared.input, nn.Dense(3, name=f"n{i}")(shared.output), dtype="float64") for i in range(30)]
    stop.set()
    for t in threads:
        t.join()
    assert not errors and held[-1].state is shared.state and len(shared.state.parameters) == 4 + 60
