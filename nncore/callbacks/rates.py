"""Changing the learning rate, and evaluating means of weights, between epochs."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any

from nncore.arguments import check_count, check_flag, check_nonnegative, check_number, explained, is_number
from nncore.callbacks.base import Callback, take_state
from nncore.callbacks.monitor import MonitorCallback
from nncore.output import say


def named(optimizer: Any) -> list[tuple[str, Any]]:
    """What the logs call the learning rate of an optimizer, or of each of its parts, and whose it is.

    Parts of one name are numbered from the second on, as Keras's optimizers are named: sgd, sgd_1.
    """
    if (parts := optimizer.parts) == [optimizer]:
        return [("learning_rate", optimizer)]
    names: list[str] = []
    for part in parts:
        numbered = (f"{part.name}_{number}" for number in itertools.count(1))
        names.append(next(name for name in itertools.chain([part.name], numbered) if name not in names))
    return [(f"learning_rate_{name}", part) for name, part in zip(names, parts, strict=True)]


def owner(name: str) -> str:
    """Whose the learning rate is that the logs call `name`, for a sentence: " sgd_1", or "" where there is but one."""
    return name.replace("learning_rate_", " ", 1) if name != "learning_rate" else ""


def require_number(callback: Callback, optimizer: Any) -> None:
    """Raise unless the learning rate is a number, which can be set."""
    if not isinstance(optimizer._learning_rate, float):
        raise TypeError(
            f"learning_rate: {type(callback).__name__} expected a number that it can set, got "
            f"{optimizer._learning_rate!r}. Give the optimizer a number, or leave the callback out "
            "(This optimizer was created with a `LearningRateSchedule`)"
        )


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch, and log it.

    Parameters
    ----------
    schedule : callable
        Called with (epoch, learning_rate), or with (epoch), counted from 0; returns the learning rate, a number ≥ 0.
    verbose : {0, 1}, default 0
        Whether to say so.

    Raises
    ------
    TypeError
        `schedule` is no function, or the optimizer follows a schedule of steps.
    """

    @explained
    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(f"schedule: expected a function of the epoch, got {schedule!r}")
        self.schedule, self.verbose = schedule, check_count(verbose, "verbose", 0)
        try:
            takes = [p for p in inspect.signature(schedule).parameters.values() if p.kind is not p.KEYWORD_ONLY]
            self._takes_rate = len(takes) > 1 or any(p.kind is p.VAR_POSITIONAL for p in takes)
        except (TypeError, ValueError):
            self._takes_rate = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ask, and set."""
        for name, optimizer in named(self.model.optimizer):
            require_number(self, optimizer)
            rate = self.schedule(epoch, float(optimizer.learning_rate)) if self._takes_rate else self.schedule(epoch)
            if not is_number(rate):
                raise TypeError(f"schedule: expected a function that returns a number, got {rate!r} for epoch {epoch}")
            optimizer.learning_rate = rate
            if self.verbose:
                say(f"\nEpoch {epoch + 1}: LearningRateScheduler setting{owner(name)} learning rate to {float(rate)}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log."""
        if logs is not None:
            logs.update((name, float(optimizer.learning_rate)) for name, optimizer in named(self.model.optimizer))


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by a factor when the monitored quantity has stopped improving, and log it.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Its name in the logs.
    factor : float, default 0.1
        In [0, 1).
    patience : int, default 10
        Epochs without improvement after which it does.
    verbose : {0, 1}, default 0
        Whether to say so.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" judges by the name.
    min_delta : float, default 1e-4
        The least change that counts.
    cooldown : int, default 0
        Epochs after a reduction in which none is counted.
    min_lr : float, default 0.0
        Where it stops.

    Attributes
    ----------
    best : float or None
        The best value so far.
    wait, cooldown_counter : int
        Epochs without improvement, and those left to wait before they are counted.

    Raises
    ------
    ValueError, TypeError
        An argument is wrong, or the optimizer follows a schedule of steps.
    """

    @explained
    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, verbose)
        self.factor = check_number(factor, "factor", "a number in [0, 1)", lambda v: 0 <= v < 1, "it is to reduce")
        self.patience = check_count(patience, "patience", 0)
        self.cooldown = check_count(cooldown, "cooldown", 0)
        self.min_lr = check_nonnegative(min_lr, "min_lr", "it is a learning rate")
        self.on_train_begin()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forget an earlier fit."""
        self.best = None
        self.wait = self.cooldown_counter = 0

    def in_cooldown(self) -> bool:
        """Whether epochs without improvement are not counted."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log, compare, count, and maybe reduce."""
        optimizers = named(self.model.optimizer)
        for name, optimizer in optimizers:
            require_number(self, optimizer)
            if logs is not None:
                logs[name] = float(optimizer.learning_rate)
        value = self.current(logs)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(value, self.best):
            self.best, self.wait = value, 0
        elif not self.in_cooldown():
            self.wait += 1
            reduced = [self.reduce(o, name, epoch) for name, o in optimizers] if self.wait >= self.patience else []
            if any(reduced):
                self.cooldown_counter, self.wait = self.cooldown, 0

    def reduce(self, optimizer: Any, name: str, epoch: int) -> bool:
        """Reduce a learning rate; whether there was anything left to reduce."""
        before = float(optimizer.learning_rate)
        if not before > self.min_lr or math.isclose(before, self.min_lr, rel_tol=1e-6):
            return False
        optimizer.learning_rate = max(before * self.factor, self.min_lr)
        if self.verbose:
            rate = float(optimizer.learning_rate)
            say(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing{owner(name)} learning rate to {rate}.")
        return True

    def get_state(self) -> dict[str, Any]:
        """What was remembered and counted."""
        return {name: getattr(self, name) for name in ("best", "wait", "cooldown_counter", "warned")}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_state`."""
        take_state(self, state, ("best", "wait", "cooldown_counter", "warned"))


class SwapEMAWeights(Callback):
    """Evaluate, predict, and perhaps end epochs, with the running means of weights that `use_ema` keeps.

    Training goes on with the weights themselves; at the end of a fit the weights become the means in any case.

    Parameters
    ----------
    swap_on_epoch : bool, default False
        Whether the means are in place at the end of each epoch, too, so that what comes after this callback in the
        list, such as a `ModelCheckpoint`, sees them.

    Raises
    ------
    ValueError
        The optimizer of the model keeps no means.
    """

    @explained
    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = check_flag(swap_on_epoch, "swap_on_epoch")

    def _swap(self, in_place: bool) -> None:
        """Let the means be in place of the weights, or not."""
        model = self.model
        if not any(part.use_ema for part in model.optimizer.parts):
            raise ValueError(
                f"SwapEMAWeights: expected an optimizer with use_ema=True, got {type(model.optimizer).__name__}. "
                "(SwapEMAWeights must be used when `use_ema=True` is set on it.)"
            )
        if model.averages_in_place != in_place:
            model.swap_averages()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Train with the weights."""
        if self.swap_on_epoch:
            self._swap(False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the means to those that come after."""
        if self.swap_on_epoch:
            self._swap(True)

    def on_close(self) -> None:
        """Put the weights back, where a fit ends between."""
        if self.model is not None and self.model.averages_in_place:
            self._swap(False)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Evaluate the means."""
        self._swap(True)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Go on with the weights."""
        self._swap(False)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Predict with the means."""
        self._swap(True)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """Go on with the weights."""
        self._swap(False)

    def get_state(self) -> dict[str, Any]:
        """Whether the means are in place."""
        return {"in_place": self.model is not None and self.model.averages_in_place}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_state`."""
        if set(state) != {"in_place"}:
            raise ValueError(f"state: SwapEMAWeights expected ['in_place'], got {sorted(state)}")
        self.model.averages_in_place = check_flag(state["in_place"], "in_place")
