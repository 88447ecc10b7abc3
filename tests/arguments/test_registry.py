"""Objects by name: every registry, every spelling, and what is refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest

from nncore import activations, initializers, layers, losses, metrics, optimizers, regularizers, saving, schedules
from nncore._kernels import table
from nncore.attributes import arguments
from nncore.registry import Configurable, Registry, plain, serialize, snake_case, to_json, unknown

REGISTRIES: dict[str, tuple[Any, Any]] = {
    "activation": (activations.ACTIVATIONS, activations.get),
    "initializer": (initializers.INITIALIZERS, initializers.get),
    "loss": (losses.LOSSES, losses.get),
    "metric": (metrics.METRICS, metrics.get),
    "optimizer": (optimizers.OPTIMIZERS, optimizers.get),
    "regularizer": (regularizers.REGULARIZERS, regularizers.get),
}
ALL = [
    (kind, name)
    for kind, (registry, _) in REGISTRIES.items()
    for name, cls in sorted(registry.classes.items())
    if all(p.default is not p.empty for p in arguments(cls).values())
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GlorotUniform", "glorot_uniform"),
        ("Dense", "dense"),
        ("SGD", "sgd"),
        ("DENSE", "dense"),
        ("glorot_uniform", "glorot_uniform"),
        ("AdamW", "adam_w"),
        ("MeanSquaredError", "mean_squared_error"),
        ("HTTPServer", "http_server"),
        ("", ""),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


@metrics.register_function
def function_of_rows(y_true: Any, y_pred: Any) -> Any:
    return y_pred


#: Arguments of those that need some.
NEEDED: dict[str, dict[str, Any]] = {
    "iou": {"num_classes": 3, "target_class_ids": [0]},
    "mean_iou": {"num_classes": 3},
    "one_hot_iou": {"num_classes": 3, "target_class_ids": [0]},
    "one_hot_mean_iou": {"num_classes": 3},
    "sensitivity_at_specificity": {"specificity": 0.5},
    "specificity_at_sensitivity": {"sensitivity": 0.5},
    "precision_at_recall": {"recall": 0.5},
    "recall_at_precision": {"precision": 0.5},
    "mean_metric_wrapper": {"fn": "function_of_rows"},
}


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_name_in_every_spelling(kind: str, name: str) -> None:
    registry, get = REGISTRIES[kind]
    cls = registry.classes[name]
    assert registry.find(name, "a") is cls is registry.find(cls.__name__, "a")
    if needed := NEEDED.get(name):
        made = cls(**needed)
    else:
        made = get(name, "a")
        assert type(made) is cls is type(get(cls, "a")) is type(get(cls.__name__, "a"))
    assert get(made, "a") is made and registry.name_of(made) == name
    described = json.loads(json.dumps(serialize(made)))
    assert described["class"] == name
    again = get(described, "a")
    assert type(again) is cls and again.get_config() == made.get_config()
    assert cls.__doc__
    with pytest.raises(ValueError, match="unknown keys"):
        get({"class": name, "config": {"evil": 1}}, "a")


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("activation", "ReLU", "Relu"),
        ("activation", "LeakyReLU", "LeakyRelu"),
        ("activation", "leakyrelu", "LeakyRelu"),
        ("activation", "GELU", "Gelu"),
        ("activation", "SiLU", "Silu"),
        ("activation", "Swish", "Silu"),
        ("loss", "MSE", "MeanSquaredError"),
        ("loss", "BinaryCrossEntropy", "BinaryCrossentropy"),
        ("metric", "MAE", "MeanAbsoluteError"),
        ("metric", "ACC", "Accuracy"),
        ("optimizer", "ADAM", "Adam"),
        ("optimizer", "RMSProp", "RMSprop"),
        ("optimizer", "Sgd", "SGD"),
        ("initializer", "HeNormal", "HeNormal"),
        ("regularizer", "l1l2", "L1L2"),
    ],
)
def test_case_and_underscores_do_not_matter(kind: str, name: str, expected: str) -> None:
    _, get = REGISTRIES[kind]
    assert type(get(name, "a")).__name__ == expected


@pytest.mark.parametrize("kind", REGISTRIES)
def test_names_differ_by_more_than_case_and_underscores(kind: str) -> None:
    registry, _ = REGISTRIES[kind]
    names = [*registry.classes, *(alias for alias, name in registry.aliases.items() if plain(alias) != plain(name))]
    assert len({plain(name) for name in names}) == len(names)


def function(y_true: Any, y_pred: Any) -> Any:
    return y_pred


class Adam:
    __module__ = "torch.optim.adam"


class MSELoss:
    __module__ = "torch.nn.modules.loss"


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("loss", MSELoss(), "of torch, whose objects do not fit here.* Did you mean 'mse'?"),
        ("metric", type("Mine", (metrics.Metric,), {})(), "A metric of your own is not possible"),
        ("optimizer", Adam(), "name of an optimizer, .*of torch, whose objects do not fit.* Did you mean 'adam'?"),
        ("optimizer", Adam, "of torch, whose objects do not fit"),
        ("activation", np.tanh, "name of an activation, .*of numpy, whose objects do not fit.* Did you mean 'tanh'?"),
        (
            "activation",
            function,
            r"An activation of your own is not possible: .*native code; give a pair \(f, derivative\)",
        ),
        (
            "initializer",
            function,
            r"name of an initializer, or one of its objects, got <function function at \w+>\. Known",
        ),
        ("regularizer", 0.01, r"name of a regularizer, or one of its objects, got 0\.01\. Known names: l1, l1_l2, l2"),
    ],
)
def test_strangers(kind: str, given: Any, words: str) -> None:
    _, get = REGISTRIES[kind]
    with pytest.raises(TypeError, match=f"^a: expected the {words}" if words.startswith("name") else f"^a: .*{words}"):
        get(given, "a")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_aliases_lead_somewhere(kind: str) -> None:
    registry, _ = REGISTRIES[kind]
    for alias, name in registry.aliases.items():
        assert name in registry.classes and alias not in registry.classes
        assert registry.find(alias, "a") is registry.classes[name]


@pytest.mark.parametrize("kind", REGISTRIES)
@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        "",
        3,
        object(),
        int,
        {"class": "nonsense", "config": {}},
        {"class": "x"},
        {"name": "x", "config": {}},
        {"class": 3, "config": {}},
        {"class": ["x"], "config": {}},
        {"class": "os.system", "config": {"command": "x"}},
    ],
)
def test_what_nobody_knows(kind: str, bad: Any) -> None:
    registry, get = REGISTRIES[kind]
    with pytest.raises((ValueError, TypeError), match="thing: expected") as caught:
        get(bad, "thing")
    if isinstance(bad, (str, int)) or bad.__class__ is object:
        assert all(name in str(caught.value) for name in registry.names())


def test_the_nearest_is_named() -> None:
    assert str(unknown("loss", "loss", "maee", ["mae", "mse"])) == (
        "loss: expected a known loss, got 'maee'. Did you mean 'mae'? Known: mae, mse"
    )
    assert "Did you mean" not in str(unknown("loss", "loss", "zzzzzz", ["mae", "mse"]))
    with pytest.raises(ValueError, match="loss: expected a known loss, got 'msee'. Did you mean 'mse'?"):
        losses.get("msee")


@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("function", losses.FunctionLoss),
        ("fn", metrics.MeanMetricWrapper),
        ("function", schedules.FunctionSchedule),
        ("derivative", lambda name: activations.PythonActivation(np.sin, name)),
    ],
)
def test_functions_by_name(argument: str, make: Any) -> None:
    with saving.custom_object_scope({"own": np.sin, "Own": Registry}):
        make("own")
        with pytest.raises(ValueError, match=f"^{argument}: expected the name of a registered function, got 'x'") as no:
            make("x")
    known, remedy = str(no.value).partition("Known: ")[2].split(". ", 1)
    assert {"own", "function_of_rows"} <= set(known.split(", ")) and "Own" not in known  # which is no function
    assert remedy.startswith("Make it known before: @nncore.saving.register_keras_serializable()")
    assert metrics.register_function is schedules.register_function


def test_none_is_nothing_where_that_has_a_meaning() -> None:
    assert losses.get(None) is None and regularizers.get(None, "a") is None and metrics.get(None) is None
    assert activations.get(None, "a").kernel == "linear"
    assert initializers.get(None) is None and initializers.get(None, "a") == initializers.GlorotUniform()
    with pytest.raises(TypeError, match="a: expected"):
        optimizers.get(None, "a")


def test_kernels_and_classes_are_the_same_sets() -> None:
    """kernels.def owns the ids; whoever registers a class that has no kernel, or the reverse, is told here."""
    made = [activations.get(name, "a") for name in activations.ACTIVATIONS.names()]
    made.append(activations.get({"class": "gelu", "config": {"approximate": True}}, "a"))
    assert {a.kernel for a in made} == set(table.ACTIVATIONS) | set(table.ROWWISE)
    rules = {cls.kernel for cls in optimizers.OPTIMIZERS.classes.values()}
    assert {rule for rule in rules if rule} == set(table.OPTIMIZERS)
    kernels = set()
    for cls in set(losses.LOSSES.classes.values()) - {losses.WeightedSum, losses.FunctionLoss}:
        power = {"power"} & set(cls.config_names())
        variants = [cls(power=power) for power in (0, 1, 2)] if power else []
        logits = [cls(from_logits=True)] if "from_logits" in cls.config_names() else []
        for loss in [cls(), *logits, *variants]:
            for activation in ("linear", "sigmoid", "softmax"):
                with contextlib.suppress(ValueError):
                    kernels.add(loss.choose(activation).kernel)
    assert kernels == set(table.LOSSES)
    assert set(table.METRICS) - {"sparse_brier_score"} <= set(metrics.METRICS.names())
    public = [thing for n in layers.__all__ if isinstance(thing := getattr(layers, n), type)]
    assert set(layers.LAYERS.names()) == {snake_case(cls.__name__) for cls in public} - {"layer", "input_layer"}


# ---- the mechanism itself --------------------------------------------------------------------------------------------


THINGS: Registry[Any] = Registry("thing")


class Base(Configurable):
    pass


@THINGS.register("one", "eins")
class FirstThing(Base):
    def __init__(self, size: int = 1, *, shape: Any = (2, 3), inner: Any = None) -> None:
        self.size, self.shape, self.inner = size, shape, inner


@THINGS.register(name="other")
class SecondThing(Base):
    pass


class Stranger(Base):
    pass


def test_registering() -> None:
    assert THINGS.names() == ["first_thing", "other"]
    for name in ("first_thing", "FirstThing", "one", "eins"):
        assert THINGS.find(name, "a") is FirstThing
    assert FirstThing.config_names() == ["size", "shape", "inner"] and SecondThing.config_names() == []
    nested = FirstThing(np.int32(5), shape=(np.float32(0.5), 1), inner=SecondThing())
    described = serialize(nested)
    assert described == {
        "class": "first_thing",
        "config": {"size": 5, "shape": [0.5, 1], "inner": {"class": "other", "config": {}}},
    }
    assert type(described["config"]["size"]) is int
    for wrong in (Stranger(), Stranger):
        with pytest.raises(ValueError, match="Stranger is not a registered thing; known: first_thing, other"):
            THINGS.name_of(wrong() if isinstance(wrong, type) else wrong)
    with pytest.raises(ValueError, match=r"config of FirstThing: unknown keys \['a', 'b'\]; known: \['size'"):
        FirstThing.from_config({"b": 1, "a": 2, "size": 3})


def test_arguments_as_json() -> None:
    given = {"a": np.arange(3), 1: (np.bool_(True), None), "b": [np.array(2.5)]}
    assert to_json(given) == {"a": [0, 1, 2], "1": [True, None], "b": [2.5]}
