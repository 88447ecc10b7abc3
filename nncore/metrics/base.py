"""What a metric is: what is summed over a pass, and the number that the sums come to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from nncore._kernels.table import LOSS_TARGETS, METRIC_TARGETS
from nncore.attributes import ours
from nncore.conversion import as_array
from nncore.dtypes import real_name
from nncore.masks import masked
from nncore.metrics import arrays
from nncore.metrics.variables import Keeping
from nncore.registry import Configurable, Registry, immutable, snake_case

if TYPE_CHECKING:
    from collections.abc import Callable

    from nncore.conversion import Array
    from nncore.losses import Loss
    from nncore.metrics.arrays import Rows

Targets = Literal["values", "labels", "either"]


@dataclass(frozen=True)
class Given:
    """What a metric is to compare.

    Attributes
    ----------
    outputs : int
        Outputs per sample, n.
    labels : bool
        Targets are integers in [0, n), one of each sample; else as many values as there are outputs.
    loss : Loss or None
        The model's loss for that output.
    fused : bool
        The loss reads the logits, so that they are at hand.
    activation : str
        Kernel of the model's last activation.
    axes : int
        Axes of a sample's outputs.
    """

    outputs: int
    labels: bool = False
    loss: Loss | None = None
    fused: bool = False
    activation: str = "linear"
    axes: int = 1

    @property
    def logits(self) -> bool:
        """The outputs are logits of a loss that says so."""
        return self.loss is not None and self.loss.from_logits


@dataclass(frozen=True)
class Plan:
    """What is summed for a metric, and by which kernel.

    Attributes
    ----------
    kernel : str
        Name in ``kernels.def``, in the METRIC or LOSS list if `sums` is "mean", in that of TALLY if it is "tally".
    parameters : tuple of float
        The numbers that the kernel takes, as ``kernels.def`` names them.
    reads : {"outputs", "logits", "probabilities"}
        The outputs of the model's last activation or its inputs; or the outputs as probabilities, also where the loss
        takes them for logits.
    sums : {"mean", "tally", "moments", "python"}
        A value of each row, averaged; places at which rows count; sums of powers of each column; a value of each row
        that a function of Python computes.
    width : int
        How many numbers are summed.
    events : int
        Of a tally: at how many places a row counts.
    numbers : tuple of float
        Of a tally: its numbers, of which the first `thresholds` are in ascending order.
    flat : bool
        Each element of a row is a row by itself.
    function : callable, optional
        Of "python".
    """

    kernel: str
    parameters: tuple[float, ...] = ()
    reads: Literal["outputs", "logits", "probabilities"] = "outputs"
    sums: Literal["mean", "tally", "moments", "python"] = "mean"
    width: int = 1
    events: int = 0
    numbers: tuple[float, ...] = ()
    thresholds: int = 0
    flat: bool = False
    function: Callable[..., Any] | None = None


@immutable
class Metric(Keeping, Configurable):
    """Base of the metrics; objects are immutable and equal where class and arguments are.

    A metric says what is summed over the rows of a pass (`plan`), and what these sums come to (`of`). A compiled model
    has sums of its own; beside these, an object may be used by itself, on arrays: `update_state`, `result`,
    `reset_state`, or called. Its own sums take no part in comparisons, and after a pass of a model that has the object
    among its metrics they are those of that pass.

    A class of your own adds variables in its constructor (`add_variable`), and has an `update_state` that changes them
    and a `result`. It is for arrays; a model takes functions.

    Parameters
    ----------
    name : str, optional
        Name in logs and in `History`; default: the class's name in snake case, or what the user wrote
        where the metric was given as a string ("mse").
    dtype : dtype, optional
        Of `result`, one of real numbers; sums are float64 in any case. Default float64.

    Attributes
    ----------
    targets : {"values", "labels", "either"}
        What it is compared with: (B, n) reals, or (B,) integers in [0, n).

    Raises
    ------
    TypeError
        `name` is neither None nor a string with characters.
    ValueError
        `dtype` is not a known one.
    """

    arrays = ("y_true", "y_pred")
    default_name: ClassVar[str] = ""

    if TYPE_CHECKING:  # of each class, which gives them their places among the arguments

        def __getattr__(self, name: str) -> Any: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.own = not ours(cls)
        if cls.own and cls.__eq__ is Metric.__eq__:  # of arguments alone, which what it keeps is not
            for name in ("__eq__", "__hash__"):
                type.__setattr__(cls, name, getattr(object, name))

    def __init__(self, dtype: Any = None, name: Any = None) -> None:  # of a user's; the others have places of their own
        vars(self).update(dtype="float32" if dtype is None else dtype, name=name)
        self.__post_init__()

    def __post_init__(self) -> None:
        if getattr(self, "name", None) is None:
            object.__setattr__(self, "name", self.default_name or snake_case(type(self).__name__))
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name: expected a string with characters, or None for the default, got {self.name!r}")
        if getattr(self, "dtype", None) is not None:
            object.__setattr__(self, "dtype", real_name(self.dtype))
        self.check()

    # -- what a subclass says --------------------------------------------------------------------------------------

    @property
    def targets(self) -> Targets:
        """What it is compared with."""
        return "values"

    @property
    def of_whole_rows(self) -> bool:
        """Whether arrays of one axis are one row."""
        return False

    @property
    def ignored(self) -> int | None:
        """A label that is none of the classes."""
        return None

    def check(self) -> None:
        """Raise a TypeError or ValueError where an argument is wrong."""

    def plan(self, given: Given) -> Plan:
        """Say what is summed.

        Raises
        ------
        ValueError
            The metric does not fit what is given.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected update_state and result of a metric of your own")

    def plan_in_model(self, given: Given) -> Plan:
        """`plan` where a model has the metric, which knows more of what is compared."""
        return self.plan(given)

    @property
    def targets_in_model(self) -> Targets:
        """`targets` where a model has the metric."""
        return self.targets

    def of(self, sums: Array, weight: float, rows: float) -> Any:
        """What the sums of a pass come to.

        Parameters
        ----------
        sums : ndarray of float64, shape (width,)
        weight : float
            Sum of the rows' weights.
        rows : float
            How many rows there were.

        Returns
        -------
        float or ndarray
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its sums come to")

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """The sums by names of their own, as Keras has variables."""
        return {"sums": sums, "weight": weight}

    # -- alone, on arrays ------------------------------------------------------------------------------------------

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add rows to the sums.

        Parameters
        ----------
        y_true, y_pred : array_like
            Targets and predictions, (n, …, outputs); or targets (n, …) that are labels, or of one output. Arrays of
            one axis are one row to a metric that is no mean over the elements of a row, such as a cosine similarity.
        sample_weight : array_like, optional
            Of the rows, or of the elements where these count for themselves.

        Raises
        ------
        ValueError, TypeError
            The arrays do not fit.
        """
        self._add(arrays.Rows.of(y_true, y_pred, sample_weight, self.targets, self.ignored, self.of_whole_rows))

    def _add(self, rows: Rows) -> None:
        plan = self.plan(Given(rows.outputs, rows.labels is not None))
        before = vars(self).get("_sums")
        sums = np.zeros(plan.width + 1) if before is None else before.copy()
        if sums.size != plan.width + 1:
            raise ValueError(
                f"y_pred: expected as many outputs as before, got {rows.outputs}. Call reset_state to begin anew"
            )
        arrays.add(plan, rows, sums)
        vars(self)["_outputs"] = rows.outputs
        vars(self)["_sums"], vars(self)["_rows"] = sums, vars(self).get("_rows", 0) + rows.count

    def _add_values(self, values: Array, sample_weight: Any) -> None:
        """Add values of any shape, each with a weight, to a total."""
        weight = np.ones(()) if sample_weight is None else as_array(sample_weight, "sample_weight").astype(np.float64)
        weight = arrays.spread(weight, values.shape, "values")
        before = vars(self).get("_sums")
        sums = np.zeros(2) if before is None else before.copy()
        arrays.add_in_order(sums[:1], (values.astype(np.float64) * weight).reshape(-1))
        arrays.add_in_order(sums[1:], weight.reshape(-1))
        vars(self)["_sums"], vars(self)["_rows"] = sums, vars(self).get("_rows", 0) + values.size

    def absorb(self, sums: Array, rows: float) -> None:
        """Let the object's own sums be those of a model's pass, the last of which is their weight."""
        vars(self)["_sums"], vars(self)["_rows"] = sums.copy(), rows

    def result(self) -> Any:
        """What the rows so far come to: a number, or an array where the metric has several."""
        sums = vars(self).get("_sums")
        if sums is None:
            sums = np.zeros(self.plan(self.unseen()).width + 1)
        made = self.of(sums[:-1], float(sums[-1]), vars(self).get("_rows", 0))
        return np.asarray(made, self.dtype or np.float64)[()]

    def unseen(self) -> Given:
        """What is assumed before the first row."""
        return Given(1, self.targets == "labels")

    @property
    def _dtype(self) -> str:
        """What `dtype` is called where Keras's tests of metrics look inside."""
        return self.dtype or "float64"

    def reset_state(self) -> None:
        """Begin anew."""
        for name in ("_sums", "_rows"):
            vars(self).pop(name, None)
        super().reset_state()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`update_state`, then `result`."""
        self.update_state(*args, **kwargs)
        return self.result()

    def _parts(self) -> dict[str, Any]:
        if type(self).plan is Metric.plan:  # one of a user's, which sums by itself
            return {}
        sums = vars(self).get("_sums")
        if sums is None:
            sums = np.zeros(self.plan(self.unseen()).width + 1)
        return self.parts(sums[:-1], float(sums[-1]))

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        """What the function of the metric's name returns: its result for these arrays alone."""
        fresh = type(self).from_config(self.get_config())
        return fresh(y_true, y_pred)


