"""Every loss in a model: steps against formulas, passes of any split and team, files, and going on from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as ref
import reference_losses as formulas
from numpy.typing import NDArray

import nncore as nn
from nncore.execution import team
from nncore.losses import LOSSES, Loss

Array = NDArray[Any]
B = 40


def quartic(y_true: Array, y_pred: Array) -> Any:
    error = y_pred - y_true
    return (error**4).sum(axis=-1), 4 * error**3


nn.saving.register_keras_serializable()(quartic)

#: Of each loss its object, the last activation, the units and what it is compared with.
KINDS: dict[str, tuple[Any, str | None, int, str]] = {
    name: (LOSSES.classes[name](), None, 3, "reals")
    for name in LOSSES.names()
    if name not in ("function_loss", "weighted_sum")
}
for name, activation, kind in (
    ("binary_crossentropy", "sigmoid", "shares"),
    ("binary_focal_crossentropy", "sigmoid", "shares"),
    ("categorical_crossentropy", "softmax", "distributions"),
    ("categorical_focal_crossentropy", "softmax", "distributions"),
    ("kl_divergence", "softmax", "distributions"),
    ("sparse_categorical_crossentropy", "softmax", "labels"),
    ("categorical_generalized_cross_entropy", "softmax", "labels"),
    ("dice", "sigmoid", "shares"),
    ("tversky", "sigmoid", "shares"),
    ("poisson", "softplus", "positive"),
    ("poisson_deviance", "softplus", "positive"),
    ("gamma_deviance", "softplus", "positive"),
    ("tweedie_deviance", "softplus", "positive"),
    ("contrastive", "softplus", "shares"),
    ("hinge", None, "classes"),
    ("squared_hinge", None, "classes"),
    ("categorical_hinge", None, "one-hot"),
    ("mean_squared_logarithmic_error", "softplus", "positive"),
    ("corn", None, "ranks"),
    ("circle", None, "groups"),
    ("triplet", None, "groups"),
):
    KINDS[name] = (KINDS[name][0], activation, 3, kind)
KINDS |= {
    "circle": (nn.losses.Circle(3.0, 0.25), "unit", 3, "groups"),
    "gaussian_nll": (nn.losses.GaussianNLL(), None, 4, "reals of 2"),
    "gaussian_nll of itself": (nn.losses.GaussianNLL("identity", floor=0.25), None, 4, "reals of 2"),
    "pinball": (nn.losses.Pinball([0.1, 0.5, 0.9]), None, 6, "reals of 2"),
    "pinball of one": (nn.losses.Pinball(0.3), None, 3, "reals"),
    "logits": (nn.losses.BinaryCrossentropy(True, 0.1), None, 3, "shares"),
    "focal logits": (nn.losses.CategoricalFocalCrossentropy([0.2, 0.5, 1.0], 1.5, True), None, 3, "distributions"),
    "smoothed": (nn.losses.CategoricalCrossentropy(label_smoothing=0.2), "softmax", 3, "distributions"),
    "probabilities": (nn.losses.CategoricalCrossentropy(), "sigmoid", 3, "distributions"),
    "labels": (nn.losses.SparseCategoricalCrossentropy(), "sigmoid", 3, "labels"),
    "ignored": (nn.losses.SparseCategoricalCrossentropy(ignore_class=1), "softmax", 3, "labels"),
    "far": (nn.losses.SparseCategoricalCrossentropy(True, ignore_class=255), None, 3, "labels or 255"),
    "far and weighted": (
        nn.losses.SparseCategoricalCrossentropy(True, 255, reduction="mean_with_sample_weight"),
        None,
        3,
        "labels or 255",
    ),
    "tweedie of 2": (nn.losses.TweedieDeviance(2), "softplus", 3, "positive"),
    "tweedie of 0": (nn.losses.TweedieDeviance(0.0), None, 3, "reals"),
    "dice of samples": (nn.losses.Dice(axis=-1), "sigmoid", 3, "shares"),
    "sum": (nn.losses.Huber(0.5, "sum"), None, 3, "reals"),
    "weighted mean": (nn.losses.MeanAbsoluteError("mean_with_sample_weight"), None, 3, "reals"),
    "terms": (0.7 * nn.losses.mse + 0.3 * nn.losses.cosine_similarity, None, 3, "reals"),
    "terms by turns": (nn.losses.CategoricalCrossentropy() - 0.5 * nn.losses.mse, "softmax", 3, "distributions"),
    "function": (nn.losses.FunctionLoss(quartic), None, 3, "reals"),
    "function and more": (0.5 * nn.losses.FunctionLoss(quartic, "sum") + nn.losses.mae, "tanh", 3, "reals"),
}
each_kind = pytest.mark.parametrize("kind", KINDS)
WHOLE = ("dice", "tversky", "circle", "triplet")  # of batches


def data(kind: str, rows: int = B) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((rows, 4))
    targets = {
        "reals": lambda: rng.standard_normal((rows, 3)),
        "reals of 2": lambda: rng.standard_normal((rows, 2)),
        "shares": lambda: rng.uniform(0, 1, (rows, 3)),
        "positive": lambda: rng.uniform(0.1, 3, (rows, 3)),
        "distributions": lambda: rng.dirichlet(np.ones(3), rows),
        "classes": lambda: rng.integers(0, 2, (rows, 3)),
        "one-hot": lambda: np.eye(3)[rng.integers(0, 3, rows)],
        "labels": lambda: rng.integers(0, 3, rows),
        "labels or 255": lambda: np.where(rng.random(rows) < 0.3, 255, rng.integers(0, 3, rows)),
        "ranks": lambda: rng.integers(0, 4, rows),
        "groups": lambda: rng.integers(-2, 2, rows),
    }
    return x, targets[KINDS[kind][3]]()


def model(kind: str, optimizer: Any = None, **settings: Any) -> nn.Model:
    loss, activation, units, _ = KINDS[kind]
    layers = [nn.Input(4), nn.Dense(5, "tanh"), nn.Dense(units)]
    last = nn.layers.UnitNormalization() if activation == "unit" else nn.Activation(activation)
    layers += [last] if activation else []
    made = nn.Model(layers, seed=3, **({"dtype": "float64"} | settings))
    made.compile(optimizer or nn.SGD(0.05), loss)
    return made


def formula(loss: Loss, p: Array, t: Array, weight: Array) -> float:
    """What `reduction` makes of the losses of rows, which `reference_losses` has."""
    if terms := (loss.terms() if len(loss.terms()) > 1 else []):
        return sum(factor * formula(term, p, t, weight) for factor, term in terms)
    if loss.python:
        values = quartic(t, p)[0]
    else:
        kernel = loss.choose("linear").kernel
        rows, target = p.reshape(-1, loss.row(p.shape[1:])), t
        if kernel == "pinball":
            target = t.reshape(-1, 1)
        if loss.joined:
            rows, target = p.reshape(1, -1), t.reshape(1, -1)
        numbers: Any = loss.numbers(kernel)
        if kernel == "pinball":
            e = target - rows
            levels = np.array(loss.columns)
            values = np.maximum(levels * e, (levels - 1) * e).mean(axis=1)
        elif loss.columns:
            numbers = (*numbers[:2], np.array(loss.columns))
            values = formulas.VALUES[kernel](rows, target, *numbers)
        elif "sparse" in kernel:
            hot = np.where(target == numbers[0], 0, target)
            values = np.where(target == numbers[0], 0, formulas.VALUES[kernel](rows, hot, -1))
        else:
            values = formulas.VALUES[kernel](rows, target, *numbers)
        if loss.joined:
            return float(values[0])
        values = values.reshape(len(p), -1).mean(axis=1)
    counts = np.ones(len(p), bool)
    if loss.target == "labels" and loss.labels(3)[2] is not None:
        counts = t != loss.labels(3)[2]
    if loss.name == "circle":
        counts = values > 0
    divisor = {"sum": 1.0, "mean_with_sample_weight": float(weight[counts].sum())}
    return float((weight * values).sum() / divisor.get(loss.reduction, float(np.count_nonzero(counts))))


@each_kind
@pytest.mark.filterwarnings("ignore:loss. .* expects:UserWarning")
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_follows_the_gradient_of_the_formula(kind: str, weighted: bool) -> None:
    """The weights before the last activation after a step of SGD, by differences of the formula; any weights."""
    if weighted and kind in ("dice", "tversky"):
        return
    loss, activation, _, _ = KINDS[kind]
    x, y = data(kind)
    w = np.random.default_rng(2).uniform(-1, 2, B) if weighted else np.ones(B)
    made = model(kind)
    W1, b1, W2, b2 = made.get_weights()
    h = np.tanh(x @ W1 + b1)

    def value(bias: Array) -> float:
        z = h @ W2 + bias
        unit = z / np.sqrt((z**2).sum(axis=1, keepdims=True))
        act = {None: z, "softmax": ref.softmax(z), "unit": unit}.get(activation)
        return formula(loss, ref.activate(activation, z) if act is None else act, y, w)

    numeric = np.zeros_like(b2)
    for j in range(len(b2)):
        step = 1e-3 * np.eye(len(b2))[j]
        numeric[j] = sum(
            c * (value(b2 + k * step) - value(b2 - k * step)) for k, c in ((1, 0.75), (2, -0.15), (3, 1 / 60))
        )
    numeric /= 1e-3
    found = made.train_on_batch(x, y, sample_weight=w if weighted else None)
    assert found == pytest.approx(value(b2), rel=1e-9, abs=1e-9)
    kinks = kind in ("triplet", "hinge", "mean_absolute_error", "pinball", "pinball of one", "weighted mean")
    kinks = kinks or kind in ("categorical_hinge", "function and more", "mean_absolute_percentage_error")
    np.testing.assert_allclose((b2 - made.get_weights()[3]) / 0.05, numeric, *((0.1, 0.05) if kinks else (1e-7, 1e-8)))


@each_kind
@pytest.mark.filterwarnings("ignore:loss. .* expects:UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_passes_have_the_same_bits(kind: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one thread and two; an evaluation in batches of any size, where rows do not depend on one another."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    x, y = data(kind, 100)
    w = np.random.default_rng(2).uniform(-1, 2, 100) if kind not in ("dice", "tversky") else None
    found = []
    for threads in (1, 2):
        made = model(kind, dtype=dtype, n_threads=threads)
        history = made.fit(x, y, sample_weight=w, batch_size=64, epochs=2, shuffle=False, verbose=0).history
        found.append((history, made.get_weights()))
        assert np.isfinite(history["loss"]).all()
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    if kind not in (*WHOLE, "sum", "weighted mean", "far and weighted", "ignored", "far", "function and more"):
        losses = {made.evaluate(x, y, sample_weight=w, batch_size=size, verbose=0) for size in (32, 64, 96)}
        assert len(losses) == 1


@each_kind
@pytest.mark.filterwarnings("ignore:loss. .* expects:UserWarning")
def test_files_and_going_on(kind: str, tmp_path: Path) -> None:
    """A model that is saved and loaded in the middle of a training ends with the same bits."""
    x, y = data(kind)
    whole, half = model(kind, nn.Adam(0.01)), model(kind, nn.Adam(0.01))
    whole.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    half.fit(x, y, epochs=1, batch_size=16, shuffle=False, verbose=0)
    half.save(tmp_path / "m.safetensors")
    again = nn.load_model(tmp_path / "m.safetensors")
    assert again.loss == half.loss == KINDS[kind][0]
    again.fit(x, y, epochs=1, batch_size=16, shuffle=False, verbose=0)
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.evaluate(x, y, verbose=0) == whole.evaluate(x, y, verbose=0)


def test_every_loss_is_here() -> None:
    assert {type(loss) for loss, *_ in KINDS.values()} == set(LOSSES.classes.values())


# -- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(B, 3), (B, 2, 3)], ids=str)
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_weights_of_elements(shape: tuple[int, ...], reduction: str) -> None:
    """Those of positions, and of elements, are those of a loss by itself; a step follows their gradient."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((B, *shape[1:-1], 4)), rng.standard_normal(shape)
    for weights in {shape, shape[:-1]}:
        w = rng.uniform(-1, 2, weights)
        made = nn.Model([nn.Input(x.shape[1:]), nn.Dense(3)], seed=1, dtype="float64")
        made.compile(nn.SGD(0.1), nn.losses.Huber(0.5, reduction))
        W, b = made.get_weights()
        p = x @ W + b
        each = w if w.shape == shape else w[..., None] * np.ones(shape)
        error = p - y
        value = np.where(abs(error) <= 0.5, error**2 / 2, 0.5 * abs(error) - 0.125)
        divisor = {"sum": 3, "mean_with_sample_weight": each.sum()}.get(reduction, p.size)
        found = made.train_on_batch(x, y, sample_weight=w)
        assert found == pytest.approx((each * value).sum() / divisor, rel=1e-10)
        slope = (each * np.clip(error, -0.5, 0.5)).reshape(-1, 3).sum(axis=0) / divisor
        np.testing.assert_allclose((b - made.get_weights()[1]) / 0.1, slope, 1e-9, 1e-12)
        alone = nn.losses.Huber(0.5, reduction, dtype="float64")(y, p, sample_weight=w)
        if reduction != "mean_with_sample_weight" or w.shape != shape or len(shape) == 2:
            assert alone == pytest.approx((each * value).sum() / divisor, rel=1e-10)


