"""Parts of a user's own in models, their files and copies, whatever holds them and whoever else has their names."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn

Array = np.ndarray[Any, Any]
X, Y = np.linspace(-1, 1, 120).reshape(20, 6), np.linspace(0, 1, 40).reshape(20, 2)
STEPS = X.reshape(20, 3, 2)


@nn.saving.register_keras_serializable("own_parts")
class Threefold(nn.Layer):
    """Y = 3 X, known."""

    def forward(self, x: Array) -> Array:
        return 3 * x

    def backward(self, dy: Array) -> Array:
        return 3 * dy


class Fourfold(nn.Layer):
    """Y = 4 X, which nobody knows."""

    def forward(self, x: Array) -> Array:
        return 4 * x

    def backward(self, dy: Array) -> Array:
        return 4 * dy


class SquaredSum(nn.Loss):
    """Σ (p − t)², which nobody knows."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ((y_pred - y_true) ** 2).sum(axis=1), 2 * (y_pred - y_true)


class Rising(nn.schedules.LearningRateSchedule):
    """0.01 (1 + t), which nobody knows."""

    def __call__(self, step: Any) -> Any:
        return 0.01 * (1 + np.asarray(step))


def power(n: int) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """An activation and its derivative, called as those of any other `n`."""

    def raised(z: Array) -> Array:
        return z**n

    def derivative(z: Array) -> Array:
        return n * z ** (n - 1)

    return raised, derivative


def dense(activation: Any) -> nn.Model:
    """One layer, compiled."""
    model = nn.Model([nn.Input((6,)), nn.Dense(2, activation=activation)], seed=0)
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(("layer", "factor"), [(Threefold, 3), (Fourfold, 4)])
def test_a_layer_within_another_is_in_files_and_copies(layer: Any, factor: int, tmp_path: Path) -> None:
    model = nn.Model([nn.Input((3, 2)), nn.TimeDistributed(layer()), nn.Flatten()], seed=0)
    model.compile("sgd", "mse")
    model.save(tmp_path / "m")
    custom = {} if layer is Threefold else {"Fourfold": Fourfold}
    made = [
        nn.load_model(tmp_path / "m", custom_objects=custom),
        nn.models.model_from_json(model.to_json(), custom_objects=custom),
        copy.deepcopy(model),
        nn.models.clone_model(model),
    ]
    for twin in made:
        np.testing.assert_allclose(twin.predict(STEPS), (factor * STEPS).reshape(20, 6), rtol=1e-6)


def test_a_file_with_an_unknown_layer_within_another_says_what_to_do(tmp_path: Path) -> None:
    model = nn.Model([nn.Input((3, 2)), nn.TimeDistributed(Fourfold())], seed=0)
    model.save(tmp_path / "m")
    with pytest.raises(nn.FormatError, match=r"layer: expected a known layer, got 'fourfold'.* or custom_objects"):
        nn.load_model(tmp_path / "m")


