"""The update section: what the optimizer does to all parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import CONSTRAINTS, OPTIMIZERS, PRECISIONS
from nncore.compiler.operation import Op, Operand, Tensor, Whole

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.optimizers import Optimizer
    from nncore.parameter import Parameter


def optimize(b: Builder, optimizer: Optimizer, paths: Mapping[Parameter, str]) -> None:
    """The update of all trainable parameters, which have these paths."""
    weights, gradients = Whole("parameters"), Whole("gradients")
    precision = PRECISIONS[b.packed.precision] if b.packed else 0
    if optimizer.steps > 1:
        b.steps = optimizer.steps
        b.statistics.append(Op("collect", dW=gradients, sum=Whole("collected"), steps=optimizer.steps))
    if any(part.clips_norm for part in optimizer.parts):
        b.update.append(Op("norms", dW=gradients, norms=Whole("norms")))
    of_part = {p: optimizer.part_of(path, p) for p, path in paths.items()}
    left_packed = []  # parameters whose packed copies are to be made anew
    for number, part in enumerate(optimizer.parts):
        own = {p: path for p, path in paths.items() if of_part[p] == number}
        common: dict[str, Any] = {"optimizer": number, "precision": precision}
        fields: dict[str, Any] = {"norms": Whole("norms") if part.clips_norm else None, "state": state(number)}
        lamb = part.kernel == "lamb"
        fields |= {"function": OPTIMIZERS[part.kernel], "measures": Whole("measures") if lamb else None}
        b.update.append(Op("update", W=weights, dW=gradients, **fields, **common))
        if lamb:
            b.update.append(Op("trust", W=weights, state=state(number), measures=Whole("measures"), **common))
        for p, path in own.items():
            if p not in b.row_gradients and p.size and part.whole(p, path):
                WHOLE[part.kernel](b, part, p, number, part.settings(0, p, path).rate)
                left_packed.append(p)
        for p, (ids, count, dw) in b.row_gradients.items():
            if p in own:
                update_rows(b, part, number, p, own[p], ids, count, dw)
        if part.use_ema:
            settings: dict[str, Any] = {"momentum": part.ema_momentum, "overwrite": part.ema_overwrite_frequency or 0}
            b.update.append(Op("average", W=weights, mean=Whole("average"), **common, **settings))
    for p in paths:
        if p.constraint is not None and p.size:
            CONSTRAIN[p.constraint.operation](b, p, p.constraint)
            left_packed.append(p)
    if b.packed and left_packed:
        b.update.append(Op("repack", W=weights, precision=precision))


def state(number: int, k: int = 0, p: Parameter | None = None) -> Whole:
    """State array `k` of an optimizer, or a parameter's part of it."""
    return Whole(f"state {number}.{k}", p)


def update_rows(
    b: Builder, part: Optimizer, number: int, p: Parameter, path: str, ids: Tensor, count: Tensor, dw: Tensor
) -> None:
    """The update of the rows of `p` of which a step has a gradient."""
    told = part.settings(0, p, path)
    arrays: dict[str, Any] = {"ids": ids, "count": count, "dW": dw, "W": Whole("parameters", p)}
    sizes: dict[str, Any] = {"n": p.shape[-1], "per_sample": ids.size, "rate": told.rate, "decay": told.decay}
    function = OPTIMIZERS[part.kernel]
    b.update.append(
        Op("update_rows", function=function, optimizer=number, state=state(number, 0, p), **arrays, **sizes)
    )


# -- rules that an operation of its own applies to each parameter ------------------------------------------------------


def adafactor(b: Builder, part: Optimizer, p: Parameter, number: int, rate: float) -> None:
    """Adafactor on one parameter."""
    factored = p.ndim >= 2
    sizes: dict[str, Any] = {"n": p.shape[-1] if factored else p.size, "rows": p.shape[-2] if factored else 0}
    b.update.append(
        Op(
            "adafactor",
            W=Whole("parameters", p),
            dW=Whole("gradients", p),
            row=state(number, 0, p),
            column=state(number, 1, p) if factored else None,
            optimizer=number,
            matrices=math.prod(p.shape[:-2]) if factored else 0,
            rate=rate,
            fixed=1,
            **sizes,
        )
    )


