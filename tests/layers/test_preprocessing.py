"""Preprocessing layers alone: values and shapes by NumPy and by lists, what adapt learns, what is refused."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore._kernels.hashing import fingerprints

RNG = np.random.default_rng(17)
L = nn.layers
MODES = ["int", "one_hot", "multi_hot", "count"]


def columns(numbers: np.ndarray, mode: str, depth: int) -> np.ndarray:
    """What `mode` makes of whole numbers, of which those below 0 are left out."""
    if mode == "int":
        return numbers
    one = np.asarray(numbers[..., None] == np.arange(depth), float)
    if mode == "one_hot":
        return one[..., 0, :] if numbers.shape[-1:] == (1,) and numbers.ndim > 1 else one
    return one.max(-2) if mode == "multi_hot" else one.sum(-2)


def test_fingerprints_are_the_published_ones() -> None:
    """FarmHash's of TensorFlow's documents, and SipHash's vector of its paper, appendix A."""
    key = [int.from_bytes(bytes(range(i, i + 8)), "little") for i in (0, 8)]
    assert fingerprints([bytes(range(15)).decode()], key)[0] == 0xA129CA6149BE45E5
    assert list(fingerprints(list("ABCDE")) % 3) == [1, 0, 1, 1, 2]
    lengths = [0, 3, 4, 7, 8, 16, 17, 32, 33, 64, 65, 128, 129, 200]
    texts = [("wörter €" * 40)[:n] for n in lengths]
    assert [hex(v) for v in fingerprints(texts).tolist()] == FARM


#: Of pyfarmhash.
FARM = [
    "0x9ae16a3b2f90404f",
    "0xf0be4bd9b890e164",
    "0xc861ce3f6832b64a",
    "0x3ee2d8724c7ce61",
    "0xe6d89723f841bc74",
    "0x46a76c8826502634",
    "0xd3f15b99104dc074",
    "0x2f1beba42794479c",
    "0x5340da64c2f76340",
    "0x9f4db09e41bcd5f5",
    "0x4a2892dda736601a",
    "0x8b15a3b6de05fbe6",
    "0xda2f3f0a6233a283",
    "0x87790cc2d00fca6",
]


# -- lookups -----------------------------------------------------------------------------------------------------------

WORDS = [["one", "two", "four", "two"], ["three", "", "one", "six"]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mask", [None, ""])
@pytest.mark.parametrize("oov", [1, 3])
def test_texts_by_a_list(mode: str, mask: str | None, oov: int) -> None:
    layer = L.StringLookup(vocabulary=["one", "two", "three"], mask_token=mask, num_oov_indices=oov, output_mode=mode)
    first = (mask is not None and mode == "int") + oov
    known = {word: first + i for i, word in enumerate(["one", "two", "three"])}
    if mask is not None:
        known[mask] = 0 if mode == "int" else -1
    others = {w: first - oov + int(fingerprints([w])[0] % np.uint64(oov)) for w in ("four", "six", "")}
    numbers = np.array([[(others | known)[word] for word in row] for row in WORDS])
    for data in (WORDS, np.array(WORDS), np.array(WORDS, object), np.char.encode(np.array(WORDS))):
        made = layer(data)
        np.testing.assert_array_equal(made, columns(numbers, mode, first + 3))
    assert made.dtype == (np.int64 if mode == "int" else np.float32)
    assert layer.vocabulary_size() == len(layer.get_vocabulary()) == first + 3
    assert layer.get_vocabulary(include_special_tokens=False) == ["one", "two", "three"]


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "object"])
def test_whole_numbers_by_a_list(dtype: str) -> None:
    layer = L.IntegerLookup(vocabulary=[12, 36, 200, 42])
    np.testing.assert_array_equal(layer(np.array([[12, 200], [42, 7]], dtype)), [[1, 3], [4, 0]])


