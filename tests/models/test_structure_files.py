"""Shared and nested layers in files, copies and summaries; files of earlier builds."""

from __future__ import annotations

import copy
import gc
import io
import pathlib
import pickle
import weakref
from typing import Any

import numpy as np
import pytest
from structures import X, Y, autoencoder, base, close, same, twice, two_heads, two_of_each

import nncore as nn
from nncore import files

# ---- files and copies ------------------------------------------------------------------------------------------------


def every() -> dict[str, nn.Model]:
    encoder, _, both = autoencoder()
    x = nn.Input(4)
    reused = nn.Add()([encoder(x), encoder(both(x)), encoder.layers[1](nn.Dense(3)(x))])  # a layer from within, too
    a, b, value, tall = two_of_each()
    inner = nn.Model({"a": a, "b": b}, [value, tall], seed=0, dtype="float64")
    v, t = inner([x, nn.Reshape((2, 3))(nn.Dense(6)(x))])
    bottom = nn.Sequential([nn.Input(4, name="start"), base(), nn.Dense(3)], seed=2, dtype="float64")
    return {
        "twice": twice()[0],
        "autoencoder": both,
        "reused": nn.Model(x, reused, seed=9, dtype="float64"),
        "dicts": nn.Model({"q": a, "p": b}, {"t": tall, "v": value}, dtype="float64"),
        "heads": two_heads(),
        "inner": nn.Model(x, nn.Concatenate()([v, nn.Flatten()(t)]), seed=4, dtype="float64"),
        "stack": bottom,
        "subset": nn.Model(encoder.inputs[0], encoder.layers[0].output, dtype="float64"),
        "named": nn.Model(i := nn.Input(4, name="start"), nn.Dense(2)(i), dtype="float64"),
    }


def data_of(model: nn.Model) -> Any:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(6, *s.sample_shape)) for s in model.inputs]
    return parts if len(parts) > 1 else parts[0]


def targets_of(model: nn.Model) -> Any:
    parts = [np.ones((6, *s.sample_shape)) for s in model.outputs]
    return parts if len(parts) > 1 else parts[0]


def assert_alike(a: nn.Model, b: nn.Model) -> None:
    assert list(a.graph.paths.values()) == list(b.graph.paths.values())
    assert same(a, b) and a.input_names == b.input_names and a.output_names == b.output_names
    assert [type(layer) for layer in a.layers] == [type(layer) for layer in b.layers]
    assert [layer.name for layer in a.layers] == [layer.name for layer in b.layers]
    p, q = a.predict(data_of(a)), b.predict(data_of(a))
    flat = [list(v.values()) if isinstance(v, dict) else v if isinstance(v, list) else [v] for v in (p, q)]
    assert type(p) is type(q) and all(np.array_equal(v, w) for v, w in zip(*flat, strict=True))
    said: tuple[list[str], list[str]] = ([], [])
    a.summary(print_fn=said[0].append)
    b.summary(print_fn=said[1].append)
    assert said[0] == said[1]


