"""What a model is trained or evaluated on: a binding for each input and output, made of what a user gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.arguments import an, is_number, is_whole, unboxed
from nncore.bindings import Binding, Integers, SparseBinding
from nncore.conversion import as_array, as_rows
from nncore.data.windows import windows as windows
from nncore.graph import Shape
from nncore.sizes import fits
from nncore.sparse import SparseRows
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.compiler.configuration import Head
    from nncore.network import Graph


class Dataset:
    """Rows of everything that a step takes.

    Parameters
    ----------
    inputs : list of Binding
        Of each input.
    targets, weights : list of Binding or None
        Of each output; None: nothing is compared with it, or every sample weighs 1.
    """

    def __init__(self, inputs: list[Binding], targets: list[Binding | None], weights: list[Binding | None]) -> None:
        self.inputs, self.targets, self.weights = inputs, targets, weights
        self.rows = inputs[0].rows

    @property
    def bindings(self) -> list[Binding | None]:
        """In the order of a program's bindings."""
        return [*self.inputs, *self.targets, *self.weights]

    @property
    def weighted(self) -> tuple[int, ...]:
        """Of each output how many weights a sample has; 0: none."""
        return tuple([0 if weight is None else weight.n for weight in self.weights])

    def require(self, heads: Sequence[Head]) -> None:
        """Raise a ValueError unless there are targets for what these compare; they may have been compiled since."""
        for head, targets in zip(heads, self.targets, strict=True):
            if head.compares and (targets is None or head.labels != bool(targets.integers)):
                raise ValueError(
                    f"loss: expected one for targets such as this fit was given, got {head.loss!r}. Call compile after "
                    "the fit, and fit again"
                )

    def part(self, rows: slice, prefix: str = "") -> Dataset:
        """The given rows, as they are; `prefix` comes before what the user calls them."""

        def parts(bindings: Sequence[Binding | None]) -> list[Any]:
            return [binding and binding.part(rows, prefix) for binding in bindings]

        return Dataset(parts(self.inputs), parts(self.targets), parts(self.weights))

    def split(self, fraction: float) -> tuple[Dataset, Dataset]:
        """All but the last rows, and the last ones, which are about this fraction of all."""
        cut = int(self.rows * (1 - fraction))
        if not 0 < cut < self.rows:
            raise ValueError(
                f"validation_split: expected at least one row on each side, got {cut} of {self.rows} to train on"
            )
        return self.part(slice(cut)), self.part(slice(cut, None), "validation ")

    def weigh_classes(self, class_weight: Any, outputs: Shape) -> Dataset:
        """The same with the weight of its class for each row, or position, beside its own."""
        if class_weight is None:
            return self
        if len(self.targets) > 1:
            raise ValueError(
                f"class_weight: expected None for a model of {len(self.targets)} outputs, got {class_weight!r}. Give "
                "weights of the samples of each output as sample_weight"
            )
        [y], [own] = self.targets, self.weights
        assert y is not None
        weights = per_class(class_weight, y, max(outputs[-1] or 1, 2)).astype(y.dtype)
        if own is not None:
            more = own.array.ndim - weights.ndim
            weights = weights.reshape(*weights.shape, *[1] * more) * own.array.reshape(*own.array.shape, *[1] * -more)
        return Dataset(self.inputs, self.targets, [Binding(weights, "sample_weight", y.dtype)])


def dataset(
    inputs: list[Binding], y: Any, sample_weight: Any, graph: Graph, heads: Sequence[Head], prefix: str = ""
) -> Dataset:
    """The rows that go with those of `inputs`, checked."""
    first = inputs[0]
    if len(heads) == 1:
        [shape] = graph.made
        check_key(y, graph, f"{prefix}y")
        check_key(sample_weight, graph, f"{prefix}sample_weight")
        target = targets(y, first.rows, shape, heads[0], first.dtype, f"{prefix}y")
        weight = sample_weights(sample_weight, first.rows, shape, heads[0], first.dtype, f"{prefix}sample_weight")
        return Dataset(inputs, [target], [weight])
    names = graph.output_names
    ys = of_each(y, names, f"{prefix}y", [head.compares for head in heads])
    weighs = weights_of_each(sample_weight, names, f"{prefix}sample_weight")
    bound: list[Binding | None] = []
    weights: list[Binding | None] = []
    for head, target, weight, name, shape in zip(heads, ys, weighs, names, graph.made, strict=True):
        if head.compares:
            bound.append(targets(target, first.rows, shape, head, first.dtype, f"{prefix}y[{name!r}]"))
            argument = f"{prefix}sample_weight[{name!r}]"
            weights.append(sample_weights(weight, first.rows, shape, head, first.dtype, argument))
        else:
            bound.append(None)
            weights.append(None)
    return Dataset(inputs, bound, weights)


