"""An optimizer by itself, on arrays and variables: what Keras's training loops of one's own call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nncore.optimizers.numbers import Slot
from nncore.warning import warn

if TYPE_CHECKING:
    from nncore.optimizers.base import Optimizer

Array = np.ndarray[Any, Any]


class Alone:
    """The part of `Optimizer` that needs no model.

    Variables are NumPy arrays of float32 or float64, which change in place, weights of layers, or anything that has
    ``assign(value)`` and can be made an array; all of one precision, for which float32 is taken unless all are float64.
    """

    applied_by: ClassVar[type[Any]]  # what computes its steps on arrays: `execution.applying`, which stands above
    _applied: Any

    @property
    def built(self) -> bool:
        """Whether it has state arrays: by `build`, the first `apply`, or as that of a model."""
        return self._applied is not None or self._states() is not None

    def _states(self) -> Any:
        """The model that it trains, if that has weights."""
        this: Any = self
        model = this.owner()
        return model if model is not None and model.graph is not None else None

    def build(self, variables: Sequence[Any]) -> None:
        """Make the state arrays for these variables; once is enough."""
        this: Any = self
        if (model := this.owner()) is not None:
            raise ValueError(
                f"optimizer: expected one that no model trains with, got that of {model!r}. Make another for arrays"
            )
        if self._applied is None:
            self._applied = self.applied_by(this, list(variables))

    def apply(self, grads: Sequence[Any], trainable_variables: Iterable[Any] | None = None) -> None:
        """Make one step.

        Parameters
        ----------
        grads : list of array_like
            A gradient for each variable; None: that variable stays, with a warning.
        trainable_variables : list, optional
            Those that the optimizer was built with, or some of them; the first call builds it.

        Raises
        ------
        ValueError
            Shapes or numbers do not fit, no gradient is given, or a variable is unknown.
        """
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is None:
            if self._applied is None:
                raise ValueError(
                    "trainable_variables: expected a list of them, got None. Give them, or call build before"
                )
            variables = list(self._applied.variables)
        else:
            variables = list(trainable_variables)
        if len(grads) != len(variables):
            raise ValueError(f"grads: expected one for each of {len(variables)} variables, got {len(grads)}")
        missing = [i for i, g in enumerate(grads) if g is None]
        if len(missing) == len(grads):
            raise ValueError(
                "grads: expected a gradient for some variable, got None for each. Leave the step out. "
                "(No gradients provided for any variable.)"
            )
        if missing:
            warn(
                f"grads: expected one for each variable, got None for numbers {missing}, counted from 0. These stay as "
                "they are; leave them out"
            )
        self.build(variables)
        self._applied.step(grads, variables)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Any:
        """`apply` of pairs (gradient, variable); returns the number of steps so far."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    @property
    def variables(self) -> list[Array]:
        """The number of steps, the learning rate if it is a number, and the state arrays of each variable: views.

        All can be assigned to; the first two are copies, which do not follow the optimizer. A MultiOptimizer has a
        learning rate for each of its `optimizers` whose is a number.
        """
        rates = [part._number("learning_rate", np.float32) for part in self._rated()]
        return [self._number("batches", np.int64), *rates, *(array.view(Slot) for array in self._state_views())]

    def _rated(self) -> list[Optimizer]:
        """What has a learning rate that is a number: itself, or some of its parts."""
        this: Any = self
        return [part for part in this.parts if isinstance(part._learning_rate, float)]

    def _number(self, name: str, kind: Any) -> Slot:
        """A copy of a number of its own, by which that can be assigned to."""
        number = np.array(getattr(self, name), kind).view(Slot)
        number.flags.writeable = False
        number._assign = partial(setattr, self, name)
        return number

    def _state_views(self) -> list[Array]:
        """The state arrays of each variable, one variable after another."""
        if self._applied is not None:
            views: list[Array] = self._applied.views()
            return views
        this: Any = self
        model = self._states()
        if model is None:
            return []
        return [
            p.within(model.optimizer_state[name], form)
            for p, path in model.graph.trained.items()
            for name in this.array_names
            if (form := this.form(name, p, path)) is not None
        ]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take over the `variables` of another optimizer of this kind, built for the same shapes."""
        this: Any = self
        if not self.built:
            raise ValueError(
                "weights: You are calling set_weights of an optimizer without state; call build(variables) first"
            )
        mine = self.variables
        if len(weights) != len(mine):
            raise ValueError(f"weights: expected {len(mine)} arrays, got {len(weights)}")
        arrays = [np.asarray(w) for w in weights]
        for number, (array, place) in enumerate(zip(arrays, mine, strict=True)):
            if array.shape != place.shape:
                raise ValueError(f"weights[{number}]: expected shape {place.shape}, got {array.shape}")
        this.batches = int(arrays[0])
        rated = self._rated()
        for part, rate in zip(rated, arrays[1:], strict=False):
            part.learning_rate = float(rate)
        for array, place in zip(arrays[1 + len(rated) :], self._state_views(), strict=True):
            place[...] = array

    def scale_loss(self, loss: Any) -> Any:
        """`loss` times `loss_scale_factor`, which `apply` divides gradients by."""
        this: Any = self
        return loss if this.loss_scale_factor is None else loss * this.loss_scale_factor

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Let variables become their running means, where `use_ema` is on."""
        this: Any = self
        if this.use_ema and self._applied is not None:
            self._applied.take_averages(list(var_list))

    # -- names by which Keras's tests of optimizers look inside, so that they can be run on ours ----------------------

    @property
    def _iterations(self) -> int:
        this: Any = self
        steps: int = this.batches
        return steps

    @property
    def _trainable_variables(self) -> list[Any]:
        return [] if self._applied is None else list(self._applied.variables)

    @property
    def _model_variables_moving_average(self) -> list[Array]:
        return self._named("average")

    @property
    def _accumulated_gradients(self) -> list[Array]:
        return self._named("collected")

    def _named(self, name: str) -> list[Any]:
        """Each variable's part of one array."""
        if self._applied is not None:
            return [part.view(Slot) for part in self._applied.named(name)]
        if (model := self._states()) is None or name not in model.optimizer_state:
            raise AttributeError(f"{name}: expected an optimizer that keeps it, and has variables")
        return [p.within(model.optimizer_state[name]).view(Slot) for p in model.graph.trained]

    def _clip_gradients(self, grads: Sequence[Any]) -> list[Array]:
        """Gradients as the rule is told them: what a step of plain descent of length 1 takes away from 0."""
        this: Optimizer = self  # type: ignore[assignment]
        clips: dict[str, Any] = {clip: getattr(this, clip) for clip in ("clipnorm", "clipvalue", "global_clipnorm")}
        descent = this.registry.classes["sgd"](1.0, **clips)
        moved = [np.zeros(np.shape(g), np.asarray(g).dtype if np.asarray(g).dtype == "f8" else "f4") for g in grads]
        descent.apply(grads, moved)
        return [-m for m in moved]