WAYS = {
    "file": None,
    "deepcopy": copy.deepcopy,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "python's pickler": lambda m: pickle.loads(pickle._dumps(m)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", every())
def test_models_come_back(case: str, way: str, tmp_path: pathlib.Path) -> None:
    model = every()[case]
    x, y = data_of(model), targets_of(model)
    model.compile(nn.Adam(0.01, weight_decay=0.1), "mse")
    model.fit(x, y, verbose=0)
    if way == "file":
        model.save(tmp_path / "m")
        twin = nn.load_model(tmp_path / "m")
        again = nn.Model.from_config(model.get_config())
        again.load_weights(tmp_path / "m")
        assert_alike(model, again)
    else:
        twin = WAYS[way](model)
        assert not {id(layer) for layer in model.layers} & {id(layer) for layer in twin.layers}
    assert_alike(model, twin)
    assert twin.get_config() == model.get_config()
    for m in (model, twin):
        m.fit(x, y, epochs=2, verbose=0)
    assert_alike(model, twin)


@pytest.mark.parametrize("case", every())
def test_clones(case: str) -> None:
    model = every()[case]
    clone, other = nn.clone_model(model), nn.clone_model(model)
    assert same(clone, other) and not same(clone, model)
    assert not set(map(id, clone._leaves())) & set(map(id, model._leaves()))
    clone.set_weights(model.get_weights())
    assert_alike(clone, model)


def test_sharing_survives_a_file() -> None:
    model = every()["reused"]
    clone = nn.Model.from_config(model.get_config())
    encoder, both = clone.layers[0], next(layer for layer in clone.layers if layer.name == "both")
    assert both.layers[0] is encoder and encoder.layers[1] in clone.layers and encoder.state is clone.state
    encoder.layers[0].kernel.assign(np.zeros((4, 3)))
    assert clone.get_weights()[0].max() == 0


def test_copies_of_several_models_share_as_the_originals_do() -> None:
    encoder, decoder, both = autoencoder()
    for way in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        e, d, b = way([encoder, decoder, both])
        assert b.layers == [e, d] and e.state is b.state and e.turn.root is b.turn.root and e.state is not both.state
        b.compile(nn.SGD(0.1), "mse")
        b.fit(X, X, verbose=0)
        close(b.predict(X), d.predict(e.predict(X)))
        new = nn.Model(e.input, nn.Dense(2, name="new")(e.output), dtype="float64")
        assert new.state is b.state
        close(b.predict(X), d.predict(e.predict(X)))
    assert len(encoder.calls) == 1 and len(e.calls) == 1


def test_a_layer_travels_alone_after_its_state_was_joined() -> None:
    model = base()
    kernel = model.layers[0].get_weights()[0]
    new = nn.Model(model.input, nn.Dense(3, name="other")(model.output), dtype="float64")
    for way in (copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))):
        for layer in (model.layers[0], new.layers[2]):
            twin = way(layer)
            assert np.array_equal(twin.get_weights()[0], layer.get_weights()[0]) and twin.state is not model.state
    assert np.array_equal(kernel, model.layers[0].get_weights()[0])


@pytest.mark.parametrize("case", ["twice", "reused", "stack", "heads"])
def test_an_interrupted_fit_goes_on_to_the_same_bits(case: str, tmp_path: pathlib.Path) -> None:
    class PowerCut(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations == 7:
                raise KeyboardInterrupt

    x, y, found = data_of(every()[case]), targets_of(every()[case]), []
    for cut in (None, PowerCut(), None):
        model = every()[case]
        model.compile(nn.Adam(0.01, global_clipnorm=0.1), "mse")
        backup = [] if not found else [nn.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=2)]
        try:
            model.fit(x, y, batch_size=2, epochs=4, verbose=0, callbacks=[*backup, *([cut] if cut else [])])
        except KeyboardInterrupt:
            continue
        found.append(model)
    assert same(*found) and found[0].history.history == found[1].history.history


def test_a_pickled_inner_model_stands_alone() -> None:
    encoder, _, both = autoencoder()
    twin = copy.deepcopy(encoder)
    twin.compile(nn.SGD(0.1), "mse")
    before = both.get_weights()
    twin.fit(X, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, both.get_weights(), strict=True))


def test_documents_that_make_no_sense() -> None:
    model = every()["reused"]

    def changed(change: Any) -> Any:
        config = copy.deepcopy(model.get_config())
        change(config["graph"], config["layers"])
        return config

    for change, words in [
        (lambda g, e: g["calls"].__setitem__(0, [len(e), [0]]), "graph: expected the number of an earlier layer"),
        (lambda g, e: g["calls"].__setitem__(0, [0, [1]]), "reads a layer that does not come before it"),
        (lambda g, e: g.update(outputs=[99]), "graph: expected outputs among"),
        (lambda g, e: g.update(extra=1), r"graph: expected the keys .* got also \['extra'\]"),
        (lambda g, e: e.append(e[0]), "graph: expected calls of all layers, got none of number"),
    ]:
        with pytest.raises(ValueError, match=words):
            nn.Model.from_config(changed(change))