def muon(b: Builder, part: Any, p: Parameter, number: int, rate: float) -> None:
    """Muon on one matrix: momentum, then the iteration of Newton and Schulz on the smaller of X Xᵀ and Xᵀ X."""
    rows, n = p.shape
    small, tall = min(rows, n), rows > n
    x = Tensor(p.shape, per_sample=False)
    momentum: dict[str, Any] = {"dW": Whole("gradients", p), "m": state(number, 0, p), "optimizer": number}
    b.update.append(Op("muon_momentum", X=x, fixed=p.size, block=8192, **momentum))
    b.update.append(Op("normalize_matrix", X=x, n=p.size, fixed=1))
    for _ in range(part.ns_steps):
        s, square, y, z = (Tensor(shape, per_sample=False) for shape in [(small, small)] * 2 + [p.shape] * 2)
        multiply(b, x, x, s, small, small, max(rows, n), 2 if tall else 1)
        multiply(b, s, s, square, small, small, small, 0)
        b.update.append(Op("combine", X=s, Z=square, Y=s, a=part.muon_b, b=part.muon_c))
        if tall:
            multiply(b, x, s, y, rows, n, small, 0)
        else:
            multiply(b, s, x, y, rows, n, small, 0)
        b.update.append(Op("combine", X=x, Z=y, Y=z, a=part.muon_a, b=1.0))
        x = z
    scale = 1.0 if part.rms_rate is None else part.rms_rate * math.sqrt(max(rows, n))
    b.update.append(Op("descend", W=Whole("parameters", p), X=x, optimizer=number, rate=rate * scale))


def multiply(b: Builder, a: Operand, other: Operand, c: Operand, rows: int, n: int, k: int, form: int) -> None:
    """C = A B, A Bᵀ or Aᵀ B, for the forms 0, 1 and 2."""
    b.update.append(Op("matrix_product", A=a, B=other, C=c, rows=rows, n=n, k=k, form=form, cost=0))


#: By kernel: operations of its own for each parameter that is `Optimizer.whole`.
WHOLE: dict[str, Callable[[Builder, Any, Parameter, int, float], None]] = {"adafactor": adafactor, "muon": muon}


# -- what makes a parameter fit its constraint -------------------------------------------------------------------------


def constrain(b: Builder, p: Parameter, constraint: Any) -> None:
    """The elements that fit together, by the kernel of the constraint."""
    n, inner = constraint.extent(p.shape)
    function, numbers = CONSTRAINTS[constraint.kernel], constraint.parameters
    sizes: dict[str, Any] = {"n": n, "inner": inner, "fixed": p.size // n, "block": rows_of_block(n)}
    b.update.append(Op("constrain", W=Whole("parameters", p), function=function, parameters=numbers, **sizes))


def spectral_normalize(b: Builder, p: Parameter, spectral: Any) -> None:
    """W ← W / σ of the matrix that `p` is when its first axes are taken together."""
    n = p.shape[-1]
    sizes: dict[str, Any] = {"rows": p.size // n, "n": n, "iterations": spectral.iterations, "fixed": 1}
    operands: dict[str, Any] = {"W": Whole("parameters", p), "u": Whole("parameters", spectral.vector)}
    room = Tensor((p.size // n + n,), per_sample=False)
    b.update.append(Op("spectral_normalize", room=room, **operands, **sizes))


def constrain_signs(b: Builder, p: Parameter, signs: Any) -> None:
    """w_ij ← 0 where the signs of its row and column do not allow it."""
    rows, columns = signs.of(p.shape)
    arrays: dict[str, Any] = {"r": b.constant(rows), "c": b.constant(columns)}
    sizes: dict[str, Any] = {"n": p.shape[-1], "fixed": p.shape[0], "block": rows_of_block(p.shape[-1])}
    b.update.append(Op("constrain_signs", W=Whole("parameters", p), **sizes, **arrays))


def rows_of_block(n: int) -> int:
    """How many rows of n elements a thread takes at once."""
    return max(64, 8192 // n // 64 * 64)


#: By `Constraint.operation`.
CONSTRAIN: dict[str, Callable[[Builder, Parameter, Any], None]] = {
    "constrain": constrain,
    "constrain_signs": constrain_signs,
    "spectral_normalize": spectral_normalize,
}