@pytest.mark.parametrize(
    ("loss", "weights", "words"),
    [
        ("cosine_similarity", (B, 3), r"sample_weight: expected shape \(40,\), one weight per sample, got \(40, 3\)"),
        (
            "mse",
            (B, 2),
            r"sample_weight: expected shape \(40,\), one .*, or \(40, 3\) for parts of samples, got \(40, 2\)",
        ),
        ("dice", (B,), r"sample_weight: expected None for a loss of the whole batch.*Give the loss an axis"),
        (quartic, (B - 1,), r"sample_weight: expected .*40.*39"),
    ],
)
def test_weights_that_do_not_fit(loss: Any, weights: tuple[int, ...], words: str) -> None:
    made = nn.Model([nn.Input(4), nn.Dense(3, "sigmoid")])
    made.compile("sgd", loss)
    with pytest.raises(ValueError, match=words):
        made.fit(np.ones((B, 4)), np.ones((B, 3)), sample_weight=np.ones(weights), verbose=0)


# -- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "units", "words"),
    [
        (nn.losses.GaussianNLL(), 3, "gaussian_nll expects a mean and a variance for each target, got 3 outputs"),
        (nn.losses.Pinball([0.1, 0.9]), 3, "pinball expects outputs for each of 2 quantiles of each target, got 3"),
        (nn.losses.MeanSquaredError(reduction=None), 1, "expected a reduction to a number.*got None of mean_squared"),
        (nn.losses.BinaryCrossentropy(axis=0), 2, "goes along the last axis, got axis=0.*Permute"),
        (
            nn.losses.Dice(axis=(0, 1)),
            2,
            r"whole batch, axis=None, each sample, axis=\(1,\), or the last.*got axis=\(0, 1\)",
        ),
        (nn.losses.CategoricalFocalCrossentropy([1, 2]), 3, "alpha: expected a number for each of 3 classes, got 2"),
    ],
)
def test_losses_that_do_not_fit(loss: Any, units: int, words: str) -> None:
    made = nn.Model([nn.Input(4), nn.Dense(units)])
    with pytest.raises(ValueError, match=words):
        made.compile("sgd", loss)


