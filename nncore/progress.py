"""What `verbose` shows: a bar (1), one line per epoch (2), nothing (0).

The engine reports by the clock, about every 50 ms, not by the batch, so showing progress costs nothing per step.
Epochs shorter than that share one line of the terminal, which the last of them keeps.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from nncore import output

Logs = Mapping[str, Any]

INTERVAL = 0.05  # seconds between two pictures of the bar


def make(verbose: str | int | None, epochs: int | None, samples: int | None, stream: TextIO | None = None) -> Progress:
    """Return the display that `verbose` asks for.

    Parameters
    ----------
    verbose : {"auto", 0, 1, 2, None, False, True}
        1 and True are a bar, 2 one line per epoch, 0, False and None silence; "auto" is 1 on a terminal or in a
        notebook, else 2. (In Keras it is nearly always 1.)
    epochs : int or None
        How many epochs follow; None for a single pass of evaluate or predict.
    samples : int or None
        Samples per epoch; None if not known.
    stream : file, optional
        Where to write; by default what `sys.stdout` is at this moment.

    Raises
    ------
    ValueError
        `verbose` is something else.
    """
    stream = sys.stdout if stream is None else stream
    if verbose is None:
        verbose = 0
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose: expected 'auto', 0, 1 or 2, got {verbose!r}")
    if verbose == 0 or stream is None:  # pythonw has no stdout
        return Progress(epochs, samples)
    if verbose == 2 or (verbose == "auto" and not _redraws(stream)):
        return Lines(epochs, samples, stream)
    return Bar(epochs, samples, stream)


def _redraws(stream: TextIO) -> bool:
    """Whether a carriage return goes back over the line: terminals and notebooks, not files and pipes."""
    return output.is_terminal(stream) or type(stream).__module__.startswith("ipykernel")


def _number(value: Any) -> str:
    """`0.1234`, or `1.2345e-05` for what would round to nothing; as in Keras."""
    try:
        if isinstance(value, int) or np.ndim(value):
            return output.word(value)
        x = float(value)
    except Exception:  # a word, or whatever else a callback put into the logs
        return output.word(value)
    return f"{x:.4f}" if x == 0 or abs(x) > 1e-3 or not math.isfinite(x) else f"{x:.4e}"


def _seconds(t: float) -> str:
    """`5 ms`, `1.2 s`, `2:05`, `1:00:07`."""
    if t < 59.95:
        return f"{t * 1e3:.0f} ms" if t < 0.9995 else f"{t:.1f} s"
    minutes, seconds = divmod(round(t), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """A display that shows nothing, and the interface of those that do.

    Parameters
    ----------
    epochs, samples
        See `make`.
    """

    def __init__(self, epochs: int | None, samples: int | None) -> None:
        self.epochs, self.samples = epochs, samples

    def begin_epoch(self, epoch: int, samples_done: int = 0) -> None:
        """Epoch `epoch`, counted from 0, begins; after a resume it continues with `samples_done` samples through."""

    def update(self, samples_done: int, logs: Logs | None = None) -> None:
        """`samples_done` samples of this epoch are through; `logs` are its averages so far."""

    def end_epoch(self, logs: Logs | None = None) -> None:
        """The epoch is over, with its final `logs`."""

    def close(self) -> None:
        """Nothing follows, be it the end or an interruption: leave the cursor at the start of a line."""


class Lines(Progress):
    """One line per epoch: ``Epoch 3/20 - 1.2 s - 50,000 samples/s - loss: 0.1234 - val_loss: 0.2345``."""

    def __init__(self, epochs: int | None, samples: int | None, stream: TextIO) -> None:
        super().__init__(epochs, samples)
        self.stream = stream
        Lines.begin_epoch(self, 0)  # evaluate and predict have but one

    def begin_epoch(self, epoch: int, samples_done: int = 0) -> None:
        """Start the epoch's clock."""
        self.epoch, self.done, self.first = epoch, samples_done, samples_done
        self.started = time.perf_counter()

    def update(self, samples_done: int, logs: Logs | None = None) -> None:
        """Note how far it is, and show nothing."""
        self.done = samples_done

    def end_epoch(self, logs: Logs | None = None) -> None:
        """Show the epoch, by `finish`."""
        self.done = self.done if self.samples is None else self.samples
        self.finish(self.elapsed(), logs or {})

    def elapsed(self) -> float:
        """Seconds since the epoch began."""
        return time.perf_counter() - self.started

    def finish(self, elapsed: float, logs: Logs) -> None:
        """Show the end of an epoch."""
        parts = [f"Epoch {self.epoch + 1}/{self.epochs}"] if self.epochs is not None else []
        parts.append(_seconds(elapsed))
        if elapsed > 0 and self.done > self.first:
            parts.append(f"{(self.done - self.first) / elapsed:,.0f} samples/s")
        parts += [f"{name}: {_number(value)}" for name, value in logs.items()]
        output.write(self.stream, " - ".join(parts) + "\n")


