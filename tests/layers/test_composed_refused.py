"""What layers that join others by `call` cannot do, each an error that says what to do; and their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from composed_parts import Array, Block, X, around
from saved_models import put, rewritten

import nncore as nn


def layer(call: Callable[..., Any], **parts: Any) -> Any:
    """A layer with this `call` and these attributes."""
    made = type("Mine", (nn.Layer,), {"call": call})()
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def array_of(x: Any) -> Array:
    """An array."""
    return np.ones((8, 2))


REFUSED: list[tuple[Callable[..., Any], type[Exception], str]] = [
    (lambda self, x: None, TypeError, "Mine: expected call to return a symbol, or a list.*got NoneType.*layers"),
    (lambda self, x: [], TypeError, "got an empty list"),
    (lambda self, x: array_of(x), TypeError, "got ndarray"),
    (lambda self, x: np.exp(x), TypeError, "exp: expected arrays.*activations"),
    (lambda self, x: np.concatenate([x, x]), TypeError, "expected an array.*Concatenate"),
    (lambda self, x: x.mean(axis=1), AttributeError, "mean: expected.*GlobalAveragePooling1D"),
    (lambda self, x: x.reshape(2, 4), AttributeError, "reshape: expected.*Reshape"),
    (lambda self, x: x.T, AttributeError, "T: expected.*Permute"),
    (lambda self, x: x if x > 0 else -x, TypeError, "<, >.*expected numbers"),
    (lambda self, x: x if x else -x, TypeError, "if, and, or, not: expected what is known before there are data"),
    (lambda self, x: x @ array_of(x), TypeError, "@: expected arrays.*Dense"),
    (lambda self, x: array_of(x) + x, TypeError, r"\+: expected a symbol and a number.*Input"),
    (lambda self, x: x % 2, TypeError, "%, //: expected numbers"),
    (lambda self, x: float(x), TypeError, "float, int, round: expected numbers"),
    (lambda self, x: sum(x), TypeError, r"is not iterable.*x\[:, t\]"),
    (
        lambda self, x: nn.Dense(3)(x),
        ValueError,
        r"got Dense dense in call. Make it in __init__ or build: self.dense",
    ),
    (lambda self, x: Block(8)(x), ValueError, r"got Block block in call. Make it in __init__"),
    (lambda self, x: self.drop(x, training=True), TypeError, r"drop: training: expected.*None.*got True.*hand that on"),
    (lambda self, x, y: x, TypeError, r"Mine: expected the arguments of call\(x, y\): missing"),
    (
        lambda self, x, training: nn.Flatten()(x) if training else x[:, :2],
        ValueError,
        "same shapes whatever `training`",
    ),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSED)
def test_what_call_cannot_do(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        layer(call, drop=nn.Dropout(0.5))(nn.Input(8))


def test_what_it_refuses() -> None:
    class Weighing(nn.Layer):
        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight((8, 1))

        def call(self, x: Any) -> Any:
            return x * self.w

    with pytest.raises(TypeError, match="expected layers to have the weights.*got add_weight.*forward and backward"):
        Weighing()(nn.Input(8))
    with pytest.raises(TypeError, match="expected a layer of operations, got <Block.*which joins others by call"):
        nn.TimeDistributed(Block(8))
    block = Block(8)
    block(nn.Input(8))
    with pytest.raises(AttributeError, match="hidden: fixed since Block was called"):
        block.hidden = nn.Dense(8)
    with pytest.raises(AttributeError, match="units: fixed when the layer is made, which makes its layers by it"):
        block.units = 9
    with pytest.raises(TypeError, match="got ndarray. An array beside symbols is an input"):
        layer(lambda self, a, b: a + b)(nn.Input(8), X)
    with pytest.raises(ValueError, match="expected arrays of as many samples each"):
        layer(lambda self, a, b: a + b)(X, X[:3])
    with pytest.raises(NotImplementedError, match=r"Nothing does not say what it computes: .*call\(self, x\).*forward"):
        nn.Model([nn.Input(8), type("Nothing", (nn.Layer,), {})()]).predict(X)


def test_names_that_layers_have_themselves() -> None:
    class Output(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Dense(3)

    with pytest.raises(AttributeError, match="output: expected a name that an Output does not have itself"):
        Output()


def test_call_beside_operations_of_its_own() -> None:
    twice = type("Twice", (nn.Dense,), {"call": lambda self, x: 2 * x})
    with pytest.raises(TypeError, match=r"Twice: expected call in a class derived from Layer.*got it in one with oper"):
        twice(3)


class Named(nn.Layer):
    """Whose configuration is Keras's: without what the base has."""

    def __init__(self, units: int, name: str | None = None) -> None:
        super().__init__(name=name)
        self.dense = nn.Dense(units)

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def get_config(self) -> dict[str, Any]:
        return {"units": self.dense.units}


