"""Around the rules: running means, gradients of several steps, factors, exclusions, arrays."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_rules import linear, rows

import nncore as nn
from nncore.schedules import InverseTimeDecay

Array = np.ndarray[Any, Any]


class Variable:
    """What has the methods of other libraries' variables."""

    def __init__(self, value: Any, name: str = "variable") -> None:
        self.array, self.name, self.path = np.array(value, np.float32), name, f"layer/{name}"

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.array(self.array, dtype)

    def assign(self, value: Any) -> None:
        self.array = np.array(value, np.float32)


# -- running means -----------------------------------------------------------------------------------------------------


def test_running_means_of_weights() -> None:
    """W̄ is W after the first step, then follows; at the end of a fit it takes the place of W."""
    x, y = rows()
    plain, model = linear(nn.SGD(0.1)), linear(nn.SGD(0.1, use_ema=True, ema_momentum=0.75))
    mean: list[Array] = []
    for step in range(4):
        batch = slice(10 * step, 10 * step + 10)
        plain.train_on_batch(x[batch], y[batch])
        weights = plain.get_weights()
        mean = [w if step == 0 else 0.75 * m + 0.25 * w for m, w in zip(mean or weights, weights, strict=True)]
    model.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    for w, m in zip(model.get_weights(), mean, strict=True):
        np.testing.assert_allclose(w, m, rtol=1e-12)
    model.swap_averages()
    for w, p in zip(model.get_weights(), plain.get_weights(), strict=True):
        assert not np.allclose(w, p)  # the weights were overwritten: both are the mean


def test_running_means_overwrite_weights_every_so_often() -> None:
    w, g = np.array([3.0, 4.0]), np.ones(2)
    optimizer = nn.SGD(1.0, use_ema=True, ema_momentum=0.75, ema_overwrite_frequency=2)
    optimizer.apply([g], [w])
    np.testing.assert_array_equal(w, [2, 3])
    optimizer.apply([g], [w])
    np.testing.assert_allclose(w, [1.75, 2.75])  # 0.75 · 2 + 0.25 · 1
    optimizer.apply([g], [w])
    np.testing.assert_allclose(w, [0.75, 1.75])
    optimizer.finalize_variable_values([w])
    np.testing.assert_allclose(w, [1.5, 2.5])  # 0.75 · 1.75 + 0.25 · 0.75


