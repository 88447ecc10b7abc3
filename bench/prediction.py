"""Predictions: one row, called from Python, and 10,000 rows at once; all candidates return class probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from machine import candidates
from measure import Case, Run, repeated
from nets import PREDICTED, Net
from training import nncore_model, sklearn_run, torch_model

MANY = 10_000
Predict = Callable[[Any], object]


def cases(threads: int, names: list[str] | None = None) -> Iterator[Case]:
    """One row through every net of PREDICTED, and many rows through the last."""
    nets = [net for net in PREDICTED.values() if not names or net.name in names]
    for rows, chosen, calls in ((1, nets, 1000), (MANY, nets[-1:], 1)):
        for net in chosen:
            yield Case(case_name(rows, net), calls, runs(net, threads, rows, calls), rows * net.forward_flops)


def case_name(rows: int, net: Net) -> str:
    return f"{rows:,} × {net.shape}".replace(",", " ")


def runs(net: Net, threads: int, rows: int, calls: int) -> dict[str, Callable[[], Run]]:
    x = np.random.default_rng(1).random((rows, net.widths[0]), dtype=np.float32)
    makers: dict[str, Callable[[], Predict]] = {
        "NumPy": partial(numpy_predict, net),
        "scikit-learn": partial(sklearn_predict, net),
        "PyTorch": partial(torch_predict, net, threads, x),
        "JAX": partial(jax_predict, net),
        "ONNX Runtime": partial(onnx_predict, net, threads),
    }
    if rows == MANY:
        makers["PyTorch bf16"] = partial(torch_predict, net, threads, x, bf16=True)
    makers |= {name: partial(nncore_predict, net, threads, rows, level) for name, level in candidates().items()}

    def prepare(maker: Callable[[], Predict]) -> Run:
        return repeated(partial(maker(), x), calls)

    return {name: partial(prepare, maker) for name, maker in makers.items()}


def numpy_predict(net: Net) -> Predict:
    from numpy_nets import NumpyNet

    return NumpyNet(net).predict


def sklearn_predict(net: Net) -> Predict:
    import warnings

    fit = sklearn_run(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = fit()
    return model.predict_proba


def torch_predict(net: Net, threads: int, x: Any, bf16: bool = False) -> Predict:
    import torch

    torch.set_num_threads(threads)
    model = torch.nn.Sequential(*torch_model(net), torch.nn.Softmax(1)).eval()
    dtype = torch.bfloat16 if bf16 else torch.float32
    model, x = model.to(dtype), torch.from_numpy(x)

    def predict(_: Any) -> object:
        with torch.inference_mode():
            return model(x.to(dtype))

    return predict


def jax_predict(net: Net) -> Predict:
    import jax
    import jax.numpy as jnp

    weights = jax.tree.map(jnp.asarray, net.weights())

    @jax.jit
    def predict(x: Any) -> Any:
        for w, b in weights[:-1]:
            x = jax.nn.relu(x @ w + b)
        w, b = weights[-1]
        return jax.nn.softmax(x @ w + b)

    return lambda x: predict(x).block_until_ready()


def onnx_predict(net: Net, threads: int) -> Predict:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors, value = [], [], "x"
    for k, (w, b) in enumerate(net.weights()):
        tensors += [numpy_helper.from_array(w, f"W{k}"), numpy_helper.from_array(b, f"b{k}")]
        last = k + 1 == len(net.layers)
        nodes.append(helper.make_node("Gemm", [value, f"W{k}", f"b{k}"], [f"z{k}"]))
        nodes.append(helper.make_node("Softmax" if last else "Relu", [f"z{k}"], ["y" if last else f"y{k}"]))
        value = f"y{k}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, n])
        for name, n in (("x", net.widths[0]), ("y", net.widths[-1]))
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})


def nncore_predict(net: Net, threads: int, rows: int, level: str) -> Predict:
    model = nncore_model(net, threads)
    model.compile(matmul_precision=level)
    return model if rows == 1 else model.predict
