"""Models as someone who knows Keras makes them: shapes, stacks, settings, weights, and what is shown of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from small_models import LABELS, X, classifier, same

import nncore as nn

# ---- making one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [4, (4,), [4], (None, 4), np.int64(4)])
def test_build_takes_every_way_to_say_a_shape(shape: Any) -> None:
    model = classifier()
    assert not model.built and model.input_shape is None and model.output_shape is None
    model.build(shape)
    assert model.built and model.input_shape == (None, 4) and model.output_shape == (None, 3)
    model.build(4)
    with pytest.raises(ValueError, match=r"input_shape: the model is built for \(4,\), got \(5,\)"):
        model.build(5)


@pytest.mark.parametrize("shape", [None, (), (None,), -1, 0, (3, 0), 2.5, "4", (None, 2**63), object()])
def test_build_refuses(shape: Any) -> None:
    model = classifier()
    with pytest.raises(ValueError, match="input_shape: expected"):
        model.build(shape)
    assert not model.built
    assert model.predict(X).shape == (50, 3)


def test_one_network_four_ways() -> None:
    def layers() -> list[nn.Layer]:
        return [nn.Dense(6, activation="relu"), nn.Dense(3, activation="softmax")]

    added = nn.Sequential(seed=7)
    added.add(nn.Input((4,)))
    for layer in layers():
        added.add(layer)
    x = nn.Input(4)
    h, p = layers()
    built = nn.Model(layers(), seed=7)
    built.build(4)
    same_ones = [
        nn.Model([nn.Input(4), *layers()], seed=7),
        nn.Sequential([nn.Input(4), *layers()], seed=7),
        added,
        nn.Model(x, p(h(x)), seed=7),
        built,
    ]
    first = same_ones[0].predict(X)
    w1, b1, w2, b2 = same_ones[0].get_weights()
    expected = reference.softmax(np.maximum(X.astype(float) @ w1 + b1, 0) @ w2 + b2)
    np.testing.assert_allclose(first, expected, rtol=1e-5)
    for model in same_ones:
        assert model.built and np.array_equal(model.predict(X), first)
        assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    y = nn.Input(4)
    assert nn.Model(inputs=y, outputs=nn.Dense(2)(y)).count_params() == 10


def test_add_and_pop_on_a_built_model_keep_the_other_weights() -> None:
    model = nn.Sequential([nn.Input(4), nn.Dense(6, activation="relu"), nn.Dense(3, activation="softmax")], seed=7)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, LABELS, verbose=0)
    kept = model.get_weights()[:2]
    top = model.pop()
    assert [layer.name for layer in model.layers] == ["dense"] and model.output_shape == (None, 6)
    with pytest.raises(ValueError, match="not compiled"):
        model.fit(X, LABELS, verbose=0)
    model.add(nn.Dense(2, name="head"))
    assert all(np.array_equal(a, b) for a, b in zip(kept, model.get_weights(), strict=False))
    assert model.predict(X).shape == (50, 2)
    with pytest.raises(ValueError, match="Reshape"):
        model.add(nn.Reshape((5, 7)))
    assert model.predict(X).shape == (50, 2) and np.array_equal(model.get_weights()[0], kept[0])
    other = nn.Sequential([nn.Input(6), top])
    assert other.output_shape == (None, 3)
    with pytest.raises(
        ValueError, match=r"dense_1: expected inputs that its weights fit, .*\(None, 6\), got \(None, 2"
    ):
        model.add(top)
    empty = nn.Sequential()
    with pytest.raises(ValueError, match="pop: expected a model with layers"):
        empty.pop()
    with pytest.raises(ValueError, match="at least one layer"):
        empty.predict(X)


def test_a_build_that_fails_changes_nothing() -> None:
    layers = [nn.Dense(5), nn.Reshape((2, 3))]
    model = nn.Model(layers)
    with pytest.raises(ValueError, match="Reshape"):
        model.build(4)
    assert not model.built
    twice = nn.Model([nn.Dense(2, name="a"), nn.Dense(2, name="a")])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"name: .*\['a'\] more than once"):
            twice.build(3)
    wrong_loss = nn.Model([nn.Dense(3), nn.Flatten()])
    wrong_loss.compile("sgd", "gaussian_nll")
    with pytest.raises(ValueError, match="expects a mean and a variance"):
        wrong_loss.fit(X, np.zeros((50, 3)), verbose=0)
    wrong_loss.compile("sgd", "mse")
    wrong_loss.fit(X, np.zeros((50, 3)), verbose=0)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: [s], lambda s: (s,), lambda s: {"name": s}])
def test_inputs_and_outputs_in_lists_and_dicts_of_one(wrap: Any) -> None:
    x = nn.Input(4)
    y = nn.Dense(3)(x)
    model = nn.Model(wrap(x), wrap(y), seed=1)
    assert model.input_shape == (None, 4) and model.output_shape == (None, 3) and not model.is_stack
    x = nn.Input(4)
    y = nn.Dense(3)(x)
    made, again = nn.Model(inputs=wrap(x), outputs=wrap(y), seed=1).predict(X), model.predict(X)
    if isinstance(wrap(x), dict):
        made, again = made["name"], again["name"]
    assert np.array_equal(made, again)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Model(nn.Dense(3)), "layers: expected a list of layers, or inputs and outputs, got Dense"),
        (lambda: nn.Model([3]), "expected Layer objects, got 3"),
        (lambda: nn.Model([nn.Dense]), "expected Layer objects"),
        (lambda: nn.Model([nn.Dense(3), nn.Input(4)]), "expected Layer objects, got <Symbol shape"),
        (lambda: nn.Model([nn.Add()]), "Add joins several inputs"),
        (
            lambda: nn.Model([nn.Input(3), nn.Input(3)], nn.Dense(3)(nn.Input(3))),
            "inputs, outputs: expected outputs that depend on these inputs and on no other",
        ),
        (lambda: nn.Model([i := nn.Input(3), i], nn.Dense(3)(i)), "inputs: expected each symbol once"),
        (lambda: nn.Model(inputs=nn.Input(3)), "inputs, outputs: expected symbols, .* got NoneType"),
        (lambda: nn.Model([nn.Input(3)], []), "inputs, outputs: expected symbols, .* got list"),
        (lambda: nn.Model(nn.Input(3), nn.Dense(3)(nn.Input(3))), "depend on this Input and on no other"),
        (lambda: nn.Model([nn.Dense(3)], seed=-1), r"seed: expected a whole number from 0 to 2\*\*64 - 1, got -1"),
        (lambda: nn.Model([nn.Dense(3)], seed=2**64), "seed: expected"),
        (lambda: nn.Model([nn.Dense(3)], seed=1.5), "seed: expected .* got 1.5"),
        (lambda: nn.Model([nn.Dense(3)], seed=True), "seed: expected .* got True"),
        (lambda: nn.Model([nn.Dense(3)], n_threads=0), "n_threads: expected a whole number from 1 to 1024, got 0"),
        (lambda: nn.Model([nn.Dense(3)], n_threads="2"), "n_threads: expected"),
        (lambda: nn.Model([nn.Dense(3)], dtype="float16"), 'dtype: expected "float32" or "float64", got \'float16\''),
        (lambda: nn.Model([nn.Dense(3)], dtype=int), "dtype: expected"),
        (lambda: nn.Model([nn.Dense(3)], name=3), "name: expected a string"),
    ],
)
def test_what_is_no_model(make: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_a_layer_is_in_a_stack_once() -> None:
    layer = nn.Dense(3)
    with pytest.raises(ValueError, match="in this model already"):
        nn.Model([layer, layer])


def test_settings() -> None:
    assert classifier().seed == 7 and classifier(seed=2**64 - 1).seed == 2**64 - 1
    drawn = classifier(seed=None)
    drawn.build(4)
    again = classifier(seed=drawn.seed)
    again.build(4)
    assert same(drawn, again) and classifier(seed=None).seed != drawn.seed
    for dtype in ("float64", np.float64, np.dtype("float64")):
        assert classifier(dtype=dtype).predict(X).dtype == np.float64
    assert classifier(name="net").name == "net" and classifier().name == "model"


# ---- looking into it -------------------------------------------------------------------------------------------------


def test_weights_are_keras_s() -> None:
    model = nn.Model([nn.Input(4), nn.Dense(6, use_bias=False), nn.Dropout(0.5), nn.Dense(3, name="out")], seed=0)
    assert [w.shape for w in model.get_weights()] == [(4, 6), (6, 3), (3,)]
    assert model.count_params() == 24 + 18 + 3
    new = [np.full(w.shape, i, float) for i, w in enumerate(model.get_weights())]
    model.set_weights(new)
    new[0][:] = 9  # copied
    assert [w[0].flat[0] for w in model.get_weights()] == [0, 1, 2]
    model.get_weights()[0][:] = 9  # a copy
    assert model.get_weights()[0][0, 0] == 0
    out = model.get_layer("out")
    assert out is model.layers[2] is model.get_layer(index=-1) and out.count_params() == 21
    out.set_weights([np.ones((6, 3)), np.zeros(3)])
    assert model.get_weights()[1].sum() == 18 and out.get_weights()[1].tolist() == [0, 0, 0]
    for bad, words in [
        ({"name": "nope"}, r"name: expected one of \['dense', 'dropout', 'out'\], got 'nope'"),
        ({"index": 3}, "index: expected one of the 3 layers, got 3"),
        ({}, "name, index: expected one"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.get_layer(**bad)


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ([np.zeros((4, 6)), np.zeros(6)], ValueError, "weights: expected 4 arrays, got 2"),
        (
            [np.zeros((6, 4)), np.zeros(6), np.zeros((6, 3)), np.zeros(3)],
            ValueError,
            r"\(4, 6\) for dense/kernel, got \(6, 4\)",
        ),
        (
            [np.zeros((4, 6)), np.zeros(6), np.zeros((6, 3)), np.full(3, 1e39)],
            ValueError,
            "dense_1/bias overflows float32",
        ),
        ([np.zeros((4, 6)), np.zeros(6), np.zeros((6, 3)), np.array(["a"] * 3)], TypeError, "real numbers"),
        ([np.zeros((4, 6)), np.zeros(6), np.zeros((6, 3)), np.zeros(3, complex)], TypeError, "real numbers"),
        ([np.zeros((4, 6)), np.zeros(6), np.zeros((6, 3)), np.array([None] * 3)], TypeError, "real numbers"),
        (5, TypeError, "weights: expected a list of arrays, got int"),
        (None, TypeError, "weights: expected a list of arrays"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(weights: Any, error: type, words: str) -> None:
    model = classifier()
    model.build(4)
    before = model.get_weights()
    with pytest.raises(error, match=words):
        model.set_weights(weights)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_before_shapes_there_is_nothing_to_see() -> None:
    for what in (nn.Model.get_weights, nn.Model.count_params):
        with pytest.raises(ValueError, match=r"no shapes yet.*build"):
            what(classifier())
    with pytest.raises(ValueError, match="no weights before"):
        nn.Dense(3).get_weights()


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Model([nn.Input((2, 3)), nn.Flatten(), nn.Dense(4, name="hidden"), nn.Dense(2, trainable=False)], seed=0)
    model.summary()
    text = capsys.readouterr().out
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    assert "(None, 2, 3)" in rows["input"] and "(None, 6)" in rows["flatten"]
    assert "(None, 4)" in rows["hidden"] and rows["hidden"].split()[-1] == "28"
    assert "38 parameters" in text and "152 bytes" in text and "28 trainable" in text
    said: list[str] = []
    model.summary(print_fn=said.append)
    assert "\n".join(said) == text.rstrip("\n")


def test_a_summary_before_there_are_shapes() -> None:
    said: list[str] = []
    model = nn.Sequential([nn.Flatten(), nn.Dense(3), nn.Dense(3, name="say")])
    model.summary(said.append, show_trainable=True)
    head, rule, *rows, last = said[0].splitlines()
    kinds = ["flatten (Flatten)", "dense (Dense)", "say (Dense)"]
    assert [row.split() for row in rows] == [[*kind.split(), *"???"] for kind in kinds]
    model.build(5)
    model.summary(said.append)
    assert [line.split("  ")[0] for line in said[1].splitlines()[3:6]] == kinds
    assert len(head) == len(rule) and last.startswith("Not built: build(input_shape), fit or predict")


def test_what_is_not_trainable_from_the_start() -> None:
    inputs = nn.Input(4)
    graph = nn.Model(inputs, nn.Dense(2)(inputs), trainable=False)
    for model in (nn.Sequential([nn.Input(4), nn.Dense(2)], trainable=False), graph):
        assert not model.trainable and model.trainable_weights == [] and len(model.weights) == 2
    assert nn.Sequential([nn.Dense(2)], trainable=True).layers[0].trainable
    with pytest.raises(TypeError, match="trainable: expected True or False, got 'no'"):
        nn.Sequential([nn.Dense(2)], trainable="no")


def test_a_summary_of_models_within_models_and_of_what_is_trained() -> None:
    eyes = nn.Model([nn.Input((4, 4, 1)), nn.Conv2D(2, 3, name="see"), nn.Flatten(name="flat")], name="eyes")
    model = nn.Sequential([eyes, nn.Dense(3, name="say")])
    eyes.trainable = False
    said: list[str] = []
    model.summary(print_fn=said.append, expand_nested=True, show_trainable=True)
    columns = [line.split() for line in said[0].splitlines()]
    assert [(line[0], line[-1]) for line in columns[2:7]] == [
        ("input", "-"), ("eyes", "N"), ("see", "N"), ("flat", "-"), ("say", "Y")
    ]  # fmt: skip
    assert said[0].splitlines()[4].startswith("  see (Conv2D)  ") and columns[0][-1] == "Trainable"
    model.summary(print_fn=said.append)
    assert "see" not in said[1] and "Trainable" not in said[1].splitlines()[0]
    with pytest.raises((TypeError, ValueError), match="show_trainable: expected"):
        model.summary(show_trainable="yes")
