"""Models whose inputs have sizes that the data settle: ``Input((None, 4))``, ``Input((None, None, 3))``."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import reference_convolution
from kernels import assert_same_bits
from open_models import batch, batches, compiled, series

import nncore as nn

RNG = np.random.default_rng(7)
Array = np.ndarray[Any, Any]


def images(inputs: tuple[Any, ...] = (None, None, 3)) -> nn.Model:
    """Fully convolutional, halved and brought back."""
    x = nn.Input(inputs)
    h = nn.Conv2D(4, 3, padding="same", activation="relu")(x)
    low = nn.Conv2D(4, 3, padding="same")(nn.MaxPooling2D(2)(h))
    return nn.Model(x, nn.Conv2D(1, 1)(nn.Concatenate()([nn.UpSampling2D(2)(low), h])), seed=2, dtype="float64")


# ---- what it computes ------------------------------------------------------------------------------------------------


def convolved(x: Array, layer: Any, padding: str = "valid") -> Array:
    """What a convolution makes before its activation."""
    w, b = layer.get_weights()
    axes = range(w.ndim - 2)
    pads = [reference_convolution.paddings(x.shape[1 + a], w.shape[a], 1, 1, padding) for a in axes]
    return reference_convolution.convolve(x, w, b, [1] * len(axes), [1] * len(axes), pads)


@pytest.mark.parametrize("steps", [9, 3, 14])
def test_series_beside_numpy(steps: int) -> None:
    model = series(dtype="float64")
    given = RNG.normal(size=(5, steps, 4))
    h = np.maximum(convolved(given, model.layers[0]), 0).max(axis=1)
    w, b = model.layers[-1].get_weights()
    np.testing.assert_allclose(model.predict(given), reference.softmax(h @ w + b), rtol=1e-12)


@pytest.mark.parametrize("sizes", [(8, 6), (4, 10), (8, 6)])
def test_images_beside_numpy(sizes: tuple[int, int]) -> None:
    model = images()
    given = RNG.normal(size=(3, *sizes, 3))
    first, second, last = (layer for layer in model.layers if isinstance(layer, nn.Conv2D))
    h = np.maximum(convolved(given, first, "same"), 0)
    low = h.reshape(3, sizes[0] // 2, 2, sizes[1] // 2, 2, 4).max(axis=(2, 4))
    up = convolved(low, second, "same").repeat(2, axis=1).repeat(2, axis=2)
    expected = convolved(np.concatenate([up, h], axis=-1), last)
    np.testing.assert_allclose(model.predict(given), expected, rtol=1e-10, atol=1e-12)


def test_whole_numbers_and_texts() -> None:
    words = ["a", "b", "c"]
    x = nn.Input((None,), dtype="string")
    h = nn.Embedding(4, 2)(nn.StringLookup(vocabulary=words)(x))
    texts = nn.Model(x, nn.GlobalAveragePooling1D()(h))
    ids = nn.Input((None,), dtype="int64")
    numbers = nn.Model(ids, nn.GlobalAveragePooling1D()(texts.layers[1](ids)))
    table = texts.layers[1].get_weights()[0]
    for given in ([["a", "b"], ["c", "q"]], [["b", "b", "c"]], [["a"]]):
        codes = np.array([[words.index(w) + 1 if w in words else 0 for w in row] for row in given])
        expected = table[codes].mean(axis=1)
        np.testing.assert_allclose(texts.predict(np.array(given, dtype=object)), expected, rtol=1e-6)
        np.testing.assert_allclose(numbers.predict(codes), expected, rtol=1e-6)
    outer = nn.Input((None,), dtype="string")
    again = nn.Model(outer, texts(outer))
    np.testing.assert_allclose(again.predict(np.array([["c", "a", "a"]])), table[[[3, 1, 1]]].mean(axis=1), rtol=1e-6)


def test_inputs_have_sizes_of_their_own_and_models_are_layers() -> None:
    x, fixed = nn.Input((None, 4)), nn.Input((12, 4))
    inner = nn.Model(x, nn.Conv1D(5, 3)(x))
    assert inner(fixed).shape == (None, 10, 5) and inner(x).shape == (None, None, 5)
    pooled = nn.GlobalAveragePooling1D()(inner(x))
    both = nn.Model([x, fixed], [pooled, nn.Flatten()(inner(fixed))], dtype="float32")
    long, short = batch(12)[0], batch(5)[0]
    for given in (long, short, long):
        made = both.predict([given, long])
        np.testing.assert_allclose(made[0], inner.predict(given).mean(axis=1), rtol=1e-5)
        np.testing.assert_allclose(made[1], inner.predict(long).reshape(8, -1), rtol=1e-6)
    known = nn.Model(fixed, nn.Flatten()(inner(fixed)))
    np.testing.assert_allclose(known.predict(long), made[1], rtol=1e-6)
    with pytest.raises(ValueError, match=r"x: expected shape \(n, 12, 4\), got \(8, 5, 4\)"):
        known.predict(short)
    with pytest.raises(ValueError, match=r"expected for its input input_layer a symbol of shape \(None, None, 4\)"):
        inner(nn.Input((None, 5)))


def test_what_is_seen_of_layers() -> None:
    model = compiled(series(dtype="float64"))
    for steps in (9, 5):
        x, y = batch(steps)
        known = compiled(series(steps, dtype="float64"))
        known.set_weights(model.get_weights())
        known.counters[:] = model.counters  # dropout is that of the step
        for a, b in zip(model.activations(x).values(), known.activations(x).values(), strict=True):
            assert_same_bits(a, b, steps)
        for of in (None, "inputs", model.layers[0].name):
            mine, theirs = (m.gradients(x, y, of=of) for m in (model, known))
            for name in mine if of is None else [...]:
                assert_same_bits(mine[name], theirs[name], of)
        assert nn.check_gradients(model, x[:2], y[:2], elements=4)
        assert len(model.train_on_batch(x, grad=np.ones((8, 3)), return_dict=True)) == 1


def test_forward_passes_as_in_training_go_on_drawing() -> None:
    x = nn.Input((None, 4))
    model = nn.Model(x, nn.Dropout(0.5)(x), seed=3)
    ones = np.ones((4, 6, 4))
    first, _, third = (model(np.ones((4, steps, 4)), training=True) for steps in (6, 9, 6))
    assert first.shape == third.shape and not np.array_equal(first, third)
    assert set(np.unique(first)) == {0, 2} and np.array_equal(model.predict(ones), ones)


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_have_the_same_bits_in_few_and_many(threads: int) -> None:
    model = series(n_threads=threads)
    x = batch(9, 700)[0]
    expected = series(9).predict(x)
    for rows in (1, 3, 20, 130, 700, 2):
        assert_same_bits(model.predict(x[:rows]), expected[:rows], rows)
        assert_same_bits(model.predict(x[:rows].astype(np.float64)), expected[:rows], rows)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_predict_different_sizes(threads: int) -> None:
    model = series(n_threads=threads)
    expected = {steps: series(steps).predict(batch(steps)[0]) for steps in range(3, 30)}
    wrong = []

    def work(first: int) -> None:
        for i in range(200):
            steps = 3 + (first * i) % 27
            if not np.array_equal(model.predict(batch(steps)[0]), expected[steps]):
                wrong.append(steps)

    workers = [threading.Thread(target=work, args=(i,)) for i in (1, 2, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


# ---- files, copies, settings -----------------------------------------------------------------------------------------


def test_files_and_copies(tmp_path: Path) -> None:
    model = compiled(series())
    model.fit(batches, verbose=0)
    model.save(tmp_path / "model")
    assert json.loads(model.to_json())["input_shape"] == [None, 4]
    loaded = nn.load_model(tmp_path / "model")
    assert loaded.input_shape == (None, None, 4) and loaded.compiled
    assert_same_bits(loaded.predict(batch(11)[0]), model.predict(batch(11)[0]), "prediction")
    loaded.fit(batches, verbose=0)
    known = series(9)
    known.load_weights(tmp_path / "model")
    assert_same_bits(known.predict(batch(9)[0]), model.predict(batch(9)[0]), "weights alone")
    for again in (nn.clone_model(model), nn.Model.from_config(model.get_config())):
        assert again.output_shape == (None, 3) and again.predict(batch(4)[0]).shape == (8, 3)


def test_files_of_models_within_models(tmp_path: Path) -> None:
    x, fixed = nn.Input((None, 4)), nn.Input((12, 4))
    inner = nn.Sequential([nn.Input((None, 4)), nn.Conv1D(5, 3)])
    model = nn.Model([x, fixed], [inner(x), nn.Flatten()(inner(fixed))])
    model.save(tmp_path / "model")
    again = nn.load_model(tmp_path / "model")
    given = [batch(7)[0], batch(12)[0]]
    for a, b in zip(again.predict(given), model.predict(given), strict=True):
        assert_same_bits(a, b, "prediction")
    assert again.layers[-2].input_shape == (None, None, 4) and again.output_shape == [(None, None, 5), (None, 50)]


def test_stacks() -> None:
    model = nn.Sequential([nn.Conv1D(5, 3, input_shape=(None, 4)), nn.GlobalMaxPooling1D()])
    model.add(nn.Dense(2))
    assert model.input_shape == (None, None, 4) and model.predict(batch(5)[0]).shape == (8, 2)
    assert model.pop().units == 2 and model.predict(batch(6)[0]).shape == (8, 5)
    built = nn.Sequential([nn.Conv1D(5, 3), nn.GlobalMaxPooling1D()])
    built.build((None, None, 4))
    built.build((None, 7, 4))
    assert built.input_shape == (None, None, 4)
    with pytest.raises(ValueError, match=r"the model is built for \(None, 4\), got \(7, 5\)"):
        built.build((None, 7, 5))
    built.layers[0].filters = 3
    assert built.output_shape == (None, 3) and built.predict(batch(6)[0]).shape == (8, 3)


def test_what_is_shown() -> None:
    model, lines = images(), []
    model.summary(print_fn=lines.append)
    assert "(None, None, None, 3)" in lines[0] and "(None, None, None, 8)" in lines[0]
    assert "(None, None, None, 3) -> (None, None, None, 1)" in repr(model)
    assert model.layers[0].output.shape == (None, None, None, 4) == model.layers[-3].output.shape


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_data_that_do_not_fit() -> None:
    model = series()
    model.predict(batch(5)[0])
    for given, words in [
        (np.ones((2, 5, 3)), r"x: expected shape \(n, None, 4\), got \(2, 5, 3\)"),
        (np.ones((5, 4)), r"x: expected shape \(n, None, 4\), got \(5, 4\)\. For a single sample give x\[None\]"),
        (np.ones((2, 0, 4)), r"x: expected shape \(n, None, 4\), got \(2, 0, 4\)"),
        (np.ones((2, 2, 4)), r"conv1d: expected inputs of at least 3 places, got \(steps, channels\) \(2, 4\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.predict(given)
    with pytest.raises(ValueError, match=r"x: expected samples of one size, .* 3 of shapes \(5, 4\), \(6, 4\)"):
        model.predict([np.ones((5, 4)), np.ones((6, 4)), np.ones((5, 4))])
    assert model.predict([np.ones((5, 4))] * 3).shape == (3, 3)
    assert model.predict(np.ones((0, 5, 4))).shape == (0, 3)
    with pytest.raises(
        ValueError, match=r"Concatenate: expected inputs that agree except along axis -1, got \(6, 8, 4"
    ):
        images().predict(np.ones((1, 7, 8, 3)))


def test_samples_that_are_too_short_for_what_layers_were_told() -> None:
    x = nn.Input((None, 4))
    model = nn.Model(x, nn.Dense(2)(nn.Flatten()(x[:, 2:10])))
    assert model.predict(batch(12)[0]).shape == (8, 2)
    with pytest.raises(ValueError, match=r"slice: .*\(None, 8, 4\).*got \(None, 6, 4\), .*makes \(None, 4, 4\)"):
        model.predict(batch(6)[0])


def test_sums_and_outputs_that_cannot_be_joined() -> None:
    x = nn.Input((None, 4))
    model = nn.Model(x, nn.Reshape((-1,))(nn.Dense(1)(x)))
    model.compile("sgd", "mse", metrics=["r2_score"])
    pairs = [(batch(steps)[0], np.ones((8, steps))) for steps in (5, 9)]
    for given, y in pairs:
        model.fit(given, y, verbose=0)
    with pytest.raises(ValueError, match=r"metrics: expected those whose sums have no axis of a size that is open"):
        model.fit(lambda: iter(pairs), verbose=0)
    with pytest.raises(ValueError, match=r"x: expected batches whose outputs have one shape, .*got \(5,\), \(9,\)"):
        model.predict(iter(pairs))
    assert model.predict(iter(pairs[:1] * 2)).shape == (16, 5)
