"""What models make is arranged as their outputs were given, as in Keras; an input that nothing reads is given, too."""

from __future__ import annotations

import copy
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nncore as nn

X = np.arange(12, dtype=np.float32).reshape(4, 3)
SUMS = X.sum(axis=1, keepdims=True)  # what a kernel of ones makes


def model_of(inputs: Callable[[Any], Any], outputs: Callable[[Any, Any], Any]) -> nn.Model:
    x = nn.Input((3,), name="x")
    once, twice = (nn.Dense(1, kernel_initializer=nn.initializers.Constant(n), name=f"d{n}")(x) for n in (1, 2))
    return nn.Model(inputs(x), outputs(once, twice))


def same(made: Any, wanted: Any) -> None:
    assert type(made) is type(wanted)
    if isinstance(wanted, dict):
        assert list(made) == list(wanted)
        made, wanted = list(made.values()), list(wanted.values())
    for one, other in zip(made, wanted, strict=True) if isinstance(wanted, (list, tuple)) else [(made, wanted)]:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        (lambda a, b: a, SUMS),
        (lambda a, b: [a], SUMS),
        (lambda a, b: (a,), SUMS),
        (lambda a, b: {"sum": a}, {"sum": SUMS}),
        (lambda a, b: [a, b], [SUMS, 2 * SUMS]),
        (lambda a, b: (a, b), (SUMS, 2 * SUMS)),
        (lambda a, b: {"z": a, "a": b}, {"a": 2 * SUMS, "z": SUMS}),
    ],
)
def test_outputs_are_arranged_as_they_were_given(outputs: Any, wanted: Any, tmp_path: pathlib.Path) -> None:
    model = model_of(lambda x: x, outputs)
    model.compile("sgd", None)
    model.save(tmp_path / "model.safetensors")
    for again in model, nn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(model):
        same(again.predict(X, verbose=0), wanted)
        same(again.predict_on_batch(X[:1]), copy.deepcopy(again)(X[:1]))
        same(again(X), wanted)
        same(again(X, training=True), wanted)
        same(again.predict(iter([X[:3], X[3:]]), verbose=0), wanted)
        assert type(again.output) is type(wanted) or isinstance(wanted, np.ndarray)
    clone = nn.clone_model(model)
    clone.set_weights(model.get_weights())
    same(clone(X), wanted)


def test_a_dict_of_one_output_has_its_loss_and_metrics_and_targets_by_its_key() -> None:
    """The loss is mean (y − Σx)², and one step of gradient descent w −= 0.001 · 2 mean((Σx − y) x)."""
    y = np.ones((4, 1), np.float32)
    for targets in y, {"sum": y}:
        model = model_of(lambda x: x, lambda a, b: {"sum": a})
        model.compile(nn.SGD(0.001), loss={"sum": "mse"}, metrics={"sum": ["mae"]})
        history = model.fit(X, targets, verbose=0).history
        assert list(history) == ["loss", "mae"]
        np.testing.assert_allclose(history["loss"], np.mean((SUMS - y) ** 2), rtol=1e-6)
        np.testing.assert_allclose(
            model.get_weights()[0][:, 0], 1 - 0.001 * 2 * ((SUMS - y) * X).mean(axis=0), rtol=1e-5
        )
        assert model.output_names == ["sum"] and list(model.output) == ["sum"]
    with pytest.raises(ValueError, match=r"loss: expected as key the last layer's name 'sum', got 'd1'"):
        model.compile("sgd", loss={"d1": "mse"})


def test_a_gradient_of_a_users_own_is_given_the_dict() -> None:
    model = model_of(lambda x: x, lambda a, b: {"sum": a})
    model.compile(nn.SGD(0.1), "mse")
    seen = []
    model.train_on_batch(X, grad=lambda made: (0.0, {"sum": np.full_like(seen.append(made) or made["sum"], 0.5)}))
    np.testing.assert_array_equal(seen[0]["sum"], SUMS)
    np.testing.assert_allclose(model.get_weights()[1], [-0.1 * 4 * 0.5], rtol=1e-6)


@pytest.mark.parametrize("given", [X, {"key": X}, {"x": X}, {"key": X, "more": X[:, :1]}, {"x": X, "more": X[:, :1]}])
def test_a_dict_of_one_input_is_given_by_its_key_or_the_inputs_name_or_by_itself(given: Any) -> None:
    model = model_of(lambda x: {"key": x}, lambda a, b: a)
    np.testing.assert_array_equal(model.predict(given, verbose=0), SUMS)
    assert model.input_names == ["key"] and list(model.input) == ["key"]
    for shape in (None, 3), {"key": (None, 3)}:
        assert model.compute_output_shape(shape) == (None, 1)