def test_a_short_document_asks_for_no_work_without_end() -> None:
    entry = {"class": "activation", "config": {"activation": "relu", "name": "a"}}
    layers: list[Any] = [entry]
    graph = {"inputs": [[None, [3]]], "outputs": [2], "takes": None, "gives": None}
    for i in range(40):
        layers.append(
            {"class": "model", "graph": graph | {"name": f"m{i}", "seed": "0", "calls": [[i, [0]], [i, [1]]]}}
        )
    about = {"name": "m", "dtype": "float32", "seed": "0", "stack": False, "layers": layers}
    with pytest.raises(ValueError, match="graph: expected at most 1048576 calls of layers, got"):
        nn.Model.from_config(about | {"graph": graph | {"calls": [[40, [0]]], "outputs": [1]}})


# ---- show, and let go ------------------------------------------------------------------------------------------------


def test_summary_and_repr() -> None:
    a, b, value, tall = two_of_each()
    model = nn.Model([a, b], [value, tall], dtype="float64")
    stream = io.StringIO()
    model.summary(print_fn=stream.write)
    rows = {line.split()[0]: line for line in stream.getvalue().splitlines()}
    assert "(Input)" in rows["left"] and "(None, 2, 3)" in rows["right"] and rows["value"].split()[-1] == "20"
    assert "(None, 4), (None, 2, 3) -> (None, 2), (None, 3, 1)" in repr(model) and "<table>" in model._repr_html_()
    stream = io.StringIO()
    shared = twice()[0]
    shared.summary(print_fn=stream.write)
    assert stream.getvalue().count("shared") == 1 and "shared (Dense), 2 calls" in stream.getvalue()
    assert "Total: 30 parameters" in stream.getvalue()
    _, _, both = autoencoder()
    stream = io.StringIO()
    both.summary(print_fn=stream.write)
    assert "encoder (Sequential)" in stream.getvalue() and "Total: 48 parameters" in stream.getvalue()


@pytest.mark.parametrize("case", every())
def test_dropped_models_are_gone_at_once(case: str) -> None:
    gc.collect()
    gc.disable()
    try:
        model = every()[case]
        model.compile("adam", "mse")
        model.fit(data_of(model), targets_of(model), verbose=0)
        model.predict(data_of(model))
        parts = [model, model.graph, model.state, *model.layers, *model._leaves(), *(c for c, _ in model.graph.calls)]
        watched = [(type(part).__name__, weakref.ref(part)) for part in parts]
        del model, parts
        assert [name for name, part in watched if part() is not None] == []
    finally:
        gc.enable()


# ---- files of earlier builds -----------------------------------------------------------------------------------------

FILES = pathlib.Path(__file__).parents[1] / "files"


def says(new: Any, old: Any) -> bool:
    """Whether a document holds all of an older one; arguments that came since are beside it."""
    if isinstance(old, dict):
        return all(key in new and says(new[key], old[key]) for key in old)
    if isinstance(old, list):
        return len(new) == len(old) and all(map(says, new, old))
    return bool(new == old)


@pytest.mark.parametrize("kind", ["graph", "stack"])
def test_files_of_format_1_are_read(kind: str, tmp_path: pathlib.Path) -> None:
    """Written when a layer had one call in one model; saved again, such models say the same, and more."""
    path = FILES / f"{kind}_of_format_1.safetensors"
    model = nn.load_model(path)
    names = {"graph": ["hidden", "dense", "concatenate", "dense_1"], "stack": ["dense", "dropout", "dense_1"]}[kind]
    assert [layer.name for layer in model.layers] == names and model.optimizer.iterations == 6
    assert model.history.epoch == [0, 1] and type(model).__name__ == {"graph": "Model", "stack": "Sequential"}[kind]
    w = model.get_weights()
    if kind == "graph":
        assert [layer.trainable for layer in model.layers] == [True, False, True, True]
        z = np.hstack([np.tanh(X @ w[0] + w[1]), X @ w[2] + w[3]]) @ w[4] + w[5]
        wanted = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    else:
        wanted = np.maximum(X @ w[0] + w[1], 0) @ w[2] + w[3]
    np.testing.assert_allclose(model.predict(X), wanted, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "again")
    with files.File(path) as old, files.File(tmp_path / "again") as new:
        for key in ("architecture", "counters", "history"):
            assert says(new.document[key], old.document[key])
        a, b = old.tensors(), new.tensors()
        assert set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)
    both = nn.Model(model.input, nn.Dense(1, name="top")(model.output))
    assert both.state is model.state
