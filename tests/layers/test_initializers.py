"""Distributions, fans, seeds and errors of the initializers.

The statistics are those of fixed seeds, so a test gives the same result every time; the tolerances are five
standard errors, while a wrong fan or limit changes a variance by at least a tenth.
"""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import nncore as nn
from nncore.initializers import (
    INITIALIZERS,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    fans,
    get,
)
from nncore.registry import serialize

VARIANTS = [
    *(INITIALIZERS.classes[name]() for name in INITIALIZERS.names()),
    Constant(2.5),
    RandomNormal(1.0, 2.0, seed=3),
    RandomUniform(0, 1),
    HeNormal(seed=2**127),
    Orthogonal(gain=2.0),
    VarianceScaling(2.0, "fan_avg", "uniform"),
    VarianceScaling(2.0, "fan_out", "untruncated_normal", 3, [0], [1]),
]
RANDOM = [v for v in VARIANTS if "seed" in v.config_names()]

# shape, fan_in, fan_out; a convolution's (h, w, in, out) has the receptive field h w
SHAPES = [((300, 200), 300, 200), ((200, 300), 200, 300), ((3, 5, 40, 60), 600, 900), ((7, 60, 90), 420, 630)]


def rng(key=0):
    return np.random.Generator(np.random.Philox(key=key))


def test_names():
    assert INITIALIZERS.names() == [
        "constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity", "lecun_normal",
        "lecun_uniform", "ones", "orthogonal", "random_normal", "random_uniform", "truncated_normal",
        "variance_scaling", "zeros",
    ]  # fmt: skip
    assert get("GlorotUniform") == get("glorot_uniform") == get(GlorotUniform) == GlorotUniform(seed=None)
    assert (get("uniform"), get("normal"), get("zero"), get("one")) == (
        RandomUniform(),
        RandomNormal(),
        Zeros(),
        Ones(),
    )


@pytest.mark.parametrize("initializer", VARIANTS, ids=repr)
def test_copies_are_equal_and_others_are_not(initializer):
    for twin in (get(serialize(initializer)), pickle.loads(pickle.dumps(initializer)), copy.deepcopy(initializer)):
        assert twin == initializer
        np.testing.assert_array_equal(twin((3, 4), np.float32, rng()), initializer((3, 4), np.float32, rng()))
    assert [other for other in VARIANTS if other == initializer] == [initializer]


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 3, 4, 5), [4, 4], (0, 3), (3, 0), (np.int64(2), 1)])
@pytest.mark.parametrize("initializer", VARIANTS, ids=repr)
def test_shape_dtype_and_rounding(initializer, shape):
    if isinstance(initializer, Identity) and len(shape) > 2:
        with pytest.raises(ValueError, match="shape: expected two axes for a diagonal"):
            initializer(shape)
        return
    exact = initializer(shape, "float64", rng())
    rounded = initializer(shape, np.float32, rng())
    assert exact.shape == rounded.shape == tuple(shape)
    assert (exact.dtype, rounded.dtype) == (np.float64, np.float32)
    assert exact.flags.c_contiguous
    assert rounded.flags.c_contiguous
    np.testing.assert_array_equal(rounded, exact.astype(np.float32))


@pytest.mark.parametrize("initializer", [v for v in VARIANTS if not isinstance(v, (Identity, Orthogonal))], ids=repr)
@pytest.mark.parametrize("shape", [(), (7,)])
def test_vectors_and_scalars(initializer, shape):
    if getattr(initializer, "output_axes", None):
        with pytest.raises(ValueError, match="input_axes, output_axes: expected axes of the shape"):
            initializer(shape)
        return
    assert initializer(shape, np.float32, rng()).shape == shape


