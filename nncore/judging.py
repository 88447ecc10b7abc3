"""Judging a file by its document and the shapes of its tensors, before any of them is read."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from nncore import files
from nncore._version import __version__
from nncore.compiler.configuration import CompileConfiguration
from nncore.graph import Shape
from nncore.state import Array

FORMAT = 1
KEYS = {"format", "nncore", "architecture", "compile", "rule", "counters", "history", "fit"}
ARCHITECTURE_KEYS = {"name", "dtype", "seed", "stack", "input_shape", "layers"}

Document = dict[str, Any]


class Shaped(Protocol):
    """An array, or what is known of one that has not been read."""

    @property
    def shape(self) -> Shape:
        """Sizes of its axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""


class Form(NamedTuple):
    """What an array will have to be."""

    shape: Shape
    dtype: np.dtype[Any]


Shapes = Mapping[str, Shaped]


def current(document: Document) -> Document:
    """The document of a whole model, if it is of this version."""
    if document.get("format") != FORMAT:
        raise ValueError(
            f"format: expected version {FORMAT}, got {document.get('format')!r}; "
            f"it was written by nncore {document.get('nncore')}, this is {__version__}"
        )
    if "architecture" not in document:
        raise ValueError("expected a whole model, got weights only; build the model and call its load_weights")
    strange = (set(document) - KEYS) | (set(document["architecture"]) - ARCHITECTURE_KEYS)
    if strange:
        raise ValueError(f"expected the keys of version {FORMAT}, got also {sorted(strange)}")
    return document | {key: files.decode(document[key]) for key in ("architecture", "compile")}


def numbers(document: Document, config: CompileConfiguration | None) -> tuple[Array, Array]:
    """The model's counters and the optimizer's rule."""
    counters = np.array(document["counters"], np.int64).reshape(2)
    if config is None:
        return counters, np.empty(0)
    rule = np.array(files.decode(document["rule"]), np.float64)
    return counters, rule.reshape(config.optimizer.rule.shape)


def refuse_strangers(about: Document, entries: Shapes, references: Container[str], named: bool) -> None:
    """Raise unless layers have names of their own, and tensors those of layers; that needs no layers.

    `named` says that every layer has its name in the document; only those whose constructor takes none do not.
    """
    names = [entry["config"].get("name") for entry in about["layers"]]
    known = set(names)
    if None in known and about["input_shape"] is not None and named:
        raise ValueError("name: expected a name for each layer, got a layer without")
    if None not in known and len(known) < len(names):
        raise ValueError("name: expected a name of its own for each layer, got one more than once")
    for name in entries:
        ours = name.startswith(("weights/", "optimizer/")) and (None in known or name.split("/")[-2] in known)
        if not ours and name not in references:
            raise ValueError(f"{name}: expected no such array; the model has no place for it")


def refuse_others(expected: Container[str], entries: Shapes, references: Container[str]) -> None:
    """Raise where there is a tensor that is neither expected nor one that the document refers to."""
    for name in entries:
        if name not in expected and name not in references:
            raise ValueError(f"{name}: expected no such array; the model has no place for it")


def require(name: str, place: Shaped, entries: Shapes) -> None:
    """Raise unless there is a tensor of this name, with the shape and dtype of its place."""
    if name not in entries:
        raise ValueError(f"{name}: expected in the file, but it is not there. Load it into the model it came from")
    found = entries[name]
    if found.shape != place.shape or found.dtype != place.dtype:
        raise ValueError(
            f"{name}: expected shape {place.shape} of {place.dtype}, got {found.shape} of {found.dtype}. "
            "Load it into a model with the same layers and dtype"
        )


def difference(mine: Any, saved: Any, ignored: Container[str]) -> str | None:
    """Words for the first difference of two descriptions, `ignored` keys aside, or None."""
    if isinstance(mine, dict) and isinstance(saved, dict):
        keys = [key for key in saved | mine if key not in ignored]
        pairs = {key: (mine.get(key, "nothing"), saved.get(key, "nothing")) for key in keys}
    elif isinstance(mine, list) and isinstance(saved, list) and len(mine) == len(saved):
        pairs = dict(enumerate(zip(mine, saved, strict=True)))
    else:
        return None if mine == saved else f"{shortened(mine)}, was {shortened(saved)}"
    for key, (a, b) in pairs.items():
        if found := difference(a, b, ignored):
            return f"{key}: {found}"
    return None


def shortened(value: Any) -> str:
    """A value for an error message."""
    return f"a list of {len(value)}" if isinstance(value, list) else repr(value)
