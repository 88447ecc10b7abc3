"""Numbers, state, configurations and errors of the optimizers; the updates are tested with the kernels."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from nncore._kernels import table
from nncore._kernels.table import NUMBERS, SCHEDULED
from nncore.attributes import arguments
from nncore.optimizers import LBFGS, OPTIMIZERS, SGD, Adam, AdamW, MultiOptimizer, Optimizer, RMSprop, get
from nncore.registry import serialize

FILE = Path(__file__).parents[2] / "src_c" / "operations" / "parameters" / "optimizers.def"
DEFINITIONS = FILE.read_text(encoding="utf-8").partition("#ifdef OPTIMIZER")[2]
#: Those that have a rule: not what holds others, nor what evaluates the loss.
CLASSES = [cls for cls in OPTIMIZERS.classes.values() if cls not in (MultiOptimizer, LBFGS)]
VARIANTS = [
    *(cls() for cls in CLASSES),
    SGD(0.1, momentum=0.9, nesterov=True, clipnorm=2.0, name="mine"),
    Adam(beta_1=0.8, beta_2=0.99, epsilon=1e-8, weight_decay=0.1, clipvalue=0.5),
    AdamW(weight_decay=0.01, global_clipnorm=1.0),
    RMSprop(rho=0.99, momentum=0.5, centered=True),
]


def own(optimizer):
    """The kernel's hyper-parameters, by name."""
    return dict(zip(NUMBERS[optimizer.kernel], optimizer.numbers.tolist(), strict=True))


def declared(entry):
    return re.findall(rf"{entry}\((\w+)", DEFINITIONS, re.MULTILINE)


def test_kernels_are_those_of_the_definition_file():
    assert list(table.OPTIMIZERS) == declared(r"^OPTIMIZER")
    assert len(table.OPTIMIZERS) >= 3
    assert {optimizer.kernel for optimizer in VARIANTS} == set(table.OPTIMIZERS)


def test_structs_are_those_of_the_definition_file():
    """All numbers are doubles, one after another in the order of the file; the rule's are what all have in common."""
    entries = re.findall(r"^OPTIMIZER\((\w+),(.*?)\)$(?=\n[O#])", DEFINITIONS, re.MULTILINE | re.DOTALL)
    assert len(entries) == len(table.OPTIMIZERS)
    for name, text in entries:
        numbers = re.findall(r"(?:NUMBER|FLAG)\((\w+)(?:, \"(.*?)\")?\)", text)
        assert table.NUMBERS[name] == {n: (8 * i, interval or None) for i, (n, interval) in enumerate(numbers)}
        assert list(table.NUMBERS[name]) == [n for n, _ in numbers]
        assert table.NUMBERS_BYTES[name] == 8 * len(numbers)
        assert list(table.STATES[name]) == re.findall(r"STATE\((\w+)\)", text)
    assert {name: (8 * i, None) for i, name in enumerate(declared("^EVERY"))} == table.RULE_NUMBERS


@pytest.mark.parametrize("cls", CLASSES)
def test_constructors_take_what_the_kernel_declares(cls):
    assert set(NUMBERS[cls.kernel]) <= set(arguments(cls))
    assert set(cls.spared) <= set(table.STATES[cls.kernel])
    assert set(cls.spared.values()) <= set(NUMBERS[cls.kernel])


@pytest.mark.parametrize("cls", CLASSES)
def test_hyper_parameters_are_checked_as_declared(cls):
    """At the ends of the declared interval, and beyond them."""
    for name, (_, interval) in NUMBERS[cls.kernel].items():
        if interval is None:
            assert getattr(cls(**{name: True}), name) is True
            with pytest.raises(TypeError, match=f"^{name}: expected"):
                cls(**{name: 1})
            continue
        low, high = (float(end) for end in interval[1:-1].split(","))
        for end, closed, beyond in [(low, interval[0] == "[", low - 1), (high, interval[-1] == "]", high + 1)]:
            if closed:
                assert own(cls(**{name: end}))[name] == end
            for value in [beyond, *([] if closed else [end])]:
                with pytest.raises(ValueError, match=f"^{name}: expected a number in {re.escape(interval)}, got"):
                    cls(**{name: value})


