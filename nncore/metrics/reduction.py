"""Sums and means of values that a user computes, and of those of a function of a user's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import custom
from nncore.conversion import as_array
from nncore.masks import masked
from nncore.metrics.base import METRICS, Average, Given, Metric, Plan, Targets
from nncore.registry import MODULES, REGISTRIES, Configurable, class_behind, immutable

if TYPE_CHECKING:
    from nncore.conversion import Array


@immutable
class Reduction(Metric):
    """Base of those of values alone, which are none of a model's: `update_state(values, sample_weight)`."""

    name: Any = None
    dtype: Any = None

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        return Plan("mean")

    def plan_in_model(self, given: Given) -> Plan:
        """See `Metric.plan_in_model`."""
        raise ValueError(
            f"metrics: {self.registry.name_of(self)} expects values, got the targets and predictions of a model. Give "
            "compile a function (y_true, y_pred) → value per sample"
        )

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Add values to the sums.

        Parameters
        ----------
        values : array_like
        sample_weight : array_like, optional
            Of a shape that NumPy broadcasts to that of the values, or of their first axes.

        Raises
        ------
        ValueError, TypeError
            The arrays do not fit.
        """
        self._add_values(as_array(values, "values"), sample_weight)


@METRICS.register()
@immutable
class Sum(Reduction):
    """Σ wᵢ valueᵢ of all elements.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """

    def of(self, sums: Array, weight: float, rows: float) -> float:
        """See `Metric.of`."""
        return float(sums[0])

    def parts(self, sums: Array, weight: float) -> dict[str, Any]:
        """See `Metric.parts`."""
        return {"total": sums[0]}


@METRICS.register()
@immutable
class Mean(Average, Reduction):
    """Σ wᵢ valueᵢ / Σ wᵢ of all elements; 0 before the first.

    Parameters
    ----------
    name, dtype
        See `Metric`.
    """


# -- functions of a user's -----------------------------------------------------------------------------------------


def is_loss(cls: type[Any]) -> bool:
    """Whether it is a class of losses: what is called on the arrays of metrics, and is none."""
    return issubclass(cls, Configurable) and not issubclass(cls, Metric) and cls.arrays == Metric.arrays


def function_of(given: Any) -> Any:
    """A function from its name, of a user's or of a loss or metric, or from a description of it, or of a loss."""
    if isinstance(given, Mapping):
        if given.get("class_name") != "function":
            return REGISTRIES["loss"].get(given, "fn", Configurable)
        given = given.get("config")
    if not isinstance(given, str):
        return given
    module, _, name = given.rpartition(".")
    for known, find in MODULES.items():
        if module in ("", known) and custom.find(given) is None:
            with suppress(AttributeError):
                return find(name)
    return custom.function(given, "fn")


@METRICS.register()
@immutable
class MeanMetricWrapper(Average):
    """Σ wᵢ valueᵢ / Σ wᵢ of what a function of NumPy arrays returns; ``metrics=[function]`` makes one.

    In a model Python computes it, on the arrays of each batch, which costs some microseconds beside the function's own
    time. They may be read, not written.

    Parameters
    ----------
    fn : callable, Loss or str
        Given targets and predictions, (y_true, y_pred), it returns a value for each sample, or an array of which the
        first axis is that of the samples; also ``nncore.losses.huber`` and its like. Of a loss, ``Huber(2.0)``, it is
        the values of samples, whatever its `reduction`, without a gradient that it returns. A file names it; to be
        loaded one of a user's must be known before: ``@nncore.saving.register_keras_serializable()``, or
        ``custom_objects``.
    name : str, optional
        Default: the function's.
    dtype
        See `Metric`.

    Raises
    ------
    TypeError, ValueError
        `fn` is no function, or not the name of one that is registered.
    """

    fn: Any
    name: Any = None
    dtype: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "fn", function_of(self.fn))
        if not callable(self.fn):
            raise TypeError(f"fn: expected a function (y_true, y_pred) → value per sample, got {self.fn!r}")
        if self.name is None:
            object.__setattr__(self, "name", self.called())
        super().__post_init__()

    def called(self) -> str:
        """The function's name."""
        if is_loss(type(self.fn)):
            return str(self.fn.name)
        return str(getattr(self.fn, "__name__", type(self.fn).__name__))

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`; a function by its name."""
        if name != "fn" or is_loss(type(self.fn)):
            return super().argument(name)
        ours = class_behind(self.fn) is not None
        return f"{self.fn.__module__}.{self.fn.__name__}" if ours else custom.get_registered_name(self.fn)

    @property
    def targets(self) -> Targets:
        """See `Metric.targets`."""
        return "either"

    def plan(self, given: Given) -> Plan:
        """See `Metric.plan`."""
        return Plan(self.name, sums="python", function=self.fill)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """What the function returns, checked."""
        made = (self.fn.call if is_loss(type(self.fn)) else self.fn)(y_true, y_pred)
        made = np.asarray(made[0] if isinstance(made, tuple) else made)  # of a user's loss: beside its gradient
        if made.ndim == 0 or len(made) != len(y_pred) or made.dtype.kind not in "biuf":
            what = f"an array of shape {made.shape} and dtype {made.dtype}"
            raise ValueError(
                f"metrics: expected of the function {self.called()} a number for each of {len(y_pred)} samples, got "
                f"{what}. Take means over all axes but the first, for example .mean(axis=-1)"
            )
        return made

    def fill(self, y_true: Array, y_pred: Array, values: Array) -> None:
        """Fill values of the samples of a batch."""
        made = self.values(y_true, y_pred)
        values[:, 0] = made.reshape(len(made), -1).mean(axis=1)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """See `Metric.update_state`; weights may have the shape of what the function returns."""
        values = self.values(as_array(y_true, "y_true"), as_array(y_pred, "y_pred"))
        self._add_values(values, masked(y_pred, sample_weight))

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        """What the function returns."""
        return self.values(as_array(y_true, "y_true"), as_array(y_pred, "y_pred"))
