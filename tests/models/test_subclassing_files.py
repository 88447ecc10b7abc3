"""Files, copies and clones of models of a user's own that join layers by `call`, and models of these."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from composed_parts import LOSS, Block, Net, X, Y, around, fitted, net, same

import nncore as nn


def test_a_list_of_one_input_is_that_one(tmp_path: Path) -> None:
    model = Other()
    W, b = (model.predict([X]), model.get_weights())[1]
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m", custom_objects={"Other": Other})
    np.testing.assert_allclose(loaded.predict([X]), X @ W + b, rtol=1e-4, atol=1e-5)


def test_files(tmp_path: Path) -> None:
    """With the state of the optimizer: training goes on with the same bits."""
    for model in Net(seed=0), around(), nn.Sequential([Block(8), nn.Dense(3, "softmax")], seed=0):
        fitted(model)
        model.save(tmp_path / "m")
        twin = nn.load_model(tmp_path / "m")
        assert type(twin) is type(model) and twin.name == model.name
        assert np.array_equal(twin.predict(X), model.predict(X))
        histories = [one.fit(X, Y, epochs=2, verbose=0).history for one in (model, twin)]
        assert histories[0] == histories[1] and same(model.get_weights(), twin.get_weights())
        model.save_weights(tmp_path / "w")
        fresh = nn.models.model_from_json(model.to_json())
        fresh.load_weights(tmp_path / "w")
        assert np.array_equal(fresh.predict(X), model.predict(X))


def test_an_interrupted_fit_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    class Stop(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2 and self.model.counters[1] == 2:
                raise KeyboardInterrupt

    whole = Net(seed=0)
    history = fitted(whole, epochs=4)
    backup = nn.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
    with pytest.raises(KeyboardInterrupt):
        fitted(Net(seed=0), epochs=4, callbacks=[backup, Stop()])
    again = Net(seed=5)
    assert fitted(again, epochs=4, callbacks=[nn.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)]) == history
    assert same(again.get_weights(), whole.get_weights())


def test_what_was_set_on_its_layers_is_in_files_and_clones(tmp_path: Path) -> None:
    """The constructor knows nothing of it."""
    model = Net(seed=0)
    model.build((None, 8))
    model.block.drop.rate = 0.5
    model.block.out.trainable = False
    model.compile("sgd", LOSS)
    model.save(tmp_path / "m")
    for twin in nn.load_model(tmp_path / "m"), nn.models.clone_model(model), copy.deepcopy(model):
        assert twin.block.drop.rate == 0.5
        assert [p.path for p in twin.trainable_weights] == [
            "block/hidden/kernel", "block/hidden/bias", "head/kernel", "head/bias"
        ]  # fmt: skip


class Table(nn.Model):
    """Words and numbers, by a dict of columns."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words, self.moments = nn.StringLookup(), nn.Normalization()
        self.vectors, self.head = nn.Embedding(5, 3), nn.Dense(1)

    def call(self, inputs: dict[str, Any]) -> Any:
        both = nn.Flatten()(self.vectors(self.words(inputs["word"]))) * self.moments(inputs["values"])
        return self.head(both)


def test_what_its_layers_have_learned_from_data_is_in_files(tmp_path: Path) -> None:
    data = {"word": np.array(["a", "b", "c", "a"]), "values": np.arange(12.0).reshape(4, 3), "unread": np.ones(4)}
    model = Table(seed=0)
    model.words.adapt(data["word"])
    model.moments.adapt(data["values"])
    model.compile("sgd", "mse")
    model.fit(data, np.ones(4), verbose=0)
    model.save(tmp_path / "m")
    twin = nn.load_model(tmp_path / "m", custom_objects={"Table": Table})
    assert np.array_equal(twin.predict(data), model.predict(data))
    vectors, W, b = (w.astype(np.float64) for w in (*model.vectors.get_weights(), *model.head.get_weights()))
    numbers = [model.words.get_vocabulary().index(word) for word in data["word"]]
    scaled = (data["values"] - data["values"].mean(0)) / data["values"].std(0)
    np.testing.assert_allclose(model.predict(data), (vectors[numbers] * scaled) @ W + b, rtol=1e-4, atol=1e-5)
    assert model.input_names == ["unread", "values", "word"]


def test_clones() -> None:
    model = Net(seed=0)
    fitted(model)
    clone = nn.models.clone_model(model)
    assert type(clone) is Net and clone.compiled and not same(clone.get_weights(), model.get_weights())
    clone.set_weights(model.get_weights())
    assert np.array_equal(clone.predict(X), model.predict(X))
    unbuilt = Net()
    unbuilt.compile("sgd", {"head": LOSS})
    unbuilt = nn.models.clone_model(unbuilt)
    assert type(unbuilt) is Net and not unbuilt.built
    assert "loss" in unbuilt.fit(X, Y, verbose=0).history


class Coder(nn.Model):
    """A model of models."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        x = nn.Input(3)
        self.encoder = Part(3, seed=1)
        self.decoder = nn.Sequential([nn.Dense(5, "relu"), nn.Dense(8)], seed=2)
        self.scale = nn.Model(x, x * 2)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.decoder(self.scale(self.encoder(x, training=training)), training=training)


class Part(nn.Model):
    """A dense layer, with noise in training."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.dense = units, nn.Dense(units)

    def call(self, x: Any, training: bool = False) -> Any:
        x = self.dense(x)
        return nn.GaussianNoise(0.5)(x) if training else x

    def get_config(self) -> dict[str, Any]:
        return {"units": self.units}


