"""What `nncore predict` does: require the columns of fit, warn of unknown values, predict, write."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import pandas as pd

from nncore.arguments import printable
from nncore.cli import columns, frames, stored
from nncore.output import write


def run(options: argparse.Namespace) -> None:
    """Predict, as the options say."""
    taken = [path for path in (options.model, options.data) if path.exists()]
    if options.output and options.output.exists() and any(options.output.samefile(path) for path in taken):
        raise ValueError(f"--output: expected a file of its own, got {printable(str(options.output))}, which is read")
    estimator, target, known = stored.load(options.model)
    name = printable(str(options.data))
    frame = frames.read(options.data)
    frames.check_columns([column.name for column in known], list(frame), f"{name}: expected the columns of fit")
    frames.check_columns(options.keep, list(frame), f"--keep: expected columns of {name}")
    X = pd.DataFrame({column.name: column.values(frame, name) for column in known})
    for column in known:
        if warning := columns.unknown(column, X[column.name]):
            write(sys.stderr, f"nncore: warning: {name}: {warning}; taken as unknown\n")
    made = predictions(estimator, columns.typed(known, X), target, options.probabilities)
    if both := [column for column in options.keep if column in made]:
        raise ValueError(f"--keep: expected columns not named as a prediction, got {both[0]!r}; rename it in {name}")
    result = pd.concat([frame[options.keep], pd.DataFrame(made)], axis=1)
    if options.output:
        frames.write(result, options.output)
        return
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        raise ValueError("--output: expected a FILE, for there is no standard output")
    stream.write(frames.csv(result))


def predictions(estimator: Any, X: pd.DataFrame, target: str, probabilities: bool) -> dict[str, Any]:
    """The columns that are predicted, by name; numbers have the digits that networks compute with."""
    if not hasattr(estimator, "predict_proba"):
        if probabilities:
            raise ValueError(f"--probabilities: expected a model of classes, got one of numbers ({target})")
        return {target: estimator.predict(X).astype(np.float32)}
    chances = estimator.predict_proba(X)
    made = {target: estimator.classes_[chances.argmax(axis=1)]}
    if probabilities:
        made |= {f"probability_{label}": chances[:, i].astype(np.float32) for i, label in enumerate(estimator.classes_)}
    return made
