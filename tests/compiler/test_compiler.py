"""The compiler of programs: what it fuses, where it puts tensors, where the team meets, what it leaves out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import parameter, state
from nncore._kernels import table
from nncore.compiler import builder, encoding, operation, program, programs
from nncore.compiler.configuration import CompileConfiguration
from nncore.execution import team

Array = NDArray[Any]

BUFFERS = {number: name for name, number in table.BUFFERS.items()}
FUNCTIONS = {number: name for name, number in table.ACTIVATIONS.items()}
SAMPLES = 5
DENSE_GRADIENTS = ["column_sums", "dense_backward_weights"]  # of b and W


def configured(model: nn.Model, **kwargs: Any) -> CompileConfiguration:
    model.compile(**{"optimizer": "sgd", "loss": "mse"} | kwargs)
    assert model.configuration is not None
    return model.configuration


def step(model: nn.Model, training: bool = True, weighted: bool = False, **kwargs: Any) -> program.Program:
    """The program of a training step, or of an evaluation."""
    config = configured(model, **kwargs)
    return programs.step(model.graph, config, training=training, weighted=[weighted], max_samples=SAMPLES)


def prediction(model: nn.Model) -> program.Program:
    return programs.prediction(model.graph, SAMPLES)


def decoded(p: program.Program) -> list[Any]:
    """The operations, each with its fields by name."""
    names = [table.OPERATIONS[kind][0] for kind in p.ops.view(np.int64).reshape(len(p.ops), -1)[:, 0]]
    return [p.ops[i : i + 1].view(encoding.layout(name))[0] for i, name in enumerate(names)]


def kinds(p: program.Program) -> list[str]:
    return [table.OPERATIONS[op["kind"]][0] for op in decoded(p)]


def of_kind(p: program.Program, kind: str) -> list[Any]:
    return [op for op, name in zip(decoded(p), kinds(p), strict=True) if name == kind]


def fused(p: program.Program, kind: str = "dense_forward") -> list[str]:
    """The activations that the products of a kind have taken over."""
    return [FUNCTIONS[int(op["function"])] for op in of_kind(p, kind)]


def absent(p: program.Program, kind: str, operand: str) -> list[bool]:
    return [BUFFERS[int(op[operand]["buffer"])] == "none" for op in of_kind(p, kind)]


def stack(*layers: Any, inputs: Any = 4) -> nn.Model:
    return nn.Model([nn.Input(inputs), *layers], seed=0)


# -- structs -------------------------------------------------------------------------------------------------------


def test_structs_have_the_sizes_of_c() -> None:
    assert state.CHUNK.itemsize == table.CHUNK_BYTES
    assert encoding.ACCUMULATOR.itemsize == table.ACCUMULATOR_BYTES
    assert encoding.SECTION.itemsize == table.SECTION_BYTES
    assert encoding.MOVING_OPERAND.itemsize == table.MOVING_BYTES


@pytest.mark.parametrize("kind", operation.OPERATIONS)
def test_operations_are_laid_out_as_in_c(kind: str) -> None:
    """Field by field: what `struct` packs is found at the offsets that C gives."""
    d = operation.OPERATIONS[kind]
    operand = parameter.Parameter("p", (1,), nn.initializers.Zeros())
    fields: dict[str, Any] = {name: operation.Whole("packed", operand, 8 * i) for i, name in enumerate(d.operands)}
    values = {"INTEGER": 100, "NUMBER": 100.5, "PARAMETERS": (1.5, 2.5, 3.5, 4.5)}
    fields |= {name: values[role] for name, role in d.attributes.items()}
    op = operation.Op(kind, fixed=3, per_sample=4, block=5, cost=6, **fields)
    [row] = encoding.encode([op], 4).view(encoding.layout(kind))
    assert (row["fixed"], row["per_sample"], row["block"], row["cost"]) == (3, 4, 5, 6)
    assert all(tuple(row[name]) == (table.BUFFERS["packed"], fields[name].offset) for name in d.operands)
    assert all(np.array_equal(row[name], fields[name]) for name in d.attributes)


def test_operations_take_the_fields_that_are_declared() -> None:
    with pytest.raises(TypeError, match=r"add: has no \['C'\], lacks \['B'\]"):
        operation.Op("add", A=operation.Tensor((1,)), C=None, Y=operation.Tensor((1,)))


# -- fusion --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", networks.ELEMENTWISE)
def test_an_activation_joins_the_product_before_it(name: str) -> None:
    model = stack(nn.Dense(3, name), nn.Dense(2))
    assert kinds(prediction(model)) == ["gather", "dense_forward", "dense_forward"]
    assert fused(prediction(model)) == [name, "linear"]
    p = step(model)
    assert kinds(p).count("activate") == kinds(p).count("activate_backward") == 0
    assert fused(p, "dense_backward_input") == [name]


def test_z_is_kept_only_where_the_derivative_needs_it() -> None:
    model = stack(nn.Dense(3, "gelu"), nn.Dense(3, "relu"), nn.Dense(2))
    assert absent(prediction(model), "dense_forward", "Z") == [True, True, True]
    assert absent(step(model, training=False), "dense_forward", "Z") == [True, True, True]
    assert absent(step(model), "dense_forward", "Z") == [False, True, True]
    frozen = stack(nn.Dense(3, "gelu", trainable=False), nn.Dense(2))
    assert absent(step(frozen), "dense_forward", "Z") == [True, True]


def test_an_activation_layer_joins_too() -> None:
    assert fused(prediction(stack(nn.Dense(3), nn.Activation("elu")))) == ["elu"]


def test_a_product_takes_one_activation() -> None:
    p = step(stack(nn.Dense(3), nn.Activation("elu"), nn.Activation("tanh"), nn.Dense(2)))
    assert fused(p) == ["elu", "linear"]
    assert fused(p, "dense_backward_input") == ["tanh"]
    assert kinds(p).count("activate") == kinds(p).count("activate_backward") == 1


@pytest.mark.parametrize("between", [lambda: nn.Reshape((3, 1)), nn.Flatten, lambda: nn.Dropout(0.5)])
def test_nothing_is_fused_across_another_layer(between: Any) -> None:
    p = step(stack(nn.Dense(3), between(), nn.Activation("relu"), nn.Flatten(), nn.Dense(2)))
    assert fused(p) == ["linear", "linear"]
    assert kinds(p).count("activate") == 1


def test_a_sum_with_other_readers_is_not_fused() -> None:
    x = nn.Input(4)
    z = nn.Dense(3)(x)
    model = nn.Model(x, nn.Concatenate()([nn.Activation("silu")(z), nn.Activation("relu")(z)]), seed=0)
    assert fused(prediction(model)) == ["linear"]
    assert kinds(prediction(model)).count("activate") == 2
    x = nn.Input(4)
    z = nn.Dense(3)(x)
    assert fused(prediction(nn.Model(x, nn.Add()([nn.Activation("relu")(z), z]), seed=0))) == ["linear"]


def test_a_derivative_is_not_fused_where_gradients_add_up() -> None:
    x = nn.Input(4)
    h = nn.Dense(3, "relu")(x)
    p = step(nn.Model(x, nn.Add()([nn.Dense(2)(h), nn.Dense(2)(h)]), seed=0))
    assert fused(p) == ["relu", "linear", "linear"]  # the forward pass has no such difficulty
    assert fused(p, "dense_backward_input") == ["linear", "linear"]
    assert kinds(p).count("activate_backward") == 1


@pytest.mark.parametrize("name", networks.ELEMENTWISE)
def test_a_normalization_takes_the_activation_behind_it_both_ways(name: str) -> None:
    """Neither Z is kept, nor what the derivative would be written to."""
    p = step(stack(nn.Dense(3), nn.BatchNormalization(), nn.Activation(name), nn.Dense(2)))
    assert kinds(p).count("activate") == kinds(p).count("activate_backward") == 0
    assert fused(p, "standardize") == fused(p, "batch_norm_sums") == fused(p, "batch_norm_backward") == [name]
    assert fused(p, "dense_backward_input") == ["linear"]
    assert absent(p, "standardize", "Z") == [True]
    assert fused(prediction(stack(nn.BatchNormalization(), nn.Activation(name))), "standardize") == [name]


def test_a_normalization_takes_no_derivative_of_a_gradient_that_others_read() -> None:
    x = nn.Input(4)
    z = nn.BatchNormalization()(nn.Dense(3)(x))
    p = step(nn.Model(x, nn.Add()([nn.Activation("relu")(z), z]), seed=0))
    assert fused(p, "batch_norm_sums") == ["linear"] and kinds(p).count("activate_backward") == 1
    p = step(stack(nn.Dense(3), nn.BatchNormalization(), nn.Activation("elu"), nn.Activation("tanh"), nn.Dense(2)))
    assert fused(p, "standardize") == fused(p, "batch_norm_backward") == ["elu"]


def test_a_depthwise_convolution_takes_activations_both_ways() -> None:
    images = nn.Reshape((2, 2, 1)), nn.DepthwiseConv2D(2, padding="same", activation="tanh")
    p = step(stack(*images, nn.DepthwiseConv2D(1, activation="gelu"), nn.Flatten(), nn.Dense(2)))
    assert fused(p, "depthwise_forward") == ["tanh", "gelu"]
    assert fused(p, "depthwise_backward") == ["tanh", "linear"]
    assert kinds(p).count("activate") == 0


def test_a_loss_takes_its_softmax_or_sigmoid() -> None:
    for last, loss in (("softmax", "sparse_categorical_crossentropy"), ("sigmoid", "binary_crossentropy")):
        p = step(stack(nn.Dense(3, last)), loss=loss)
        assert kinds(p) == ["gather", "dense_forward", "gather", "loss", *DENSE_GRADIENTS, "update"]
        assert fused(p) == ["linear"]
        assert absent(p, "loss", "prob") == [True]  # nobody asks for the probabilities


def test_probabilities_are_written_where_a_metric_reads_them() -> None:
    model = stack(nn.Dense(3, "softmax"))
    loss = "categorical_crossentropy"
    assert absent(step(model, loss=loss, metrics=["accuracy"]), "loss", "prob") == [
        True
    ]  # their order is that of the logits
    assert absent(step(model, loss=loss, metrics=["mse"]), "loss", "prob") == [False]


def test_a_loss_that_is_not_fused_leaves_the_softmax_in_place() -> None:
    p = step(stack(nn.Dense(3, "softmax")), loss="mse")
    assert kinds(p).count("rowwise") == kinds(p).count("rowwise_backward") == 1


# -- what is left out ----------------------------------------------------------------------------------------------


def test_the_first_layer_has_no_dx() -> None:
    for layers in ([nn.Dense(3)], [nn.Rescaling(2.0), nn.Flatten(), nn.Dropout(0.5), nn.Dense(3)]):
        p = step(stack(*layers))
        assert kinds(p).count("dense_backward_weights") == 1
        assert "dense_backward_input" not in kinds(p)
        backward = kinds(p)[kinds(p).index("loss") + 1 :]
        assert backward == [*DENSE_GRADIENTS, "update"]


def test_nothing_is_differentiated_below_what_learns() -> None:
    p = step(stack(nn.Dense(3, "gelu", trainable=False), nn.Dense(3, "tanh"), nn.Dense(2, trainable=False)))
    assert kinds(p).count("dense_backward_weights") == 1
    assert kinds(p).count("dense_backward_input") == 1


def test_no_bias_no_db() -> None:
    assert kinds(step(stack(nn.Dense(3, use_bias=False), nn.Dense(2)))).count("column_sums") == 1


def test_evaluation_and_prediction_have_no_backward_pass() -> None:
    model = stack(nn.Dropout(0.5), nn.Dense(3, "relu", kernel_regularizer="l2"), nn.Dense(2, "softmax"))
    loss = "categorical_crossentropy"
    assert set(kinds(step(model, training=False, loss=loss))) == {"gather", "dense_forward", "loss", "penalty"}
    assert set(kinds(prediction(model))) == {"gather", "dense_forward", "rowwise"}


def test_sections() -> None:
    p = step(stack(nn.Dense(3, kernel_regularizer="l2")), optimizer=nn.SGD(clipnorm=1.0))
    assert kinds(p)[p.sections[-1].first :] == ["norms", "update"]
    assert kinds(p)[p.sections[-1].first - 1] == "penalty"  # adds to gradients that are all there
    evaluation = step(stack(nn.Dense(3)), training=False)
    assert [s.kind for s in evaluation.sections] == ["NATIVE"]


def test_weights_of_samples_are_gathered_only_where_there_are_any() -> None:
    assert kinds(step(stack(nn.Dense(3)))).count("gather") == 2
    assert kinds(step(stack(nn.Dense(3)), weighted=True)).count("gather") == 3


def test_cost() -> None:
    model = stack(nn.Dense(30, "relu"), nn.Dense(20))
    assert prediction(model).cost >= 2 * (4 * 30 + 30 * 20)
    # forward, dW of both layers, dX of the second
    assert step(model).cost >= 2 * (2 * 4 * 30 + 3 * 30 * 20)
    for seed in range(20):
        assert prediction(networks.random_model(seed)).cost > 0
        p = step(networks.random_model(seed), loss="categorical_crossentropy")
        assert p.cost == sum(int(op["cost"]) for op in decoded(p))
        products = [op for op, kind in zip(decoded(p), kinds(p), strict=True) if kind.startswith("dense")]
        assert all(op["cost"] >= 2 * op["rows"] * op["n"] * op["k"] for op in products)


# -- memory --------------------------------------------------------------------------------------------------------


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[list[operation.Op]]:
    """Receives the operations of each program compiled, with operands that are placed but not yet encoded."""
    seen: list[list[operation.Op]] = []
    encode = encoding.encode

    def spy(ops: list[operation.Op], itemsize: int) -> Array:
        seen.append(ops)
        return encode(ops, itemsize)

    monkeypatch.setattr(builder, "encode", spy)
    return seen


def random_programs(seed: int) -> Iterator[tuple[program.Program, int]]:
    """Programs of a random model, with the bytes of a real."""
    model = networks.random_model(seed, dtype="float32" if seed % 2 else "float64", layers=4 + seed % 14)
    kwargs: dict[str, Any] = {
        "loss": "categorical_crossentropy",
        "metrics": ["mse"],
        "optimizer": nn.Adam(clipnorm=1.0),
    }
    size = 4 if seed % 2 else 8
    yield step(model, weighted=bool(seed % 3), **kwargs), size
    yield step(model, training=False, **kwargs), size
    yield prediction(model), size


def operands_of(op: operation.Op) -> list[Any]:
    return list(op.operand_values(list(op.declaration.operands)))


Bytes = tuple[int, int, int]  # number of the buffer, first, one past the last


def extent(operand: Any, size: int, layout: int) -> Bytes:
    """Bytes of an operand for SAMPLES samples, figured out from its definition; a reshape is the whole of its root."""
    if isinstance(operand, operation.Whole):
        p, buffer = operand.parameter, table.BUFFERS[operand.buffer]
        return (buffer, p.offset * size, p.end * size) if p else (buffer, 0, layout)
    root = operand
    while root.alias_of is not None:
        root = root.alias_of
    each = 4 if root.integer else size
    first = table.BUFFERS[root.buffer] + (root.number if root.buffer == "binding" else 0)
    return first, root.offset, root.offset + SAMPLES * int(np.prod(root.shape)) * each


def overlap(a: Bytes, b: Bytes) -> bool:
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


@pytest.mark.parametrize("seed", range(60))
def test_tensors_alive_at_once_do_not_overlap(seed: int, compiled: list[list[operation.Op]]) -> None:
    for p, size in random_programs(seed):
        ops = compiled[-1]
        roots: dict[int, Any] = {}
        lives: dict[int, tuple[int, int]] = {}  # what a chain touches, through all of it
        chain = chains_of(ops)
        last = [max(j for j in range(len(ops)) if chain[j] == first) for first in chain]
        for i, op in enumerate(ops):
            for operand in operands_of(op):
                if isinstance(operand, operation.Tensor) and operand.root.buffer == "workspace":
                    root = operand.root
                    roots[id(root)] = root
                    lives[id(root)] = (lives.get(id(root), (chain[i], i))[0], last[i])
        for y in p.outputs:
            if id(y.root) in lives:
                lives[id(y.root)] = (lives[id(y.root)][0], len(ops))
        for a, b in itertools.combinations(roots, 2):
            if lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1] and not takes_over(ops, roots[a], roots[b]):
                assert not overlap(extent(roots[a], size, 0), extent(roots[b], size, 0)), (roots[a], roots[b])
        ends = [extent(r, size, 0)[2] for r in roots.values()]
        assert (
            max(ends, default=0) <= p.workspace <= sum(-(-SAMPLES * r.size * size // 64) * 64 for r in roots.values())
        )
        assert all(r.offset % 64 == 0 for r in roots.values())


def takes_over(ops: list[operation.Op], a: operation.Tensor, b: operation.Tensor) -> bool:
    """Whether they lie at one place, sample by sample, and a chain touches one of them last before the other first."""
    touched = [[i for i, op in enumerate(ops) if id(t) in op.roots()] for t in (a, b)]
    early, late = sorted(touched)
    chain = chains_of(ops)
    samples = [(t.offset, t.size, t.integer, t.per_sample, t.sum_rows) for t in (a, b)]
    return samples[0] == samples[1] and a.per_sample and early[-1] < late[0] and chain[early[-1]] == chain[late[0]]


def test_memory_is_used_again() -> None:
    """A deep stack predicts in about the room of two layers, however deep."""
    deep = stack(*(nn.Dense(64, "relu") for _ in range(20)), inputs=64)
    assert prediction(deep).workspace <= 2 * SAMPLES * 64 * 4
    # A training step keeps 20 outputs, but not 20 gradients beside them.
    assert step(deep).workspace <= (20 + 4) * SAMPLES * 64 * 4


def chains_of(ops: list[operation.Op]) -> list[int]:
    """Of each operation the first of its chain, or itself."""
    first: list[int] = []
    while len(first) < len(ops):
        first += [len(first)] * ops[len(first)].chain
    return first


@pytest.mark.parametrize("seed", range(60))
def test_barriers_part_what_depends_on_each_other(seed: int, compiled: list[list[operation.Op]]) -> None:
    """Within a stage no operation touches what another one writes, in any order, but in the order of a chain."""
    for p, size in random_programs(seed):
        ops, layout = compiled[-1], 10**6
        barriers = [int(op["barrier"]) for op in decoded(p)]
        stages, chain = np.cumsum(barriers), chains_of(ops)
        assert barriers[0] == 1
        assert all(not barriers[i] for i in range(1, len(ops)) if chain[i] == chain[i - 1])
        assert all(barriers[section.first] == 1 for section in p.sections)
        for i, j in itertools.combinations(range(len(ops)), 2):
            if stages[i] != stages[j] or chain[i] == chain[j]:
                continue
            wrote = [[extent(o, size, layout) for o in ops[k].writes() if o is not None] for k in (i, j)]
            touched = [[extent(o, size, layout) for o in operands_of(ops[k]) if o is not None] for k in (i, j)]
            for mine, others in ((wrote[0], touched[1]), (wrote[1], touched[0])):
                assert not any(overlap(a, b) for a in mine for b in others), (ops[i].kind, ops[j].kind)


@pytest.mark.parametrize("seed", range(60))
def test_operands_are_encoded_where_tensors_are(seed: int, compiled: list[list[operation.Op]]) -> None:
    for p, size in random_programs(seed):
        for row, op in zip(decoded(p), compiled[-1], strict=True):
            for name, operand in zip(op.declaration.operands, operands_of(op), strict=True):
                buffer, offset = int(row[name]["buffer"]), int(row[name]["offset"])
                if operand is None:
                    assert BUFFERS[buffer] == "none"
                    continue
                whole = extent(operand, size, 10**6)
                assert (buffer, whole[1] <= offset < whole[2]) == (whole[0], True)


def test_barriers_are_few() -> None:
    """dW and dX of a layer read the same and write apart: one stage."""
    p = step(stack(nn.Dense(8, "relu"), nn.Dense(8, "relu"), nn.Dense(8)))
    names = [kind for op, kind in zip(decoded(p), kinds(p), strict=True) if op["barrier"]]
    assert len(names) <= 1 + 3 + 1 + 3 + 1  # gather, forward, loss, backward, update


# -- teams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize("seed", range(12))
def test_a_team_computes_what_one_thread_does(seed: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random graphs, wide enough that operations are cut up: the same bits, whoever works when."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    rng = np.random.default_rng(seed)
    rows = 150
    found = []
    for n in (1, threads):
        model = networks.random_model(seed, width=24, threads=n, dtype="float32", layers=7)
        networks.randomize(model, seed, 0.3)
        model.compile(nn.Adam(0.01, global_clipnorm=0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((rows, *model.input_shape[1:])).astype(np.float32)
        t = rng.integers(0, 3, rows)
        first = model.predict(x)
        history = model.fit(x, t, batch_size=70, epochs=3, verbose=0).history
        found.append([first, model.predict(x), *model.get_weights(), np.array(list(history.values()))])
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)
        assert np.isfinite(one).all()
