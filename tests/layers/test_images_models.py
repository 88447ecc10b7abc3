"""Layers for images in models: values and gradients by formulas, threads, files, mixed targets."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import formulas_images
import networks
import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.callbacks import BackupAndRestore, LambdaCallback
from nncore.execution import team

Array = NDArray[Any]
RNG = np.random.default_rng(4)
SHAPE = 5, 6, 2

#: A layer of each kind, for values of about 1.
LAYERS: dict[str, Any] = {
    "resizing": lambda: nn.Resizing(3, 8),
    "resizing to the nearest": lambda: nn.Resizing(7, 3, "nearest"),
    "resizing after a cut": lambda: nn.Resizing(4, 2, crop_to_aspect_ratio=True),
    "resizing with margins": lambda: nn.Resizing(7, 4, pad_to_aspect_ratio=True, fill_value=0.25),
    "resizing, cubic": lambda: nn.Resizing(3, 8, "bicubic"),
    "resizing by a wide sum": lambda: nn.Resizing(8, 6, "lanczos5"),  # one axis stays
    "resizing, smoothed": lambda: nn.Resizing(2, 9, antialias=True),
    "resizing by a smoothed wide sum": lambda: nn.Resizing(3, 4, "lanczos3", antialias=True),
    "center": lambda: nn.CenterCrop(4, 3),
    "center of small images": lambda: nn.CenterCrop(4, 9),
    "crop": lambda: nn.RandomCrop(3, 4),
    "crop of small images": lambda: nn.RandomCrop(7, 4),
    "flip": lambda: nn.RandomFlip(),
    "flip upside down": lambda: nn.RandomFlip("vertical"),
    "translation": lambda: nn.RandomTranslation(0.4, (0.1, 0.5)),
    "translation of nearest pixels": lambda: nn.RandomTranslation(0.4, 0.4, "wrap", "nearest"),
    "rotation": lambda: nn.RandomRotation(0.4, fill_mode="constant", fill_value=0.5),
    "zoom": lambda: nn.RandomZoom(0.5),
    "zoom of both": lambda: nn.RandomZoom((-0.5, -0.1), 0.4, "nearest"),
    "contrast": lambda: nn.RandomContrast((0.5, 1.0), (-0.75, 0.75)),
    "brightness": lambda: nn.RandomBrightness(0.5, (-0.7, 0.8)),
    "erasing": lambda: nn.RandomErasing((0.5, 1.0), (0.1, 0.9), (0.5, -0.5), (-1, 1)),
    "erasing by noise": lambda: nn.RandomErasing((0.5, 1.0), (0.1, 0.9), value_range=(-1, 1)),
    "mix": lambda: nn.MixUp(0.5),
    "mix of rectangles": lambda: nn.CutMix(),
}
KINDS = pytest.mark.parametrize("kind", LAYERS)


def model_of(kind: str, **settings: Any) -> nn.Model:
    """The layer between two that learn."""
    layers = [nn.Input(SHAPE), nn.Dense(2, "tanh"), LAYERS[kind](), nn.Flatten(), nn.Dense(2)]
    model = nn.Model(layers, seed=4, **settings)
    networks.randomize(model)
    return model


def data_of(rows: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(rows)
    return rng.normal(size=(rows, *SHAPE)), rng.normal(size=(rows, 2))


@KINDS
def test_values_and_gradients(kind: str) -> None:
    """Predictions by the formula, the gradient of a step by differences of its loss."""
    model, (x, t) = model_of(kind, dtype="float64"), data_of(5)
    accuracy = 1e-5 if "noise" in kind else 1e-10
    np.testing.assert_allclose(model.predict(x), networks.forward(model, model.get_weights(), x), 1e-10, 1e-11)
    model.compile(nn.SGD(1.0), "mse")
    wanted = formulas_images.mixed_targets(model.layers[1], t, SHAPE[:2], (4, 0)) if "mix" in kind else t
    value = networks.objective(model, model.get_weights(), x, wanted, step=0)
    expected = networks.numerical_gradients(model, x, wanted, step=0, most=6)
    found_value, found = networks.gradients(model, x, t)
    assert found_value == pytest.approx(value, rel=accuracy)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a[known := ~np.isnan(b)], b[known], max(1e-6, accuracy), max(1e-8, accuracy))


@pytest.mark.parametrize("first", ["erasing by noise", "mix of rectangles"])
def test_a_layer_that_needs_two_streams_leaves_the_next_one_its_own(first: str) -> None:
    layers = [LAYERS[first](), nn.GaussianNoise(0.5), nn.Flatten(), nn.Dense(2)]
    model, (x, t) = nn.Model([nn.Input(SHAPE), *layers], seed=4, dtype="float64"), data_of(5)
    networks.randomize(model)
    model.compile(nn.SGD(1.0), "mse")
    wanted = formulas_images.mixed_targets(model.layers[0], t, SHAPE[:2], (4, 0)) if "mix" in first else t
    value = networks.objective(model, model.get_weights(), x, wanted, step=0)
    assert model.train_on_batch(x, t) == pytest.approx(value, rel=1e-5)


@KINDS
def test_bits_are_those_of_any_number_of_threads(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 1)
    found = []
    for threads in (1, 2, 7):
        model, (x, t) = model_of(kind, n_threads=threads), data_of(150)
        model.compile("adam", "mse")
        model.fit(x, t, batch_size=64, epochs=2, verbose=0)
        found.append([*model.get_weights(), model.predict(x), np.concatenate([model(x[:7]), model(x[7:])])])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(found[0][-2], found[0][-1])  # a row has the same bits in any batch


@KINDS
def test_saved_loaded_and_taken_up_again(kind: str, tmp_path: Path) -> None:
    x, t = data_of(40)
    whole, first = model_of(kind), model_of(kind)
    for model in (whole, first):
        model.compile("adam", "mse")
    whole.fit(x, t, batch_size=16, epochs=4, verbose=0)
    first.fit(x, t, batch_size=16, epochs=2, verbose=0)
    first.save(tmp_path / "model")
    again = nn.load_model(tmp_path / "model")
    again.fit(x, t, batch_size=16, epochs=4, initial_epoch=2, verbose=0)
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def augmented(**settings: Any) -> nn.Model:
    """All at once, on grey images of bytes."""
    layers = [
        nn.Input((9, 9)), nn.Reshape((9, 9, 1)), nn.MixUp(), nn.RandomRotation(0.1), nn.RandomTranslation(0.1, 0.1),
        nn.RandomZoom(0.1), nn.RandomBrightness(0.1), nn.RandomContrast(0.2), nn.RandomErasing(), nn.RandomCrop(8, 8),
        nn.Rescaling(1 / 255), nn.Flatten(), nn.Dense(3, "softmax"),
    ]  # fmt: skip
    model = nn.Model(layers, seed=8, **settings)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("save_freq", ["epoch", 1, 3])
def test_a_fit_that_is_taken_up_again_goes_on_with_the_same_numbers(save_freq: Any, tmp_path: Path) -> None:
    x, t = RNG.integers(0, 256, (40, 9, 9)).astype(np.uint8), nn.to_categorical(RNG.integers(0, 3, 40))
    settings: dict[str, Any] = {"batch_size": 8, "epochs": 4, "verbose": 0}
    whole = augmented()
    history = whole.fit(x, t, **settings).history
    for kill in (3, 9, 14, 10**9):
        model = augmented()

        def stop(batch: int, logs: Any, kill: int = kill, optimizer: Any = model.optimizer) -> None:
            if optimizer.iterations >= kill:
                raise KeyboardInterrupt

        callbacks = [BackupAndRestore(tmp_path, save_freq), LambdaCallback(on_train_batch_end=stop)]
        try:
            found = model.fit(x, t, callbacks=callbacks, **settings).history
        except KeyboardInterrupt:
            continue
    assert found == history
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3)], ids=str)
def test_images_of_bytes_are_learned(shape: tuple[int, ...], behind: bool) -> None:
    """Bright above or below, of any contrast; values are scaled before what is random, or after it."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 300)
    x = rng.integers(0, 100, (300, *shape)).astype(np.uint8)
    for i, label in enumerate(y):
        half = shape[0] // 2
        x[i, label * half : (label + 1) * half] += 100
    top = 1.0 if behind else 255.0
    random = [
        nn.RandomFlip("horizontal"), nn.RandomTranslation(0.1, 0.1), nn.RandomRotation(0.1), nn.RandomZoom(0.2),
        nn.RandomContrast(0.3, (0, top)), nn.RandomBrightness(0.1, (0, top)), nn.RandomErasing(value_range=(0, top)),
    ]  # fmt: skip
    scaling = [nn.Rescaling(1 / 255)]
    image = nn.Reshape((*shape, 1) if len(shape) == 2 else shape)
    layers = [image, *(scaling + random if behind else random + scaling), nn.Resizing(7, 7), nn.Flatten(), nn.Dense(1)]
    model = nn.Model(layers, seed=2)
    model.compile(nn.Adam(0.02), nn.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(x, y, epochs=6, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] > 0.95


# -- mixed samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.MixUp, nn.CutMix])
def test_images_and_labels_are_mixed_alike(make: Any) -> None:
    """An image of which each pixel is its number, and its number as a label."""
    n = 40
    x, labels = np.arange(n)[:, None, None, None] * np.ones((1, 7, 9, 1), np.float32), np.eye(n, dtype=np.float32)
    layer = make(seed=3)
    for _ in range(5):
        mixed = layer({"images": x, "labels": labels}, training=True)
        own = np.diag(mixed["labels"])
        places = (mixed["labels"] - np.diag(own)).argmax(1)
        steps = {int(k) % n for k in (places - np.arange(n))[own < 0.999]}
        assert len(steps) == 1
        other = np.roll(x, -steps.pop(), 0)
        np.testing.assert_allclose(mixed["labels"].sum(1), 1, 1e-6)
        weight = own[:, None, None, None]
        if make is nn.MixUp:
            np.testing.assert_allclose(mixed["images"], weight * x + (1 - weight) * other, 1e-4, 1e-4)
        else:
            assert ((mixed["images"] == x) | (mixed["images"] == other)).all()
            area = (mixed["images"] == other).mean((1, 2, 3))
            np.testing.assert_allclose(area, 1 - own, atol=1e-6)
    again = make(seed=3)({"images": x, "labels": labels}, training=True)
    first = make(seed=3)({"images": x, "labels": labels})
    assert all(np.array_equal(again[key], first[key]) for key in first)
    same = layer({"images": x, "labels": labels}, training=False)
    assert np.array_equal(same["images"], x) and same["labels"] is labels
    alone = layer({"images": x})
    assert alone.keys() == {"images"} and not np.array_equal(alone["images"], x)


def test_targets_that_cannot_be_mixed() -> None:
    x, y = RNG.normal(size=(6, 4, 4, 1)), np.arange(6) % 3
    model = nn.Model([nn.Input((4, 4, 1)), nn.MixUp(), nn.Flatten(), nn.Dense(3, "softmax")], seed=1)
    with pytest.raises(ValueError, match=r"targets that can be mixed.*categorical_crossentropy.*to_categorical"):
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, y, verbose=0)
    model.compile("sgd", "categorical_crossentropy")
    model.train_on_batch(x, np.eye(3)[y])
    with pytest.raises(ValueError, match="expected a model whose targets the step is given.*Leave that layer out"):
        model.train_on_batch(x, grad=np.ones((6, 3)))
    with pytest.raises(ValueError, match=r"labels: expected rows that can be mixed.*to_categorical"):
        nn.MixUp()({"images": x, "labels": y})
    with pytest.raises(ValueError, match="expected a dict of arrays with the keys 'images' and 'labels', got"):
        nn.MixUp()({"images": x, "targets": y})


