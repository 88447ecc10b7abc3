"""Helpers under Keras's module path."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import plots
from nncore.arguments import check_count, explained
from nncore.custom import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from nncore.custom import custom_object_scope as CustomObjectScope
from nncore.data import to_categorical
from nncore.data.numbered import PyDataset
from nncore.data.numbered import PyDataset as Sequence
from nncore.registry import missing
from nncore.runtime import set_random_seed

__all__ = [
    "CustomObjectScope",
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "normalize",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "set_random_seed",
    "to_categorical",
]
SIDES = ("pre", "post")


def clear_session() -> None:
    """Do nothing: there is no global graph to forget; a model's memory goes with the model."""


def normalize(x: Any, axis: int = -1, order: Any = 2) -> Any:
    """Return an array divided by its norms along an axis; what has the norm 0 stays.

    Parameters
    ----------
    x : array_like
    axis : int, default -1
    order : float, default 2
        Of the norm, as `numpy.linalg.norm` takes it: 1, 2, inf.

    Examples
    --------
    >>> import nncore as nn
    >>> nn.utils.normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    norms = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norms == 0, 1, norms)


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> Any:
    """Return sequences of different lengths as rows of one, filled up or cut.

    Parameters
    ----------
    sequences : iterable of array_like
        Of numbers, or of steps of one shape.
    maxlen : int, optional
        Of the rows; default that of the longest sequence.
    dtype : dtype, default "int32"
        `str` is of texts as long as the longest.
    padding, truncating : {"pre", "post"}
        Whether a row is filled up, and cut, in front or behind. `Embedding(mask_zero=True)` takes both.
    value : float, default 0.0
        In places that are filled up.

    Returns
    -------
    ndarray, shape (sequences, maxlen, …)

    Raises
    ------
    ValueError, TypeError
        `sequences` holds what has no length, or steps of different shapes; an argument is none of its values, or
        `dtype` cannot hold `value`.

    Examples
    --------
    >>> import nncore as nn
    >>> nn.utils.pad_sequences([[1, 2, 3], [4]], padding="post")
    array([[1, 2, 3],
           [4, 0, 0]], dtype=int32)
    """
    for argument, side in (("padding", padding), ("truncating", truncating)):
        if side not in SIDES:
            raise ValueError(f"{argument}: expected one of {SIDES}, got {side!r}")
    rows = [np.asarray(sequence) for sequence in sequences]
    if flat := [i for i, row in enumerate(rows) if not row.ndim]:
        raise ValueError(
            f"sequences: expected sequences, got {rows[flat[0]].item()!r} at {flat[0]}; make a list of them"
        )
    longest = max(map(len, rows), default=0)
    length = longest if maxlen is None else check_count(maxlen, "maxlen")
    if np.dtype(dtype) == np.dtype(str):  # of no length, for which NumPy takes that of the first text it sees
        dtype = np.result_type(np.asarray(value, str), *rows)
    try:
        filled = np.asarray(value, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"dtype: expected one that holds the value {value!r}, got {dtype!r}: {error}. For texts give dtype=object "
            f"(`dtype` {dtype} is not compatible with `value`'s type: {type(value)}.)"
        ) from None
    steps = {row.shape[1:] for row in rows if len(row)} or {()}
    if len(steps) > 1:
        raise ValueError(f"sequences: expected steps of one shape, got {', '.join(map(str, sorted(steps)))}")
    made = np.full((len(rows), length, *steps.pop()), filled, dtype)
    for to, row in zip(made, rows, strict=True):
        some = row[-length:] if truncating == "pre" else row[:length]
        if len(some):
            place = slice(length - len(some), None) if padding == "pre" else slice(len(some))
            to[place] = some
    return made


@explained
def plot_model(model: Any, to_file: Any = "model.png", *, dpi: int = 200) -> None:
    """Draw a model's layers with their shapes into a file, as `Model.plot` does on axes.

    Parameters
    ----------
    model : Model
    to_file : str or PathLike, default "model.png"
        Its ending says in which format: png, svg, pdf.
    dpi : int, default 200
        Dots per inch.

    Raises
    ------
    ImportError
        There is no matplotlib.
    """
    check_count(dpi, "dpi")
    ax = model.plot()
    try:
        ax.figure.savefig(to_file, dpi=dpi)
    finally:
        plots.pyplot().close(ax.figure)


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
