"""The reference against central differences, published vectors and values worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import reference as ref
import reference_losses
import reference_metrics
import reference_winograd
from reference import Array, Rule

SRC = Path(__file__).parents[2] / "src_c"
DEFINITIONS = [SRC / "kernels.def", SRC / "operations" / "parameters" / "optimizers.def"]
DIFFERENCE = 1e-6  # step of the central differences; their error is about 1e-10

LOSSES = sorted(ref.LOSSES)


@pytest.mark.parametrize("size", [3, 5])
def test_minimal_filtering_is_a_convolution(size: int) -> None:
    """In fractions, so exactly: each window of a tile is the sum of its places by the filter."""
    a, g, b = reference_winograd.matrices(size)
    numbers = iter(range(1, 100))
    w, d = ([next(numbers) ** 2 for _ in range(n)] for n in (size, reference_winograd.POINTS))
    products = [
        sum(x * y for x, y in zip(g_row, w, strict=True)) * sum(x * y for x, y in zip(b_row, d, strict=True))
        for g_row, b_row in zip(g, b, strict=True)
    ]
    made = [sum(x * y for x, y in zip(row, products, strict=True)) for row in a]
    assert made == [sum(w[k] * d[i + k] for k in range(size)) for i in range(reference_winograd.POINTS + 1 - size)]


def central(f: Callable[[Array], float], x: Array) -> Array:
    """df/dx by central differences, element by element."""
    g = np.empty_like(x)
    for i in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[i] += DIFFERENCE
        down[i] -= DIFFERENCE
        g[i] = (f(up) - f(down)) / (2 * DIFFERENCE)
    return g


def example(name: str, rng: np.random.Generator, rows: int = 5, n: int = 4) -> tuple[Array, Array]:
    """Predictions and targets in the domain of a loss."""
    p = rng.uniform(0.05, 0.95, (rows, n)) if name == "binary_crossentropy" else 3 * rng.standard_normal((rows, n))
    if name.startswith("sparse"):
        return p, ref.float64(rng.integers(0, n, rows))
    return p, rng.uniform(0, 1, (rows, n))


@pytest.mark.parametrize(
    ("macro", "names"),
    [
        ("ACTIVATION", ref.ACTIVATIONS),
        ("LOSS", reference_losses.VALUES),
        ("METRIC", reference_metrics.METRICS),
        ("TALLY", reference_metrics.TALLIES),
        ("OPTIMIZER", ref.OPTIMIZERS),
        ("FUNCTION", ref.FUNCTIONS),
    ],
)
def test_covers_the_definition_files(macro: str, names: dict[str, object]) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DEFINITIONS)
    assert list(names) == re.findall(rf"^{macro}\((\w+)", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", ref.ACTIVATIONS)
def test_activation_derivative(name: str) -> None:
    z = np.array([-9.0, -3.1, -1.01, -0.2, -0.01, 0.01, 0.31, 0.98, 2.9, 8.0])  # no kinks of theirs
    for numbers in ref.settings_of(name):
        difference = ref.activate(name, z + DIFFERENCE, *numbers) - ref.activate(name, z - DIFFERENCE, *numbers)
        slope = ref.activate_prime(name, z, *numbers)
        np.testing.assert_allclose(slope, difference / (2 * DIFFERENCE), rtol=1e-7, atol=3e-9, err_msg=str(numbers))


@pytest.mark.parametrize("name", ref.ROWWISE)
def test_rowwise_derivative(name: str) -> None:
    rng = np.random.default_rng(1)
    z = rng.standard_normal((3, 6))
    f, backward = ref.ROWWISE[name]
    y = f(z)
    dy = rng.standard_normal(y.shape)
    numeric = central(lambda z: float((f(z) * dy).sum()), z)
    np.testing.assert_allclose(backward(z if name in ("glu", "ascending") else y, dy), numeric, atol=1e-8)


def test_sparsemax() -> None:
    """Examples of the paper's figure: t + (0.1, 0.2) for two numbers; far ones are 0."""
    np.testing.assert_allclose(ref.sparsemax([[0.1, 0.2], [0, 3], [-2, -2]]), [[0.45, 0.55], [0, 1], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("name", "z", "expected"),
    [
        ("linear", -2.0, -2.0),
        ("relu", -2.0, 0.0),
        ("relu", 2.0, 2.0),
        ("leaky_relu", -2.0, -0.5),  # alpha = 0.25
        ("elu", -1.0, -0.15803013970713942),  # (1/e − 1) / 4
        ("selu", -1.0, -1.1113307378125625),
        ("selu", 1.0, 1.0507009873554805),
        ("sigmoid", 2.0, 0.8807970779778823),
        ("sigmoid", -800.0, 0.0),
        ("tanh", 0.5, 0.46211715726000975),
        ("softplus", 0.0, 0.6931471805599453),  # log 2
        ("softplus", 1.0, 1.3132616875182228),
        ("softplus", 800.0, 800.0),
        ("softplus", -40.0, 4.248354255291589e-18),  # e⁻⁴⁰
        ("gelu", 1.0, 0.8413447460685429),
        ("gelu", -1.0, -0.15865525393145707),
        ("gelu", -10.0, -7.61985302416047e-23),
        ("gelu_tanh", 1.0, 0.8411919906082768),
        ("silu", 1.0, 0.7310585786300049),
        ("relu_general", 2.0, 2.0),  # slope 0.25, no largest value, threshold 0
        ("celu", -0.25, -0.15803013970713942),
        ("exponential", 1.0, 2.718281828459045),
        ("hard_sigmoid", 1.5, 0.75),
        ("hard_silu", 1.5, 1.125),
        ("hard_silu", -4.0, 0.0),
        ("hard_tanh", -1.5, -1.0),
        ("hard_shrink", 0.25, 0.0),
        ("hard_shrink", -0.5, -0.5),
        ("log_sigmoid", -1.0, -1.3132616875182228),
        ("mish", 1.0, 0.8650983882673103),
        ("soft_shrink", -1.0, -0.75),
        ("softsign", -3.0, -0.75),
        ("sparse_plus", 0.0, 0.25),
        ("sparse_plus", 3.0, 3.0),
        ("sparse_sigmoid", 0.5, 0.75),
        ("squareplus", 0.0, 0.25),
        ("squareplus", 1.2, 1.25),
        ("tanh_shrink", 0.5, 0.03788284273999025),
        ("tanh_shrink", 1e-5, 3.33333333320e-16),
        ("threshold", 0.25, 0.0),
        ("threshold", 0.5, 0.5),
    ],
)
def test_activation_value(name: str, z: float, expected: float) -> None:
    numbers = (0.25, np.nan, 0.0) if name == "relu_general" else (0.25,)
    np.testing.assert_allclose(ref.activate(name, [z], *numbers), [expected], rtol=1e-12, atol=0)


def test_erf() -> None:
    """Abramowitz and Stegun, table 7.1, to its ten digits."""
    expected = [0, 0.5204998778, 0.8427007929, -0.9953222650]
    np.testing.assert_allclose(ref.erf(np.array([0.0, 0.5, 1.0, -2.0])), expected, rtol=0, atol=6e-11)


def test_softmax() -> None:
    z = np.log([[1.0, 2.0, 3.0], [5.0, 2.0, 1.0]])
    np.testing.assert_allclose(ref.softmax(z + 700), [[1 / 6, 2 / 6, 3 / 6], [5 / 8, 2 / 8, 1 / 8]], rtol=1e-12)
    np.testing.assert_allclose(ref.log_softmax([[0.0, -2000.0]]), [[0, -2000]])


def test_softmax_backward() -> None:
    rng = np.random.default_rng(1)
    z, dy = rng.standard_normal((2, 3, 5))
    numeric = central(lambda z: float((ref.softmax(z) * dy).sum()), z)
    np.testing.assert_allclose(ref.softmax_backward(ref.softmax(z), dy), numeric, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("param", [0.5, 1.0])
def test_loss_gradient(name: str, param: float) -> None:
    rng = np.random.default_rng(2)
    p, target = example(name, rng)
    weight, scale = rng.uniform(0, 2, len(p)), 0.2
    numeric = central(lambda p: scale * ref.loss(name, p, target, weight, scale, param)[0], p)
    np.testing.assert_allclose(ref.loss(name, p, target, weight, scale, param)[1], numeric, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "p", "target", "expected"),
    [
        ("mean_squared_error", [1.0, 4.0], [3.0, 3.0], 2.5),
        ("mean_absolute_error", [1.0, 4.0], [3.0, 3.0], 1.5),
        ("huber", [0.5, 4.0], [0.0, 0.0], (0.125 + 3.5) / 2),
        ("binary_crossentropy", [0.25, 0.5], [0.0, 1.0], (np.log(4 / 3) + np.log(2)) / 2),
        ("binary_crossentropy", [0.0, 1.0], [1.0, 1.0], (-np.log(1e-7) - np.log1p(-1e-7)) / 2),
        ("binary_crossentropy_logits", [0.0, np.log(3)], [1.0, 0.0], (np.log(2) + np.log(4)) / 2),
        ("binary_crossentropy_logits", [1000.0, -1000.0], [0.0, 1.0], 1000.0),
        ("categorical_crossentropy_logits", np.log([1.0, 3.0]), [0.5, 0.5], (np.log(4) + np.log(4 / 3)) / 2),
        ("categorical_crossentropy_logits", [0.0, 2000.0], [1.0, 0.0], 2000.0),
        ("categorical_crossentropy_logits", [0.0, -np.inf], [1.0, 0.0], 0.0),
    ],
)
def test_loss_value(name: str, p: list[float], target: list[float], expected: float) -> None:
    assert ref.loss(name, [p], [target])[0] == pytest.approx(expected, rel=1e-13)
    assert ref.loss(name, [p, p], [target, target], [2.0, 0.5])[0] == pytest.approx(2.5 * expected, rel=1e-13)


def test_sparse_is_categorical_of_one_hot() -> None:
    z, labels = np.random.default_rng(3).standard_normal((4, 3)), [2, 0, 1, 2]
    sparse = ref.loss("sparse_categorical_crossentropy_logits", z, labels)
    categorical = ref.loss("categorical_crossentropy_logits", z, np.eye(3)[labels])
    assert sparse[0] == categorical[0]
    np.testing.assert_array_equal(sparse[1], categorical[1])


def test_no_gradient_outside_the_clipping_range() -> None:
    np.testing.assert_array_equal(ref.loss("binary_crossentropy", [[0.0, 1.0]], [[1.0, 0.0]])[1], [[0, 0]])


def test_metrics() -> None:
    p = [[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]]
    assert reference_metrics.metric("sparse_categorical_accuracy", p, [1, 2]) == 1
    assert reference_metrics.metric("categorical_accuracy", p, [[0, 1, 0], [1, 0, 0]], weight=[1, 3]) == 4
    assert reference_metrics.metric("binary_accuracy", p, [[0, 1, 1], [1, 0, 0]]) == pytest.approx(2 / 3 + 1)
    assert reference_metrics.metric("binary_accuracy", [[0.5]], [[0]]) == 1  # the threshold itself counts as 0
    assert reference_metrics.metric("top_k_categorical_accuracy", p, [[0, 1, 0], [1, 0, 0]], param=2) == 2
    tie = [[0.3, 0.3, 0.3], [0.2, 0.2, 0.6], [0.1, 0.6, 0.3]]
    assert reference_metrics.metric("sparse_top_k_categorical_accuracy", tie, [2, 1, 0], param=2) == 2
    assert reference_metrics.metric("brier_score", [[0.5, 0.5]], [[0, 1]]) == 0.5


# w after each of two steps from w = 1 with gradients 1 and −1 (sgd, adam) or 2 and 2 (rmsprop)
TWO_STEPS = [
    ("sgd", Rule(learning_rate=0.1), (0.9, 1.0)),
    ("sgd", Rule(learning_rate=0.1, momentum=0.5), (0.9, 0.95)),  # m = −0.1, then −0.05 + 0.1
    ("sgd", Rule(learning_rate=0.1, momentum=0.5, nesterov=True), (0.85, 0.975)),  # w += m/2 ∓ 0.1
    ("sgd", Rule(learning_rate=0.1, weight_decay=0.5), (0.85, 0.9075)),  # 0.95 w ∓ 0.1
    ("sgd", Rule(learning_rate=0.1, clip_value=0.5), (0.95, 1.0)),
    ("sgd", Rule(learning_rate=0.1, grad_scale=0.25), (0.975, 1.0)),
    # m = 1/2, −1/4; v = 1/4, 7/16; α = 0.1 √(1/4) / (1/2), 0.1 √(7/16) / (3/4)
    ("adam", Rule(learning_rate=0.1, beta_1=0.5, beta_2=0.75, epsilon=0), (0.9, 0.9 + 0.1 / 3)),
    (
        "adam",
        Rule(learning_rate=0.1, beta_1=0.5, beta_2=0.75, epsilon=1),
        (1 - 0.1 / 3, 1 - 0.1 / 3 + 0.1 / 3 * 7**0.5 / 4 / (1 + 7**0.5 / 4)),
    ),
    # v = 1, 7/4
    ("rmsprop", Rule(learning_rate=0.1, rho=0.75, epsilon=3), (0.9, 0.9 - 0.2 / 4.75**0.5)),
    ("rmsprop", Rule(learning_rate=0.1, rho=0.75, epsilon=3, momentum=0.5), (0.9, 0.85 - 0.2 / 4.75**0.5)),
    # a = 1/2, 7/8: v − a² = 3/4, 63/64
    ("rmsprop", Rule(learning_rate=0.1, rho=0.75, epsilon=3.25, centered=True), (0.9, 0.9 - 0.2 * 8 / 271**0.5)),
]


@pytest.mark.parametrize(("name", "rule", "expected"), TWO_STEPS)
def test_optimizer_two_steps(name: str, rule: Rule, expected: tuple[float, float]) -> None:
    w, state = np.ones(1), [np.zeros(1) for _ in range(3)]
    gradients = (2.0, 2.0) if name == "rmsprop" else (1.0, -1.0)
    for step, (g, want) in enumerate(zip(gradients, expected, strict=True), start=1):
        w = ref.update(name, w, [g], state, rule, step)
        np.testing.assert_allclose(w, [want], rtol=1e-14)


def test_norm_scale() -> None:
    assert ref.norm_scale([np.array([3.0]), np.array([[0.0, 4.0]])], 2.0) == pytest.approx(0.4)
    assert ref.norm_scale([np.array([3.0, 4.0])], 5.0) == 1
    assert ref.norm_scale([np.zeros(2)], np.inf) == 1


def test_regularize() -> None:
    value, gradient = ref.regularize([1.0, -2.0, 0.0], 0.5, 0.25)
    assert value == 0.5 * 3 + 0.25 * 5
    np.testing.assert_array_equal(gradient, [1.0, -1.5, 0.0])


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # Random123's known answers
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox(counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert ref.philox4x32_10(counter, key) == expected


def test_uniform_layout() -> None:
    """Element p: block p // 64, counter 16 block + p % 16, word (p % 64) // 16."""
    key = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
    places = [(0, 0, 0), (15, 15, 0), (16, 0, 1), (63, 15, 3), (64, 16, 0), (2**36 + 33, 2**34 + 1, 2)]
    for position, counter, word in places:
        words = ref.philox4x32_10(
            (counter & 0xFFFFFFFF, counter >> 32, 0x76543210, 0xFEDCBA98), (0x89ABCDEF, 0x01234567)
        )
        assert ref.uniform(position, key) == (words[word] >> 8) / 2**24


def test_dropout_mask() -> None:
    key = (5, 7)
    mask = ref.dropout_mask(4000, 0, key, 0.25)
    assert set(mask) == {0.0, 4 / 3}
    assert abs((mask == 0).mean() - 0.25) < 0.03  # over four standard deviations
    np.testing.assert_array_equal(ref.dropout_mask(100, 30, key, 0.25), mask[30:130])
    np.testing.assert_array_equal(ref.dropout_mask(100, 0, key, 0.0), np.ones(100))


@pytest.mark.parametrize("hidden", ref.ACTIVATIONS)
def test_mlp_gradient(hidden: str) -> None:
    check_mlp(hidden, "softmax", "sparse_categorical_crossentropy_logits")


@pytest.mark.parametrize("output", ["linear", "sigmoid", "softmax"])
@pytest.mark.parametrize("name", LOSSES)
def test_mlp_loss_gradient(output: str, name: str) -> None:
    if name == "binary_crossentropy" and output == "linear":
        pytest.skip("not a probability")
    check_mlp("tanh", output, name)


def check_mlp(hidden: str, output: str, name: str) -> None:
    rng = np.random.default_rng(4)
    shapes = [(3, 5), (5,), (5, 4), (4,)]
    model = ref.MLP([rng.standard_normal(s) for s in shapes], hidden=hidden, output=output, loss=name, l2=0.1)
    x, weight = rng.standard_normal((6, 3)), rng.uniform(0, 2, 6)
    _, target = example(name, rng, 6, 4)
    gradients = model.gradients(x, target, weight)[1]

    def value(i: int, w: Array) -> float:
        weights = [*model.weights[:i], w, *model.weights[i + 1 :]]
        return ref.MLP(weights, hidden=hidden, output=output, loss=name, l2=0.1).gradients(x, target, weight)[0]

    for i, gradient in enumerate(gradients):
        numeric = central(lambda w, i=i: value(i, w), model.weights[i])  # type: ignore[misc]
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("optimizer", ref.OPTIMIZERS)
def test_mlp_learns(optimizer: str) -> None:
    """Two clusters are told apart after 100 steps."""
    rng = np.random.default_rng(5)
    labels = np.arange(40) % 2
    x = rng.standard_normal((40, 2)) + 3 * labels[:, None]
    weights = [rng.standard_normal(s) for s in [(2, 8), (8,), (8, 2), (2,)]]
    rate = {"adagrad": 0.5, "adadelta": 10.0, "ftrl": 0.5}.get(optimizer, 0.05)  # whose steps are short
    model = ref.MLP(weights, optimizer=optimizer, rule=Rule(learning_rate=rate), global_clipnorm=10)
    losses = [model.step(x, labels) for _ in range(100)]
    assert losses[-1] < 0.15 < losses[0]
    assert (model.predict(x).argmax(axis=1) == labels).mean() > 0.9


def test_bfloat16() -> None:
    """Of the eight bits, ties to even; the largest number is (2 − 2⁻⁷) 2¹²⁷."""
    top = (2 - 2**-7) * 2.0**127
    x = [0, 1, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8 - 2**-20, top, top + 2.0**118, top + 2.0**119, 2.0**-126, 1e-38]
    expected = [0, 1, 1, 1 + 2**-6, -1 - 2**-7, top, top, np.inf, 2.0**-126, 0]
    np.testing.assert_array_equal(ref.bfloat16([*x, -np.inf, np.nan]), [*expected, -np.inf, np.nan])
    x = [1 + 2**-8, 1 + 2**-9 + 2**-18, 3 + 2**-15, -np.inf, top + 2.0**119]
    expected = [1 + 2**-8, 1 + 2**-9, 3 + 2**-15, -np.inf, top + 2.0**119]
    np.testing.assert_array_equal(ref.split_bfloat16(x), expected)