def test_a_fit_of_no_step_leaves_weights() -> None:
    x, y = rows()
    model = linear(nn.SGD(0.1, use_ema=True))
    before = model.get_weights()
    model.fit(x, y, epochs=0, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# -- gradients of several steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.SGD, nn.Adam, nn.Lamb, nn.Adafactor, nn.Muon])
def test_the_mean_gradient_of_several_steps_makes_an_update(make: Any) -> None:
    """As one step of all their rows; clipping is that of the mean."""
    x, y = rows()
    whole, parts = linear(make(0.05, clipnorm=0.05)), linear(make(0.05, clipnorm=0.05, gradient_accumulation_steps=4))
    whole.fit(x, y, batch_size=40, epochs=3, shuffle=False, verbose=0)
    parts.fit(x, y, batch_size=10, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    assert parts.optimizer.iterations == whole.optimizer.iterations == 3
    assert parts.optimizer.batches == 12


def test_weights_wait_for_the_last_of_several_steps() -> None:
    x, y = rows()
    model = linear(nn.SGD(InverseTimeDecay(0.1, 1, 1.0), gradient_accumulation_steps=3))
    before, changed = model.get_weights(), []
    for _ in range(7):
        model.train_on_batch(x, y)
        now = model.get_weights()
        changed.append(not np.array_equal(now[0], before[0]))
        before = now
    assert changed == [False, False, True] * 2 + [False]
    assert model.optimizer.counter.tolist() == [2, 1]
    assert model.optimizer.learning_rate == pytest.approx(0.1 / 3)


def test_statistics_follow_every_step() -> None:
    layers = [nn.Input(3), nn.BatchNormalization(momentum=0.5), nn.Dense(1)]
    model = nn.Model(layers, seed=0, dtype="float64")
    model.compile(nn.SGD(0.0, gradient_accumulation_steps=4), "mse")
    x = np.random.default_rng(0).standard_normal((20, 3))
    for _ in range(3):
        model.train_on_batch(x, np.zeros((20, 1)))
    np.testing.assert_allclose(model.layers[0].moving_mean.numpy(), 0.875 * x.mean(0))


# -- factors and exclusions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.SGD, nn.Adam, nn.Lamb, nn.Adafactor, nn.Muon])
def test_factors_of_learning_rates(make: Any) -> None:
    """A layer of the factor 0 stays; of others a model with that rate tells what they become."""
    x, y = rows()
    models = []
    for rate, factors in [(0.02, {"dense": 0.5, "dense/bias": 0.0, "last": 0}), (0.01, {"last": 0, "bias": 0})]:
        model = linear(make(rate))
        start = model.get_weights()
        model.optimizer.scale_learning_rate(factors)
        model.fit(x, y, batch_size=40, epochs=1, shuffle=False, verbose=0)
        models.append(model.get_weights())
    for i, (a, b) in enumerate(zip(*models, strict=True)):
        np.testing.assert_allclose(a, b, rtol=1e-12)
        assert np.array_equal(a, start[i]) == (i > 0)


def test_factors_are_part_of_the_configuration() -> None:
    optimizer = nn.Adam()
    optimizer.scale_learning_rate({"bias": 2})
    twin = nn.optimizers.get(nn.optimizers.serialize(optimizer))
    assert twin == optimizer != nn.Adam() and twin.learning_rate_factors == {"bias": 2.0}
    wrong = [({"": 1.0}, ValueError), ({"a": -1}, ValueError), ({"a": "1"}, TypeError), (["a"], TypeError)]
    for factors, error in wrong:
        with pytest.raises(error, match="^factors"):
            optimizer.scale_learning_rate(factors)


def test_weights_are_excluded_from_decay_by_name_or_themselves() -> None:
    model = linear(nn.SGD(0.1, weight_decay=0.5))
    model.optimizer.exclude_from_weight_decay(var_list=[model.layers[0].kernel], var_names=["bias"])
    assert model.optimizer.excluded_from_weight_decay == ("bias", "dense/kernel")
    variables = [np.ones(2), np.ones(2), Variable([1, 1], "spared"), Variable([1, 1], "other")]
    optimizer = nn.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay([variables[0]], ["spared"])
    optimizer.apply([np.zeros(2)] * 4, variables)
    np.testing.assert_allclose([np.asarray(v)[0] for v in variables], [1, 0.95, 1, 0.95])


# -- by itself ---------------------------------------------------------------------------------------------------------


def test_variables_without_a_gradient_stay_with_their_state() -> None:
    optimizer, a, b = nn.SGD(0.5, momentum=0.5), np.ones(2), np.ones(3)
    optimizer.apply([np.ones(2), np.ones(3)], [a, b])
    kept, state = b.copy(), [v.copy() for v in optimizer.variables[3:]]
    with pytest.warns(UserWarning, match=r"grads: expected one for each variable, got None for numbers \[1\]"):
        optimizer.apply_gradients([(np.ones(2), a), (None, b)])
    assert np.array_equal(b, kept) and np.array_equal(optimizer.variables[3], state[0])
    optimizer.apply([np.ones(3)], [b])
    np.testing.assert_allclose(b, 0.5 - 0.25 - 0.5)
    np.testing.assert_allclose(a, 0.5 - 0.25 - 0.5)


def test_weights_of_layers_and_others_variables_are_assigned() -> None:
    layer = nn.Dense(2)
    model = nn.Model([nn.Input(3), layer], dtype="float32")
    variable = Variable([[1.0, 2.0]])
    before = layer.kernel.numpy()
    nn.SGD(1.0).apply([np.ones((3, 2)), np.ones((1, 2))], [layer.kernel, variable])
    np.testing.assert_allclose(layer.kernel.numpy(), before - 1)
    np.testing.assert_allclose(variable.array, [[0, 1]])
    assert model.built


def test_state_of_another_is_taken_over() -> None:
    x = np.array([1.0, 2.0])
    one, other = nn.Adam(0.25), nn.Adam()
    one.apply([x], [x.copy()])
    with pytest.raises(ValueError, match="weights: You are calling set_weights of an optimizer without state"):
        other.set_weights(one.variables)
    other.build([x])
    other.set_weights(one.variables)
    assert other.iterations == 1 and other.learning_rate == 0.25
    y, z = x.copy(), x.copy()
    one.apply([x], [one._trainable_variables[0]])
    other.apply([x], [x])
    assert all(np.array_equal(a, b) for a, b in zip(one.variables, other.variables, strict=True)), (y, z)
    with pytest.raises(ValueError, match=r"weights\[2\]: expected shape \(2,\), got \(3,\)"):
        other.set_weights([*one.variables[:2], np.zeros(3), np.zeros(2)])


def test_losses_are_scaled_and_gradients_scaled_back() -> None:
    optimizer, w = nn.SGD(1.0, loss_scale_factor=4.0, clipnorm=1.0), np.zeros(2)
    assert optimizer.scale_loss(2.0) == 8.0 and nn.SGD().scale_loss(2.0) == 2.0
    optimizer.apply([np.array([1.2, 1.6])], [w])
    np.testing.assert_allclose(w, [-0.3, -0.4])


@pytest.mark.parametrize(
    ("grads", "variables", "error", "words"),
    [
        ([None], [np.ones(2)], ValueError, "grads: expected a gradient for some variable"),
        ([np.ones(3)], [np.ones(2)], ValueError, r"grads: expected shape \(2,\) for variable_0, got \(3,\)"),
        ([np.ones(2)] * 2, [np.ones(2)], ValueError, "grads: expected one for each of 1 variables, got 2"),
        ([np.ones(2)], [np.ones(2, int)], TypeError, "variables: expected arrays of float32 or float64, got int64"),
        ([np.ones(2)], None, ValueError, "trainable_variables: expected a list of them, got None"),
    ],
)
def test_what_does_not_fit(grads: Any, variables: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        nn.SGD().apply(grads, variables)


def test_what_does_not_fit_later() -> None:
    optimizer, a = nn.SGD(), np.ones(2)
    optimizer.apply([a], [a])
    with pytest.raises(ValueError, match="trainable_variables: expected those that the optimizer was built with"):
        optimizer.apply([a], [np.ones(2)])
    optimizer.apply([], [])
    model = linear(nn.SGD())
    with pytest.raises(ValueError, match="optimizer: expected one that no model trains with"):
        model.optimizer.apply([a], [a])
    assert SimpleNamespace(n=optimizer.iterations).n == 1


@pytest.mark.parametrize("make", [nn.SGD, nn.Lamb, nn.Adafactor, nn.Muon])
def test_scalars(make: Any) -> None:
    w = np.array(2.0)
    optimizer = make(0.5, weight_decay=0.0)
    optimizer.apply([np.array(1.0)], [w])
    assert w.shape == () and 0.5 < w < 2.0


def test_a_schedule_by_itself() -> None:
    optimizer, w = nn.SGD(InverseTimeDecay(1.0, 1, 1.0)), np.zeros(1)
    for _ in range(3):
        optimizer.apply([np.ones(1)], [w])
    np.testing.assert_allclose(w, -(1 + 1 / 2 + 1 / 3))
    assert len(optimizer.variables) == 1


def test_numbers_of_an_optimizer_can_be_assigned_to() -> None:
    """As variables of other libraries can; what was read before stays as it was."""
    optimizer, w = nn.SGD(0.5, momentum=0.9), np.zeros(2)
    optimizer.apply([np.ones(2)], [w])
    rate, count = optimizer.learning_rate, optimizer.iterations
    assert type(rate.numpy()) is np.float32 and type(count.numpy()) is np.int64 and count.value == 1
    rate.assign(0.25)
    count.assign(7)
    assert (optimizer.learning_rate, optimizer.iterations) == (0.25, 7) and (rate, count) == (0.5, 1)
    optimizer.iterations.assign_add(2)
    optimizer.learning_rate.assign_sub(0.125)
    assert (optimizer.learning_rate, optimizer.iterations) == (0.125, 9)
    for number, kind in ((copy.deepcopy(rate), float), (pickle.loads(pickle.dumps(count)), int)):
        assert type(number) is kind  # which holds no optimizer
    with pytest.raises(ValueError, match="learning_rate: expected a number in"):
        rate.assign(-1)


def test_state_arrays_can_be_assigned_to() -> None:
    """v ← 0.9 v − 0.5 g, W ← W + v: from a velocity of 0 again, the second step is as the first."""
    optimizer, w = nn.SGD(0.5, momentum=0.9), np.zeros(2)
    optimizer.apply([np.ones(2)], [w])
    steps, rate, velocity = optimizer.variables
    np.testing.assert_allclose(velocity.numpy(), [-0.5, -0.5])
    assert type(velocity.numpy()) is type(velocity.value) is np.ndarray
    velocity.assign_add([1.0, 2.0])
    velocity.assign_sub([0.5, 1.5])
    np.testing.assert_array_equal(velocity, [0.0, 0.0])
    optimizer.apply([np.ones(2)], [w])
    np.testing.assert_allclose(w, [-1.0, -1.0])
    with pytest.raises(ValueError, match=r"value: expected an array of shape \(2,\), got \(3,\)"):
        velocity.assign(np.zeros(3))
    steps.assign(3)
    rate.assign(np.float32(0.125))
    assert optimizer.iterations == 3 and optimizer.learning_rate == 0.125
    with pytest.raises(ValueError, match="iterations: expected an int in"):
        optimizer.variables[0].assign(-1)
    with pytest.raises(ValueError, match="learning_rate: expected a number in"):
        optimizer.variables[1].assign(-1)