def check_key(given: Any, graph: Graph, argument: str) -> None:
    """A ValueError where a dict names another output than the only one, to which the model gives a name."""
    if graph.gives.keys and isinstance(given, Mapping) and list(given) != graph.gives.keys:
        raise ValueError(f"{argument}: expected a dict with the keys {graph.gives.keys}, got {list(given)}")


def of_each(given: Any, names: Sequence[str], argument: str, needed: Sequence[bool]) -> list[Any]:
    """What is given for each output, in a list, or in a dict by name; None where it is not needed and not there.

    An array by itself is that of the only output that needs one.
    """
    if isinstance(given, Mapping):
        required = {name for name, need in zip(names, needed, strict=True) if need}
        if not required <= set(given) <= set(names):
            raise ValueError(f"{argument}: expected a dict with the keys {list(names)}, got {list(given)}")
        return [given.get(name) for name in names]
    if sum(needed) == 1 and not isinstance(given, (list, tuple)) and given is not None:
        return [given] * len(names)
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        what = f"a list of {len(given)}" if isinstance(given, (list, tuple)) else an(type(given).__name__)
        what = "None" if given is None else what
        raise ValueError(
            f"{argument}: expected a list of {len(names)}, or a dict with the keys {list(names)}, got {what}"
        )
    return list(given)


def weights_of_each(given: Any, names: Sequence[str], argument: str) -> list[Any]:
    """Weights of the samples for each output: one array for all, or as `of_each` has them."""
    numbers = isinstance(given, (list, tuple)) and all(part is not None and np.ndim(part) == 0 for part in given)
    if isinstance(given, (list, tuple, Mapping)) and not numbers:
        return of_each(given, names, argument, [False] * len(names))
    return [given] * len(names)


def shaped(array: Any, shape: Shape, argument: str) -> Any:
    """An input's array as rows of `shape`; a last axis of one element may be there or not, as that of a channel."""
    if isinstance(array, SparseRows):
        if fits(array.shape[1:], shape):
            return array
        raise ValueError(f"{argument}: expected shape (n, {', '.join(map(str, shape))}), got sparse {array.shape}")
    sample = array.shape[1:]
    one = None in shape and fits(array.shape, shape)  # a sample by itself, whose rows are none
    if array.ndim and not one and shape[-1:] == (1,) and fits(sample, shape[:-1]):
        array, sample = array[..., None], (*sample, 1)
    elif array.ndim and sample[-1:] == (1,) and fits(sample[:-1], shape):
        array, sample = array[..., 0], sample[:-1]
    if array.ndim == 0 or (sample != shape and not fits(sample, shape)) or 0 in sample:
        expected = f"(n, {', '.join(map(str, shape))})" if shape else "(n,)"
        raise ValueError(
            f"{argument}: expected shape {expected}, got {array.shape}{remedy(array.shape, shape, argument)}"
        )
    return array


def remedy(given: Shape, shape: Shape, argument: str) -> str:
    """What makes an array of shape `given` rows of `shape`, as the end of a message; perhaps nothing."""
    if None in shape:
        return f". For a single sample give {argument}[None]" if fits(given, shape) else ""
    if given == shape:
        return f". For a single sample give {argument}[None]"
    if (*given, 1) == shape:
        return f". For a single sample give {argument}[None, ..., None]"
    longer = [[n for n in axes if n > 1] for axes in (given[1:], shape)]
    if longer[0] != longer[1] and sorted(given[1:]) == sorted(shape):
        moved = (
            "1, -1" if given[1:] == (shape[-1], *shape[:-1]) else "-1, 1" if given[1:] == (*shape[1:], shape[0]) else ""
        )
        how = f"give np.moveaxis({argument}, {moved})" if moved else f"give np.transpose({argument}, …)"
        return f". The axes are in another order, which reshape does not mend: {how}"
    if len(given) > 1 and math.prod(given[1:]) == math.prod(shape):
        return f". The elements fit: reshape {argument}, or start the model with Flatten or Reshape"
    if len(given) == len(shape) + 1 > 2 and given[-1] == shape[-1]:
        open_shape = (*(m if m == n else None for n, m in zip(given[1:], shape, strict=True)),)
        return f". Where sizes differ from call to call, begin the model with Input({open_shape})"
    return ""


