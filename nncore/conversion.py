"""What users give as data, as arrays of real numbers; what is none gets an error that says what came and what to do.

Objects of other libraries are known by what they can do (`toarray`, `columns`, `__next__`); nothing is imported here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from nncore.arguments import an
from nncore.graph import Shape, Symbol
from nncore.sizes import fits
from nncore.sparse import SparseRows

Array = npt.NDArray[Any]

REAL = "biuf"  # kinds of dtypes

BATCHES = "Collect its batches in one array (np.concatenate), or call train_on_batch for each"
DATES = "Give durations as numbers: ({name} - {name}.min()) / np.timedelta64(1, 'D')"
REMEDIES = {
    "U": "Give each column of text an Input and a StringLookup, or encode it: scikit-learn's OneHotEncoder, and "
    "CountVectorizer for sentences",
    "M": DATES,
    "m": "Divide them by a unit: {name} / np.timedelta64(1, 's')",
    "c": "Give real and imaginary parts as columns: np.concatenate([{name}.real, {name}.imag], axis=-1)",
    "V": "Give its fields as columns: numpy.lib.recfunctions.structured_to_unstructured({name})",
    "missing": "Fill the gaps, or leave these rows out",
    "O": "Give one number for each element",
    "dict": "Make columns of them: pandas.DataFrame({name})",
}
TARGETS = ". Give targets: (x, y), or batches of these"
LABELS = "Number them: classes, {name} = np.unique({name}, return_inverse=True)"


def as_array(data: Any, argument: str) -> Array:
    """`data` as an array of real numbers, without copying one that is an array.

    Raises
    ------
    ValueError, TypeError
        It is no rectangular array of real numbers, or not all of them are there (a mask).
    """
    if type(data) is np.ndarray and data.dtype.kind in REAL:
        return data
    refuse(data, argument)
    try:
        array = np.asarray(data)
    except MemoryError:
        raise
    except Exception as error:  # whatever an object of another library raises
        raise unreadable(data, argument, error) from None
    if array.dtype.kind in REAL:
        return array
    if found := fault(array):
        raise wrong_elements(data, array, argument, *found)
    return array.astype(np.float64)  # of objects


def as_reals(data: Any, argument: str) -> Array:
    """`as_array` in float64, if it is of that or wider, else in float32: what functions of arrays compute in."""
    array = as_array(data, argument)
    wide = array.dtype.kind == "f" and array.dtype.itemsize > 4
    return array.astype(np.float64 if wide else np.float32, copy=False)


def only(data: Any, suits: Callable[[Shape], bool]) -> Any:
    """What a dict of one holds, or a list of one array whose shape `suits`: so Keras names a model's only input."""
    if type(data) is np.ndarray:
        return data
    if isinstance(data, Mapping) and len(data) == 1:
        return next(iter(data.values()))
    if isinstance(data, (list, tuple)) and len(data) == 1 and suits(getattr(data[0], "shape", ())):
        return data[0]
    return data


def sole(x: Any, shape: Shape | None) -> Any:
    """What a dict or list of one holds of samples of `shape`, if that is known."""
    return only(x, lambda s: len(s) > 1 if shape is None else fits(s[1:], shape) and not fits(s, shape))


def as_input(x: Any, argument: str, shape: Shape | None) -> Any:
    """`as_array` of the input of a model for samples of `shape`, if that is known; also in a dict or list of one.

    A sparse matrix becomes `SparseRows`.
    """
    x = sole(x, shape)
    if isinstance(x, SparseRows):
        return x
    if hasattr(x, "tocsr"):
        return SparseRows.of(x, argument)
    if isinstance(x, (list, tuple)) and shape is not None and len(x) > 1:
        samples = dict.fromkeys(getattr(part, "shape", ()) for part in x) if None in shape else ()
        if len(samples) > 1 and all(fits(s, shape) for s in samples):
            raise ValueError(
                f"{argument}: expected samples of one size, got a list of {len(x)} of shapes "
                f"{', '.join(map(str, [*samples][:8]))}. Fill them up to one size, or give each size as a batch"
            )
        batches = (len(s := getattr(part, "shape", ())) > 0 and fits(s[1:], shape) for part in x)
        if all(batches):
            shapes = str([part.shape for part in x[:8]])[1:-1]
            raise ValueError(
                f"{argument}: expected one array, got {len(x)} of shapes {shapes}. Join their rows, "
                f"np.concatenate({called(argument)})"
            )
    return as_array(x, argument)