def test_odd_activations_are_warned_of_once() -> None:
    made = nn.Model([nn.Input(4), nn.Dense(3)])
    with pytest.warns(
        UserWarning, match="binary_crossentropy expects probabilities, but .*'linear' gives none"
    ) as told:
        made.compile("sgd", "binary_crossentropy")
        made.fit(np.ones((B, 4)), np.ones((B, 3)), verbose=0)
    assert len(told) == 1
    made = nn.Model([nn.Input(4), nn.Dense(3, "sigmoid")])
    with pytest.warns(UserWarning, match="from_logits=True expects logits, but .*'sigmoid' gives probabilities"):
        made.compile("sgd", nn.losses.CategoricalCrossentropy(from_logits=True))


# -- functions of the user's -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (lambda t, p: (p - t).sum(), TypeError, r"loss lambda: expected \(losses, gradient\), got float32"),
        (lambda t, p: (p, p, p), TypeError, r"expected \(losses, gradient\), got a tuple of 3"),
        (lambda t, p: (p, p), ValueError, r"expected losses of shape \(32,\), got \(32, 3\)"),
        (lambda t, p: (p[:, 0], p[:, 0]), ValueError, r"expected gradient of shape \(32, 3\), got \(32,\)"),
        (lambda t, p: (np.full(len(p), "a"), p), TypeError, "expected losses of real numbers, got <U1"),
    ],
)
def test_functions_that_return_something_else(given: Any, error: type[Exception], words: str) -> None:
    made = nn.Model([nn.Input(4), nn.Dense(3)])
    made.compile("sgd", given)
    before = made.get_weights()
    with pytest.raises(error, match=words):
        made.fit(np.ones((B, 4)), np.ones((B, 3)), verbose=0)
    for a, b in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_class_of_the_users(tmp_path: Path) -> None:
    @nn.saving.register_keras_serializable()
    class Quartic(Loss):
        def call(self, y_true: Array, y_pred: Array) -> Any:
            return quartic(y_true, y_pred)

    x, y = data("function")
    made, other = model("function"), model("function")
    made.compile(nn.SGD(0.05), Quartic())
    assert made.fit(x, y, verbose=0).history == other.fit(x, y, verbose=0).history
    made.save(tmp_path / "m.safetensors")
    assert nn.load_model(tmp_path / "m.safetensors").loss == Quartic()
    assert Quartic()(y, y + 1) == pytest.approx(3)
    assert (0.5 * Quartic() + nn.losses.mse)(y, y + 1) == pytest.approx(2.5)
    np.testing.assert_allclose((0.5 * Quartic() + nn.losses.mse).call(y, y + 1), 2.5)


def test_a_function_that_nobody_knows(tmp_path: Path) -> None:
    def mine(y_true: Array, y_pred: Array) -> Any:
        return quartic(y_true, y_pred)

    made = nn.Model([nn.Input(4), nn.Dense(3)])
    made.compile("sgd", mine)
    assert made.loss.name == "mine"
    made.save(tmp_path / "m.safetensors")
    with pytest.raises(
        ValueError, match=r"registered function, got 'mine'.*@nncore\.saving\.register_keras_serializable"
    ):
        nn.load_model(tmp_path / "m.safetensors")
    assert nn.load_model(tmp_path / "m.safetensors", custom_objects={"mine": mine}).loss == made.loss