def test_names():
    assert {"adam", "adamw", "lazyadam", "lazysgd", "rmsprop", "sgd"} < set(OPTIMIZERS.names())
    for cls in CLASSES:
        assert type(get(cls.__name__)) is type(get(cls.__name__.lower())) is type(get(cls)) is cls
        assert cls().name == cls.__name__.lower()
    same = SGD()
    assert get(same) is same
    assert SGD(name="mine").name == "mine"


@pytest.mark.parametrize(
    ("optimizer", "numbers"),
    [
        (SGD(), {"momentum": 0.0, "nesterov": 0.0}),
        (SGD(0.5, 0.9, True), {"momentum": 0.9, "nesterov": 1.0}),
        (Adam(), {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": 0.0}),
        (
            Adam(0.1, 0.2, 0.3, 0.4, True, 0.5, None, 0.6),
            {"beta_1": 0.2, "beta_2": 0.3, "epsilon": 0.4, "amsgrad": 1.0},
        ),
        (AdamW(), {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": 0.0}),
        (RMSprop(), {"rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": 0.0}),
        (RMSprop(0.1, 0.2, 0.3, 0.4, True, 0.5), {"rho": 0.2, "momentum": 0.3, "epsilon": 0.4, "centered": 1.0}),
    ],
    ids=repr,
)
def test_numbers(optimizer, numbers):
    assert own(optimizer) == numbers
    assert optimizer.numbers.dtype == np.float64
    assert optimizer.numbers.flags.c_contiguous
    assert optimizer.numbers.flags.aligned


@pytest.mark.parametrize(
    ("optimizer", "names"),
    [
        (SGD(), ()),
        (SGD(nesterov=True), ()),
        (SGD(momentum=0.9), ("momentum",)),
        (Adam(), ("m", "v")),
        (AdamW(), ("m", "v")),
        (Adam(amsgrad=True), ("m", "v", "v_max")),
        (RMSprop(), ("velocity",)),
        (RMSprop(momentum=0.9), ("velocity", "momentum")),
        (RMSprop(centered=True), ("velocity", "average_gradient")),
        (RMSprop(momentum=0.9, centered=True), ("velocity", "momentum", "average_gradient")),
    ],
    ids=repr,
)
def test_state_names(optimizer, names):
    assert optimizer.state_names == names


def test_learning_rate_reaches_the_memory_that_the_engine_reads():
    optimizer = Adam(weight_decay=0.125)
    ahead = optimizer.ahead()
    assert list(SCHEDULED) == ["learning_rate", "weight_decay"]
    assert [values.tolist() for values in ahead.numbers] == [[0.001], [0.125]]
    optimizer.learning_rate = np.float32(0.25)
    assert isinstance(optimizer.learning_rate, float)
    assert optimizer.ahead() is ahead
    assert optimizer.learning_rate == ahead.numbers[0][0] == 0.25
    assert optimizer.get_config()["learning_rate"] == 0.25
    for value, error in [(-0.1, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("0.1", TypeError)]:
        with pytest.raises(error, match=f"^learning_rate: expected a number in .*, got {value!r}"):
            optimizer.learning_rate = value
    assert optimizer.learning_rate == 0.25


def test_iterations_are_counted_where_the_engine_counts():
    optimizer = SGD()
    assert optimizer.iterations == 0
    optimizer.counter[0] = 7
    assert optimizer.iterations == 7
    assert isinstance(optimizer.iterations, int) and json.dumps(optimizer.iterations) == "7"
    counter = optimizer.counter
    optimizer.iterations = 9
    assert optimizer.counter is counter and counter.tolist() == [9, 0]
    for value, error in [(-1, ValueError), (2**53, ValueError), (1.0, TypeError), (True, TypeError)]:
        with pytest.raises(error, match=r"^iterations: expected an int"):
            optimizer.iterations = value


@pytest.mark.parametrize("optimizer", VARIANTS, ids=repr)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_have_memory_of_their_own(optimizer, copied):
    original = copy.deepcopy(optimizer)
    original.learning_rate, original.iterations = 0.125, 3
    original.exclude_from_weight_decay(["bias"])
    twin = copied(original)
    assert twin == original
    assert own(twin) == own(original)
    assert (twin.state_names, twin.excluded_from_weight_decay) == (original.state_names, ("bias",))
    assert not np.shares_memory(twin.counter, original.counter)
    rates = [o.ahead().numbers[0] for o in (twin, original)]
    assert not np.shares_memory(*rates)
    twin.learning_rate, twin.iterations = 0.5, 4
    assert (original.learning_rate, original.iterations) == (0.125, 3)
    assert (twin.learning_rate, twin.iterations) == (0.5, 4)


@pytest.mark.parametrize("optimizer", VARIANTS, ids=repr)
def test_configuration(optimizer):
    twin = get(serialize(optimizer))
    assert twin == optimizer
    assert own(twin) == own(optimizer)
    assert (twin.clipnorm, twin.clipvalue, twin.global_clipnorm) == (
        optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm,
    )  # fmt: skip
    assert [other for other in VARIANTS if other == optimizer] == [optimizer]
    assert Adam() != AdamW(weight_decay=0.0)


def test_only_the_learning_rate_can_change():
    optimizer = RMSprop(momentum=0.9)
    for name in set(optimizer.get_config()) - {"learning_rate", "name"} | {"numbers", "counter"}:
        with pytest.raises(AttributeError, match=f"^{name}: fixed when the optimizer is made"):
            setattr(optimizer, name, 0.5)
    assert (optimizer.momentum, optimizer.centered, optimizer.weight_decay) == (0.9, False, 0.0)


def test_exclusion_from_weight_decay():
    optimizer = AdamW()
    assert optimizer.excluded_from_weight_decay == ()
    assert "exclude_from_weight_decay" not in optimizer.get_config()
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma"])
    assert optimizer.excluded_from_weight_decay == ("bias", "gamma")
    assert optimizer != AdamW()
    twin = get(serialize(optimizer))
    assert twin == optimizer
    assert twin.excluded_from_weight_decay == ("bias", "gamma")
    for names, error in [("bias", TypeError), ([1], TypeError), ([""], ValueError)]:
        with pytest.raises(error, match=r"^var_names: expected"):
            optimizer.exclude_from_weight_decay(names)


@pytest.mark.parametrize("cls", [SGD, Adam, AdamW, RMSprop])
@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("learning_rate", -1e-3, ValueError),
        ("learning_rate", None, TypeError),
        ("weight_decay", -0.1, ValueError),
        ("clipnorm", 0.0, ValueError),
        ("clipvalue", -1, ValueError),
        ("global_clipnorm", math.inf, ValueError),
        ("clipnorm", "1", TypeError),
        ("name", 3, TypeError),
    ],
)
def test_bad_common_arguments(cls, argument, value, error):
    with pytest.raises(error, match=f"^{argument}: expected .*got {value!r}"):
        cls(**{argument: value})


@pytest.mark.parametrize(
    ("cls", "argument", "value", "error"),
    [
        (SGD, "momentum", 1.1, ValueError),
        (SGD, "momentum", True, TypeError),
        (SGD, "nesterov", 1, TypeError),
        (Adam, "beta_1", 1.0, ValueError),
        (Adam, "beta_2", -0.1, ValueError),
        (Adam, "epsilon", math.nan, ValueError),
        (AdamW, "beta_2", 1, ValueError),
        (RMSprop, "rho", 1.0, ValueError),
        (RMSprop, "momentum", -0.5, ValueError),
        (RMSprop, "epsilon", -1e-7, ValueError),
        (RMSprop, "centered", "no", TypeError),
    ],
)
def test_bad_hyper_parameters(cls, argument, value, error):
    with pytest.raises(error, match=f"^{argument}: expected .*got {value!r}"):
        cls(**{argument: value})


@pytest.mark.parametrize(
    ("one", "other"), [("clipnorm", "clipvalue"), ("clipvalue", "global_clipnorm"), ("clipnorm", "global_clipnorm")]
)
def test_at_most_one_kind_of_clipping(one, other):
    with pytest.raises(
        ValueError, match=f"^{one}, {other}: expected at most one kind of clipping, got 2.*Only one of `clipn"
    ):
        Adam(**{one: 1.0, other: 1.0})


@pytest.mark.parametrize("base", [Optimizer, SGD])
@pytest.mark.parametrize("name", [None, "mine"])
def test_there_are_none_of_ones_own(base, name):
    own = type("Own", (base,), {"update_step": lambda self, gradient, variable, learning_rate: None})
    with pytest.raises(
        ValueError, match="^Own is not a registered optimizer; .* An optimizer of your own is not possible"
    ):
        own(0.1, name=name)


def test_numbers_at_the_ends_of_their_intervals():
    assert SGD(0.0, momentum=1).momentum == 1.0
    assert Adam(beta_1=0, beta_2=0.0, epsilon=0).numbers.tolist() == [0.0, 0.0, 0.0, 0.0]
    assert SGD(weight_decay=None).weight_decay == 0.0
    with pytest.raises(
        ValueError, match=r"^weight_decay: expected .*got None; Adam has none \(Argument `weight_decay`"
    ):
        AdamW(weight_decay=None)
    assert isinstance(SGD(nesterov=np.True_).nesterov, bool)


def test_unknown_names():
    with pytest.raises(ValueError, match="optimizer: expected a known optimizer, got 'adan'"):
        get("adan")
    assert get(None) is None
    with pytest.raises(ValueError, match="unknown keys"):
        get({"class": "sgd", "config": {"lr": 0.1}})
    with pytest.raises(TypeError):
        hash(SGD())


def test_what_keras_looks_at_inside():
    """Names that its tests of optimizers use: clipped gradients by their formulas, running means, sums of gradients."""
    grads = [np.array([3.0, -4.0], "f4"), np.array([0.5], "f4")]
    clipped = SGD(clipvalue=1.0)._clip_gradients(grads)
    np.testing.assert_allclose(clipped[0], [1, -1])
    np.testing.assert_allclose(SGD(clipnorm=1.0)._clip_gradients(grads)[0], [0.6, -0.8], 1e-6)
    norm = np.sqrt(25.25)
    np.testing.assert_allclose(SGD(global_clipnorm=1.0)._clip_gradients(grads)[1], [0.5 / norm], 1e-6)
    w = [np.array([1.0, 2.0])]
    optimizer = SGD(1.0, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.5)
    optimizer.apply([np.array([1.0, 3.0])], w)
    np.testing.assert_allclose(optimizer._accumulated_gradients, [[1, 3]])
    optimizer.apply([np.array([3.0, 3.0])], w)
    np.testing.assert_allclose(optimizer._model_variables_moving_average, [[-1, -1]])
    with pytest.raises(AttributeError, match="average: expected an optimizer that keeps it"):
        _ = SGD()._model_variables_moving_average


def test_several_optimizers_whose_number_changes_forget_what_they_made_of_all():
    first, second = SGD(0.1), SGD(0.2)
    several = MultiOptimizer(lambda variable: first if "bias" in variable.path else second)
    several.part_of("a/bias", None)
    assert several.ahead() is several._ahead
    several.part_of("a/kernel", None)
    assert several._ahead is None and several.ahead() is several._ahead
