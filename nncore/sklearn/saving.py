"""A fitted estimator of tables as one file: columns, networks and what follows them, without pickle."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import files
from nncore.errors import FormatError
from nncore.models import model_from_json
from nncore.sklearn.columns import Columns
from nncore.state import Array

VERSION = 2
SIMPLE = (bool, int, float, str, type(None))


def save(estimator: Any, path: Any) -> None:
    """Write a fitted estimator to a safetensors file, all or nothing."""
    files.write(path, *documented(estimator))


def documented(estimator: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a fitted estimator, and the document that its file has."""
    params = {
        name: value.item() if isinstance(value, np.generic) else value  # such as of a search
        for name, value in estimator.get_params(deep=False).items()
    }
    model = estimator.model_
    whole = {
        "class": type(estimator).__name__,
        "version": VERSION,
        "arguments": {name: value for name, value in params.items() if isinstance(value, SIMPLE)},
        "n_features_in": estimator.n_features_in_,
        "names": [str(name) for name in getattr(estimator, "feature_names_in_", ())],
        "columns": estimator.columns_.described(),
        "model": model.to_json(),
        "weights": [parameter.numpy() for parameter in model.weights],
        "fitted": estimator._fitted(),
    }
    tensors: dict[str, Array] = {}
    document = files.encode(whole, tensors, "estimator")
    return tensors, {"estimator": document}


def load(cls: type[Any], path: Any) -> Any:
    """The estimator that `save` wrote; a FormatError for a file of something else."""
    tensors, document = files.read(path)
    whole = files.decode(document.get("estimator"), tensors)
    if not isinstance(whole, dict) or whole.get("class") != cls.__name__ or whole.get("version") != VERSION:
        known = isinstance(whole, dict) and "class" in whole
        found = f"{whole['class']} of version {whole.get('version')}" if known else "another file"
        raise FormatError(f"{path}: expected a {cls.__name__} of version {VERSION}, got {found}")
    try:
        return restored(cls, whole)
    except FormatError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: expected a {cls.__name__} as `save` writes it: {error!r}") from error


def restored(cls: type[Any], whole: dict[str, Any]) -> Any:
    """The estimator of a document; any exception where it is none."""
    known = cls(**whole["arguments"])
    known.n_features_in_ = whole["n_features_in"]
    if not all(isinstance(name, str) for name in whole["names"]):
        raise TypeError("names")
    if whole["names"]:
        known.feature_names_in_ = np.array(whole["names"], object)
    known.columns_ = Columns.of(whole["columns"])
    known.model_ = model_from_json(whole["model"])
    known.model_.set_weights(whole["weights"])
    known._take(whole["fitted"])
    return known
