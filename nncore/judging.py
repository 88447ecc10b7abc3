"""Judging a file by its document and the shapes of its tensors, before any of them is read."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from nncore import files
from nncore._version import __version__
from nncore.architecture import FORMS
from nncore.entries import Document
from nncore.graph import Shape
from nncore.optimizers import Optimizer
from nncore.optimizers.numbers import check_iterations
from nncore.outline import Outline
from nncore.schedules import Scheduled, scheduled
from nncore.state import Array

FORMAT = 2
KEPT = {"format", "nncore", "architecture", "compile", "counters", "history", "fit"}
KEYS = {1: KEPT | {"rule"}, FORMAT: KEPT | {"iterations"}}  # of the formats that can be read
RULE = 12  # numbers of format 1 in place of the iterations, which are the last; the others are in "compile", too


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
    """The document of a whole model, as this version writes it."""
    check_format(document)
    if "architecture" not in document:
        raise ValueError("expected a whole model, got weights only; build the model and call its load_weights")
    version: int = document["format"]
    strange = (set(document) - KEYS[version]) | (set(document["architecture"]) - set().union(*FORMS))
    if strange:
        raise ValueError(f"expected the keys of version {version}, got also {sorted(strange)}")
    if version == 1:
        document = document | {"iterations": iterations_of(document.get("rule"))}
    return document | {key: files.decode(document[key]) for key in ("architecture", "compile")}


def check_format(document: Document) -> None:
    """Raise unless the document has a format that can be read."""
    if "estimator" in document:
        raise ValueError("expected a model, got an estimator of nncore.sklearn, whose own `load` reads it")
    if document.get("format") not in tuple(KEYS):
        raise ValueError(
            f"format: expected version {FORMAT} or an earlier one, got {document.get('format')!r}; "
            f"it was written by nncore {document.get('nncore')}, this is {__version__}"
        )


def iterations_of(rule: Any) -> int | None:
    """The optimizer's iterations, from what format 1 has in their place; None: there is no optimizer."""
    if rule is None:
        return None
    *_, step = np.array(files.decode(rule), np.float64).reshape(RULE).tolist()
    return int(step)


def numbers(document: Document) -> tuple[Array, int]:
    """The model's counters and the optimizer's iterations."""
    counters = np.array(document["counters"], np.int64).reshape(2)
    return counters, 0 if document["compile"] is None else check_iterations(document["iterations"])


def refuse_strangers(outline: Outline, entries: Shapes, references: Container[str], named: bool) -> None:
    """Raise unless layers have names of their own, and tensors those of layers; that needs no layers.

    `named` says that every layer has its name in the document; only those whose constructor takes none do not.
    """
    if outline.nameless and outline.built and named:
        raise ValueError("name: expected a name for each layer, got a layer without")
    known, apart = (set[str](), ("",)) if outline.nameless else outline.known()
    for name in entries:
        first, _, path = name.partition("/")
        place = (path if first == "weights" else path.partition("/")[2]).rpartition("/")[0]
        ours = first in ("weights", "optimizer") and (place in known or (apart and place.startswith(apart)))
        if not ours and name not in references:
            raise ValueError(f"{name}: expected no such array; the model has no place for it")


def refuse_others(expected: Container[str], entries: Iterable[str], references: Container[str]) -> None:
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


def resumed(optimizer: Optimizer, saved: Mapping[str, Any]) -> list[Scheduled]:
    """The learning rates of an interrupted fit, whose optimizer had this configuration."""
    mapped = saved.get("optimizer_map")
    if mapped is None and "learning_rate" not in saved:
        return optimizer.rates()
    if mapped is None:
        return [resumed_rate(optimizer, saved["learning_rate"])]
    described = [*mapped["optimizer_map"].values(), mapped["default_optimizer"]]
    rates = {
        id(part): resumed_rate(part, one["config"]["learning_rate"])
        for part, one in zip(optimizer.described(), described, strict=True)
    }
    return [rates[id(part)] for part in optimizer.parts]


def resumed_rate(optimizer: Optimizer, saved: Any) -> Scheduled:
    """One of them: what a number was when it stopped; a schedule must be the same."""
    if isinstance(saved, Mapping):
        mine = optimizer.get_config()["learning_rate"]
        if found := difference(mine, saved, ()):
            raise ValueError(
                f"learning_rate: expected the schedule of the interrupted fit, to resume it, got another: {found}. "
                "Give the same, or delete the backup to start anew"
            )
        return optimizer.rates()[0]
    return scheduled("learning_rate", saved)


def shortened(value: Any) -> str:
    """A value for an error message."""
    return f"a list of {len(value)}" if isinstance(value, list) else repr(value)
