"""Rules, slots, configurations and errors of the optimizers; the updates are tested with the kernels."""

from __future__ import annotations

import copy
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from nncore.optimizers import OPTIMIZERS, RULE_FIELDS, SGD, Adam, AdamW, RMSprop, get
from nncore.registry import serialize

SRC = Path(__file__).parents[1] / "src_c"
VARIANTS = [
    *(OPTIMIZERS.classes[name]() for name in OPTIMIZERS.names()),
    SGD(0.1, momentum=0.9, nesterov=True, clipnorm=2.0, name="mine"),
    Adam(beta_1=0.8, beta_2=0.99, epsilon=1e-8, weight_decay=0.1, clipvalue=0.5),
    AdamW(weight_decay=0.01, global_clipnorm=1.0),
    RMSprop(rho=0.99, momentum=0.5, centered=True),
]


def fields(optimizer):
    return dict(zip(RULE_FIELDS, optimizer.rule.tolist(), strict=True))


def test_rule_has_the_layout_of_the_c_struct():
    text = (SRC / "contract.h").read_text(encoding="utf-8")
    body = re.search(r"typedef struct nn_rule \{(.*?)\} nn_rule;", text, re.DOTALL)[1]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    declared = []
    for declaration in filter(None, map(str.strip, body.split(";"))):
        kind, names = declaration.split(maxsplit=1)
        assert kind == "double"
        declared += [name.strip() for name in names.split(",")]
    assert tuple(declared) == RULE_FIELDS
    for optimizer in VARIANTS:
        assert (optimizer.rule.dtype, optimizer.rule.shape) == (np.float64, (len(declared),))
        assert optimizer.rule.flags.c_contiguous
        assert optimizer.rule.flags.aligned