def rows_of(
    array: Array | SparseRows, shape: Shape, dtype: np.dtype[Any], argument: str = "x", integers: Integers | None = None
) -> Binding:
    """An input as rows of `shape`."""
    if isinstance(array, SparseRows):
        if integers:
            raise TypeError(f"{argument}: expected an array of whole numbers, got a sparse matrix. Give x.toarray()")
        return SparseBinding(shaped(array, shape, argument), argument, dtype)
    return Binding(shaped(array, shape, argument), argument, dtype, integers)


def targets(y: Any, rows: int, outputs: Shape, head: Head, dtype: np.dtype[Any], argument: str) -> Binding:
    """y as what a head compares outputs of shape `outputs` with."""
    labels = head.labels
    array = as_rows(y, argument, rows)
    shape = head.target_shape(outputs)
    if array.ndim and len(array) == rows and array.shape[1:] != shape:
        if array.shape[1:] == (*shape, 1):
            array = array.reshape(rows, *shape)  # labels as a column
        elif (*array.shape[1:], 1) == shape:
            array = array.reshape(rows, *shape)  # one output, as a vector
    if array.ndim == 0 or len(array) != rows or array.shape[1:] != shape:
        expected = ", ".join(map(str, (rows, *shape)))
        hint = ""
        if array.ndim and len(array) != rows:
            hint = f". There are {rows} rows of inputs"
        elif any(loss.python for _, loss in head.terms()):
            hint = (
                f". The model gives {outputs} per sample. A loss of your own that reads other targets is a class with "
                "`target_shape`, see nncore.Loss, or the gradient that train_on_batch(x, grad=…) takes"
            )
        elif labels and array.shape[1:] == outputs:
            hint = '. One-hot targets go with loss="categorical_crossentropy"'
        elif len(outputs) > 1 and array.ndim == 1:
            hint = f". The model gives {outputs} per sample: put Flatten before the first Dense, or pool, to join axes"
        elif labels:
            hint = ". Labels are the number of its class for each sample"
        elif array.shape[1:] in ((), (1,)) and len(outputs) == 1:
            hint = '. Integer labels go with loss="sparse_categorical_crossentropy", or use nncore.to_categorical'
        elif array.ndim == len(shape) + 1:
            hint = f". The model gives {outputs} per sample: other layers, or paddings, make other shapes"
        comma = "" if shape else ","
        raise ValueError(f"{argument}: expected shape ({expected}{comma}), got {array.shape}{hint}")
    binding = Binding(array, argument, dtype, head.integers(outputs))
    if labels:
        binding.check_integers()
    elif head.probable:
        binding.check_probabilities()
    return binding


def sample_weights(
    given: Any, rows: int, outputs: Shape, head: Head, dtype: np.dtype[Any], argument: str
) -> Binding | None:
    """Weights of samples, of their positions, or of all elements of the targets; None where there are none."""
    if given is None:
        return None
    array = as_rows(given, argument, rows)
    shape = head.target_shape(outputs)
    positions, elements = outputs[:-1], shape if head.by_elements and not head.labels else outputs[:-1]
    allowed = dict.fromkeys([(), (1,), positions, (*positions, 1), elements])
    if array.ndim == 0 or len(array) != rows or array.shape[1:] not in allowed:
        known = dict.fromkeys(str((rows, *s)) for s in ((), positions, elements))
        raise ValueError(
            f"{argument}: expected shape ({rows},), one weight per sample{of_parts(known)}, got {array.shape}"
        )
    with np.errstate(over="ignore"):
        weights = array.astype(dtype).reshape(rows, *([] if array.size == rows else array.shape[1:]))
    good = np.isfinite(weights)
    if not good.all():
        row = int(np.argwhere(~good)[0][0])
        raise ValueError(
            f"{argument}: expected finite numbers that {dtype} can hold, got {array[row]} in row {row}. "
            "Give rows that should not count the weight 0"
        )
    return Binding(weights, argument, dtype)


def of_parts(known: Mapping[str, Any]) -> str:
    """Words for the other shapes that weights may have."""
    others = list(known)[1:]
    return f", or {' or '.join(others)} for parts of samples" if others else ""