class Bar(Lines):
    """A bar drawn over and over on one line, by tqdm.

    ``Epoch  3/20:  62%|██████▏   | loss: 0.1234, accuracy: 0.9500, 24.8k samples/s, 00:01 left``. It is cut to the
    terminal's width while it moves; the last picture of an epoch is complete and ends with the time it took. In a file
    or a pipe there is only that one.
    """

    def __init__(self, epochs: int | None, samples: int | None, stream: TextIO) -> None:
        from tqdm import tqdm  # costs 50 ms

        super().__init__(epochs, samples, stream)
        # Only its picture: an object of tqdm would start a thread and make a multiprocessing lock.
        self.picture = tqdm.format_meter
        self.redraws = _redraws(stream)
        self.ascii = not (getattr(stream, "encoding", None) or "").lower().startswith("utf")
        self.drawn_at = -math.inf
        self.width = 0  # of what stands on the line now
        self.skipped: tuple[Any, ...] = ()  # the last epoch, if it was too short to be drawn

    def update(self, samples_done: int, logs: Logs | None = None) -> None:
        """Draw the line anew, if it is time."""
        super().update(samples_done, logs)
        self.skipped = ()
        if self.due():
            self.draw(self.cut(self.line(self.elapsed(), logs or {})))

    def finish(self, elapsed: float, logs: Logs) -> None:
        """Show the end of an epoch; the line stays, unless the epoch was a short one among others."""
        last = self.epochs is None or self.epoch + 1 >= self.epochs
        self.skipped = ()
        if last or elapsed >= INTERVAL or not self.redraws:
            self.draw(self.line(elapsed, logs, _seconds(elapsed)))
            self.newline()
            return
        self.skipped = self.epoch, self.first, self.done, elapsed, logs
        if self.due():
            self.draw(self.cut(self.line(elapsed, logs, _seconds(elapsed))))

    def close(self) -> None:
        """Draw the epoch that was skipped, if one was, and end the line."""
        if self.skipped:  # training stopped early, maybe in the beginning of another epoch
            self.epoch, self.first, self.done, elapsed, logs = self.skipped
            self.draw(self.line(elapsed, logs, _seconds(elapsed)))
        if self.width:
            self.newline()
        self.skipped = ()

    def due(self) -> bool:
        """Whether the last picture is old enough for another."""
        return self.redraws and time.perf_counter() - self.drawn_at >= INTERVAL

    def cut(self, text: str) -> str:
        """What of `text` fits on one line of the terminal."""
        return text[: shutil.get_terminal_size().columns - 1]

    def line(self, elapsed: float, logs: Logs, time: str = "{remaining} left") -> str:
        """The picture of the present state; what matters most comes first, in case the line is cut."""
        desc = "" if self.epochs is None else f"Epoch {self.epoch + 1:{len(str(self.epochs))}d}/{self.epochs}: "
        head = "{desc}{percentage:3.0f}%|{bar}| " if self.samples else "{desc}{n_fmt} samples, "
        shown = [f"{name}: {_number(value)}".replace("{", "{{").replace("}", "}}") for name, value in logs.items()]
        return str(
            self.picture(
                self.done if self.samples is None else min(self.done, self.samples),
                self.samples or None,
                elapsed,
                prefix=desc,
                ascii=self.ascii,
                unit=" samples",
                unit_scale=True,
                initial=self.first,
                bar_format=head + ", ".join([*shown, "{rate_fmt}", time]),
            )
        )

    def draw(self, text: str) -> None:
        """Put `text` over what stands on the line."""
        output.write(self.stream, ("\r" if self.redraws else "") + text + " " * (self.width - len(text)))
        self.width, self.drawn_at = len(text), time.perf_counter()

    def newline(self) -> None:
        """Keep the line and go to the next."""
        output.write(self.stream, "\n")
        self.width = 0