def test_kernels_are_those_of_the_definition_file():
    defined = re.findall(r"^OPTIMIZER\((\w+)\)", (SRC / "kernels.def").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(defined) >= 3
    assert {optimizer.kernel for optimizer in VARIANTS} == set(defined)


def test_names():
    assert OPTIMIZERS.names() == ["adam", "adamw", "rmsprop", "sgd"]
    for cls in (SGD, Adam, AdamW, RMSprop):
        assert type(get(cls.__name__)) is type(get(cls.__name__.lower())) is type(get(cls)) is cls
        assert cls().name == cls.__name__.lower()
    same = SGD()
    assert get(same) is same
    assert SGD(name="mine").name == "mine"


UNUSED = dict.fromkeys(RULE_FIELDS, 0.0) | {"grad_scale": 1.0, "clip_value": math.inf}


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        (SGD(), {"learning_rate": 0.01}),
        (SGD(0.5, 0.9, True), {"learning_rate": 0.5, "momentum": 0.9, "nesterov": 1.0}),
        (Adam(), {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
        (
            Adam(0.1, 0.2, 0.3, 0.4, 0.5, clipvalue=0.6),
            {
                "learning_rate": 0.1,
                "beta_1": 0.2,
                "beta_2": 0.3,
                "epsilon": 0.4,
                "weight_decay": 0.5,
                "clip_value": 0.6,
            },
        ),
        (AdamW(), {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.004}),
        (RMSprop(), {"learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-7}),
        (
            RMSprop(0.1, 0.2, 0.3, 0.4, True, 0.5),
            {"learning_rate": 0.1, "rho": 0.2, "momentum": 0.3, "epsilon": 0.4, "centered": 1.0, "weight_decay": 0.5},
        ),
    ],
    ids=repr,
)
def test_rule(optimizer, rule):
    assert fields(optimizer) == UNUSED | rule


@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [
        (SGD(), (None, None, None)),
        (SGD(nesterov=True), (None, None, None)),
        (SGD(momentum=0.9), ("momentum", None, None)),
        (Adam(), ("m", "v", None)),
        (AdamW(), ("m", "v", None)),
        (RMSprop(), ("velocity", None, None)),
        (RMSprop(momentum=0.9), ("velocity", "momentum", None)),
        (RMSprop(centered=True), ("velocity", None, "average_gradient")),
        (RMSprop(momentum=0.9, centered=True), ("velocity", "momentum", "average_gradient")),
    ],
    ids=repr,
)
def test_slots(optimizer, slots):
    assert optimizer.slots == slots


def test_learning_rate_reaches_the_memory_that_the_engine_reads():
    optimizer = Adam()
    rule, address = optimizer.rule, optimizer.rule.ctypes.data
    optimizer.learning_rate = np.float32(0.25)
    assert type(optimizer.learning_rate) is float
    assert optimizer.learning_rate == rule[RULE_FIELDS.index("learning_rate")] == 0.25
    assert optimizer.rule.ctypes.data == address
    assert optimizer.get_config()["learning_rate"] == 0.25
    for value, error in [(-0.1, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("0.1", TypeError)]:
        with pytest.raises(error, match=f"^learning_rate: expected a number in .*, got {value!r}"):
            optimizer.learning_rate = value
    assert optimizer.learning_rate == 0.25


def test_iterations_are_the_step_of_the_rule():
    optimizer = SGD()
    assert optimizer.iterations == 0
    optimizer.rule[RULE_FIELDS.index("step")] = 7
    assert optimizer.iterations == 7
    assert type(optimizer.iterations) is int
    optimizer.iterations = 9
    assert fields(optimizer)["step"] == 9.0
    for value, error in [(-1, ValueError), (1.0, TypeError), (True, TypeError)]:
        with pytest.raises(error, match=r"^iterations: expected an int"):
            optimizer.iterations = value


@pytest.mark.parametrize("optimizer", VARIANTS, ids=repr)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_have_a_rule_of_their_own(optimizer, copied):
    original = copy.deepcopy(optimizer)
    original.learning_rate, original.iterations = 0.125, 3
    original.exclude_from_weight_decay(["bias"])
    twin = copied(original)
    assert twin == original
    assert fields(twin) == fields(original)
    assert (twin.slots, twin.excluded_from_weight_decay) == (original.slots, ("bias",))
    assert not np.shares_memory(twin.rule, original.rule)
    twin.learning_rate, twin.iterations = 0.5, 4
    assert (original.learning_rate, original.iterations) == (0.125, 3)
    assert (twin.learning_rate, twin.iterations) == (0.5, 4)


@pytest.mark.parametrize("optimizer", VARIANTS, ids=repr)
def test_configuration(optimizer):
    twin = get(serialize(optimizer))
    assert twin == optimizer
    assert fields(twin) == fields(optimizer)
    assert (twin.clipnorm, twin.clipvalue, twin.global_clipnorm) == (
        optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm,
    )  # fmt: skip
    assert [other for other in VARIANTS if other == optimizer] == [optimizer]
    assert Adam() != AdamW(weight_decay=0.0)


def test_only_the_learning_rate_can_change():
    optimizer = RMSprop(momentum=0.9)
    for name in set(optimizer.get_config()) - {"learning_rate", "name"} | {"rule"}:
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
    with pytest.raises(ValueError, match=f"^{one}, {other}: expected at most one kind of clipping"):
        Adam(**{one: 1.0, other: 1.0})


def test_numbers_at_the_ends_of_their_intervals():
    assert SGD(0.0, momentum=1).momentum == 1.0
    assert Adam(beta_1=0, beta_2=0.0, epsilon=0).rule[RULE_FIELDS.index("beta_2")] == 0.0
    assert SGD(weight_decay=None).weight_decay == 0.0
    assert isinstance(SGD(nesterov=np.True_).nesterov, bool)


def test_unknown_names():
    with pytest.raises(ValueError, match="optimizer: expected a known optimizer, got 'adan'"):
        get("adan")
    with pytest.raises(TypeError, match="optimizer"):
        get(None)
    with pytest.raises(ValueError, match="unknown keys"):
        get({"class": "sgd", "config": {"lr": 0.1}})
    with pytest.raises(TypeError):
        hash(SGD())