def test_whole_numbers_that_are_not_in_a_list() -> None:
    np.testing.assert_array_equal(L.IntegerLookup(vocabulary=[5, -3], mask_token=9)([5, 9, 4, -3]), [2, 0, 1, 3])
    layer = L.IntegerLookup(vocabulary=[5, -3], num_oov_indices=0, mask_token=9)
    np.testing.assert_array_equal(layer([[-3, 9], [5, 5]]), [[2, 0], [1, 1]])
    with pytest.raises(ValueError, match="expected tokens that layer IntegerLookup knows, got 4 in row 1, element 0"):
        layer(np.array([[5, 5], [4, 5]]))


def test_several_numbers_for_other_whole_numbers() -> None:
    data = np.array([100, 200, 303, -7, 1])
    plain, hashed = (L.IntegerLookup(vocabulary=[1], num_oov_indices=4, oov_method=m) for m in ("floormod", "farmhash"))
    np.testing.assert_array_equal(plain(data), [*(data[:4] % 4), 4])
    np.testing.assert_array_equal(hashed(data)[:4], fingerprints([str(v) for v in data[:4]]) % np.uint64(4))


def test_shapes_of_columns() -> None:
    """A vector is one sample where a row of columns is made of it, and a number is one."""
    layer = L.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    assert layer(["a", "z"]).tolist() == [[0, 1, 0], [1, 0, 0]] and layer("b").tolist() == [0, 0, 1]
    assert layer([["a"], ["b"]]).shape == (2, 3) and layer([[["a"], ["b"]]]).shape == (1, 2, 3)
    assert layer([["a", "b"]]).shape == (1, 2, 3)
    count = L.StringLookup(vocabulary=["a", "b"], output_mode="count", max_tokens=5, pad_to_max_tokens=True)
    assert count(["a", "a", "z"]).tolist() == [1, 2, 0, 0, 0] and count([[["a"]]]).shape == (1, 1, 5)


def frequent(tokens: list[Any]) -> list[Any]:
    """The most frequent first, of equally frequent ones the last by sort."""
    counts = Counter(tokens)
    return sorted(sorted(counts, reverse=True), key=lambda t: -counts[t])


@pytest.mark.parametrize("form", ["list", "array", "batches", "generator", "series"])
def test_what_a_lookup_learns(form: str) -> None:
    pandas = pytest.importorskip("pandas")
    words = RNG.choice([*"abcdefg", "", "[UNK]"], 200).tolist()
    data: Any = words
    if form == "array":
        data = np.array(words).reshape(20, 10)
    elif form == "batches":
        data = [np.array(words[:120]), np.array(words[120:])]
    elif form == "generator":
        data = ((np.array(words[i : i + 50]), None) for i in range(0, 200, 50))
    elif form == "series":
        data = pandas.Series(words, dtype="category")
    layer = L.StringLookup(mask_token="")
    layer.adapt(data)
    assert layer.get_vocabulary() == ["", "[UNK]", *(t for t in frequent(words) if t not in ("", "[UNK]"))]
    few = L.StringLookup(max_tokens=4)
    few.adapt(words)
    assert few.get_vocabulary() == ["[UNK]", *[t for t in frequent(words) if t != "[UNK]"][:3]]


def test_steps_of_an_endless_generator() -> None:
    layer = L.IntegerLookup()
    layer.adapt(([n, n] for n in itertools.count(5)), steps=3)
    assert layer.get_vocabulary() == [-1, 7, 6, 5]


def test_factors_of_columns() -> None:
    documents = [["one", "one"], ["one", "two"], ["two", "three"]]
    layer = L.StringLookup(output_mode="tf_idf")
    layer.adapt(documents)
    idf = {t: math.log(1 + 3 / (1 + sum(t in d for d in documents))) for t in ("one", "two", "three")}
    other = sum(idf.values()) / 3
    assert layer.get_vocabulary() == ["[UNK]", "one", "two", "three"]
    expected = [[0, 2 * idf["one"], idf["two"], 0], [other, 0, 0, 2 * idf["three"]]]
    for again in (layer, L.StringLookup.from_config(layer.get_config())):
        np.testing.assert_allclose(again([["one", "two", "one"], ["six", "three", "three"]]), expected, 1e-6)
    given = L.StringLookup(vocabulary=["a", "b"], idf_weights=[0.5, 1.5], output_mode="tf_idf")
    np.testing.assert_allclose(given([["a", "b", "b", "z"]]), [[1.0, 0.5, 3.0]])