def test_constants():
    np.testing.assert_array_equal(Zeros()((2, 3), np.float32, rng()), np.zeros((2, 3)))
    np.testing.assert_array_equal(Ones()((2, 3), np.float32, rng()), np.ones((2, 3)))
    np.testing.assert_array_equal(Constant(0.1)((4,), np.float32, rng()), np.full(4, np.float32(0.1)))
    np.testing.assert_array_equal(Constant()((4,), np.float64, rng()), np.zeros(4))
    np.testing.assert_array_equal(Identity(2.0)((3, 4)), 2 * np.eye(3, 4))
    for given in ([1.0, 2.0], np.array([1.0, 2.0]), (1, 2)):
        made = Constant(given)
        np.testing.assert_array_equal(made((3, 2)), [[1, 2]] * 3)
        assert made == get(serialize(made)) == Constant((1.0, 2.0))
        assert made((2,)).dtype == np.float32
    np.testing.assert_array_equal(get(np.eye(3))((3, 3), np.float64), np.eye(3))
    with pytest.raises(ValueError, match=r"^shape: expected .* of shape \(2,\) can be spread over, got \(3, 4\). Give"):
        Constant([1.0, 2.0])((3, 4))
    assert get(None) is None


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 300), ("fan_out", 200), ("fan_avg", 250)])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform", "normal"])
def test_variances_follow_fans(mode, fan, distribution):
    values = VarianceScaling(3.0, mode, distribution, seed=1)((300, 200), np.float64)
    assert values.var() == pytest.approx(3.0 / fan, rel=0.03)
    if distribution == "uniform":
        assert np.abs(values).max() <= math.sqrt(9.0 / fan)
    if "truncated" in distribution and "un" not in distribution:
        assert np.abs(values).max() <= 2 * math.sqrt(3.0 / fan) / 0.8796


def test_fans_of_given_axes():
    assert fans((512, 8, 64), [0], [1, 2]) == (512, 512)
    assert fans((512, 8, 64), [0, 1], [2]) == (4096, 64)
    values = VarianceScaling(1.0, input_axes=[0], output_axes=[1, 2], seed=1)((50, 40, 30), np.float64)
    assert values.var() == pytest.approx(1 / 50, rel=0.03)
    values = nn.initializers.GlorotUniform(2, input_axes=[0], output_axes=[1, 2])((50, 40, 30), np.float64)
    assert values.var() == pytest.approx(2 / (50 + 1200), rel=0.03)


def test_calls_without_a_generator_follow_the_seed_of_the_runtime():
    found = []
    for _ in range(2):
        nn.set_random_seed(3)
        found.append([RandomNormal()((4,)), RandomNormal()((4,))])
    assert np.array_equal(found[0], found[1]) and not np.array_equal(*found[0])
    assert np.array_equal(RandomNormal(seed=2)((4,)), RandomNormal(seed=2)((4,)))