def test_a_layer_that_is_changed_mixes_by_what_it_is() -> None:
    given = {"images": RNG.normal(size=(50, 4, 4, 1)), "labels": np.eye(50)}
    layer = nn.MixUp(1.0, seed=1)
    even = np.diag(layer(given)["labels"])
    layer.alpha = 0.01
    uneven = np.diag(layer(given)["labels"])
    assert ((even > 0.1) & (even < 0.9)).mean() > 0.5 > 0.1 > ((uneven > 0.1) & (uneven < 0.9)).mean()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(np.diag(twin(given)["labels"]), even_of(twin, given))


def even_of(layer: Any, given: Any) -> Array:
    """What a new layer of the same arguments makes at its first call."""
    return np.diag(type(layer)(**layer.get_config())(given)["labels"])


def test_a_stack_that_augments_does_as_its_layers_where_it_is_called() -> None:
    """On arrays, as in Keras; a prediction leaves images alone, and so does a call of a model that learns."""
    x = np.arange(24.0, dtype=np.float32).reshape(1, 2, 4, 3) + np.zeros((40, 1, 1, 1), np.float32)
    stack = nn.Sequential([nn.Rescaling(0.5), nn.RandomFlip("horizontal", seed=3)])
    plain = nn.Sequential([nn.Rescaling(0.5)])
    for _ in range(2):
        np.testing.assert_array_equal(stack.predict(x, verbose=0), x / 2)
        np.testing.assert_array_equal(stack(x, training=False), x / 2)
        flipped = (stack(x) != x / 2).any((1, 2, 3))
        assert 5 < flipped.sum() < 35
    np.testing.assert_array_equal(stack.predict_on_batch(x), x / 2)
    np.testing.assert_array_equal(plain(x), x / 2)
    learning = nn.Sequential([nn.RandomFlip("horizontal"), nn.Flatten(), nn.Dense(2)])
    np.testing.assert_array_equal(learning(x), learning.predict(x, verbose=0))
