"""The hooks."""

from __future__ import annotations

import difflib
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from nncore.attributes import CLOSE, Guarded, arguments, as_made, ours

Phase = Literal["train", "test", "predict"]

BATCH_HOOKS: dict[Phase, tuple[str, ...]] = {
    "train": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


class Callback(Guarded):
    """Base of the callbacks: override the hooks you need.

    `epoch` and `batch` count from 0; `logs` is a dict of the averages so far, the same for all callbacks, which may
    add to it. Batch hooks make the engine return to Python after each step: override them only if you need them.

    Attributes
    ----------
    model : Model
        The model that runs, and afterwards the one that ran, for as long as it lives: a callback, or a `History`, does
        not keep it, unless it was given one by `set_model`. None before, in a copy of the callback, and once the model
        is gone.
    params : dict
        ``epochs``, ``steps`` (batches per epoch), ``samples`` (per epoch), ``verbose``, ``metrics`` (the names that
        `logs` will hold at the end of an epoch, in order; those with ``val_`` only after a validation),
        ``validation_freq``. Of evaluate and predict ``steps``, ``samples``, ``verbose``, ``metrics``.
    """

    comes_last: ClassVar[bool] = False  # in a CallbackList: what saves the others' states does
    params: dict[str, Any] = {}  # noqa: RUF012 (replaced, never changed)

    @property
    def model(self) -> Any:
        """The model that runs, or ran."""
        reference = vars(self).get("_reference")
        return reference and reference()

    @model.setter
    def model(self, model: Any) -> None:
        self._reference = None if model is None else lambda: model

    def hold_weakly(self) -> None:
        """Hold the model by a weak reference.

        It holds its history, and in a cycle both would wait for the garbage collector.
        """
        if (model := self.model) is not None:
            self._reference = weakref.ref(model)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            strange = name.startswith("on_") and name not in cls.settable
            if strange and (near := difflib.get_close_matches(name, cls.settable, n=1, cutoff=CLOSE)):
                raise TypeError(f"{name}: expected the name of a hook, which is called. Did you mean {near[0]!r}?")

    def _changed(self, name: str, value: Any) -> Any:
        # A user's constructor may do more than to check.
        return as_made(self, name, value, filter(ours, type(self).__mro__))

    def _refuse_slip(self, name: str) -> None:
        if name != "mode":  # an attribute of many callbacks, and no slip of model
            super()._refuse_slip(name)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which get their model from the next run."""
        return {name: value for name, value in vars(self).items() if name != "_reference"}

    def __repr__(self) -> str:
        known = vars(self)
        given = {n: p.default for n, p in arguments(type(self)).items()} | dict.fromkeys(self.settable)
        parts = [f"{name}={known[name]!r}" for name, default in given.items() if known.get(name, default) != default]
        return f"{type(self).__name__}({', '.join(parts)})"

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive the facts of the run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Receive the model."""
        self.model = model

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin `fit`."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """End `fit` without an exception; `logs` is that of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin an epoch; not called for one that a resume continues in the middle.

        If `model.stop_training` is set here, the epoch is not begun: nothing is done, recorded or called of it.
        """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """End an epoch, validation included, whose results have the prefix ``val_``."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin a training step."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """End a training step; `logs` averages over the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin a training step: an older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """End a training step: an older name of `on_train_batch_end`."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin `evaluate` or a validation."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """End `evaluate` or a validation."""

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin a batch of `evaluate` or of a validation."""

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """End a batch of `evaluate` or of a validation."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin `predict`."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """End `predict`."""

    def on_predict_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """End a batch of `predict`."""

    # ---- beyond Keras

    def on_tick(self, samples_done: int, logs: dict[str, Any] | None = None) -> None:
        """See how far the epoch is: called by the clock, about every 50 ms, at no cost per step."""

    def on_diverged(self, epoch: int, batch: int) -> bool:
        """Decide about a step whose loss or gradient was not finite, and which therefore was not applied.

        Returns
        -------
        bool
            True lets `fit` end normally; if no callback does, it raises DivergedError.
        """
        return False

    def on_close(self) -> None:
        """Release what is open: called last, also after an exception or Ctrl-C; again, if Ctrl-C comes meanwhile."""

    def get_state(self) -> dict[str, Any]:
        """Return everything that an exact resume needs: JSON values, arrays, and dicts and lists of them."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from what `get_state` returned; called after `on_train_begin`."""
        if state:
            raise ValueError(f"state: {type(self).__name__} has get_state but not set_state; define both")

    def wants(self, phase: Phase) -> bool:
        """Whether a batch hook of this phase does anything."""
        return any(overrides(self, hook) for hook in BATCH_HOOKS[phase])


Callback.settable = tuple(hook for hook in vars(Callback) if hook.startswith("on_"))


def take_state(callback: Callback, state: dict[str, Any], names: Sequence[str]) -> None:
    """Set the attributes `names` from a saved state, and no others: which ones is not the file's to say."""
    if set(state) != set(names):
        raise ValueError(f"state: {type(callback).__name__} expected {sorted(names)}, got {sorted(state)}")
    vars(callback).update(state)


def overrides(callback: Callback, name: str) -> bool:
    """Whether a class or an object replaces a method of `Callback`."""
    return name in vars(callback) or getattr(type(callback), name) is not getattr(Callback, name)


class LambdaCallback(Callback):
    """Functions as hooks.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with ``(epoch, logs)``.
    on_train_begin, on_train_end : callable, optional
        Called with ``(logs)``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called with ``(batch, logs)``.
    **kwargs : callable
        Other hooks by name: ``on_test_end``.

    Raises
    ------
    TypeError
        A name is no hook, or a value is not callable.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Callable[..., Any] | None,
    ) -> None:
        given = kwargs | {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in given.items():
            if name not in Callback.settable:
                raise TypeError(f"{name}: expected the name of a hook; the hooks are {', '.join(Callback.settable)}")
            if function is not None:
                if not callable(function):
                    raise TypeError(f"{name}: expected a function, got {function!r}")
                setattr(self, name, function)
