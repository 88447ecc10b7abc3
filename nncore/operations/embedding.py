"""Rows of a table, by number, and the gradient of a table of which a step reads few rows; features of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore.compiler.operation import Op, Tensor, Whole
from nncore.operations.parameters import send_with_sums

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.parameter import Parameter

COLUMNS = 16  # of a table's gradient that one thread adds up: a cache line of float32


def lookup(b: Builder, x: Tensor, w: Parameter) -> Tensor:
    """Y = rows of W (numbers, n), by the int32 numbers X.

    Backward: each row of dW is the sum of the rows of dY where its number stands. Where the update leaves rows alone
    whose gradient is 0, only the others are computed and updated (`Builder.row_gradients`).
    """
    limit, n = w.shape
    y = Tensor((*x.shape, n), differentiable=w in b.trained)

    def backward(to: Builder, dy: Tensor) -> None:
        if w in to.by_rows and to.reads[w] == 1:
            backward_rows(to, x, dy, w)
            return
        sizes = {"rows": x.size, "n": n, "limit": limit, "fixed": n, "block": COLUMNS}
        to.send_to_parameter(w, lambda dw: Op("lookup_backward", X=x, dY=dy, dW=dw, **sizes))

    b.record(y, Op("lookup", X=x, W=Whole("parameters", w), Y=y, per_sample=x.size, n=n), backward)
    return y


def backward_rows(to: Builder, x: Tensor, dy: Tensor, w: Parameter) -> None:
    """The rows of dW that are not 0, and their numbers."""
    (limit, n), rows = w.shape, x.size
    places, starts, ids, room = (Tensor((rows,), integer=True) for _ in range(4))
    count, dw = Tensor((1,), integer=True, per_sample=False), Tensor((rows, n))
    found: dict[str, Any] = {"places": places, "starts": starts, "count": count}
    to.backward += [
        Op("sort_ids", X=x, ids=ids, room=room, rows=rows, limit=limit, fixed=1, block=1, **found),
        Op("lookup_backward_rows", dY=dy, dW=dw, rows=rows, n=n, per_sample=rows, **found),
    ]
    to.learned.add(w)
    to.row_gradients[w] = ids, count, dw


def number_features(
    b: Builder, x: Tensor, frequency: Parameter, phase: Parameter, lines: tuple[list[float], list[float]]
) -> Tensor:
    """Y (n, k + p): of each of n numbers cos(π (f x + φ)) with its f and φ (k), and then max(0, min(1, a x + c)).

    `lines` are its a and its c (p), number by number. Backward: dX, df = Σ −π sin(π (f x + φ)) x dY, dφ likewise.
    """
    (n, k), p = frequency.shape, len(lines[0]) // x.size
    y = Tensor((n, k + p), x.differentiable or any(w in b.trained for w in (frequency, phase)))
    known: dict[str, Any] = {"frequency": Whole("parameters", frequency), "phase": Whole("parameters", phase)}
    known |= {"factors": b.constant(lines[0]), "offsets": b.constant(lines[1]), "k": k, "p": p}

    def backward(to: Builder, dy: Tensor) -> None:
        sums = {"dfrequency": frequency, "dphase": phase}
        send_with_sums(to, "number_features_backward", x, n, sums, dY=dy, **known)

    b.record(y, Op("number_features", X=x, Y=y, n=n, per_sample=1, **known), backward)
    return y