def test_models_of_models(tmp_path: Path) -> None:
    model = Coder(seed=0)
    model.compile(nn.Adam(0.01), "mse")
    losses = model.fit(X, X, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert list(model.named_weights) == [
        f"{path}/{name}"
        for path in ("encoder/dense", "decoder/dense", "decoder/dense_1")
        for name in ("kernel", "bias")
    ]
    W = [w.astype(np.float64) for w in model.get_weights()]
    want = np.maximum(2 * (X @ W[0] + W[1]) @ W[2] + W[3], 0) @ W[4] + W[5]
    np.testing.assert_allclose(model.predict(X), want, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(model(X, training=True), model.predict(X))
    np.testing.assert_allclose(model.encoder.predict(X), X @ W[0] + W[1], rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "m")
    twin = nn.load_model(tmp_path / "m", custom_objects={"Coder": Coder, "Part": Part})
    assert np.array_equal(twin.predict(X), model.predict(X))
    assert same(twin.fit(X, X, verbose=0).history["loss"], model.fit(X, X, verbose=0).history["loss"])
    x = nn.Input(8)
    outer = nn.Model(x, nn.Dense(2)(Part(3, seed=4, name="part")(x)), seed=0)
    outer.save(tmp_path / "o")
    twin = nn.load_model(tmp_path / "o", custom_objects={"Part": Part})
    assert type(twin.get_layer("part")) is Part and np.array_equal(twin.predict(X), outer.predict(X))


class NoConfig(nn.Model):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.dense = nn.Dense(units)

    def call(self, x: Any) -> Any:
        return self.dense(x)


class Other(nn.Model):
    """With other layers than when it was saved."""

    def __init__(self) -> None:
        super().__init__()
        self.tail = nn.Dense(1)

    def call(self, x: Any) -> Any:
        return self.tail(x)


def test_what_files_need(tmp_path: Path) -> None:
    model = NoConfig(3)
    model.build((None, 8))
    with pytest.raises(AttributeError, match="units: expected as an attribute of NoConfig.*set self.units.*get_config"):
        model.save(tmp_path / "m")
    coder = Coder(seed=0)
    coder.build((None, 8))
    coder.save(tmp_path / "m")
    with pytest.raises(nn.FormatError, match="expected a known class, got 'Coder'. Make it known before: @nncore"):
        nn.load_model(tmp_path / "m")
    with pytest.raises(nn.FormatError, match=r"expected Other to make the layers that it had when it was saved, \['d"):
        nn.load_model(tmp_path / "m", custom_objects={"Coder": Other})
    x, shared = nn.Input(8), Block(8)
    tied = net(lambda self, x: self.block(x), block=shared)
    both = nn.Model(x, [tied(x), shared(x)])
    with pytest.raises(ValueError, match="expected a layer in one place of what files describe"):
        both.save(tmp_path / "m")


@nn.saving.register_keras_serializable()
class Chain(nn.Layer):
    """Two layers that `build` makes."""

    def build(self, input_shape: Any) -> None:
        self.steps = [nn.Dense(8, "relu") for _ in range(2)]

    def call(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


@nn.saving.register_keras_serializable()
class Chained(nn.Model):
    """Such layers by themselves and in a stack."""

    def __init__(self, scale: float = 2.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.scale = scale
        self.chain, self.stack, self.head = Chain(), nn.Sequential([nn.Dense(8), Chain()]), nn.Dense(3, "softmax")

    def call(self, x: Any) -> Any:
        return self.head(self.stack(self.chain(x)) * self.scale)


@pytest.mark.parametrize(
    "outer", [lambda: Chained(), lambda: nn.Sequential([nn.Dense(8), Chained(), nn.Dense(3, "softmax")])]
)
def test_layers_that_builds_within_others_make_are_in_files(outer: Any, tmp_path: Path) -> None:
    model = outer()
    fitted(model)
    model.save(tmp_path / "model.safetensors")
    again = nn.load_model(tmp_path / "model.safetensors")
    assert same(again.get_weights(), model.get_weights()) and np.array_equal(again.predict(X), model.predict(X))
    clone = nn.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert np.array_equal(clone.predict(X), model.predict(X))


def test_what_a_call_was_traced_with_stays() -> None:
    """Else a file would tell of another model than the one that was trained."""
    model = Chained()
    model.scale = 3.0
    model.build((None, 8))
    with pytest.raises(AttributeError, match="scale: fixed since chained was built.*cannot become 4.0"):
        model.scale = 4.0


def test_a_clone_has_no_layer_of_the_model() -> None:
    """A constructor that takes a layer gets another by `from_config` alone."""

    class Wrapped(nn.Model):
        def __init__(self, inner: Any, **settings: Any) -> None:
            super().__init__(**settings)
            self.inner, self.head = inner, nn.Dense(3, "softmax")

        def call(self, x: Any) -> Any:
            return self.head(self.inner(x))

    model = Wrapped(nn.Sequential([nn.Dense(4)]))
    fitted(model)
    with pytest.raises(TypeError, match="clone_model: expected classes that make other layers.*layers.deserialize"):
        nn.models.clone_model(model)


def test_layers_that_were_added_since_are_refused(tmp_path: Path) -> None:
    """A list does not say when it grows; a file with them could not be loaded."""
    model = net(lambda self, x: self.steps[-1](x), steps=[nn.Dense(3, "softmax")])
    fitted(model)
    model.steps.append(nn.Dense(3))  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="expected the layers that there were when it was built, got also"):
        model.save(tmp_path / "model.safetensors")
