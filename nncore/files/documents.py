"""Documents: strict JSON, what may be spent on it, and richer values translated into it."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nncore.errors import FormatError
from nncore.files.layout import (
    DEPTH_LIMIT,
    DICT_COST,
    DIMENSION_LIMIT,
    ITEM_COST,
    LIST_COST,
    NAMES,
    REMEDY,
    Array,
    short,
)


def encode(value: Any, tensors: dict[str, Array] | None = None, name: str = "") -> Any:
    """Turn nested dicts and lists into strict JSON.

    Floats that are not finite become ``{"$float": "nan"}``, NumPy scalars Python's numbers, tuples lists. Arrays go
    to `tensors` and leave ``{"$tensor": name}``.

    Parameters
    ----------
    value
        None, bool, int, float, str, arrays, NumPy scalars, and lists, tuples and dicts (with string keys) of them.
    tensors : dict, optional
        Receives the arrays, named by their path: ``callbacks/0/best_weights/3``.
    name : str
        The path of `value`.

    Raises
    ------
    TypeError
        A value is of another type, or there is an array and no `tensors`.
    ValueError
        A key starts with "$", or `tensors` already has an array's name.
    """
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":  # of others, item() may be an int: nanoseconds
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{name or 'document'}: expected string keys, got {key!r}")
            if key.startswith("$"):
                raise ValueError(f"{name or 'document'}: the key {key!r} must not start with '$'; rename it")
        return {key: encode(item, tensors, f"{name}/{key}" if name else key) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item, tensors, f"{name}/{i}" if name else str(i)) for i, item in enumerate(value)]
    if isinstance(value, np.ndarray) and tensors is not None:
        if name in tensors:
            raise ValueError(f"{name}: expected a name of its own for the array, but it is taken")
        tensors[name] = value
        return {"$tensor": name}
    raise TypeError(f"{name or 'document'}: expected JSON values or arrays, got {type(value).__name__}")


def decode(value: Any, tensors: Mapping[str, Array] | None = None) -> Any:
    """Undo `encode`: floats that are not finite and the arrays of `tensors` return to their places.

    Parts without any are not copied.

    Raises
    ------
    FormatError
        A key starts with "$" but is not one of `encode`'s, or an array is missing.
    """
    if not isinstance(value, (list, dict)):
        return value
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict) or "$" not in "".join(value) or not any(key.startswith("$") for key in value):
        made = [decode(item, tensors) if isinstance(item, (list, dict)) else item for item in items]
        if all(map(operator.is_, made, items)):
            return value  # as most are: a copy of the whole document would take as much memory again
        return dict(zip(value, made, strict=True)) if isinstance(value, dict) else made
    match value:
        case {"$float": "nan" | "inf" | "-inf" as text, **rest} if not rest:
            return float(text)
        case {"$tensor": str(name), **rest} if not rest and tensors is not None and name in tensors:
            return tensors[name]
    raise FormatError(f"document: expected a float or a tensor that exists, found {short(str(value))}. {REMEDY}")


def fault(value: Any) -> str:
    """Why a file cannot hold `value` as a small part of its document, in words; "" if it can.

    Whatever passes comes back from `encode`, `write`, `read` and `decode` with the same values.
    """
    tensors: dict[str, Array] = {}
    try:
        encoded = encode(value, tensors, "value")
        json.dumps(encoded)  # an int may have more digits than Python converts
        json.dumps(encoded, ensure_ascii=False).encode()  # half of a surrogate pair is no text
        if (depth := _depth(encoded)) > DEPTH_LIMIT // 2:
            return f"expected at most {DEPTH_LIMIT // 2} nested objects and lists, got {depth}"
    except RecursionError:
        return f"expected at most {DEPTH_LIMIT // 2} nested objects and lists, got far more"
    except Exception as error:  # also what a user's object raises
        return str(error)
    for a in tensors.values():
        kind = type(a).__name__ if type(a) is not np.ndarray else f"an array of {a.dtype}, {a.ndim} dimensions"
        if type(a) is not np.ndarray or a.dtype.newbyteorder("<").str not in NAMES or a.ndim > DIMENSION_LIMIT:
            return f"expected an array of numbers, got {kind}"
    return ""


def _depth(encoded: Any) -> int:
    items = encoded.values() if isinstance(encoded, dict) else encoded if isinstance(encoded, list) else None
    return 0 if items is None else 1 + max(map(_depth, items), default=0)


def tensor_names(value: Any) -> Iterator[str]:
    """The names of the tensors that a document of `encode` refers to."""
    if isinstance(value, list):
        for item in value:
            yield from tensor_names(item)
    elif isinstance(value, dict):
        if isinstance(name := value.get("$tensor"), str):
            yield name
        for item in value.values():
            if isinstance(item, (dict, list)):
                yield from tensor_names(item)


def require_json(value: Any, where: str) -> None:
    """Raise unless `value` is strict JSON; json.dumps alone would turn keys into strings in silence."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: expected string keys, got {key!r}")
            require_json(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            require_json(item, f"{where}[{i}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number, got {value}; pass the document through encode")
    elif not (value is None or isinstance(value, (str, int, float))):
        raise TypeError(f"{where}: expected a JSON value, got {type(value).__name__}; pass the document through encode")


def parse_document(text: str, limit: int) -> dict[str, Any]:
    """Return the document of a file, or raise FormatError; `limit` is that of `document_cost`."""
    document_cost(text, limit)
    document = parse_object(text, "document")
    if "\\ud" in text.lower():
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise FormatError(f"document: found a string that is not valid Unicode. {REMEDY}") from None
    return document


def parse_object(text: str, what: str) -> dict[str, Any]:
    """Strict JSON, for text whose depth and size are bounded already."""
    try:
        value = JSON.decode(text)
    except ValueError as error:
        raise FormatError(f"{what}: expected strict JSON: {error}. {REMEDY}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{what}: expected a JSON object, found {type(value).__name__}. {REMEDY}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return members


def _refuse(constant: str) -> Any:
    raise ValueError(f"found the constant {constant}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {short(text)} overflows")
    return value


JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)


def document_cost(text: str, limit: float = math.inf) -> int:
    """How many bytes of objects JSON text becomes; FormatError where it nests too deep or that is over the limit."""
    if not text.isascii():
        raise FormatError(f"document: expected ASCII, found other characters. {REMEDY}")
    # Without escapes, every quote opens or closes a string.
    bare = text.replace("\\\\", "").replace('\\"', "")
    depth, cost, quoted = 0, len(text), np.False_
    for start in range(0, len(bare), 1 << 14):
        part = np.frombuffer(bare[start : start + (1 << 14)].encode(), np.uint8)
        inside = np.logical_xor.accumulate(part == ord('"')) ^ quoted
        quoted = inside[-1]
        dicts, lists = ((part == ord(c)) & ~inside for c in "{[")
        closed = ((part == ord("}")) | (part == ord("]"))) & ~inside
        items = ((part == ord(",")) | (part == ord(":"))) & ~inside
        depths = depth + np.cumsum((dicts | lists).astype(np.int8) - closed.astype(np.int8), dtype=np.int32)
        depth = int(depths[-1])
        cost += DICT_COST * int(dicts.sum()) + LIST_COST * int(lists.sum()) + ITEM_COST * int(items.sum())
        if depths.max() > DEPTH_LIMIT:
            raise FormatError(f"document: expected at most {DEPTH_LIMIT} nested objects and lists, found more.")
        if cost > limit:
            raise FormatError(
                f"document: expected values worth at most {limit} bytes in a file of this size, found more."
            )
    return cost