def test_a_name_that_the_configuration_lacks(tmp_path: Path) -> None:
    x = nn.Input(8)
    model = nn.Model(x, Named(3, name="first")(Named(8)(x)))
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m", custom_objects={"Named": Named})
    assert list(loaded.named_weights) == list(model.named_weights)
    assert list(loaded.named_weights)[2:] == ["first/dense/kernel", "first/dense/bias"]
    assert np.array_equal(loaded.predict(X), model.predict(X))


def without(*keys: Any) -> Any:
    """Take something out of a file's document."""

    def change(document: Any, tensors: Any) -> None:
        *path, last = keys
        for key in path:
            document = document[key]
        del document[last]

    return change


def another_array(document: Any, tensors: Any) -> None:
    """Weights of a layer that a block does not make."""
    tensors["weights/block/other/kernel"] = np.zeros((2, 2), np.float32)


ENTRY = ("architecture", "layers", 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (another_array, "weights/block/other/kernel: expected no such array"),
        (put(*ENTRY, "class", "dense"), "unknown keys|expected a class with call"),
        (put(*ENTRY, "class", "nothing"), "expected a known layer, got 'nothing'"),
        (put(*ENTRY, "parts", {}), r"expected Block to make the layers that it had when it was saved, \[\], got"),
        (put(*ENTRY, "parts", "hidden", "config", "units", 4), "expected shape"),
        (put(*ENTRY, "parts", "hidden", 3), "damaged"),
        (without(*ENTRY, "parts", "out"), "expected Block to make the layers that it had"),
        (without(*ENTRY, "parts"), "expected in the file|no place|no such array"),
        (without(*ENTRY, "makes"), ""),
        (put(*ENTRY, "makes", 2), "block: expected call to return as many symbols as when it was saved, 2, got 1"),
        (put("architecture", "graph", "calls", 0, [0, [0], {"tuple": [[{"at": 5}], {"dict": {}}]}]), "damaged"),
        (put("architecture", "graph", "calls", 0, [0, [0], 3]), "damaged"),
    ],
)
def test_files_that_are_not_right_are_refused(change: Any, words: str, tmp_path: Path) -> None:
    model = around()
    model.save(tmp_path / "m")
    path = rewritten(tmp_path / "m", change)
    if not words:  # says what there is by default
        assert np.array_equal(nn.load_model(path).predict(X), model.predict(X))
        return
    with pytest.raises(nn.FormatError, match=words):
        nn.load_model(path)


@pytest.mark.parametrize("base", [nn.Layer, nn.Model])
def test_a_constructor_calls_that_of_its_base(base: Any) -> None:
    def init(self: Any) -> None:
        self.hidden = nn.Dense(3)

    mine = type("Mine", (base,), {"__init__": init, "call": lambda self, x: self.hidden(x)})
    with pytest.raises(RuntimeError, match=r"Mine: expected a constructor that begins with super\(\).__init__"):
        mine()


def test_a_model_has_call_where_pytorch_has_forward() -> None:
    mine = type("Mine", (nn.Model,), {"forward": lambda self, x: x})
    with pytest.raises(TypeError, match=r"Mine: expected a method call\(self, inputs\), got forward"):
        mine()