def as_rows(y: Any, argument: str, rows: int) -> Array:
    """`as_array` of what goes with so many rows of x; also in a dict or list of one."""
    return as_array(only(y, lambda s: s[:1] == (rows,)), argument)


# -- what NumPy is not asked to convert --------------------------------------------------------------------------------


def called(argument: str) -> str:
    """What an expression of the user's could call it."""
    last = argument.split()[-1]
    return last if last.isidentifier() else "array"


def refuse(data: Any, argument: str) -> None:
    """Raise for what NumPy would convert to something else than is meant, or not at all."""
    name = called(argument)
    if data is None:
        raise TypeError(f"{argument}: expected an array, got None{TARGETS if name == 'y' else ''}")
    if masked := hidden(data):
        raise ValueError(
            f"{argument}: expected an array without gaps, got a masked array that hides {masked} elements. Give them a "
            f"value, {name}.filled(value), or leave their rows out"
        )
    came, remedy = "", ""
    if isinstance(data, Symbol):
        came = f"a symbol of shape {data.shape}"
        remedy = "Symbols stand for data while layers are joined; a model is called on numbers, layers on symbols"
    elif hasattr(data, "toarray"):
        came = f"a sparse {type(data).__name__} of shape {getattr(data, 'shape', None)}"
        remedy = f"Convert it: {name}.toarray()"
    elif isinstance(data, Mapping):
        keys = list(data)
        came = f"a dict with the keys {str(keys[:8])[1:-1]}"
        remedy = f"One array goes here: join them, np.column_stack(list({name}.values()))"
    elif isinstance(data, (str, bytes)):
        came, remedy = f"the text {data[:40]!r}", "Read the file first, for example np.load or pandas.read_csv"
    elif hasattr(data, "__next__"):
        came, remedy = an(type(data).__name__), BATCHES
    elif (hasattr(data, "__iter__") or hasattr(data, "__getitem__")) and not is_array_like(data):
        came = f"{an(type(data).__name__)}, a collection that is no array"
        remedy = f"{BATCHES}; of a collection of numbers give list({name})"
    if came:
        raise TypeError(f"{argument}: expected an array of numbers, got {came}. {remedy}")


def is_array_like(data: Any) -> bool:
    """Whether NumPy reads it as an array: a sequence, a buffer, or an object that says how."""
    if isinstance(data, Sequence) or any(hasattr(data, p) for p in ("__array__", "__array_interface__")):
        return not isinstance(data, type)
    try:
        memoryview(data)
    except TypeError:
        return False
    return True


def hidden(data: Any) -> int:
    """How many elements are masked, also in masked arrays that are in lists."""
    if type(data) not in (list, tuple) and not isinstance(data, np.ma.MaskedArray):
        return 0
    count, level = 0, [data]
    while level:  # all lists of one depth at a time: lists of numbers are looked at in C
        kinds = set(map(type, level))
        if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
            masks = (np.ma.getmaskarray(part) for part in level if isinstance(part, np.ma.MaskedArray))
            count += sum(map(int, map(np.count_nonzero, masks)))
        level = list(chain.from_iterable(p for p in level if type(p) in (list, tuple))) if kinds & {list, tuple} else []
    return count


# -- what NumPy could not convert --------------------------------------------------------------------------------------


