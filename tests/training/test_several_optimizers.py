"""Several optimizers, each for some of the weights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from test_rules import linear, rows

import nncore as nn
from nncore.optimizers import MultiOptimizer, OptimizerMap
from nncore.schedules import InverseTimeDecay


def test_each_of_several_optimizers_does_what_it_does_alone() -> None:
    """Beside another, whose layer has the factor 0 in the model that it is compared with; also of norms of all."""
    x, y = rows()
    inner = [lambda: nn.Adam(0.01, weight_decay=0.1), lambda: nn.SGD(0.1, momentum=0.9, global_clipnorm=0.01)]
    both = linear(MultiOptimizer(OptimizerMap(inner[1](), {"dense/.*": inner[0]()})))
    start = both.get_weights()
    both.fit(x, y, batch_size=40, verbose=0, shuffle=False)
    for number, (make, other) in enumerate(zip(inner, ("last", "dense"), strict=True)):
        alone = linear(make())
        if number:
            for p in alone.layers[0].weights:
                assert p.trainable
            alone.layers[0].trainable = False
            alone.compile(make(), "mse")
        else:
            alone.optimizer.scale_learning_rate({other: 0.0})
        alone.fit(x, y, batch_size=40, verbose=0, shuffle=False)
        own = slice(2 * number, 2 * number + 2)
        for a, b, c in zip(both.get_weights()[own], alone.get_weights()[own], start[own], strict=True):
            assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_rates_of_several_optimizers() -> None:
    x, y = rows()
    adam, sgd = nn.Adam(0.5), nn.SGD(InverseTimeDecay(0.1, 1, 1.0))
    multi = MultiOptimizer(OptimizerMap(sgd, {"dense/.*": adam}))
    assert multi.optimizers == [adam, sgd]
    model = linear(multi)
    model.train_on_batch(x, y)
    before = model.get_weights()
    adam.learning_rate = 0.0
    model.train_on_batch(x, y)
    same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert same == [True, True, False, False]
    assert sgd.iterations == adam.iterations == 2 and sgd.learning_rate == pytest.approx(0.1 / 3)
    for action in (lambda: multi.learning_rate, lambda: setattr(multi, "learning_rate", 0.1)):
        with pytest.raises(AttributeError, match="learning_rate: a MultiOptimizer has none"):
            action()
    twin = copy.copy(multi)
    twin.optimizers[0].learning_rate = 0.25
    assert adam.learning_rate == 0.0 and twin.optimizers[0].iterations == 2


def test_a_function_chooses_an_optimizer() -> None:
    adam, sgd = nn.Adam(0.5), nn.SGD(0.1)
    multi = MultiOptimizer(lambda variable: adam if variable.name == "bias" else sgd)
    model = linear(multi)
    x, y = rows()
    start = model.get_weights()
    model.train_on_batch(x, y)
    np.testing.assert_allclose(np.abs(start[1] - model.get_weights()[1]), 0.5, rtol=1e-3)
    with pytest.raises(TypeError, match="optimizer_map: expected an OptimizerMap, which can be described"):
        multi.get_config()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: OptimizerMap("adam"), TypeError, "default_optimizer: expected an optimizer, got 'adam'"),
        (lambda: OptimizerMap(nn.SGD(), {"a": 1}), ValueError, "optimizer: expected an optimizer, got 1"),
        (lambda: OptimizerMap(nn.SGD(), {"a.*": nn.SGD(), ".*b": nn.SGD()})["ab"], ValueError, "expected one key that"),
        (lambda: MultiOptimizer(nn.SGD()), TypeError, "optimizer_map: expected an OptimizerMap or a function"),
        (lambda: OptimizerMap(nn.SGD(), {"a": MultiOptimizer(OptimizerMap(nn.SGD()))}), ValueError, "got a Multi"),
    ],
)
def test_maps_that_are_none(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_all_of_several_optimizers_have_the_same_steps() -> None:
    with pytest.raises(ValueError, match="gradient_accumulation_steps: expected the same of all optimizers"):
        linear(MultiOptimizer(OptimizerMap(nn.SGD(), {"dense/.*": nn.SGD(gradient_accumulation_steps=2)})))


def test_a_function_may_make_an_optimizer_at_each_call() -> None:
    """It is asked once for each weight, which an optimizer of its own then trains: as those of a map, bit by bit."""
    x, y = rows()
    asked: list[str] = []

    def choose(variable: Any) -> nn.Optimizer:
        asked.append(variable.path)
        return nn.Adam(0.01) if variable.path.startswith("dense/") else nn.SGD(0.1, momentum=0.9)

    made = MultiOptimizer(choose)
    one = linear(made)
    other = linear(MultiOptimizer(OptimizerMap(nn.SGD(0.1, momentum=0.9), {"dense/.*": nn.Adam(0.01)})))
    for model in (one, other):
        model.fit(x, y, batch_size=10, epochs=2, verbose=0)
    assert asked == ["dense/kernel", "dense/bias", "last/kernel", "last/bias"]
    assert [type(part) for part in made.optimizers] == [nn.Adam, nn.Adam, nn.SGD, nn.SGD]
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))
    many = [np.zeros(1) for _ in range(9)]
    with pytest.raises(ValueError, match=r"expected at most 8 optimizers, got another: SGD.* one that was made before"):
        MultiOptimizer(lambda variable: nn.SGD()).build(many)


@pytest.mark.parametrize("used", [False, True])
def test_a_copy_leaves_the_optimizers_of_a_function_alone(used: bool) -> None:
    """Whether the function was asked before the copy was made, or not."""
    x, y = rows()
    adam, sgd = nn.Adam(0.5), nn.SGD(0.1)
    multi = MultiOptimizer(lambda variable: adam if variable.name == "bias" else sgd)
    if used:
        linear(multi).train_on_batch(x, y)
    twin = copy.copy(multi)
    linear(twin, seed=4).fit(x, y, batch_size=10, epochs=2, verbose=0)
    assert twin.iterations == 8 and adam.iterations == sgd.iterations == multi.iterations == used
    assert len(twin.optimizers) == 2 and not {id(adam), id(sgd)} & {id(part) for part in twin.optimizers}


def test_a_map_is_a_dict_of_those_that_have_a_key() -> None:
    rest, first = nn.SGD(0.5), nn.Adam(0.25)
    made = OptimizerMap(rest, {"dense/.*": first})
    assert list(made.items()) == [("dense/.*", first)] and list(made.keys()) == ["dense/.*"]
    assert "dense/.*" in made and "dense/kernel" not in made and made["dense/kernel"] is first and made["last"] is rest
    assert made == OptimizerMap(nn.SGD(0.5), {"dense/.*": nn.Adam(0.25)}) and made != OptimizerMap(first, dict(made))
    made.update({"last": first})
    assert made.pop("last") is first and made["last"] is rest and len(made) == 1


def test_variables_of_several() -> None:
    """The steps, each rate that is a number, in the optimizers' order, and arrays: 2 of Adam and 1 of momentum."""
    x, y = rows()
    adam = nn.Adam(0.25)

    def several(*more: Any) -> MultiOptimizer:
        return MultiOptimizer(OptimizerMap(nn.SGD(0.5, momentum=0.9), {"dense/kernel": adam, **dict(more)}))

    one = several(("dense/bias", nn.SGD(InverseTimeDecay(0.1, 1, 1.0))))
    model = linear(one)
    model.train_on_batch(x, y)
    assert [float(v) for v in one.variables[:3]] == [1, 0.25, 0.5]
    assert [v.shape for v in one.variables[3:]] == [(5, 7), (5, 7), (7, 3), (3,)]
    one.variables[1].assign(0.125)
    one.variables[2].assign(0.75)
    assert [part.learning_rate for part in one.optimizers[::2]] == [0.125, 0.75] and one.iterations == 1
    adam, other = nn.Adam(), several()
    other.build(model.trainable_weights)
    with pytest.raises(ValueError, match="weights: expected 8 arrays, got 7"):
        other.set_weights(one.variables)
    given = [3, 0.5, 0.0625, *(np.full(v.shape, 2.0) for v in other.variables[3:])]
    other.set_weights(given)
    assert other.iterations == 3 and [part.learning_rate for part in other.optimizers] == [0.5, 0.0625]
    for a, b in zip(given, other.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_map_has_what_has_a_key() -> None:
    """But for what is looked up, of which any has an optimizer."""
    default, adam = nn.SGD(0.1), nn.Adam()
    known = OptimizerMap(default, {"dense/.*": adam})
    assert known["dense/kernel"] is adam and known["other"] is default
    assert known.get("dense/.*") is adam and known.get("dense/kernel") is None and known.get("other", 7) == 7
    assert known.setdefault("dense/.*", default) is adam and "other" not in known
    assert known.setdefault("other", added := nn.SGD(0.2)) is added and known["other"] is added


def test_a_deep_copy_knows_what_the_function_returns() -> None:
    first, second = nn.SGD(0.1), nn.Adam()
    model = linear(MultiOptimizer(lambda weight: first if "kernel" in weight.path else second))
    x, y = rows()
    model.fit(x, y, epochs=1, verbose=0)
    for made in (copy.copy(model.optimizer), copy.deepcopy(model.optimizer), copy.deepcopy(model).optimizer):
        count = len(made.parts)
        made.part_of("later/kernel")
        assert len(made.parts) == count == 2
