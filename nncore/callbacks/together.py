"""Callbacks that are called as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nncore import files
from nncore.arguments import check_flag
from nncore.callbacks.base import Callback, overrides
from nncore.callbacks.logs import History, ProgressBar

Hook = Callable[..., None]


def _simple(name: str) -> Hook:
    """Forward a hook that has but `logs`, a dict of which all callbacks see the same object."""

    def forward(self: CallbackList, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            getattr(callback, name)(logs)

    return forward


def _numbered(name: str) -> Hook:
    """Forward a hook that has a number (epoch, batch, samples) and `logs`."""

    def forward(self: CallbackList, number: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            getattr(callback, name)(number, logs)

    return forward


class CallbackList:
    """Callbacks that are called as one, in the order: the user's, history, backup.

    So the history has what the user's callbacks add to the logs, and the backup, in whatever place the user put it,
    saves the state that all others have after the same event.

    A training loop of one's own calls it as `fit` does: ``on_train_begin()``, ``on_epoch_begin(epoch)``, and so on.

    Parameters
    ----------
    callbacks : Callback or nested lists of them, optional
        The user's.
    add_history, add_progbar : bool, default False
        Whether a `History` and a `ProgressBar` are to be among them.
    model : Model, optional
        Given to all callbacks.
    history : History, optional
        The one to add.
    **params
        What all callbacks have as `params`: ``epochs=3, steps=10``.

    Attributes
    ----------
    callbacks : list of Callback
    params : dict
        What `set_params` gave to all of them.

    Raises
    ------
    TypeError
        Something is not a callback, or no flag.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        *,
        history: History | None = None,
        **params: Any,
    ) -> None:
        found = list(_flatten(callbacks))
        if check_flag(add_history, "add_history") and not any(isinstance(callback, History) for callback in found):
            history = history or History()
        if history is not None and history not in found:
            found.append(history)
        if check_flag(add_progbar, "add_progbar") and not any(isinstance(callback, ProgressBar) for callback in found):
            found.append(ProgressBar())
        self.callbacks = sorted(found, key=lambda callback: callback.comes_last)
        self.params = params
        if model is not None:
            self.set_model(model)
        if params:
            self.set_params(params)

    def set_params(self, params: dict[str, Any]) -> None:
        """Give `params` to every callback."""
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Give the model to every callback; a RuntimeError if one is at work in the fit of another."""
        for callback in self.callbacks:
            other = callback.model
            if other is None or other is model or (fit := getattr(other, "fit_state", None)) is None:
                continue
            if any(callback is one for one in fit.callbacks.callbacks):
                raise RuntimeError(
                    f"callbacks: expected objects that no other fit is using, got {callback!r} of a fit of {other!r}; "
                    "make another for this model"
                )
        for callback in self.callbacks:
            callback.set_model(model)
            callback.hold_weakly()

    @property
    def wants_batches(self) -> bool:
        """Whether any callback must be called at each training step."""
        return any(callback.wants("train") for callback in self.callbacks)

    @property
    def wants_test_batches(self) -> bool:
        """Whether any callback must be called at each batch of an evaluation."""
        return any(callback.wants("test") for callback in self.callbacks)

    @property
    def wants_predict_batches(self) -> bool:
        """Whether any callback must be called at each batch of a prediction."""
        return any(callback.wants("predict") for callback in self.callbacks)

    on_train_begin = _simple("on_train_begin")
    on_train_end = _simple("on_train_end")
    on_epoch_begin = _numbered("on_epoch_begin")
    on_epoch_end = _numbered("on_epoch_end")
    on_train_batch_begin = _numbered("on_train_batch_begin")
    on_train_batch_end = _numbered("on_train_batch_end")
    on_batch_begin = _numbered("on_batch_begin")
    on_batch_end = _numbered("on_batch_end")
    on_test_begin = _simple("on_test_begin")
    on_test_end = _simple("on_test_end")
    on_test_batch_begin = _numbered("on_test_batch_begin")
    on_test_batch_end = _numbered("on_test_batch_end")
    on_predict_begin = _simple("on_predict_begin")
    on_predict_end = _simple("on_predict_end")
    on_predict_batch_begin = _numbered("on_predict_batch_begin")
    on_predict_batch_end = _numbered("on_predict_batch_end")
    on_tick = _numbered("on_tick")

    def on_close(self) -> None:
        """Call it of every callback, and only then raise the first exception; once more of one that Ctrl-C left."""
        first: BaseException | None = None
        for callback in self.callbacks:
            for _ in range(2):
                try:
                    callback.on_close()
                    break
                except KeyboardInterrupt as error:
                    first = first or error
                except BaseException as error:
                    first = first or error
                    break
        if first is not None:
            raise first

    def on_diverged(self, epoch: int, batch: int) -> bool:
        """Ask every callback; True if any lets `fit` end normally."""
        answers = [callback.on_diverged(epoch, batch) for callback in self.callbacks]  # all are asked
        return any(answers)

    def get_state(self) -> dict[str, Any]:
        """The states of the callbacks that have one; a TypeError names the callback whose no file can hold."""
        states = []
        for callback in self._stateful():
            name, state = type(callback).__name__, callback.get_state()
            if fault := files.fault(state):
                raise TypeError(f"callbacks: {name}.get_state must return JSON values and arrays, but {fault}")
            states.append({"class": name, "state": state})
        return {"callbacks": states}

    def check_state(self, state: dict[str, Any]) -> None:
        """Raise a ValueError if the state is that of other callbacks."""
        saved, here = [s["class"] for s in state["callbacks"]], [type(c).__name__ for c in self._stateful()]
        if saved != here:
            for names in (saved, here):
                if "History" in names:
                    names.remove("History")  # that of fit itself, which nobody passes
            raise ValueError(
                f"callbacks: expected those with which the backup was written, {saved}, got {here}; "
                "pass the same ones in the same order, or delete the backup to begin anew"
            )

    def set_state(self, state: dict[str, Any]) -> None:
        """Give every callback its state back; raises what `check_state` raises."""
        self.check_state(state)
        for callback, one in zip(self._stateful(), state["callbacks"], strict=True):
            callback.set_state(one["state"])

    def _stateful(self) -> list[Callback]:
        return [callback for callback in self.callbacks if overrides(callback, "get_state")]


def _flatten(callbacks: Any) -> Iterator[Callback]:
    if callbacks is None:
        return
    if isinstance(callbacks, Callback):
        yield callbacks
    elif isinstance(callbacks, (list, tuple, set)):
        for callback in callbacks:
            yield from _flatten(callback)
    else:
        hint = f"; did you mean {callbacks.__name__}(…)?" if isinstance(callbacks, type) else ""
        raise TypeError(f"callbacks: expected objects of nncore.callbacks.Callback, got {callbacks!r}{hint}")