def per_class(class_weight: Any, y: Binding, classes: int) -> Array:
    """The weight of the class of each row, or position; 1 for classes that `class_weight` does not name."""
    labels = classes_of(y, classes)
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels.ravel(), minlength=classes)
        table = labels.size / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        table = class_table(class_weight, classes, float(np.finfo(y.dtype).max))
    return table[labels]


def class_table(class_weight: Any, classes: int, most: float) -> Array:
    """`class_weight` as the weight of each class."""
    if hasattr(class_weight, "to_dict"):
        class_weight = class_weight.to_dict()  # a Series, by its index
    if isinstance(class_weight, (list, tuple, np.ndarray)):
        weights = as_array(class_weight, "class_weight")
        if weights.shape != (classes,):
            raise ValueError(f"class_weight: expected {classes} weights, one per class, got shape {weights.shape}")
        class_weight = dict(enumerate(weights.tolist()))
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f'class_weight: expected a dict from class to weight, a list with a weight per class, or "balanced", '
            f"got {class_weight!r}"
        )
    table = np.ones(classes)
    for label, weight in class_weight.items():
        number = unboxed(label)  # labels may be floats or bools, as np.unique(y) gives them
        if not isinstance(number, (int, float)) or number not in range(classes):
            raise ValueError(f"class_weight: expected classes from 0 to {classes - 1} as keys, got {label!r}")
        if not is_number(weight) or not 0 <= weight <= most:
            raise ValueError(f"class_weight: expected finite numbers ≥ 0, got {weight!r} for class {label}")
        table[int(number)] = weight
    return table


def classes_of(y: Binding, classes: int) -> Array:
    """The class of each row, or of each of its positions, from labels, one-hot rows, or values 0 and 1."""
    labels = np.asarray(y.array)
    if not y.integers and labels.ndim > 1 and labels.shape[-1] > 1:
        clear = np.count_nonzero(labels == labels.max(axis=-1, keepdims=True), axis=-1) == 1
        if not clear.all():
            raise no_class("one class per sample", labels, clear, y)
        return labels.argmax(axis=-1)
    if not y.integers and labels.ndim > 1:
        labels = labels[..., 0]
    numbers = labels.astype(np.int64) if labels.dtype.kind != "f" else np.nan_to_num(labels).astype(np.int64)
    whole = (numbers == labels) & (numbers >= 0) & (numbers < classes)
    if not whole.all():
        raise no_class(f"classes from 0 to {classes - 1} as targets", labels, whole, y)
    return numbers


def no_class(expected: str, labels: Array, good: Array, y: Binding) -> ValueError:
    """The error for targets that are no classes, where they are not `good`."""
    place = tuple(np.argwhere(~good)[0].tolist())
    return ValueError(
        f"class_weight: expected {expected}, got {labels[place]} in row {', '.join(map(str, place))} of {y.argument}. "
        "Give sample_weight instead"
    )


def to_categorical(y: Any, num_classes: int | None = None) -> Array:
    """Integer labels as one-hot rows.

    Parameters
    ----------
    y : array_like of int
        Labels from 0 on, of any shape; a last axis of 1 is dropped.
    num_classes : int, optional
        Number of columns; default ``max(y) + 1``.

    Returns
    -------
    ndarray of float32
        Shape ``y.shape + (num_classes,)``.

    Raises
    ------
    ValueError
        A label is no whole number in [0, num_classes).
    """
    labels = as_array(y, "y")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    good = (labels >= 0) & (labels == np.floor(labels)) & (labels < 2**31)
    if not good.all():
        raise ValueError(f"y: expected whole labels from 0 to 2**31 - 1, got {labels[~good][0]}")
    whole = labels.astype(np.int64)
    largest = int(whole.max(initial=-1))
    classes = largest + 1 if num_classes is None else num_classes
    if not is_whole(classes) or not largest < classes < 2**31:
        raise ValueError(f"num_classes: expected a whole number above the largest label, {largest}, got {classes!r}")
    return (whole[..., None] == np.arange(classes)).astype(np.float32)


def held_out(validation_split: Any, validation_data: Any) -> tuple[Any, ...] | None:
    """`validation_data` of `fit`, taken apart, or None; both arguments are checked."""
    if not is_number(validation_split) or not 0 <= validation_split < 1:
        raise ValueError(f"validation_split: expected a number in [0, 1), got {validation_split!r}")
    if validation_data is None:
        return None
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError(
            f"validation_data: expected (x, y) or (x, y, sample_weight), got {an(type(validation_data).__name__)}"
        )
    return tuple(validation_data)
