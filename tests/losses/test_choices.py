"""Names, plans and errors of the losses; their numbers are tested with the kernels."""

from __future__ import annotations

import copy
import math
import pickle
import re
from pathlib import Path

import pytest

from nncore.losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    FunctionLoss,
    Huber,
    LossChoice,
    MeanAbsoluteError,
    MeanSquaredError,
    Pinball,
    SparseCategoricalCrossentropy,
    TweedieDeviance,
    WeightedSum,
    get,
)
from nncore.registry import serialize
from nncore.saving import register_keras_serializable

KERNELS_DEF = Path(__file__).parents[2] / "src_c" / "kernels.def"
DEFINED = dict(re.findall(r"^LOSS\((\w+), \w+, (\w+),", KERNELS_DEF.read_text(encoding="utf-8"), re.MULTILINE))
ACTIVATIONS = re.findall(r"^ACTIVATION\((\w+), \w+,", KERNELS_DEF.read_text(encoding="utf-8"), re.MULTILINE)
NO_PROBABILITIES = [name for name in ACTIVATIONS if name != "sigmoid"]
CROSSENTROPIES = [BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy]
WITH_LOGITS = [cls for cls in LOSSES.classes.values() if "from_logits" in cls.config_names()]
VARIANTS = [
    *(LOSSES.classes[name]() for name in LOSSES.names() if name != "function_loss"),
    FunctionLoss(math.hypot),
    Huber(0.5),
    *(cls(from_logits=True) for cls in WITH_LOGITS),
    *(TweedieDeviance(power) for power in (0, 1, 2)),
    Pinball([0.1, 0.9]),
    0.5 * MeanSquaredError() + MeanAbsoluteError(reduction="sum"),
]


def choice_or_none(loss, activation):
    try:
        return loss.choose(activation)
    except ValueError:
        return None


def test_plans_reach_every_kernel_with_its_kind_of_target():
    reached = {
        (choice.kernel, "LABELS" if loss.target == "labels" else "VALUES")
        for loss in VARIANTS
        for activation in [*ACTIVATIONS, "softmax"]
        if not isinstance(loss, (WeightedSum, FunctionLoss)) and (choice := choice_or_none(loss, activation))
    }
    assert len(DEFINED) >= 35
    assert reached == {(name, "LABELS" if kind == "LABELS" else "VALUES") for name, kind in DEFINED.items()}


def test_names():
    assert set(LOSSES.names()) == {name for name in DEFINED if not name.endswith("_logits")} | {
        "dice", "weighted_sum", "function_loss",
    }  # fmt: skip
    assert get("mse") == get("MSE") == get("MeanSquaredError") == MeanSquaredError()
    assert get("mae") == MeanAbsoluteError()
    assert get("bce") == BinaryCrossentropy()
    assert get(SparseCategoricalCrossentropy) == SparseCategoricalCrossentropy(from_logits=False)
    assert get(None) is None


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "softmax"])
@pytest.mark.parametrize("loss", [MeanSquaredError(), MeanAbsoluteError(), Huber()], ids=repr)
def test_errors_of_values_take_any_activation(loss, activation):
    assert loss.choose(activation) == LossChoice(LOSSES.name_of(loss), fused=False)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_plans_of_categorical_crossentropies(name):
    probabilities, logits = LOSSES.classes[name](), LOSSES.classes[name](from_logits=True)
    assert probabilities.choose("softmax") == (f"{name}_logits", True)
    for activation in NO_PROBABILITIES:
        assert logits.choose(activation) == (f"{name}_logits", False)
    assert probabilities.doubt("softmax") is None
    for activation in ACTIVATIONS:  # the units of a sigmoid do not sum to one
        assert probabilities.choose(activation) == (name, False)
        words = probabilities.doubt(activation)
        assert re.search(f'{name} .*{activation}.*activation="softmax".*from_logits=True', words)
    for activation in ("softmax", "sigmoid"):
        assert logits.choose(activation) == (f"{name}_logits", False)
        words = logits.doubt(activation)
        assert re.search(f'{activation}.*activation=None.*activation="softmax".*from_logits=False', words)


def test_plans_of_binary_crossentropy():
    probabilities, logits = BinaryCrossentropy(), BinaryCrossentropy(from_logits=True)
    assert probabilities.choose("sigmoid") == ("binary_crossentropy_logits", True)
    assert probabilities.choose("softmax") == ("binary_crossentropy", False)
    for activation in NO_PROBABILITIES:
        assert logits.choose(activation) == ("binary_crossentropy_logits", False)
        assert probabilities.choose(activation) == ("binary_crossentropy", False)
        assert re.search(f'{activation}.*activation="sigmoid".*from_logits=True', probabilities.doubt(activation))
    for activation in ("softmax", "sigmoid"):
        words = logits.doubt(activation)
        assert re.search(f'{activation}.*activation=None.*activation="sigmoid".*from_logits=False', words)


def test_attributes():
    assert [loss.target for loss in (MeanSquaredError(), SparseCategoricalCrossentropy())] == ["values", "labels"]
    assert (Huber().numbers("huber"), Huber(2).numbers("huber")) == ((1.0,), (2.0,))
    assert MeanSquaredError().numbers("mean_squared_error") == ()
    assert BinaryCrossentropy(from_logits=True).from_logits
    assert not MeanSquaredError().from_logits


@pytest.mark.parametrize("loss", VARIANTS, ids=repr)
def test_copies_are_equal_and_others_are_not(loss):
    register_keras_serializable()(math.hypot)
    for twin in (get(serialize(loss)), pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert twin == loss
        assert twin.from_logits == loss.from_logits and twin.name == loss.name
    assert [other for other in VARIANTS if other == loss] == [loss]


@pytest.mark.parametrize(
    ("delta", "error"),
    [(0.0, ValueError), (-1, ValueError), (math.inf, ValueError), (math.nan, ValueError), ("1", TypeError)],
)
def test_bad_delta(delta, error):
    with pytest.raises(error, match=f"^delta: expected a finite number > 0, got {delta!r}"):
        Huber(delta)


@pytest.mark.parametrize("cls", CROSSENTROPIES)
def test_bad_from_logits(cls):
    with pytest.raises(TypeError, match=r"^from_logits: expected True or False, got 1"):
        cls(from_logits=1)


def test_unknown_names():
    with pytest.raises(ValueError, match=r"loss: expected a known loss, got 'huberr'\. Did you mean 'huber'"):
        get("huberr")
    for name in ("crossentropy", "CE"):
        with pytest.raises(
            ValueError, match=f"^loss: expected one crossentropy, got {name!r}.*'sparse_categorical_cross"
        ):
            get(name)
    with pytest.raises(TypeError, match="loss: expected the name of a loss"):
        get(7)
    with pytest.raises(ValueError, match="smoothing"):
        get({"class": "binary_crossentropy", "config": {"smoothing": 0.1}})
