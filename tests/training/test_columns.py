"""Models that read columns of texts, categories and reals: from dicts and frames, in fits, files, copies."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore._kernels.hashing import fingerprints, joined
from nncore.callbacks import BackupAndRestore
from nncore.columns import column_names

pandas = pytest.importorskip("pandas")

RNG = np.random.default_rng(23)
N = 90
CITIES, JOBS = np.array(["rome", "oslo", "bonn", "lima"]), np.array(["smith", "baker", "ärztin"])
TABLE: dict[str, Any] = {
    "city": RNG.choice(CITIES, N),
    "age": RNG.integers(18, 90, N),
    "income": RNG.lognormal(8, 1, N),
    "job": RNG.choice(JOBS, N).astype(object),
    "rooms": RNG.integers(1, 6, N),
    "bought": RNG.integers(0, 2, N),
}
Y = TABLE["bought"]
NAMES = ["city", "age", "income", "job", "rooms"]


def inputs(shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    texts = ("city", "job")
    return {name: nn.Input(shape, name=name, dtype="string" if name in texts else None) for name in NAMES}


def bought(dtype: str = "float32", shape: tuple[int, ...] = (1,), seed: int = 4) -> nn.Model:
    """Every kind of preprocessing, beside one another; layers are adapted first."""
    lookup, rooms = nn.StringLookup(mask_token=""), nn.IntegerLookup(output_mode="one_hot")
    age, income = nn.Discretization(num_bins=4), nn.Normalization()
    lookup.adapt(TABLE["city"])
    rooms.adapt(TABLE["rooms"])
    age.adapt(TABLE["age"])
    income.adapt(TABLE["income"][:, None])
    given = inputs(shape)
    flat = nn.Reshape((-1,))
    parts = [
        flat(nn.Embedding(lookup.vocabulary_size(), 3)(lookup(given["city"]))),
        nn.CategoryEncoding(4, "one_hot")(age(given["age"])),
        income(nn.Reshape((1,))(given["income"])),
        nn.Hashing(5, output_mode="one_hot")(given["job"]),
        rooms(given["rooms"]),
        nn.Reshape((1,))(given["rooms"]),
        nn.HashedCrossing(7, "one_hot")([given["city"], given["job"]]),
        nn.HashedCrossing(6, "one_hot")([lookup(given["city"]), age(given["age"])]),
    ]
    out = nn.Dense(1, activation="sigmoid")(nn.Dense(8, activation="tanh")(nn.Concatenate()(parts)))
    model = nn.Model(list(given.values()), out, seed=seed, dtype=dtype)
    model.compile(nn.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return model


def frequent(values: np.ndarray) -> list[Any]:
    return sorted(sorted(set(values.tolist()), reverse=True), key=lambda v: -int((values == v).sum()))


def expected(model: nn.Model, table: dict[str, Any]) -> np.ndarray:
    """The prediction by NumPy in float64."""
    w = {p.path: np.asarray(p, np.float64) for p in model.weights}
    cities = {city: 2 + i for i, city in enumerate(frequent(TABLE["city"]))} | {"": 0}
    city = np.array([cities.get(c, 1) for c in table["city"]])
    rooms = [-1, *frequent(TABLE["rooms"])]
    ages = np.digitize(table["age"], w["discretization/bin_boundaries"])
    job = fingerprints([str(j) for j in table["job"]])
    crossed = joined(0xDECAFCAFFE, [fingerprints([str(c) for c in table["city"]]), job]) % np.uint64(7)
    both = joined(0xDECAFCAFFE, [city.astype(np.uint64), ages.astype(np.uint64)]) % np.uint64(6)
    income = (table["income"] - TABLE["income"].mean()) / TABLE["income"].std()
    columns = [
        w["embedding/embeddings"][city],
        np.eye(4)[ages],
        income[:, None],
        np.eye(5)[job % np.uint64(5)],
        np.eye(6)[[rooms.index(r) if r in rooms else 0 for r in table["rooms"]]],
        np.asarray(table["rooms"], float)[:, None],
        np.eye(7)[crossed],
        np.eye(6)[both],
    ]
    h = np.tanh(np.concatenate(columns, axis=1) @ w["dense/kernel"] + w["dense/bias"])
    return 1 / (1 + np.exp(-(h @ w["dense_1/kernel"] + w["dense_1/bias"])))


def frame(table: dict[str, Any]) -> Any:
    return pandas.DataFrame(table)


FORMS: dict[str, Any] = {
    "dict": lambda t: t,
    "columns": lambda t: {k: v[:, None] for k, v in t.items()},
    "lists": lambda t: {k: v.tolist() for k, v in t.items()},
    "list": lambda t: [t[name] for name in NAMES],
    "frame": frame,
    "shuffled frame": lambda t: frame(t)[["bought", *NAMES[::-1]]],
    "categories": lambda t: frame(t).astype({"city": "category", "job": "category", "rooms": "category"}),
    "nullable": lambda t: frame(t).convert_dtypes(),
    "narwhals": lambda t: pytest.importorskip("narwhals").from_native(frame(t)),
    "polars": lambda t: pytest.importorskip("polars").DataFrame(t),
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_in_every_form(form: str) -> None:
    model = bought()
    new = {name: values[:20].copy() for name, values in TABLE.items()}
    new["city"] = np.array(["", "paris", *new["city"][2:]])
    new["rooms"][0] = 17
    for table in (TABLE, new):
        np.testing.assert_allclose(model.predict(FORMS[form](table)), expected(model, table), 1e-4, 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_inputs_with_an_axis_and_without(dtype: str, shape: tuple[int, ...]) -> None:
    model = bought(dtype, shape)
    for table in (TABLE, {k: v[:, None] for k, v in TABLE.items()}):
        np.testing.assert_allclose(
            model(table), expected(model, TABLE), *((1e-4, 1e-5) if dtype == "float32" else (1e-9, 1e-9))
        )
    one = {name: values[:1] for name, values in TABLE.items()}
    np.testing.assert_array_equal(model(one), model(TABLE)[:1])


def test_it_learns_and_the_number_of_threads_and_the_form_do_not_matter() -> None:
    found = []
    for threads, data in ((1, TABLE), (2, frame(TABLE))):
        model = bought()
        model.n_threads = threads
        history = model.fit(data, Y, batch_size=16, epochs=40, verbose=0, validation_split=0.2)
        assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
        found.append([*model.get_weights(), model.predict(TABLE), np.array(history.history["val_loss"])])
        assert model.evaluate(data, Y, verbose=0) == model.evaluate(TABLE, Y, batch_size=7, verbose=0)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_and_what_layers_make() -> None:
    part = {name: values[:20] for name, values in TABLE.items()}
    model = bought("float64")
    assert nn.check_gradients(model, part, Y[:20])
    made = model.activations(part)
    np.testing.assert_array_equal(made["string_lookup"], model.get_layer("string_lookup")(part["city"])[:, None])
    np.testing.assert_array_equal(made["discretization"][:, 0], model.get_layer("discretization")(part["age"]))
    for asked in (
        lambda: model.activations(part, of=model.inputs[0]),
        lambda: model.gradients(part, Y[:20], of="inputs"),
    ):
        with pytest.raises(ValueError, match="^of: expected an input of numbers, got <Symbol name='city'"):
            asked()


def test_statistics_stay_in_training() -> None:
    model = bought()
    before = {p.path: np.array(p) for p in model.weights if p.role == "statistic"}
    model.fit(TABLE, Y, verbose=0)
    assert set(before) == {"discretization/bin_boundaries", "normalization/mean", "normalization/variance"}
    for p in model.weights:
        if p.path in before:
            np.testing.assert_array_equal(p, before[p.path])


def test_files_and_copies_have_what_was_learned(tmp_path: Path) -> None:
    model = bought()
    model.fit(TABLE, Y, verbose=0, epochs=2)
    made = model.predict(TABLE)
    model.save(tmp_path / "model")
    for again in (nn.load_model(tmp_path / "model"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(frame(TABLE)), made)
        again.fit(TABLE, Y, verbose=0, epochs=1)
    twin = nn.models.clone_model(model)
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin.predict(TABLE), made)
    other = bought(seed=9)
    other.load_weights(tmp_path / "model")
    np.testing.assert_array_equal(other.predict(TABLE), made)
    again = nn.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(TABLE), made)


def test_a_fit_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    class Kill(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations == 9:
                raise Killed

    whole = bought()
    whole.fit(TABLE, Y, batch_size=16, epochs=3, verbose=0)
    with pytest.raises(Killed):
        bought().fit(
            TABLE, Y, batch_size=16, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path / "b", 4), Kill()]
        )
    resumed = bought()
    resumed.fit(frame(TABLE), Y, batch_size=16, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path / "b", 4)])
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_with_lookups_within_a_model() -> None:
    inner = bought()
    given = inputs()
    extra = nn.Input((1,), name="extra")
    out = nn.Dense(1)(nn.Concatenate()([inner([given[name] for name in NAMES]), extra]))
    model = nn.Model([*given.values(), extra], out, seed=1)
    table = TABLE | {"extra": np.arange(N)}
    W, b = model.get_weights()[-2:]
    np.testing.assert_allclose(model.predict(table), np.c_[inner.predict(TABLE), np.arange(N)] @ W + b, 1e-4, 1e-5)
    with pytest.raises(ValueError, match="expected an Input for each of its inputs that"):
        symbols = [given[name] for name in NAMES]
        symbols[0] = nn.Dense(1)(extra)
        nn.Model([*[given[name] for name in NAMES[1:]], extra], inner(symbols))


def test_a_stack_that_begins_with_a_lookup() -> None:
    for first in ([nn.Input((1,), dtype="string")], [nn.Input((), dtype="string")], []):
        lookup = nn.StringLookup(vocabulary=list(CITIES))
        model = nn.Sequential([*first, lookup, nn.Embedding(5, 3), nn.Reshape((3,)), nn.Dense(1)], seed=1)
        model.compile("sgd", "mse")
        model.fit(TABLE["city"], Y, verbose=0)
        E, W, b = model.get_weights()
        numbers = [list(CITIES).index(c) + 1 for c in TABLE["city"]]
        for x in (
            TABLE["city"],
            TABLE["city"].tolist(),
            {"x": TABLE["city"]},
            frame(TABLE)[["city"]],
            frame(TABLE)["city"],
        ):
            np.testing.assert_allclose(model.predict(x), E[numbers] @ W + b, 1e-5, 1e-6)


def test_the_only_input_is_a_column_by_its_name_or_the_whole_frame() -> None:
    named = nn.Model([nn.Input((1,), name="age"), nn.Dense(1)], seed=1)
    np.testing.assert_array_equal(named.predict(frame(TABLE)), named.predict(TABLE["age"]))
    np.testing.assert_array_equal(named.predict(TABLE), named.predict(TABLE["age"]))
    numbers = frame(TABLE)[["age", "income", "rooms"]]
    matrix = nn.Model([nn.Input(3), nn.Dense(1)], seed=1)
    for data in (numbers, numbers.convert_dtypes(), numbers.astype({"rooms": "category"})):
        np.testing.assert_array_equal(matrix.predict(data), matrix.predict(numbers.to_numpy()))
    for data, words in (
        (numbers.astype({"rooms": "Int64"}).mask(numbers["rooms"] > 4), "missing values"),
        (frame(TABLE)[["age", "income", "city"]], "columns of others: 'city' (text such as"),
    ):
        with pytest.raises((TypeError, ValueError), match=re.escape(words)):
            matrix.predict(data.convert_dtypes() if words == "missing values" else data)


def test_whole_numbers_as_outputs() -> None:
    age, city = nn.Input((1,), name="age"), nn.Input((1,), name="city", dtype="string")
    lookup, bins = nn.StringLookup(vocabulary=list(CITIES)), nn.Discretization([30.0, 60.0])
    model = nn.Model([age, city], [bins(age), lookup(city)])
    intervals, numbers = model.predict(TABLE)
    np.testing.assert_array_equal(intervals[:, 0], np.digitize(TABLE["age"], [30, 60]))
    np.testing.assert_array_equal(numbers[:, 0], lookup(TABLE["city"]))


def test_adapted_after_the_model_was_made() -> None:
    city, age = nn.Input((1,), name="city", dtype="string"), nn.Input((1,), name="age")
    lookup, normal = nn.StringLookup(), nn.Normalization()
    out = nn.Dense(1)(nn.Concatenate()([nn.Flatten()(nn.Embedding(5, 2)(lookup(city))), normal(age)]))
    model = nn.Model([city, age], out, seed=1)
    with pytest.raises(ValueError, match="^string_lookup: has no vocabulary yet. Call adapt"):
        model.predict(TABLE)
    lookup.adapt(TABLE["city"])
    normal.adapt(TABLE["age"][:, None])
    E, W, b = (np.asarray(p) for p in model.trainable_weights)
    age_ = (TABLE["age"] - TABLE["age"].mean()) / TABLE["age"].std()
    columns = np.c_[E[lookup(TABLE["city"])], age_]
    np.testing.assert_allclose(model.predict(TABLE), columns @ W + b, 1e-4, 1e-5)
    with pytest.raises(
        ValueError, match=r"^embedding: expected to read whole numbers from 0 to 4, got those of string_lookup"
    ):
        lookup.adapt([*CITIES, "paris"])
    assert len(lookup.get_vocabulary()) == 5 and len(model.predict(TABLE)) == N
    hot = nn.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    held = nn.Model([nn.Input((1,), dtype="string"), hot, nn.Dense(1)])
    with pytest.raises(
        ValueError, match="expected 3 tokens, for which its model has columns, got 4. Make the model after"
    ):
        hot.set_vocabulary(["a", "b", "c"])
    hot.set_vocabulary(["x", "y"])
    assert hot.get_vocabulary() == ["[UNK]", "x", "y"] and held.built


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"city": [*TABLE["city"][:-1].tolist(), None]},
            "x['city']: expected texts, got a missing value (None) in row 89. Fill the gaps",
        ),
        ({"city": TABLE["age"]}, "x['city']: expected texts for string_lookup, got dtype int64. Whole numbers have"),
        ({"rooms": TABLE["income"]}, "x['rooms']: expected whole numbers, got "),
        ({"job": TABLE["job"][:5]}, "x['city']: expected as many rows as x['job'], got 90 and 5"),
        ({"income": TABLE["income"][:5]}, "x: expected as many rows for each input, got "),
        ({"age": TABLE["city"]}, "x['age']: expected real numbers, got text such as"),
        ({"city": np.array([["a", "b"]] * N)}, "x['city']: expected shape (n, 1), got (90, 2)"),
        ({"city": None}, "x['city']: expected an array, got None"),
    ],
)  # fmt: skip
def test_columns_that_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        bought().predict(TABLE | changed)


def test_columns_that_are_missing() -> None:
    with pytest.raises(ValueError, match=re.escape(f"x: expected a dict with the keys {NAMES}, got ['city']")):
        bought().predict({"city": TABLE["city"]})
    with pytest.raises(ValueError, match=r"x: expected a frame with the columns .*: \['city'\] missing"):
        bought().predict(frame(TABLE).drop(columns="city"))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_texts_are_read_before_shapes_are_known(depth: int) -> None:
    """By the first layer, however many models it stands in."""
    first = nn.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    for _ in range(depth):
        first = nn.Sequential([first])
    model = nn.Sequential([first, nn.Dense(2)], seed=1)
    made = model.predict(np.array([["b"], ["?"], ["a"]], object))
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(made, kernel[[2, 0, 1]] + bias, 1e-6)


def test_what_cannot_be_joined() -> None:
    text, real = nn.Input((1,), dtype="string"), nn.Input((1,))
    with pytest.raises(
        ValueError, match="^dense: expected an Input of numbers, got .*Put StringLookup or Hashing before"
    ):
        nn.Model(text, nn.Dense(1)(text))
    with pytest.raises(
        ValueError, match="^string_lookup: expected an Input, or the whole numbers that another such layer"
    ):
        nn.Model(real, nn.StringLookup(vocabulary=["a"])(nn.Dense(1)(real)))
    with pytest.raises(
        ValueError, match="^embedding: expected to read whole numbers from 0 to 2, got those of hashing, from 0 to 8"
    ):
        nn.Model(text, nn.Embedding(3, 2)(nn.Hashing(9)(text)))
    with pytest.raises(ValueError, match="expected invert=False within a model"):
        nn.StringLookup(vocabulary=["a"], invert=True)(real)


def test_a_column_of_pandas_that_is_named_as_names_are_elsewhere() -> None:
    table = pandas.DataFrame({"column_names": [1.0, 2.0], "other": [3.0, 4.0]})
    assert column_names(table) == ["column_names", "other"]