def test_a_model_that_gives_a_dict_of_one_may_stand_in_a_stack_and_is_called_for_a_dict() -> None:
    model = model_of(lambda x: x, lambda a, b: {"sum": a})
    stack = nn.Sequential([nn.Input((3,)), model, nn.Rescaling(3.0)])
    np.testing.assert_array_equal(stack.predict(X, verbose=0), 3 * SUMS)
    assert nn.Sequential([nn.Dense(3), model, nn.Dense(2)]).compute_output_shape((None, 5)) == (None, 2)
    symbols = model(nn.Input((3,)))
    assert list(symbols) == ["sum"] and symbols["sum"].shape == (None, 1)


# ---- inputs that no output depends on --------------------------------------------------------------------------------

MORE = np.arange(20, dtype=np.float32).reshape(4, 5)


def with_one_unread(wrap: Any) -> nn.Model:
    read, unread = nn.Input((3,), name="read"), nn.Input((5,), name="unread")
    return nn.Model(wrap(unread, read), nn.Dense(1, kernel_initializer="ones")(read))


@pytest.mark.parametrize(
    ("wrap", "given"),
    [
        (lambda a, b: [a, b], [MORE, X]),
        (lambda a, b: [b, a], [X, MORE]),
        (lambda a, b: {"a": a, "b": b}, {"a": MORE, "b": X}),
        (lambda a, b: [a, b], {"read": X, "unread": MORE}),
    ],
)
def test_an_input_that_nothing_reads_is_given_all_the_same(wrap: Any, given: Any, tmp_path: pathlib.Path) -> None:
    """One step of gradient descent on mean (y − Σx)² moves the bias by −0.001 · 2 mean(Σx − y)."""
    model, y = with_one_unread(wrap), np.ones((4, 1), np.float32)
    model.compile(nn.SGD(0.001), "mse")
    model.save(tmp_path / "model.safetensors")
    for again in model, nn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(model):
        np.testing.assert_array_equal(again.predict(given, verbose=0), SUMS)
        np.testing.assert_array_equal(again(given, training=True), SUMS)
        np.testing.assert_allclose(again.evaluate(given, y, verbose=0), np.mean((SUMS - y) ** 2), rtol=1e-6)
        again.fit(given, y, verbose=0)
        np.testing.assert_allclose(again.get_weights()[1], [-0.002 * np.mean(SUMS - y)], rtol=1e-5)
    assert len(model.inputs) == 2 and len(nn.clone_model(model).inputs) == 2
    with pytest.raises(ValueError, match="x: expected a list of 2, or a dict with the keys"):
        model.predict([X], verbose=0)


def test_a_model_with_an_unread_input_is_called_as_a_layer() -> None:
    inner, x, z = with_one_unread(lambda a, b: [b, a]), nn.Input((3,)), nn.Input((4,))
    outer = nn.Model([x, z], inner([x, nn.Dense(5)(z)]))
    np.testing.assert_array_equal(outer.predict([X, MORE[:, :4]], verbose=0), SUMS)
    outer.compile(nn.SGD(0.001), "mse")
    before = outer.get_weights()
    outer.fit([X, MORE[:, :4]], SUMS + 1, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, outer.get_weights(), strict=True)]
    assert sorted(moved) == [False, False, True, True]  # the layer that nothing reads has no gradient


def test_gradients_by_an_input_that_nothing_reads_are_refused() -> None:
    model = with_one_unread(lambda a, b: [a, b])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="of: expected an input that some layer reads, got <Symbol"):
        model.gradients([MORE, X], SUMS, of="inputs")


def test_the_only_output_has_its_own_key() -> None:
    """Targets and weights under another one are refused, as those of several outputs are."""
    x = nn.Input((2,))
    model = nn.Model(x, {"cls": nn.Dense(1)(x)})
    model.compile("sgd", {"cls": "mse"})
    a, y = np.ones((3, 2)), np.ones((3, 1))
    model.fit(a, {"cls": y}, sample_weight={"cls": np.ones(3)}, verbose=0)
    for given in ({"y": {"other": y}}, {"y": {"cls": y}, "sample_weight": {"other": np.ones(3)}}):
        with pytest.raises(ValueError, match=r"expected a dict with the keys \['cls'\], got \['other'\]"):
            model.fit(a, verbose=0, **given)
        with pytest.raises(ValueError, match=r"expected a dict with the keys \['cls'\], got \['other'\]"):
            model.evaluate(a, verbose=0, **given)