METRICS: Registry[Metric] = Registry(
    "metric",
    "what models compute is native code; give a function (y_true, y_pred) → value per sample, or call yours on "
    "what predict returns",
)

Metric.registry = METRICS


def mean_of(total: float, weight: float, rows: float) -> float:
    """Σ wᵢ valueᵢ / Σ wᵢ; as in Keras 0 where all rows weigh nothing, and NaN before the first row."""
    if weight:
        return total / weight
    return 0.0 if rows and total == 0 else math.nan


@immutable
class Average(Metric):
    """Base of the means of values: Σ wᵢ valueᵢ / Σ wᵢ."""

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        return mean_of(float(sums[0]), weight, rows)

    def result(self) -> Any:
        """See `Metric.result`; as in Keras 0 before the first row."""
        return super().result() if vars(self).get("_rows") else np.asarray(0, self.dtype or np.float64)[()]

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        return {"total": sums[0], "count": weight}


@immutable
class MeanOfRows(Average):
    """Base of the metrics that are a value per row, averaged: Σ wᵢ valueᵢ / Σ wᵢ.

    Attributes
    ----------
    ranks : bool
        Only the order of a row's predictions matters, so that logits serve as well as probabilities.
    reads : {"outputs", "probabilities"}
        What it reads otherwise.
    """

    ranks: ClassVar[bool] = False
    reads: ClassVar[Literal["outputs", "probabilities"]] = "outputs"

    @property
    def kernel(self) -> str:
        """Name in the METRIC or LOSS list of ``kernels.def``."""
        return self.registry.name_of(self)

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "labels" if (METRIC_TARGETS | LOSS_TARGETS).get(self.kernel) == "LABELS" else "values"

    @property
    def of_whole_rows(self) -> bool:
        """See `Metric.of_whole_rows`."""
        return self.targets == "values" and not arrays.of_elements(self.kernel)

    @property
    def parameters(self) -> tuple[float, ...]:
        """The numbers that the kernel takes."""
        return ()

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        refuse_targets(self, given)
        return Plan(self.kernel, self.parameters, "logits" if given.fused and self.ranks else self.reads)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """See `Metric.update_state`; what a mask of the predictions leaves out weighs nothing."""
        super().update_state(y_true, y_pred, masked(y_pred, sample_weight))

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        """The value of each row."""
        rows = arrays.Rows.of(y_true, y_pred, None, self.targets, whole=self.of_whole_rows)
        return arrays.values(self.plan(Given(rows.outputs, rows.labels is not None)), rows)


def refuse_targets(metric: Metric, given: Given) -> None:
    """Raise a ValueError where targets are of another kind than the metric compares with."""
    wants = metric.targets
    if wants == "either" or (wants == "labels") == given.labels:
        return
    kernel, loss = metric.registry.name_of(metric), given.loss
    wanted, got = ("integer labels", "a row of values per sample") if wants == "labels" else (
        "a row of values per sample", "integer labels")  # fmt: skip
    if loss is None:
        raise ValueError(f"metrics: {kernel} expects {wanted} as targets, got {got}")
    own = f', or "{loss.accuracy}"' if loss.accuracy else ""
    raise ValueError(
        f"metrics: {kernel} expects {wanted} as targets, but the loss {loss.registry.name_of(loss)} is given "
        f'{got}. Use "accuracy", which follows the loss{own}'
    )


def ratio(a: Any, b: Any) -> Any:
    """a / b, and 0 where b is 0."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)