@pytest.mark.parametrize("own", [SquaredSum, Rising])
def test_custom_objects_have_the_names_of_their_classes(own: Any, tmp_path: Path) -> None:
    model = nn.Model([nn.Input((6,)), nn.Dense(2, kernel_initializer="zeros")], seed=0)
    model.compile(nn.SGD(Rising() if own is Rising else 0.01), SquaredSum() if own is SquaredSum else "mse")
    model.save(tmp_path / "m")
    with pytest.raises(nn.FormatError, match="custom_objects"):
        nn.load_model(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m", custom_objects={own.__name__: own})
    if own is Rising:
        loaded.fit(X, Y, batch_size=5, epochs=1, verbose=0)  # 4 steps
        assert float(loaded.optimizer.learning_rate) == pytest.approx(0.05)
    else:
        assert loaded.evaluate(X, Y, verbose=0) == pytest.approx((Y**2).sum(axis=1).mean(), rel=1e-6)


def test_clones_keep_functions_that_nobody_has_registered() -> None:
    model = dense((lambda z: z**2, lambda z: 2 * z))
    clone = nn.models.clone_model(model)
    clone.set_weights(kept := model.get_weights())
    np.testing.assert_allclose(clone.predict(X), (X @ kept[0] + kept[1]) ** 2, rtol=1e-4, atol=1e-6)
    assert nn.check_gradients(model, X, Y)


def test_clones_keep_functions_whose_names_others_have() -> None:
    model = dense(power(2))
    others = power(3)
    with nn.saving.custom_object_scope({"raised": others[0], "derivative": others[1]}):
        clone = nn.models.clone_model(model)
        clone.set_weights(kept := model.get_weights())
        np.testing.assert_allclose(clone.predict(X), (X @ kept[0] + kept[1]) ** 2, rtol=1e-4, atol=1e-6)
        wrong = dense((power(2)[0], others[1]))  # z² with the derivative of z³
        with pytest.raises(ValueError, match="DIFFER"):
            nn.check_gradients(wrong, X, Y)


def test_clones_are_compiled_with_schedules_and_optimizers_that_no_file_could_name() -> None:
    """A class of a user's own, a function of the step, and one that chooses an optimizer for each weight."""
    model = nn.Model([nn.Input((6,)), nn.Dense(2)], seed=0)
    model.compile(nn.SGD(Rising()), "mse")
    model.fit(X, Y, batch_size=5, verbose=0)  # 4 steps
    clone = nn.models.clone_model(model)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    assert float(clone.optimizer.learning_rate) == pytest.approx(0.01)
    model.compile(nn.SGD(lambda t: 0.5 / (1 + t)), "mse")
    assert float(nn.models.clone_model(model).optimizer.learning_rate) == 0.5
    slow, fast = nn.SGD(0.25), nn.SGD(0.5)
    model.compile(nn.optimizers.MultiOptimizer(lambda weight: slow if weight.name == "bias" else fast), "mse")
    clone = nn.models.clone_model(model)
    before = clone.get_weights()
    clone.train_on_batch(X, grad=np.ones((20, 2)))  # the sum over samples is the gradient
    np.testing.assert_allclose(clone.get_weights()[0], before[0] - 0.5 * X.sum(axis=0)[:, None], rtol=1e-5)
    np.testing.assert_allclose(clone.get_weights()[1], before[1] - 0.25 * 20, rtol=1e-6)
    assert (clone.optimizer.iterations, model.optimizer.iterations) == (1, 0)


def test_a_layer_within_another_has_a_name_that_no_layer_of_nncore_has(tmp_path: Path) -> None:
    """Or a file would be loaded with that layer in its place."""
    other = type("Flatten", (Fourfold,), {})
    model = nn.Model([nn.Input((3, 2)), nn.TimeDistributed(other())], seed=0)
    with pytest.raises(ValueError, match="expected a class with a name of its own, got another Flatten; rename it"):
        model.save(tmp_path / "m")


def test_a_rate_of_dropout_that_nobody_has_registered_is_cloned() -> None:
    model = nn.Model([nn.Input((6,)), nn.Dropout(lambda t: 0.5 / (1 + t)), nn.Dense(2)], seed=0)
    [dropout, _] = nn.models.clone_model(model).layers
    assert float(dropout.rate(4)) == pytest.approx(0.1)


class Surrogate(nn.Loss):
    """Clipped ratios of probabilities, by targets that hold the action taken, its advantage and its old logarithm."""

    def target_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (3,)

    def call(self, y_true: Array, y_pred: Array) -> Any:
        rows, (action, advantage, old) = np.arange(len(y_true)), y_true.T
        p = np.exp(y_pred) / np.exp(y_pred).sum(axis=1, keepdims=True)
        taken = np.eye(y_pred.shape[1])[action.astype(int)]
        ratio = p[rows, action.astype(int)] / np.exp(old)
        inside = ratio * advantage <= np.clip(ratio, 0.8, 1.2) * advantage
        loss = -np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
        return loss, np.where(inside, -advantage * ratio, 0)[:, None] * (taken - p)


def test_targets_of_a_shape_that_a_loss_of_the_users_says() -> None:
    x = np.random.default_rng(2).standard_normal((40, 4))
    y = np.stack([np.arange(40) % 3, np.linspace(-1, 1, 40), np.full(40, -1.1)], axis=1)
    made = nn.Model([nn.Input(4), nn.Dense(3)], seed=0, dtype="float64")
    made.compile(nn.SGD(0.1), Surrogate())
    W, b = made.get_weights()
    loss, gradient = Surrogate().call(y, x @ W + b)
    assert made.evaluate(x, y, batch_size=40, verbose=0) == pytest.approx(loss.mean())
    made.fit(x, y, batch_size=40, shuffle=False, verbose=0)
    np.testing.assert_allclose(made.get_weights()[0], W - 0.1 * x.T @ gradient / 40, rtol=1e-12)
    assert nn.check_gradients(made, x, y)


def test_other_targets_of_a_function_are_refused_with_what_to_do() -> None:
    made = nn.Model([nn.Input(4), nn.Dense(3)])
    made.compile("sgd", lambda t, p: (((p - t) ** 2).sum(axis=1), 2 * (p - t)))
    with pytest.raises(ValueError, match=r"y: expected shape \(8, 3\), got \(8, 5\).*`target_shape`.*grad="):
        made.fit(np.zeros((8, 4)), np.zeros((8, 5)))


def test_a_part_that_has_the_name_of_one_of_nncores_is_not_taken_for_that(tmp_path: Path) -> None:
    """Under a name of its own in files it comes back; without one it is not saved."""

    class Huber(nn.Loss):
        def call(self, y_true: Array, y_pred: Array) -> Any:
            return 5 * ((y_pred - y_true) ** 2).sum(axis=1), 10 * (y_pred - y_true)

    model = nn.Sequential([nn.Input((6,)), nn.Dense(2)], seed=1)
    model.compile("sgd", Huber())
    with pytest.raises(ValueError, match="loss: expected a class with a name of its own, got another Huber; rename"):
        model.save(tmp_path / "m.safetensors")
    known = nn.saving.register_keras_serializable("own_parts", "own_huber")(Huber)
    model.compile("sgd", known())
    model.save(tmp_path / "m.safetensors")
    again = nn.load_model(tmp_path / "m.safetensors")
    assert type(again.loss) is Huber
    expected = 5 * ((model.predict(X, verbose=0) - Y) ** 2).sum(1).mean()
    np.testing.assert_allclose(again.evaluate(X, Y, verbose=0), expected, 1e-5)


class Scaled(nn.Loss):
    """d Σ (p − t)², whose constructor hands on what it does not know, as Keras's examples do."""

    def __init__(self, d: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.d = d

    def call(self, y_true: Array, y_pred: Array) -> Any:
        return self.d * ((y_pred - y_true) ** 2).sum(axis=1), 2 * self.d * (y_pred - y_true)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "d": self.d}


def test_a_loss_that_hands_its_arguments_on(tmp_path: Path) -> None:
    model = nn.Sequential([nn.Input((6,)), nn.Dense(2)], seed=1)
    model.compile("sgd", Scaled(2.0, reduction="sum"))
    assert repr(model.loss) == "Scaled(d=2.0, reduction='sum')"
    model.save(tmp_path / "m.safetensors")
    again = nn.load_model(tmp_path / "m.safetensors", custom_objects={"Scaled": Scaled})
    assert (again.loss.d, again.loss.reduction) == (2.0, "sum")


def test_a_model_that_is_loaded_uncompiled_needs_nothing_that_it_was_compiled_with(tmp_path: Path) -> None:
    """Neither its loss nor its schedule is known; the optimizer's arrays are left in the file."""
    model = nn.Sequential([nn.Input((6,)), nn.Dense(2)], seed=1)
    model.compile(nn.Adam(Rising()), SquaredSum())
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(nn.FormatError, match="learning_rate: expected a known schedule"):
        nn.load_model(tmp_path / "m.safetensors")
    again = nn.load_model(tmp_path / "m.safetensors", compile=False)
    assert not again.compiled
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(again.predict(X, verbose=0), X.astype(np.float32) @ kernel + bias, 1e-5, 1e-6)