def test_there_and_back() -> None:
    words = ["b", "a", "z"]
    there = L.StringLookup(vocabulary=["a", "b"])
    back = L.StringLookup(vocabulary=there.get_vocabulary(), invert=True)
    assert back(there(words)).tolist() == ["b", "a", "[UNK]"] and back(99) == "[UNK]"
    np.testing.assert_array_equal(
        L.IntegerLookup(vocabulary=[10, 20], invert=True)([[1, 2], [0, 5]]), [[10, 20], [-1, -1]]
    )


def test_a_list_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("ä\nb\n\nc\n", "utf-8")
    layer = L.StringLookup(vocabulary=str(tmp_path / "words.txt"))
    assert layer.get_vocabulary() == ["[UNK]", "ä", "b", "", "c"] and layer.get_config()["vocabulary"] == [
        "ä",
        "b",
        "",
        "c",
    ]
    (tmp_path / "numbers.txt").write_text("10\n20\n", "utf-8")
    assert L.IntegerLookup(vocabulary=tmp_path / "numbers.txt")([20, 3]).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            lambda: L.StringLookup(vocabulary=["a", "a"]),
            "vocabulary: expected each token once, got ['a'] more than once",
        ),
        (lambda: L.StringLookup(vocabulary=[]), "vocabulary: expected one token at least"),
        (
            lambda: L.StringLookup(vocabulary=["b", ""], mask_token=""),
            "vocabulary: expected tokens other than mask_token, ''",
        ),
        (lambda: L.StringLookup(vocabulary=list("abc"), max_tokens=3), "vocabulary: expected at most max_tokens=3"),
        (
            lambda: L.StringLookup(vocabulary="/nowhere"),
            "vocabulary: expected tokens, or the path of a text file, got no file",
        ),
        (lambda: L.StringLookup(max_tokens=1), "max_tokens: expected a whole number of at least 2, got 1"),
        (lambda: L.StringLookup(num_oov_indices=-1), "num_oov_indices: expected a whole number"),
        (lambda: L.StringLookup(pad_to_max_tokens=True), "pad_to_max_tokens: expected False without max_tokens"),
        (lambda: L.StringLookup(invert=True, output_mode="count"), 'output_mode: expected "int" where invert is True'),
        (lambda: L.StringLookup(output_mode="float"), "output_mode: expected one of 'int', 'one_hot'"),
        (
            lambda: L.StringLookup(vocabulary=["a"], output_mode="tf_idf"),
            "idf_weights: expected a number for each of the 1",
        ),
        (
            lambda: L.StringLookup(vocabulary=["a"], idf_weights=[1]),
            "idf_weights: expected None with output_mode='int'",
        ),
        (lambda: L.IntegerLookup(oov_method="md5"), 'oov_method: expected "floormod" or "farmhash"'),
        (lambda: L.IntegerLookup(salt=3), 'salt: expected None without oov_method="farmhash"'),
        (lambda: L.IntegerLookup(vocabulary=[1.5]), "vocabulary: expected whole numbers, got 1.5"),
        (lambda: L.StringLookup(vocabulary=["a", 3]), "vocabulary: expected texts, got 3"),
        (lambda: L.StringLookup()(["a"]), "StringLookup: has no vocabulary yet. Call adapt(data)"),
        (lambda: L.StringLookup(output_mode="count")(["a"]), "StringLookup: has no vocabulary yet"),
        (lambda: L.StringLookup().adapt(["a", None]), "data: expected texts, got a missing value (None) in row 1"),
        (lambda: L.StringLookup().adapt([]), "data: expected"),
        (
            lambda: L.StringLookup(vocabulary=["a"])([1.5]),
            "StringLookup: inputs: expected texts for StringLookup, got dtype float64",
        ),
        (
            lambda: L.StringLookup(vocabulary=["a"])([["a", "b"], ["a", None]]),
            "expected texts, got a missing value (None) in row 1, element 1. Fill",
        ),
        (
            lambda: L.StringLookup(vocabulary=["a"], num_oov_indices=0)(["a", "b"]),
            "expected tokens that layer StringLookup knows, got 'b' in row 1",
        ),
        (
            lambda: L.IntegerLookup(vocabulary=[1])([1, np.nan]),
            "expected whole numbers, got a missing value (nan) in row 1",
        ),
        (lambda: L.IntegerLookup(vocabulary=[1])(["a"]), "expected whole numbers"),
        (lambda: L.Hashing(0), "num_bins: expected a whole number of at least 1, got 0"),
        (lambda: L.Hashing(3, salt=[1]), "salt: expected a whole number, or two of them, got [1]"),
        (
            lambda: L.Hashing(3)([["a"], [None]]),
            "expected texts or whole numbers, got a missing value (None) in row 1",
        ),
        (lambda: L.HashedCrossing(3)(np.array([1])), "HashedCrossing: expected a list of arrays"),
        (lambda: L.HashedCrossing(3)([np.array([1])]), "HashedCrossing: expected a list of two or more symbols"),
        (
            lambda: L.HashedCrossing(3)([np.array([1.0]), np.array([1])]),
            "expected texts or whole numbers, got dtype float64",
        ),
        (
            lambda: L.HashedCrossing(3)([np.ones((4, 2), int)] * 2),
            "HashedCrossing: expected two or more inputs of shape ()",
        ),
        (lambda: L.CategoryEncoding(), "num_tokens: expected how many numbers there are, got None"),
        (
            lambda: L.CategoryEncoding(3)([[1, 3]]),
            "expected whole numbers from 0 to 2, which category_encoding takes, got 3",
        ),
        (lambda: L.Discretization(), "bin_boundaries, num_bins: expected either"),
        (lambda: L.Discretization([0.0], num_bins=3), "bin_boundaries, num_bins: expected one of them"),
        (lambda: L.Discretization([1.0, 0.0]), "bin_boundaries: expected finite numbers in rising order"),
        (lambda: L.Discretization(num_bins=3)([1.0]), "Discretization: has no boundaries yet"),
        (lambda: L.Discretization([0.0]).adapt([1.0]), "bin_boundaries: expected num_bins, for adapt"),
        (lambda: L.Discretization(num_bins=3).adapt([np.nan, 1]), "data: expected numbers, got NaN"),
        (lambda: L.Normalization(mean=1.0), "mean, variance: expected both or none"),
        (
            lambda: L.Normalization(mean=1.0, variance=-1.0),
            "mean, variance: expected finite numbers, and no negative variance",
        ),
        (
            lambda: L.Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0])(np.ones((2, 3))),
            "mean, variance: expected the shape of the features, (3,)",
        ),
        (lambda: L.Normalization(0), "axis: expected whole numbers other than 0"),
        (lambda: L.Normalization(3).build((2, 2)), "axis: expected axes of inputs of shape (batch, 2)"),
        (lambda: L.Normalization(-4).build((2, 3, 4)), "axis: expected axes of inputs of shape (batch, 3, 4)"),
        (lambda: L.Normalization().adapt([[1.0], [np.nan]]), "data: expected finite numbers"),
        (
            lambda: L.Normalization().adapt(iter([])),
            "data: expected an array, or an iterable of arrays, got an empty iterable",
        ),
        (
            lambda: L.Normalization().adapt(iter([np.ones((2, 3)), np.ones((2, 4))])),
            "data: expected features of shape (3,)",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(made: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(words)):
        made()


# -- fingerprints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "data", "expected"),
    [
        ({"num_bins": 3}, list("ABCDE"), [1, 0, 1, 1, 2]),
        ({"num_bins": 3}, [0, 1, 2, 3, 4], [1, 0, 1, 0, 2]),
        ({"num_bins": 3}, [0.0, 1.9, 2.0, 3.0, 4.0], [1, 0, 1, 0, 2]),
        ({"num_bins": 3, "mask_value": ""}, ["A", "B", "", "C", "D"], [1, 1, 0, 2, 2]),
        ({"num_bins": 3, "salt": [133, 137]}, list("ABCDE"), [1, 2, 1, 0, 2]),
        ({"num_bins": 3, "salt": 133}, list("ABCDE"), [0, 0, 2, 1, 0]),
        ({"num_bins": 3, "salt": (133, 137)}, [0, 1, 2, 3, 4], [1, 1, 2, 0, 1]),
        ({"num_bins": 2}, ["omar", "stringer", "marlo", "wire", "skywalker"], [0, 0, 1, 0, 0]),
        ({"num_bins": 2, "salt": [211, 137]}, ["omar", "stringer", "marlo", "wire", "skywalker"], [1, 0, 1, 0, 1]),
        ({"num_bins": 1}, list("ABC"), [0, 0, 0]),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_numbers_by_fingerprints(settings: dict[str, Any], data: list[Any], expected: list[int], mode: str) -> None:
    """The values are those that Keras documents for its own layer."""
    layer = L.Hashing(**settings, output_mode=mode)
    for given in (data, np.array(data), np.array(data, object))[: 2 if isinstance(data[0], float) else 3]:
        made = layer(np.asarray(given)[None])
        np.testing.assert_array_equal(made, columns(np.array([expected]), mode, settings["num_bins"]))


def test_numbers_of_combinations() -> None:
    """Keras's documented values; of objects, whole numbers are themselves, too."""
    letters, numbers, expected = np.array(list("ABABA")), np.array([101, 101, 101, 102, 102]), [1, 4, 1, 1, 3]
    for pair in (
        (letters, numbers),
        [letters.tolist(), numbers.tolist()],
        (letters.astype(object), numbers.astype(object)),
    ):
        np.testing.assert_array_equal(L.HashedCrossing(5)(pair), expected)
    one = L.HashedCrossing(5, "one_hot")((letters[:, None], numbers[:, None]))
    np.testing.assert_array_equal(one, np.eye(5)[expected])
    assert L.HashedCrossing(10)(("A", 101)) == 1


# -- reals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("axis", "over"), [(-1, (0, 1, 2)), (None, (0, 1, 2, 3)), ((1, 2), (0, 3)), (2, (0, 1, 3)), ((3, 1), (0, 2))]
)
def test_moments_of_data(axis: Any, over: tuple[int, ...], dtype: str) -> None:
    x = (RNG.standard_normal((32, 4, 3, 5)) * 3 + 100).astype(dtype)
    mean, variance = (f(np.asarray(x, float), axis=over, keepdims=True) for f in (np.mean, np.var))
    for data in (x, [x[:5], x[5:6], x[6:]], ((x[i : i + 8], None) for i in range(0, 32, 8))):
        layer = L.Normalization(axis)
        assert not layer.built and layer.mean is None
        layer.adapt(data)
        assert layer.built
        made = layer(x)
        np.testing.assert_allclose(made, (x - mean) / np.sqrt(variance), 2e-4, 2e-4)
        shape = (1, *mean.shape[1:])
        assert layer.mean.shape == layer.variance.shape == shape
        np.testing.assert_allclose(layer.mean, mean, 1e-6)
    back = L.Normalization(axis, invert=True)
    back.adapt(x)
    np.testing.assert_allclose(back(made), x, 1e-5)


def test_moments_that_are_given() -> None:
    x = np.array([[1.0], [2.0], [3.0]], np.float32)
    np.testing.assert_allclose(L.Normalization(mean=3.0, variance=2.0)(x), (x - 3) / math.sqrt(2), 1e-6)
    y = RNG.standard_normal((2, 4, 5, 3)).astype(np.float32)
    five = np.arange(1, 6.0)
    layer = L.Normalization((1, 2), five, five)
    np.testing.assert_allclose(layer(y), (y - five[:, None]) / np.sqrt(five)[:, None], 1e-5)
    assert layer.mean.shape == (1, 4, 5, 1)


def test_what_does_not_vary_becomes_0() -> None:
    layer = L.Normalization()
    layer.adapt([[1.0, 7.0], [3.0, 7.0]])
    np.testing.assert_array_equal(layer([[1.0, 7.0], [3.0, 7.0]]), [[-1, 0], [1, 0]])
    given = L.Normalization(mean=[2.0, 7.0], variance=[1.0, 0.0])
    np.testing.assert_array_equal(given([[1.0, 7.0], [3.0, 7.0]]), [[-1, 0], [1, 0]])


@pytest.mark.parametrize("mode", MODES)
def test_intervals(mode: str) -> None:
    boundaries = [0.0, 0.5, 1.0]
    x = np.array([[-1.0, 0.0, 0.1, 0.8, 1.2], [np.inf, -np.inf, 0.5, np.nan, 1.0]], np.float32)
    made = L.Discretization(boundaries, output_mode=mode)(x)
    np.testing.assert_array_equal(made, columns(np.digitize(x, boundaries), mode, 4))
    assert made.dtype == (np.int32 if mode == "int" else np.float32)


def test_intervals_that_are_learned() -> None:
    """Keras's documented example; of many values, as many in each, within epsilon."""
    x = np.array([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]])
    layer = L.Discretization(num_bins=4, epsilon=0.01)
    layer.adapt(x)
    np.testing.assert_array_equal(layer(x), [[0, 2, 3, 2], [1, 3, 3, 1]])
    many = RNG.standard_normal(5000) ** 3

    def parts() -> Iterator[np.ndarray]:
        yield from np.split(many, 10)

    for data in (many, parts()):
        layer = L.Discretization(num_bins=5)
        layer.adapt(data)
        shares = np.bincount(layer(many), minlength=5) / len(many)
        assert len(layer.bin_boundaries) == 4 and abs(shares - 0.2).max() < 0.02
    again = L.Discretization.from_config(layer.get_config())
    assert again.get_config() == layer.get_config() and again.bin_boundaries == layer.bin_boundaries
    layer.adapt(np.arange(10.0))
    assert layer.bin_boundaries != again.bin_boundaries


