"""Masks: what Embedding and Masking leave out, how far that goes, and what means, losses and metrics make of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(5)
IDS = np.array([[3, 1, 0, 0], [2, 0, 4, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
COUNTS = (IDS != 0).astype(float)
TABLE = RNG.standard_normal((5, 3))


def means(x: Array, counts: Array) -> Array:
    """Of the steps that count; 0 where none does."""
    return np.asarray((x * counts[..., None]).sum(1) / np.maximum(counts.sum(1), 1)[:, None])


def embedded(*layers: nn.Layer, **settings: Any) -> nn.Model:
    table = nn.Embedding(5, 3, mask_zero=True, weights=TABLE)
    return nn.Model([nn.Input(4, dtype="int32"), table, *layers], dtype="float64", seed=1, **settings)


def test_a_mean_is_of_steps_that_count() -> None:
    model = embedded(nn.GlobalAveragePooling1D())
    np.testing.assert_allclose(model.predict(IDS), means(TABLE[IDS], COUNTS), rtol=1e-12)
    x = np.where(COUNTS[..., None] > 0, RNG.standard_normal((4, 4, 3)), -2.0)
    x[0, 0, 1] = -2  # in one column alone
    model = nn.Model([nn.Input((4, 3)), nn.Masking(-2.0), nn.GlobalAveragePooling1D(keepdims=True)], dtype="float64")
    np.testing.assert_allclose(model.predict(x)[:, 0], means(x, COUNTS), rtol=1e-12)
    model = nn.Model([nn.Input((4, 3)), nn.Masking(), nn.GlobalAveragePooling1D("channels_first")])
    with pytest.raises(ValueError, match=r"expected a mask of the steps of inputs"):
        model.predict(x)


def test_masking_makes_steps_0() -> None:
    x = RNG.standard_normal((4, 4, 3))
    x[COUNTS == 0] = 7
    x[2, 1, :2] = 7
    np.testing.assert_array_equal(nn.Masking(7)(x), x * COUNTS[..., None])
    np.testing.assert_array_equal(nn.Masking(7).compute_mask(x), COUNTS > 0)
    np.testing.assert_array_equal(nn.Embedding(5, 3, mask_zero=True).compute_mask(IDS), COUNTS > 0)
    assert nn.Embedding(5, 3).compute_mask(IDS) is None
    with pytest.raises(ValueError, match=r"Masking: expected inputs \(batch, …, features\)"):
        nn.Masking()(nn.Input(()))
    with pytest.raises((TypeError, ValueError), match="mask_value: expected a finite number"):
        nn.Masking(np.nan)


def test_series_of_one_channel_are_masked_by_steps() -> None:
    x = np.where(COUNTS > 0, RNG.standard_normal((4, 4)), 0.0)[..., None]
    model = nn.Model([nn.Input((4, 1)), nn.Masking(), nn.GlobalAveragePooling1D()], dtype="float64")
    np.testing.assert_allclose(model.predict(x), means(x, COUNTS), rtol=1e-12)
    each = nn.Model([nn.Input((4, 1)), nn.Masking(), nn.Dense(2), nn.GlobalAveragePooling1D()], dtype="float64", seed=1)
    kernel, bias = each.get_weights()
    np.testing.assert_allclose(each.predict(x), means(x @ kernel + bias, COUNTS), rtol=1e-12)
    whole = nn.Masking().compute_mask(x)
    np.testing.assert_array_equal(whole, COUNTS > 0)


def test_gradients_go_to_steps_that_count() -> None:
    target = RNG.standard_normal((4, 3))
    model = embedded(nn.GlobalAveragePooling1D())
    model.compile(nn.SGD(1.0), "mse")
    model.train_on_batch(IDS, target)
    dy = 2 * (means(TABLE[IDS], COUNTS) - target) / target.size
    wanted = TABLE.copy()
    for i in range(4):
        for t in np.flatnonzero(COUNTS[i]):
            wanted[IDS[i, t]] -= dy[i] / COUNTS[i].sum()
    np.testing.assert_allclose(model.get_weights()[0], wanted, rtol=1e-12)


def residual(x: nn.Symbol) -> nn.Symbol:
    return nn.Add()([x, nn.Dense(3, kernel_initializer="identity", name="same")(x)])


@pytest.mark.parametrize(
    ("layers", "factor"),
    [
        ([nn.Dense(3, kernel_initializer="identity"), nn.Dropout(0.5), nn.Activation("linear"), nn.Rescaling(3.0)], 3),
        ([nn.TimeDistributed(nn.Dense(3, kernel_initializer="identity"))], 1),
        ([residual], 2),
    ],
)
def test_masks_go_along(layers: list[Any], factor: float) -> None:
    x = ids = nn.Input(4)
    for layer in [nn.Embedding(5, 3, mask_zero=True, weights=TABLE), *layers, nn.GlobalAveragePooling1D()]:
        x = layer(x)
    model = nn.Model(ids, x, dtype="float64")
    np.testing.assert_allclose(model.predict(IDS), factor * means(TABLE[IDS], COUNTS), rtol=1e-12)


def test_masks_go_in_and_out_of_models() -> None:
    ids, h = nn.Input(4), nn.Input((4, 3))
    inner = nn.Model(h, nn.Rescaling(2.0)(h))
    tables = nn.Model([nn.Input(4), nn.Embedding(5, 3, mask_zero=True, weights=TABLE)])
    model = nn.Model(ids, nn.GlobalAveragePooling1D()(inner(tables(ids))))
    np.testing.assert_allclose(model.predict(IDS), 2 * means(TABLE[IDS], COUNTS), rtol=1e-5)


def test_masks_of_joined_inputs() -> None:
    other = np.array([[0, 1, 0, 2], [0, 0, 0, 0], [1, 0, 0, 1], [2, 2, 2, 2]])
    a, b = nn.Input(4, name="a"), nn.Input(4, name="b")
    x, y = (nn.Embedding(5, 3, mask_zero=True, weights=TABLE)(i) for i in (a, b))
    plain = nn.Embedding(5, 3, weights=TABLE)(b)
    pooled = [
        nn.Add()([x, y]),
        nn.Concatenate(axis=1)([x, y]),
        nn.Concatenate(axis=1)([x, plain]),
        nn.Concatenate()([x, y]),
        nn.Add()([x, plain]),
        nn.Concatenate()([x, plain]),
        nn.Subtract()([x, y]),
    ]
    model = nn.Model([a, b], [nn.GlobalAveragePooling1D()(z) for z in pooled], dtype="float64")
    X, Y, more = TABLE[IDS], TABLE[other], (other != 0).astype(float)
    one, all_of = np.maximum(COUNTS, more), np.ones((4, 4))
    wanted = [
        means(X + Y, one),
        means(np.concatenate([X, Y], 1), np.concatenate([COUNTS, more], 1)),
        means(np.concatenate([X, Y], 1), np.concatenate([COUNTS, all_of], 1)),
        means(np.concatenate([X, Y], 2), one),
        (X + Y).mean(1),
        np.concatenate([X, Y], 2).mean(1),
        means(X - Y, one),
    ]
    for made, expected in zip(model.predict({"a": IDS, "b": other}), wanted, strict=True):
        np.testing.assert_allclose(made, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("cls", [nn.Maximum, nn.Minimum, nn.Multiply])
def test_what_does_not_count_leaves_the_others_alone(cls: Any) -> None:
    """A factor is 1 there, and of two of which one counts, that one is the larger and the smaller."""
    counts = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], float)
    x = RNG.standard_normal((3, 2, 4, 2)) * counts[:, None, :, None]
    a, b, c = (nn.Input((4, 2), name=name) for name in "abc")
    inputs = [nn.Masking()(a), nn.Masking()(b), c]  # the last without a mask
    model = nn.Model([a, b, c], [cls()(inputs[:2]), cls()(inputs)], dtype="float64")
    if cls is nn.Multiply:
        two = np.where(counts[0, :, None] > 0, x[0], 1) * np.where(counts[1, :, None] > 0, x[1], 1)
        two, three = two * counts[:2].any(0)[:, None], two * x[2]
    else:
        join = np.maximum if cls is nn.Maximum else np.minimum
        two = np.stack([join(x[0, :, 0], x[1, :, 0]), x[0, :, 1], x[1, :, 2], x[0, :, 3]], 1)
        three = join(two, x[2])
        three[:, 3] = x[2, :, 3]
    made = model.predict({"a": x[0], "b": x[1], "c": x[2]})
    np.testing.assert_allclose(made[0], two, rtol=1e-12)
    np.testing.assert_allclose(made[1], three, rtol=1e-12)


def test_other_layers_end_a_mask_and_say_so() -> None:
    model = embedded(nn.ZeroPadding1D(0), nn.GlobalAveragePooling1D())
    with pytest.warns(UserWarning, match="what is masked of its inputs counts from here on, for ZeroPadding1D"):
        model.compile("sgd", "mse")
    np.testing.assert_allclose(model.predict(IDS), TABLE[IDS].mean(1), rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedded(nn.GlobalAveragePooling1D(), nn.Dense(2)).compile("sgd", "mse")


def test_a_layer_of_a_user_may_support_masking() -> None:
    class Twice(nn.Layer):
        supports_masking = True

        def forward(self, x: Array) -> Array:
            return 2 * x

        def backward(self, dy: Array) -> Array:
            return 2 * dy

    model = embedded(Twice(), nn.GlobalAveragePooling1D())
    np.testing.assert_allclose(model.predict(IDS), 2 * means(TABLE[IDS], COUNTS), rtol=1e-12)


def test_a_mask_of_other_axes_than_a_layer_makes_is_refused() -> None:
    class Total(nn.Layer):
        supports_masking = True

        def output_shape(self, *shapes: tuple[int, ...]) -> tuple[int, ...]:
            return shapes[0][1:]

        def forward(self, x: Array) -> Array:
            return x.sum(1)

        def backward(self, dy: Array) -> Array:
            return np.repeat(dy[:, None], 4, 1)

    model = embedded(Total(name="total"))
    with pytest.raises(
        ValueError, match=r"total: expected a mask of the first axes .* \(3,\) a sample, got one of \(4,\)"
    ):
        model.predict(IDS)


def by_steps(loss: Any, **settings: Any) -> nn.Model:
    model = embedded(nn.Dense(2, "softmax"))
    model.compile(nn.SGD(1.0), loss, **settings)
    return model


def crossentropies(model: nn.Model, labels: Array) -> tuple[Array, Array]:
    """Of each step, and the probabilities, from the weights of a model."""
    E, W, b = model.get_weights()
    z = E[IDS] @ W + b
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    return -np.log(np.take_along_axis(p, labels[..., None], -1))[..., 0], p


LABELS = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]])
WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0])


@pytest.mark.parametrize("weight", [None, WEIGHTS, RNG.random((4, 4))])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_losses_leave_out_steps_that_do_not_count(reduction: str, weight: Any) -> None:
    """And the mean is of those that do, weights or not: of ``mean_with_sample_weight`` of their weights."""
    model = by_steps(nn.losses.SparseCategoricalCrossentropy(reduction=reduction))
    values, p = crossentropies(model, LABELS)
    each = np.ones((4, 4)) if weight is None else np.ones((4, 4)) * weight.reshape(4, -1)
    divisor = {"sum": 1.0, "mean_with_sample_weight": (COUNTS * each).sum()}.get(reduction, COUNTS.sum())
    share = COUNTS * each / divisor
    found = model.evaluate(IDS, LABELS, sample_weight=weight, verbose=0)
    assert found == pytest.approx((share * values).sum(), rel=1e-9)
    E, W, _ = model.get_weights()
    model.train_on_batch(IDS, LABELS, sample_weight=weight)
    dz = share[..., None] * (p - np.eye(2)[LABELS])
    np.testing.assert_allclose(model.get_weights()[1], W - np.einsum("bti,btj->ij", E[IDS], dz), rtol=1e-9)


def test_metrics_leave_them_out() -> None:
    metrics = ["accuracy", nn.metrics.SparseCategoricalCrossentropy(name="nll")]
    model = by_steps("sparse_categorical_crossentropy", metrics=metrics, weighted_metrics=["accuracy"])
    values, p = crossentropies(model, LABELS)
    hits = p.argmax(-1) == LABELS
    logs = model.evaluate(IDS, LABELS, sample_weight=WEIGHTS, batch_size=2, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx((hits * COUNTS).sum() / COUNTS.sum(), rel=1e-12)
    assert logs["nll"] == pytest.approx((values * COUNTS).sum() / COUNTS.sum(), rel=1e-6)
    weights = COUNTS * WEIGHTS[:, None]
    assert logs["weighted_accuracy"] == pytest.approx((hits * weights).sum() / weights.sum(), rel=1e-9)
    model = embedded(nn.Dense(2))
    model.compile("sgd", "mse", metrics=["mae"])
    y = RNG.standard_normal((4, 4, 2))
    wanted = (abs(model.predict(IDS) - y).mean(-1) * COUNTS).sum() / COUNTS.sum()
    assert model.evaluate(IDS, y, verbose=0, return_dict=True)["mae"] == pytest.approx(wanted, rel=1e-9)


class Watching(nn.callbacks.Callback):
    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        pass


def test_losses_of_an_evaluation_are_means_of_batches_of_that_size() -> None:
    counts = RNG.random((300, 5)) < np.linspace(0.1, 0.9, 300)[:, None]
    x = np.where(counts, RNG.uniform(1, 2, (300, 5)), 0.0)[..., None] * np.ones(2)
    y = np.linspace(0, 3, 300)[:, None, None] * np.ones((5, 1))
    model = nn.Model([nn.Input((5, 2)), nn.Masking(), nn.Dense(1)], dtype="float64", seed=1)
    model.compile("sgd", "mse", metrics=["mse"])
    kernel, bias = model.get_weights()
    squares = ((x @ kernel + bias - y) ** 2)[..., 0] * counts
    mean = squares.sum() / counts.sum()
    for size in (32, 100, 300):
        parts = [slice(first, first + size) for first in range(0, 300, size)]
        loss = sum(squares[p].sum() / counts[p].sum() * len(squares[p]) for p in parts) / 300
        for callbacks in (None, [Watching()]):
            made = model.evaluate(x, y, batch_size=size, verbose=0, callbacks=callbacks)
            np.testing.assert_allclose(made, [loss, mean], rtol=1e-12)


def test_a_mask_of_elements_of_the_output_is_refused() -> None:
    x, m = nn.Input((4, 2)), nn.Input((4, 2))
    model = nn.Model([x, m], nn.Dropout(0.1)(nn.layers.ApplyMask()([x, m])))
    with pytest.raises(ValueError, match=r"loss: expected a mask of whole rows of the output, of shape \(4, 2\)"):
        model.compile("sgd", "mse")


def test_what_cannot_leave_them_out_says_so() -> None:
    model = embedded(nn.Dense(2, "softmax"))
    with pytest.raises(ValueError, match="metrics: auc counts all steps, and a mask says that some"):
        model.compile("sgd", "categorical_crossentropy", metrics=["auc"])
    with pytest.raises(ValueError, match="loss: expected one of nncore's along the last axis, for a mask"):
        model.compile("sgd", lambda t, p: ((p - t) ** 2, 2 * (p - t)))
    with pytest.raises(ValueError, match="expected a mask of axes before that of its features, axis=1, got one of"):
        embedded(nn.BatchNormalization(axis=1), nn.GlobalAveragePooling1D()).compile("sgd", "mse")
    frozen = embedded(nn.BatchNormalization(trainable=False), nn.GlobalAveragePooling1D())
    frozen.compile("sgd", "mse")
    assert embedded(nn.BatchNormalization(axis=1)).predict(IDS).shape == (4, 4, 3)  # which learns nothing
    np.testing.assert_allclose(frozen.predict(IDS), means(TABLE[IDS], COUNTS) / np.sqrt(1.001), rtol=1e-9)


def test_files_keep_what_is_masked(tmp_path: Path) -> None:
    model = nn.Model([nn.Input((4, 3)), nn.Masking(-1), nn.GlobalAveragePooling1D()])
    assert nn.Masking.from_config(nn.Masking(-1).get_config()).mask_value == -1
    x = RNG.standard_normal((5, 4, 3)).round()
    for made in (model, embedded(nn.GlobalAveragePooling1D())):
        made.save(tmp_path / "m.safetensors")
        data = IDS if made is not model else x
        np.testing.assert_array_equal(nn.load_model(tmp_path / "m.safetensors").predict(data), made.predict(data))


def test_a_change_of_mask_zero_is_followed() -> None:
    model = embedded(nn.GlobalAveragePooling1D())
    model.layers[0 if isinstance(model.layers[0], nn.Embedding) else 1].mask_zero = False
    np.testing.assert_allclose(model.predict(IDS), TABLE[IDS].mean(1), rtol=1e-12)


def test_texts_that_are_filled_up() -> None:
    """A table that reads what a lookup makes: the mask token has the number 0."""
    words = np.array([["a", "b", "", ""], ["c", "", "", ""], ["b", "b", "a", "c"]])
    lookup, texts = nn.StringLookup(vocabulary=["a", "b", "c"], mask_token=""), nn.Input(4, dtype="string")
    x = nn.Embedding(5, 3, mask_zero=True, weights=TABLE)(lookup(texts))
    model = nn.Model(texts, nn.GlobalAveragePooling1D()(x), dtype="float64")
    wanted = means(TABLE[lookup(words)], (words != "").astype(float))
    np.testing.assert_allclose(model.predict(words), wanted, rtol=1e-12)


def test_trainings_have_the_same_bits_for_any_number_of_threads() -> None:
    ids = RNG.integers(0, 5, (500, 30))
    found = []
    for threads in (1, 2):
        model = nn.Model([nn.Input(30), nn.Embedding(5, 3, mask_zero=True)], seed=2)
        steps = nn.Dense(3, "softmax")(nn.Dense(8, "relu")(model.output))
        pooled = nn.Dense(1)(nn.GlobalAveragePooling1D()(steps))
        both = nn.Model(model.input, [steps, pooled], seed=2, n_threads=threads)
        both.compile("adam", ["sparse_categorical_crossentropy", "mse"], metrics=[["accuracy"], []])
        history = both.fit(ids, [ids % 3, ids[:, :1] / 5], epochs=2, verbose=0).history
        found.append((both.get_weights(), history))
    assert found[0][1] == found[1][1]
    for one, two in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(one, two)


def test_batches_of_open_sizes_are_those_that_are_filled_up() -> None:
    def model(steps: int | None) -> nn.Model:
        table = nn.Embedding(5, 3, mask_zero=True, weights=TABLE)
        made = nn.Model(
            [nn.Input((steps,), dtype="int32"), table, nn.GlobalAveragePooling1D(), nn.Dense(2, "softmax")],
            dtype="float64",
            seed=1,
        )
        made.compile(nn.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return made

    short, long = model(None), model(9)
    for steps in (4, 7, 9, 4):
        ids = RNG.integers(0, 5, (6, steps))
        filled, labels = np.zeros((6, 9), np.int32), RNG.integers(0, 2, 6)
        filled[:, :steps] = ids
        np.testing.assert_allclose(short.train_on_batch(ids, labels), long.train_on_batch(filled, labels), rtol=1e-12)
    for a, b in zip(short.get_weights(), long.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_steps_of_steps_have_masks_of_their_own() -> None:
    """Sentences of words: of each the mean of those that count, and of the sentences those with a word."""
    ids = np.array([[[1, 0, 2], [0, 0, 0], [3, 4, 1]], [[2, 2, 0], [4, 0, 0], [0, 0, 1]]])
    words = nn.Input((3, 3))
    each = nn.TimeDistributed(nn.GlobalAveragePooling1D())(nn.Embedding(5, 3, mask_zero=True, weights=TABLE)(words))
    model = nn.Model(words, [each, nn.GlobalAveragePooling1D()(each)], dtype="float64")
    wanted = means(TABLE[ids].reshape(6, 3, 3), (ids != 0).reshape(6, 3)).reshape(2, 3, 3)
    sentences, mean = model.predict(ids)
    np.testing.assert_allclose(sentences, wanted, rtol=1e-12)
    np.testing.assert_allclose(mean, means(wanted, ids.any(-1)), rtol=1e-12)
    x = RNG.standard_normal((4, 4, 2, 3)) * COUNTS[:, :, None, None]
    inner = [nn.Input((4, 2, 3)), nn.TimeDistributed(nn.Masking()), nn.TimeDistributed(nn.GlobalAveragePooling1D())]
    x[0, 0, 1] = 0
    counts = x.any(-1).reshape(16, 2)
    np.testing.assert_allclose(
        nn.Model(inner, dtype="float64").predict(x).reshape(16, 3), means(x.reshape(16, 2, 3), counts), rtol=1e-12
    )
    made = embedded(nn.TimeDistributed(nn.BatchNormalization()))(IDS, training=True)
    for t in range(4):  # by the moments of each step, of the samples of which it counts
        kept = TABLE[IDS[COUNTS[:, t] > 0, t]]
        np.testing.assert_allclose(made[:, t], (TABLE[IDS[:, t]] - kept.mean(0)) / np.sqrt(kept.var(0) + 1e-3))
