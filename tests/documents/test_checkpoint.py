"""Models in files: what is in them, what comes back, and what is refused."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import shutil
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import nncore as nn
from nncore import files
from nncore.operations import rescale

RNG = np.random.default_rng(10)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 60)

OPTIMIZERS: list[Any] = [
    "sgd",
    nn.SGD(0.05, momentum=0.9, nesterov=True),
    nn.Adam(0.01, global_clipnorm=1.0),
    nn.AdamW(0.01, clipvalue=0.5),
    nn.RMSprop(0.01, momentum=0.5, centered=True),
]


def stack(optimizer: Any = "adam", **settings: Any) -> nn.Model:
    layers = [
        nn.Rescaling(0.5, offset=0.1),
        nn.Reshape((2, 2)),
        nn.Flatten(),
        nn.Dense(6, activation="leaky_relu", kernel_regularizer=nn.regularizers.L1L2(0.01, 0.02), name="hidden"),
        nn.Dropout(0.3),
        nn.Dense(5, use_bias=False, kernel_initializer=nn.initializers.Orthogonal()),
        nn.Activation("gelu"),
        nn.Dense(3, activation="softmax", bias_regularizer="l2"),
    ]
    model = nn.Model(layers, seed=11, **settings)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["acc"])
    return model


def functional(optimizer: Any = "adam") -> nn.Model:
    x = nn.Input((4,))
    a = nn.Dense(4, activation="tanh", name="left")(x)
    b = nn.Dense(4, activation="sigmoid", name="right")(x)
    joined = nn.Concatenate()([nn.Add()([a, x]), nn.Multiply(name="gate")([a, b])])
    model = nn.Model(x, nn.Dense(3, activation="softmax")(joined), seed=12, name="gated", dtype="float64")
    model.compile(optimizer, nn.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    return model


def same(a: nn.Model, b: nn.Model) -> bool:
    return all(np.array_equal(v, w) for v, w in zip(a.get_weights(), b.get_weights(), strict=True))


@pytest.mark.parametrize("make", [stack, functional])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o if isinstance(o, str) else type(o).__name__)
def test_save_load_continue_equals_going_on(make: Any, optimizer: Any, tmp_path: pathlib.Path) -> None:
    settings = {"batch_size": 16, "verbose": 0, "validation_split": 0.2}
    whole = make(optimizer)
    expected = whole.fit(X, Y, epochs=5, **settings).history
    model = make(optimizer if isinstance(optimizer, str) else type(optimizer).from_config(optimizer.get_config()))
    model.fit(X, Y, epochs=2, **settings)
    model.save(tmp_path / "m.safetensors")
    loaded = nn.load_model(tmp_path / "m.safetensors")
    assert same(model, loaded) and np.array_equal(model.predict(X), loaded.predict(X))
    assert loaded.optimizer == model.optimizer and loaded.optimizer.iterations == model.optimizer.iterations
    assert loaded.history.history == model.history.history == {k: v[:2] for k, v in expected.items()}
    assert (loaded.name, loaded.seed, loaded.dtype) == (model.name, model.seed, model.dtype)
    assert [(layer.name, layer.get_config()) for layer in loaded.layers] == [
        (layer.name, layer.get_config()) for layer in model.layers
    ]
    rest = loaded.fit(X, Y, initial_epoch=2, epochs=5, **settings).history
    assert rest == {k: v[2:] for k, v in expected.items()} and same(whole, loaded)
    assert loaded.evaluate(X, Y, verbose=0, return_dict=True) == whole.evaluate(X, Y, verbose=0, return_dict=True)


def test_a_learning_rate_that_was_set_is_kept(tmp_path: pathlib.Path) -> None:
    model = stack()
    model.build(4)
    model.optimizer.learning_rate = 0.123
    model.save(tmp_path / "m")
    assert nn.load_model(tmp_path / "m").optimizer.learning_rate == 0.123


def test_models_that_are_not_compiled_or_not_trained(tmp_path: pathlib.Path) -> None:
    model = nn.Sequential([nn.Input(4), nn.Dense(3, trainable=False)], seed=3, name="plain")
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m")
    assert same(model, loaded) and loaded.history is None and not loaded.layers[0].trainable
    with pytest.raises(ValueError, match="not compiled"):
        loaded.fit(X, Y)
    loaded.pop()
    with pytest.raises(ValueError, match="no shapes yet"):
        nn.Model([nn.Dense(3)]).save(tmp_path / "no")
    assert os.listdir(tmp_path) == ["m"]


def test_tensors_are_named_as_documented(tmp_path: pathlib.Path) -> None:
    model = nn.Model([nn.Input(4), nn.Dense(6, name="hidden"), nn.Dense(3, activation="softmax")], seed=1)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    found = safetensors.numpy.load_file(tmp_path / "m")
    paths = ["hidden/kernel", "hidden/bias", "dense/kernel", "dense/bias"]
    names = {f"weights/{p}" for p in paths} | {f"optimizer/{s}/{p}" for s in ("m", "v") for p in paths}
    assert {name for name in found if name.startswith(("weights", "optimizer"))} == names
    for path, weights in zip(paths, model.get_weights(), strict=True):
        assert np.array_equal(found[f"weights/{path}"], weights)
        assert all(found[f"optimizer/{s}/{path}"].shape == weights.shape for s in ("m", "v"))
    with safetensors.safe_open(tmp_path / "m", "np") as opened:
        document = json.loads(opened.metadata()["nncore"])
    assert document["format"] == 2 and document["nncore"] == nn.__version__
    assert document["iterations"] == model.optimizer.iterations
    assert document["compile"]["optimizer"] == {"class": "adam", "config": model.optimizer.get_config()}
    assert [layer["class"] for layer in document["architecture"]["layers"]] == ["dense", "dense"]
    model.save_weights(tmp_path / "w")
    assert sorted(safetensors.numpy.load_file(tmp_path / "w")) == sorted(f"weights/{p}" for p in paths)


# ---- weights ---------------------------------------------------------------------------------------------------------


def test_weights_alone(tmp_path: pathlib.Path) -> None:
    model, other = stack(), stack()
    model.fit(X, Y, verbose=0)
    other.build(4)
    model.save_weights(tmp_path / "w")
    model.save(tmp_path / "m")
    for name in ("w", "m"):
        fresh = stack()
        fresh.build(4)
        fresh.load_weights(tmp_path / name)
        assert same(fresh, model) and fresh.optimizer.iterations == 0
    with pytest.raises(nn.FormatError, match="expected a whole model, got weights only.*load_weights"):
        nn.load_model(tmp_path / "w")
    with pytest.raises(ValueError, match="no shapes yet"):
        stack().load_weights(tmp_path / "w")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.Dense(6, name="other"), nn.Dense(3)], "weights/hidden/bias: expected the layers .*'other'"),
        ([nn.Dense(6, name="hidden"), nn.Dense(4)], r"weights/dense/kernel: expected shape \(6, 4\).*got \(6, 3\)"),
        ([nn.Dense(6, name="hidden")], "weights/dense/bias: expected the layers"),
        ([nn.Dense(6, name="hidden"), nn.Dense(3), nn.Dense(3)], "weights/dense_1/kernel: expected in the file"),
        ([nn.Dense(3), nn.Dense(6, name="hidden")], r"expected shape \(4, 3\)"),
        ([nn.Dense(6, name="hidden", use_bias=False), nn.Dense(3)], "weights/hidden/bias: expected the layers"),
    ],
)
def test_weights_for_another_layer_are_refused(layers: Any, words: str, tmp_path: pathlib.Path) -> None:
    model = nn.Model([nn.Input(4), nn.Dense(6, name="hidden"), nn.Dense(3)], seed=0)
    model.save_weights(tmp_path / "w")
    target = nn.Model([nn.Input(4), *(type(layer).from_config(layer.get_config()) for layer in layers)], seed=1)
    before = target.get_weights()
    with pytest.raises(nn.FormatError, match=f"{tmp_path}/w: .*{words}"):
        target.load_weights(tmp_path / "w")
    assert all(np.array_equal(a, b) for a, b in zip(before, target.get_weights(), strict=True))
    double = nn.Model([nn.Input(4), nn.Dense(6, name="hidden"), nn.Dense(3)], dtype="float64")
    with pytest.raises(nn.FormatError, match="float64.*float32"):
        double.load_weights(tmp_path / "w")


# ---- files of an earlier format --------------------------------------------------------------------------------------


def as_format_1(document: Any, tensors: Any) -> None:
    """As the first version wrote it: all numbers of all optimizers in one list, whose last is the step."""
    document["format"] = 1
    rule = [0.123, 0.0, 1.0, {"$float": "inf"}, 0.0, 0.9, 0.999, 0.0, 1e-7, 0.0, 0.0, float(document.pop("iterations"))]
    if document["compile"]:
        document["rule"] = rule


def test_a_model_of_format_1(tmp_path: pathlib.Path) -> None:
    model = stack()
    model.fit(X, Y, epochs=2, verbose=0)
    model.optimizer.learning_rate = 0.123
    model.save(tmp_path / "m")
    model.save_weights(tmp_path / "w")
    loaded = nn.load_model(rewritten(tmp_path / "m", as_format_1))
    assert loaded.optimizer == model.optimizer and loaded.optimizer.learning_rate == 0.123
    assert loaded.optimizer.iterations == model.optimizer.iterations == 4
    for made in (model, loaded):
        made.fit(X, Y, epochs=2, verbose=0)
    assert same(model, loaded)
    other = stack()
    other.build(4)
    other.load_weights(rewritten(tmp_path / "w", put("format", 1)))
    assert np.array_equal(other.get_weights()[0], files.read(tmp_path / "w")[0]["weights/hidden/kernel"])
    bare = nn.Model([nn.Input(4), nn.Dense(3)], seed=0)
    bare.save(tmp_path / "b")
    path = rewritten(tmp_path / "b", lambda d, t: (d.pop("iterations"), d.update(format=1)))
    assert same(nn.load_model(path), bare)


@pytest.mark.parametrize("rule", [[1.0], [0.0] * 13, [0.0] * 11 + [{"$float": "nan"}], "abc", None])
def test_a_damaged_model_of_format_1(rule: Any, tmp_path: pathlib.Path) -> None:
    model = stack()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    path = rewritten(tmp_path / "m", lambda d, t: (as_format_1(d, t), d.update(rule=rule)))
    with pytest.raises(nn.FormatError, match=str(path)):
        nn.load_model(path)


# ---- files that are refused ------------------------------------------------------------------------------------------


def rewritten(path: pathlib.Path, change: Any) -> pathlib.Path:
    """The file with its document or tensors changed, and otherwise well formed."""
    tensors, document = files.read(path)
    change(document, tensors)
    files.write(path.with_name("changed"), tensors, document)
    return path.with_name("changed")


def put(*keys: Any) -> Any:
    """Set document[keys…] = the last of them."""

    def change(document: Any, tensors: Any) -> None:
        *path, last, value = keys
        for key in path:
            document = document[key]
        document[last] = value

    return change


CHANGES: dict[str, tuple[Any, str]] = {
    "version": (put("format", 3), "format: expected version 2 or an earlier one, got 3; it was written by nncore"),
    "no version": (lambda d, t: d.pop("format"), "format: expected version 2 or an earlier one, got None"),
    "an earlier version": (put("format", 1), "expected the keys of version 1, got also .*iterations"),
    "unknown layer": (
        put("architecture", "layers", 0, "class", "os.system"),
        "expected a known layer, got 'os.system'",
    ),
    "class is a list": (put("architecture", "layers", 0, "class", ["Dense"]), ""),
    "unknown key": (put("architecture", "layers", 0, "config", "evil", 1), "unknown keys"),
    "units": (put("architecture", "layers", 3, "config", "units", 2**40), r"weights/hidden/kernel: expected shape"),
    "fewer units": (
        put("architecture", "layers", 3, "config", "units", 5),
        r"weights/hidden/kernel: expected shape \(4, 5\)",
    ),
    "dtype": (put("architecture", "dtype", "float64"), "float64"),
    "shape": (put("architecture", "input_shape", [2**62]), "input_shape|shape"),
    "no layers": (lambda d, t: d["architecture"].pop("layers"), "damaged"),
    "architecture": (put("architecture", 3), ""),
    "optimizer": (put("compile", "optimizer", "class", "adamm"), "expected a known optimizer"),
    "loss": (put("compile", "loss", {"class": "mse", "config": {"evil": 1}}), "unknown keys"),
    "another loss": (
        put("compile", "loss", {"class": "gaussian_nll", "config": {}}),
        "expects a mean and a variance",
    ),
    "seed": (put("architecture", "seed", "-1"), "seed: expected"),
    "counters": (put("counters", [1, 2, 3]), ""),
    "counters of words": (put("counters", ["a", "b"]), ""),
    "rule": (put("rule", [1.0]), "expected the keys of version 2, got also .*rule"),
    "iterations": (put("iterations", -1), "iterations: expected an int"),
    "iterations that are no int": (put("iterations", 1.5), "iterations: expected an int"),
    "no iterations": (lambda d, t: d.pop("iterations"), ""),
    "learning rate": (put("compile", "optimizer", "config", "learning_rate", -1), "learning_rate: expected a number"),
    "unknown schedule": (
        put("compile", "optimizer", "config", "learning_rate", {"class": "evil", "config": {}}),
        "learning_rate: expected a known schedule, got 'evil'",
    ),
    "history": (put("history", {"epoch": [], "names": 3}), ""),
    "missing weights": (lambda d, t: t.pop("weights/hidden/kernel"), "weights/hidden/kernel: expected in the file"),
    "missing state": (
        lambda d, t: t.pop(next(n for n in t if n.startswith("optimizer"))),
        "optimizer/.*: expected in the file",
    ),
    "weights' shape": (
        lambda d, t: t.update({"weights/hidden/bias": np.zeros(7, "f4")}),
        "weights/hidden/bias: expected shape",
    ),
    "weights' dtype": (
        lambda d, t: t.update({"weights/hidden/bias": np.zeros(6, "f8")}),
        "weights/hidden/bias: .*float64",
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("saved") / "m"
    model = stack()
    model.fit(X, Y, verbose=0)
    model.save(path)
    return path


@pytest.mark.parametrize("case", CHANGES)
def test_changed_files_are_refused(case: str, saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    change, words = CHANGES[case]
    shutil.copy(saved, tmp_path / "m")
    path = rewritten(tmp_path / "m", change)
    with pytest.raises(nn.FormatError, match=f"{path}: .*{words}"):
        nn.load_model(path)


def test_a_small_file_makes_no_large_model(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Layers that claim more weights than the file has are refused before there is memory for them."""
    shutil.copy(saved, tmp_path / "m")
    path = rewritten(tmp_path / "m", put("architecture", "layers", 3, "config", "units", 5_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(nn.FormatError, match="weights/hidden/kernel: expected shape"):
            nn.load_model(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 4 * path.stat().st_size + (2 << 20)


def test_extra_keys_are_refused(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Unknown keys and versions: also at the top, and tensors that have no place."""
    shutil.copy(saved, tmp_path / "m")
    for change in (
        put("extra", 1),
        put("architecture", "extra", 1),
        lambda d, t: t.update({"weights/x/y": np.zeros(1)}),
    ):
        with pytest.raises(nn.FormatError):
            nn.load_model(rewritten(tmp_path / "m", change))


def test_files_that_are_none_of_ours(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    whole = saved.read_bytes()
    for n in (0, 7, 8, 100, 1000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:n])
        with pytest.raises(nn.FormatError, match=f"{tmp_path}/cut: "):
            nn.load_model(tmp_path / "cut")
    safetensors.numpy.save_file({"w": np.zeros(3)}, tmp_path / "foreign")
    with pytest.raises(nn.FormatError, match="not written by nncore"):
        nn.load_model(tmp_path / "foreign")
    for content in (b"hello, this is no model", b"PK\x03\x04" + bytes(500), b"\x89HDF\r\n" + bytes(500)):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(nn.FormatError):
            nn.load_model(tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        nn.load_model(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        stack().build(4) or nn.Model([nn.Input(4), nn.Dense(3)]).load_weights(tmp_path / "nowhere")
    with pytest.raises(nn.FormatError, match="directory"):
        nn.load_model(tmp_path)
    with pytest.raises(FileNotFoundError):
        nn.Model([nn.Input(4), nn.Dense(3)]).save(tmp_path / "no" / "directory")


#: What the first layout looked like: a model of two inputs and one neuron after one step, without a checksum.
FIRST_LAYOUT = (
    "c-oaz&2G~`5blWsLgEEDAPWf&Rud;xRE0xtNPPtwYnj;NWYzVq*`K0N`LQ@5A+FpI5|6<<FgtdVrg4j~R5dd@^X)g^&di%9C;Z(e"
    "Le%J?1P?+a^V>x0!dOh^$?YPkjIF^hl6jUc`U5f+$@nxo9WN4cf-Tn4W8niIQI3YX3#v_tii1kOX*yq}4EX7Uy$-SL&^psYaZR?j"
    "0m+oQ30}B0aOTw{C!c~1S{F^ar%>P==a;A*GDcx^C08Afprv;`btt^N0WXd2&i1)VY6N>Pxoyb|4#iS}+f%wmt5FF_z!H@FjP^d-"
    "N*QaspsS;DN0j=Cbx?}0i13fWk;}LtZaou=tDwO4sS$PyI(V{snUXQR1*u`Fu&=P)s?G|J^EPk!=DLxpe_PXdSr0LFtMaH?MZ#*S"
    "SHgmi`Qy`Ze2d!DsC}qAPo#y;Q=vEHs6e@>^e2?7wHGB8u-U~GN;aBh-4+x*H=qLUUGxG=P~tdtS3FZ?6_sK32ZhuKTDXq^ES3VT"
    "HG{p;D3b1|4>=c>&ZyvVF!}Cu07e@5u3B!5t7y~6)j^5IVj*4Evx{U+F(ee_Fk;ZYAB8N<V$xbVZ|tVK1shYWyPvN-O-Cd$-^Gmj"
    "<F=QDVYYIlJ++9*+HU7<2&fAfjU(3MAsK~mKULE2AH@dltSfGf_{y|a7>M@-<49da^mzEtA0_22#q>hDQ90@cB(5{wJ+#f<O(#j3"
    "@IHy_B#M^s(lb@%(7Wh7OQ)0k04EO9!zcq7(@8p=MT`Tj??PP8&K`#tr{{M8wi+MM_!q``n#~44vi}0fX6fWCZ`+sjo$S94zn^`%"
    "p#R@rzyEdd^Xc<%KQ8l&7k|FK{R@$;8c6"
)


def test_files_of_the_first_layout(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m").write_bytes(zlib.decompress(base64.b85decode(FIRST_LAYOUT)))
    assert "nncore checksum" not in (tmp_path / "m").read_text("latin-1")
    loaded = nn.load_model(tmp_path / "m")
    kernel, bias = loaded.get_weights()
    np.testing.assert_allclose(kernel.ravel(), [-0.13968968, 0.8644071], rtol=1e-6)
    np.testing.assert_allclose(bias, [0.00573505], rtol=1e-6)
    assert loaded.history.history == {"loss": [0.08222707360982895], "mae": [0.2867526412010193]}
    assert loaded.optimizer.iterations == 1
    other = nn.Model([nn.Input(2), nn.Dense(1, name="d")])
    other.load_weights(tmp_path / "m")
    assert same(other, loaded)
    loaded.save(tmp_path / "m")
    assert same(nn.load_model(tmp_path / "m"), loaded)


# ---- layers of one's own ---------------------------------------------------------------------------------------------


class Twice(nn.Layer):
    def __init__(self, times: float = 2.0, name: str | None = None) -> None:
        super().__init__(name)
        self.times = times

    def emit(self, b: Any, *inputs: Any) -> Any:
        return rescale(b, inputs[0], self.times, 0.0)


def test_custom_layers(tmp_path: pathlib.Path) -> None:
    import copy
    import pickle

    model = nn.Model([nn.Input(4), Twice(3.0), nn.Dense(3, activation="softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m", custom_objects={"Twice": Twice})
    assert loaded.layers[0].times == 3.0 and type(loaded.layers[0]) is Twice
    for twin in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin.predict(X), model.predict(X))
    with pytest.raises(nn.FormatError, match="expected a known layer, got 'Twice'.*Known: .*dense"):
        nn.load_model(tmp_path / "m")
    with pytest.raises(nn.FormatError, match="expected a known layer, got 'Twice'"):
        nn.load_model(tmp_path / "m", custom_objects={"Twice": int})
    for wrong in ({"Twice": 3}, {3: Twice}, [Twice], "Twice"):
        with pytest.raises(TypeError, match="custom_objects: expected a dict from names to classes and functions"):
            nn.load_model(tmp_path / "m", custom_objects=wrong)
    impostor = type("Dense", (nn.Dense,), {})
    with pytest.raises(ValueError, match="expected a class with a name of its own, got another Dense"):
        nn.Model([nn.Input(4), impostor(3)]).save(tmp_path / "n")


# ---- names and formats of other libraries ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("a.keras", "a.safetensors"),
        ("a.h5", "a.safetensors"),
        ("a.weights.h5", "a.safetensors"),
        ("A.HDF5", "A.safetensors"),
        ("a.pt", "a.safetensors"),
        ("models.h5/a.npz", "models.h5/a.safetensors"),
    ],
)
def test_names_that_promise_another_format(name: str, better: str, tmp_path: pathlib.Path) -> None:
    model, path = stack(), tmp_path / name
    model.build(4)
    words = rf"(path|filepath): expected a name for a safetensors file.*{name}'. Call it '.*/{better}'$"
    for write in (model.save, model.save_weights, nn.callbacks.ModelCheckpoint):
        for given in (path, str(path)):
            with pytest.raises(ValueError, match=words):
                write(given)
    with pytest.raises(ValueError, match=words):
        nn.callbacks.ModelCheckpoint(path, save_weights_only=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "a.safetensors", "a.nn", "keras", ".h5.d"])
def test_other_names(name: str, tmp_path: pathlib.Path) -> None:
    model = stack()
    model.build(4)
    model.save(tmp_path / name)
    assert same(nn.load_model(tmp_path / name), model)
    (tmp_path / name).rename(tmp_path / "old.keras")  # what counts when reading is what is in it
    assert same(nn.load_model(tmp_path / "old.keras"), model)


@pytest.mark.parametrize("method", ["save", "save_weights"])
def test_overwrite(method: str, tmp_path: pathlib.Path) -> None:
    model, path = stack(), tmp_path / "model"
    model.build(4)
    write = getattr(model, method)
    write(path, overwrite=False)
    before = path.read_bytes()
    model.fit(X, Y, verbose=0)
    with pytest.raises(FileExistsError, match="path: expected a new file, since overwrite=False, got .*which exists"):
        write(path, overwrite=False)
    assert path.read_bytes() == before
    write(path)
    assert path.read_bytes() != before
    with pytest.raises(TypeError, match="overwrite: expected True or False, got 'no'"):
        write(path, overwrite="no")


def test_load_without_compiling(tmp_path: pathlib.Path) -> None:
    model = stack()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model")
    loaded = nn.load_model(tmp_path / "model", compile=False)
    assert same(loaded, model) and np.array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="not compiled"):
        loaded.fit(X, Y)
    loaded.save(tmp_path / "uncompiled")
    assert same(nn.load_model(tmp_path / "uncompiled"), model)
    loaded.compile("sgd", "sparse_categorical_crossentropy")
    loaded.fit(X, Y, verbose=0)
    assert nn.load_model(tmp_path / "model", compile=True).optimizer == model.optimizer
    with pytest.raises(TypeError, match="compile: expected True or False, got None"):
        nn.load_model(tmp_path / "model", compile=None)