def unreadable(data: Any, argument: str, error: Exception) -> Exception:
    """The error for what NumPy could not make an array of."""
    name = called(argument)
    shapes = [getattr(part, "shape", None) for part in data] if isinstance(data, (list, tuple)) else []
    if shapes and all(shape is not None and len(shape) > 1 for shape in shapes):
        return ValueError(
            f"{argument}: expected one array, got {len(shapes)} of shapes {str(shapes[:8])[1:-1]}. A model has one "
            f"input and one output: join the arrays, np.concatenate({name}, axis=1)"
        )
    if shapes and isinstance(error, ValueError):
        return ValueError(
            f"{argument}: expected a rectangular array of numbers, got rows that differ: {error}. Fill them up to one "
            "length, or give those of each length as a batch"
        )
    data = data[0] if shapes else data
    remedy = f"{name}.detach().cpu().numpy()" if hasattr(data, "detach") else "its library says how"
    return TypeError(
        f"{argument}: expected an array that NumPy can read, got {an(type(data).__name__)} of "
        f"{type(data).__module__.partition('.')[0]}: {error}. Copy it to an array of NumPy: {remedy}"
    )


def fault(array: Array) -> tuple[str, str] | None:
    """What stands in the way of numbers, in words, and of which kind (see `REMEDIES`); None: nothing."""
    kind = array.dtype.kind
    if kind in "SU":
        return f"text such as {array.reshape(-1)[0].item()!r}" if array.size else "text", "U"
    if kind == "V" and array.dtype.names:
        return f"a structured array with the fields {', '.join(array.dtype.names)}", "V"
    if kind != "O":
        return f"dtype {array.dtype}", kind if kind in "Mmc" else "dtype"
    if all(issubclass(element, (Real, Decimal)) for element in set(map(type, array.flat))):
        with contextlib.suppress(OverflowError):
            array.astype(np.float64)
            return None
    return next((found for found in map(fault_of, array.flat) if found), None)


def fault_of(element: Any) -> tuple[str, str] | None:
    """`fault` of one Python object."""
    if isinstance(element, (str, bytes)):
        return f"text such as {element[:40]!r}", "U"
    if isinstance(element, complex):
        return f"complex numbers such as {element}", "c"
    if isinstance(element, Mapping):
        return f"dicts such as {repr(element)[:80]}", "dict"
    if element is None or type(element).__name__ in ("NAType", "NaTType"):
        return f"missing values ({element!r})", "missing"
    try:
        float(element)
    except OverflowError:
        return "numbers beyond those of float64", "O"
    except (TypeError, ValueError):
        if hasattr(element, "isoformat"):
            return f"dates such as {element}", "M"
        return f"Python objects such as {repr(element)[:80]}", "O"
    return None


def wrong_elements(data: Any, array: Array, argument: str, what: str, kind: str) -> TypeError:
    """The error for an array that holds `what`: where, and what to do about this kind."""
    name = called(argument)
    remedy = LABELS if kind == "U" and name == "y" else REMEDIES.get(kind, "Convert it: {name}.astype(np.float32)")
    if kind == "U" and all_numerals(array):
        remedy = "Convert them: {name}.astype(float)"
    elif kind == "missing" and hasattr(data, "fillna"):
        remedy = "Fill the gaps, {name}.fillna(value), or leave these rows out, {name}.dropna()"
    elif kind == "U" and str(getattr(data, "dtype", "")) == "category":
        remedy = "Give its codes: {name}.cat.codes" if hasattr(data, "cat") else "Give its codes: {name}.codes"
    elif kind == "O" and array.ndim == 0:
        what, remedy = an(type(data).__name__), "Give a NumPy array, a data frame, or lists of numbers"
    if columns := ", ".join(strange_columns(data, array)):
        what = f"columns of others: {columns}"
    return TypeError(f"{argument}: expected real numbers, got {what}. {remedy.format(name=name)}")


def strange_columns(data: Any, array: Array) -> Iterator[str]:
    """Names of the columns of a data frame that hold no numbers, with what they hold."""
    names = getattr(data, "columns", None)
    if names is None or array.ndim != 2 or len(names) != array.shape[1]:
        return
    strange = [(name, found[0]) for i, name in enumerate(names) if (found := fault(array[:, i]))]
    yield from (f"{name!r} ({what})" for name, what in strange[:8])
    if len(strange) > 8:
        yield f"{len(strange) - 8} more"


def all_numerals(array: Array) -> bool:
    """Whether every text is a number's."""
    try:
        return bool(array.size) and array.astype(np.float64) is not None
    except (TypeError, ValueError):
        return False