@pytest.mark.parametrize("mode", MODES[1:])
def test_columns_of_whole_numbers(mode: str) -> None:
    for x in ([[3, 2, 0, 1], [3, 3, 0, 1]], [[3], [2], [0]], [3, 2, 0, 3], [[[1, 1], [0, 2]]]):
        made = L.CategoryEncoding(6, mode)(x)
        np.testing.assert_array_equal(made, columns(np.array(x), mode, 6))


def test_counts_are_weighted() -> None:
    """By hand: each number adds its weight to its column."""
    layer = L.CategoryEncoding(4, "count")
    x, w = RNG.integers(0, 4, (6, 5)), RNG.random((6, 5)).astype("f4")
    wanted = np.array([[row_w[row == n].sum() for n in range(4)] for row, row_w in zip(x, w, strict=True)])
    np.testing.assert_allclose(layer(x, count_weights=w), wanted, 1e-6)
    np.testing.assert_allclose(layer(x[0], w[0]), wanted[0], 1e-6)
    a, b = nn.Input(5, dtype="int32"), nn.Input(5)
    model = nn.Model([a, b], nn.Dot(axes=1)([b, L.CategoryEncoding(4, "one_hot")(a)]))
    np.testing.assert_allclose(model.predict([x, w]), wanted, 1e-6)
    with pytest.raises(TypeError, match=r"count_weights: expected arrays, got symbols. Call Dot\(axes=1\)"):
        layer(a, count_weights=b)
    with pytest.raises(ValueError, match=r"count_weights: expected the shape of the inputs.*got \(6,\)"):
        layer(x, count_weights=w[:, 0])
    with pytest.raises(ValueError, match="count_weights: expected None where output_mode is 'multi_hot'"):
        L.CategoryEncoding(4)(x, count_weights=w)