@pytest.mark.parametrize("initializer", [v for v in RANDOM if v.seed is None], ids=repr)
def test_values_come_from_the_generator_of_the_call(initializer):
    generator = rng()
    first, second = (initializer((6, 5), np.float64, generator) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(first, initializer((6, 5), np.float64, rng()))


@pytest.mark.parametrize("cls", sorted({type(v) for v in RANDOM}, key=lambda cls: cls.__name__))
def test_a_seed_of_its_own_decides_alone(cls):
    seeded, generator = cls(seed=11), rng(5)
    first, second = (seeded((6, 5), np.float64, generator) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(generator.random(3), rng(5).random(3))  # not touched
    np.testing.assert_array_equal(first, cls()((6, 5), np.float64, rng(11)))
    assert np.abs(first - cls(seed=12)((6, 5), np.float64, generator)).max() > 1e-3
    assert (seeded == cls(seed=np.int64(11))) is True
    assert seeded != cls()


def test_fans():
    for shape, fan_in, fan_out in SHAPES:
        assert fans(shape) == (fan_in, fan_out)
    assert (fans(()), fans((7,)), fans((0, 4))) == ((1, 1), (7, 7), (0, 4))


def check_moments(w, mean, variance, kurtosis):
    """Mean and variance of independent values within five standard errors, given E (w − mean)⁴ / variance²."""
    n = w.size
    assert abs(w.mean() - mean) < 5 * math.sqrt(variance / n)
    assert abs(np.mean((w - mean) ** 2) / variance - 1) < 5 * math.sqrt((kurtosis - 1) / n)


# Standard normal truncated to ±2: variance and kurtosis, by numerical integration of its density.
_x = np.linspace(-2, 2, 400_001)
_density = np.exp(-_x * _x / 2)
_density /= _density.sum()
TRUNCATED_VARIANCE = float((_density * _x**2).sum())
TRUNCATED_KURTOSIS = float((_density * _x**4).sum()) / TRUNCATED_VARIANCE**2


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
@pytest.mark.parametrize(
    ("cls", "limit_squared"),
    [
        (GlorotUniform, lambda i, o: 6 / (i + o)),
        (HeUniform, lambda i, o: 6 / i),
        (LecunUniform, lambda i, o: 3 / i),
    ],
)
def test_uniform_variance_scaling(cls, limit_squared, shape, fan_in, fan_out):
    w, limit = cls()(shape, np.float64, rng(1)), math.sqrt(limit_squared(fan_in, fan_out))
    assert limit * (1 - 20 / w.size) < np.abs(w).max() <= limit
    check_moments(w, 0.0, limit**2 / 3, 9 / 5)
    for quantile in (0.1, 0.25, 0.6, 0.9):
        error = math.sqrt(quantile * (1 - quantile) / w.size)
        assert abs(np.mean(w < limit * (2 * quantile - 1)) - quantile) < 5 * error


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
@pytest.mark.parametrize(
    ("cls", "variance"),
    [
        (GlorotNormal, lambda i, o: 2 / (i + o)),
        (HeNormal, lambda i, o: 2 / i),
        (LecunNormal, lambda i, o: 1 / i),
    ],
)
def test_normal_variance_scaling(cls, variance, shape, fan_in, fan_out):
    w, sigma = cls()(shape, np.float64, rng(2)), math.sqrt(variance(fan_in, fan_out))
    cut = 2 * sigma / math.sqrt(TRUNCATED_VARIANCE)
    assert cut * 0.99 < np.abs(w).max() <= cut * (1 + 1e-12)
    check_moments(w, 0.0, sigma**2, TRUNCATED_KURTOSIS)


def test_a_fan_below_one_counts_as_one():
    assert LecunUniform()((0, 4), np.float32, rng()).shape == (0, 4)
    assert np.abs(LecunUniform()((1, 5000), np.float64, rng())).max() == pytest.approx(math.sqrt(3), rel=1e-3)


def test_truncated_normal():
    w = TruncatedNormal(3.0, 0.5)((300, 300), np.float64, rng(3))
    assert 0.99 < np.abs(w - 3).max() <= 1
    check_moments(w, 3.0, 0.25 * TRUNCATED_VARIANCE, TRUNCATED_KURTOSIS)


def test_normal_and_uniform():
    w = RandomNormal(3.0, 0.5)((300, 300), np.float64, rng(4))
    check_moments(w, 3.0, 0.25, 3.0)
    assert np.mean(np.abs(w - 3) > 1) == pytest.approx(0.0455, abs=0.0035)  # not truncated
    check_moments(RandomNormal()((300, 300), np.float64, rng(4)), 0.0, 0.05**2, 3.0)
    w = RandomUniform(1.0, 3.0)((300, 300), np.float64, rng(4))
    assert 1 <= w.min() < 1.001
    assert 2.999 < w.max() <= 3
    check_moments(w, 2.0, 1 / 3, 9 / 5)
    check_moments(RandomUniform()((300, 300), np.float64, rng(4)), 0.0, 0.1**2 / 12, 9 / 5)


@pytest.mark.parametrize("shape", [(20, 20), (30, 20), (20, 30), (3, 3, 4, 8), (3, 3, 2, 40), (1, 6), (6, 1)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal(shape, gain):
    w = Orthogonal(gain)(shape, np.float64, rng(6)).reshape(-1, shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, gain**2 * np.eye(min(w.shape)), atol=1e-13 * gain**2)


def test_orthogonal_is_uniform_over_rotations_and_reflections():
    generator = rng(7)
    diagonals = np.array([np.diagonal(Orthogonal()((3, 3), np.float64, generator)) for _ in range(2000)])
    # An entry of a uniform orthogonal n×n matrix has mean 0 and variance 1/n; without the signs of R, LAPACK's
    # reflections make the first ones negative.
    assert np.abs(diagonals.mean(0)).max() < 5 / math.sqrt(3 * 2000)
    np.testing.assert_allclose((diagonals**2).mean(0), 1 / 3, atol=0.04)


def test_orthogonal_needs_a_matrix():
    for shape in [(), (5,)]:
        with pytest.raises(ValueError, match="shape: expected at least 2 axes"):
            Orthogonal()(shape, np.float32, rng())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Constant("1"), TypeError, "value: expected a finite number, or an array of them, got '1'"),
        (lambda: Constant(math.inf), ValueError, "value: expected a finite number, or an array of them, got inf"),
        (lambda: RandomNormal(mean=math.nan), ValueError, "mean: expected a finite number, got nan"),
        (lambda: RandomNormal(stddev=-1.0), ValueError, "stddev: expected a finite number ≥ 0, got -1.0"),
        (lambda: TruncatedNormal(stddev=-1.0), ValueError, "stddev: expected a finite number ≥ 0, got -1.0"),
        (lambda: RandomUniform(1.0, 0.0), ValueError, "maxval: expected at least minval = 1.0, got 0.0"),
        (lambda: Orthogonal(gain=None), TypeError, "gain: expected a finite number, got None"),
        (lambda: HeNormal(seed=-1), ValueError, "seed: expected an int in .*, got -1"),
        (lambda: HeNormal(seed=2**128), ValueError, "seed: expected an int in .*, got 34"),
        (lambda: HeNormal(seed=1.0), TypeError, "seed: expected an int in .*, got 1.0"),
        (lambda: HeNormal(seed=True), TypeError, "seed: expected an int in .*, got True"),
        (lambda: GlorotUniform()("ab"), TypeError, r"shape: expected ints, such as \(784, 10\), got 'ab'"),
        (lambda: GlorotUniform()(3), TypeError, "shape: expected ints, .* got 3"),
        (lambda: GlorotUniform()((1.5, 2)), TypeError, r"shape: expected ints, .* got \(1.5, 2\)"),
        (lambda: HeNormal()((-1, 2)), ValueError, r"shape: expected lengths ≥ 0, got \(-1, 2\)"),
        (lambda: get("he"), ValueError, "initializer: expected a known initializer, got 'he'"),
        (lambda: Constant([[1.0], [2.0, 3.0]]), TypeError, "value: expected a finite number, or an array of them"),
        (lambda: VarianceScaling(-1.0), ValueError, "scale: expected a number > 0, got -1.0"),
        (lambda: VarianceScaling(mode="fan"), ValueError, "mode: expected one of .* 'fan' .Invalid `mode` arg"),
        (
            lambda: VarianceScaling(distribution="x"),
            ValueError,
            "distribution: expected one of truncated_normal, .* got 'x' .Invalid `distribution` argument:",
        ),
        (lambda: VarianceScaling(input_axes=0), TypeError, "input_axes: expected a list of ints, or None, got 0"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=f"^{message}"):
        make()


def test_bad_calls():
    with pytest.raises(TypeError, match="dtype: expected float32 or float64, got int32"):
        Zeros()((2,), np.int32, rng())
    with pytest.raises(TypeError):
        Zeros()((2.5,), np.float32, rng())
    with pytest.raises(ValueError, match=r"Constant.*expected values within the range of float32"):
        Constant(1e39)((2,), np.float32, rng())
    assert Constant(1e39)((2,), np.float64, rng())[0] == 1e39
