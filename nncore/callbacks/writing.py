"""Logs for other programs: JSON lines, TensorBoard, a server."""

from __future__ import annotations

import io
import json
import math
import os
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore.arguments import check_flag, check_path, explained
from nncore.callbacks.base import Callback
from nncore.callbacks.rates import named
from nncore.files.atomic import naming, write_all
from nncore.warning import warn


def as_json(value: Any) -> Any:
    """A value as JSON has it: numbers that are not finite, and what is no number, text or list, as text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return as_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return f"<{type(value).__name__}>"


class JSONLogger(Callback):
    """Write the logs of every epoch to a file of JSON lines, which any program may read meanwhile.

    A line is ``{"epoch": 0, "time": 1.25, "loss": 0.5, …}``: the epoch counted from 0, the seconds since the fit began,
    and what the logs have; NaN and infinities are texts, as JSON has none. After a resume the file is what it would
    have been without interruption, but for the times.

    Parameters
    ----------
    filename : str, bytes or PathLike
        The file; it is made when the first epoch ends.
    append : bool, default False
        Whether to add to a file that exists, or to begin it anew.
    """

    @explained
    def __init__(self, filename: str | bytes | os.PathLike[Any], append: bool = False) -> None:
        self.filename, self.append = check_path(filename, "filename"), check_flag(append, "append")
        self.file: io.FileIO | None = None
        self.began = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Touch nothing yet: a resume may still want to continue the file."""
        self.on_close()
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a line."""
        if self.file is None:
            self.file = io.FileIO(self.filename, "a+" if self.append else "w")
        seconds = round(time.perf_counter() - self.began, 3)
        line = {"epoch": epoch, "time": seconds} | as_json(logs or {})
        with naming(self.filename):
            write_all(self.file, f"{json.dumps(line)}\n".encode())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the file."""
        self.on_close()

    def on_close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
        self.file = None

    def get_state(self) -> dict[str, Any]:
        """How much is written, and surely on the disk."""
        if self.file is None:
            return {"position": None}
        os.fsync(self.file.fileno())
        return {"position": self.file.tell()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue the file at the position that was saved, without the lines after it."""
        self.on_close()
        if (position := state["position"]) is None:
            return
        self.file = io.FileIO(os.open(self.filename, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")
        size = self.file.seek(0, os.SEEK_END)
        if size < position:
            warn(
                f"filename: {self.filename!r} has lost lines since the backup (expected {position} bytes, got {size}); "
                "appending to what is left"
            )
        else:
            self.file.truncate(position)
            self.file.seek(position)


#: The only values that these arguments may have.
UNSUPPORTED_DEFAULTS = {"write_images": False, "profile_batch": 0, "embeddings_freq": 0, "embeddings_metadata": None}


class TensorBoard(Callback):
    """Write scalars for TensorBoard, by tensorboardX, or by PyTorch's writer, whichever is installed.

    Tags are Keras's: ``epoch_loss`` and ``epoch_learning_rate`` in ``<log_dir>/train``, those of validation, without
    their ``val_``, in ``<log_dir>/validation``, and by updates ``evaluation_loss_vs_iterations``; after batches
    ``batch_loss``; histograms ``dense/kernel/histogram``. Of several optimizers each has its own
    ``epoch_learning_rate_adam``.

    Parameters
    ----------
    log_dir : str or path-like, default "logs"
    histogram_freq : int, default 0
        Epochs between histograms of the weights, by their paths; 0: none.
    write_graph : bool, default True
        Of no consequence: there is no graph of TensorFlow's. For a picture see `Model.summary`.
    write_images : bool, default False
        Only False; histograms show the weights.
    write_steps_per_second : bool, default False
        Whether to write ``epoch_steps_per_second``, and after batches ``batch_steps_per_second``.
    update_freq : {"epoch", "batch"} or int, default "epoch"
        Whether to write after epochs only, or also after every batch, or every so many.
    profile_batch, embeddings_freq : int, default 0
        Only 0; there are profilers of the system, such as perf.
    embeddings_metadata : None

    Raises
    ------
    ImportError
        There is no writer.
    ValueError, TypeError
        An argument is wrong, or asks for what is not written.
    """

    @explained
    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        self.log_dir = check_path(log_dir, "log_dir")
        self.write_graph = check_flag(write_graph, "write_graph")
        self.write_steps_per_second = check_flag(write_steps_per_second, "write_steps_per_second")
        self.write_images, self.profile_batch = write_images, profile_batch
        self.embeddings_freq, self.embeddings_metadata = embeddings_freq, embeddings_metadata
        for name, only in UNSUPPORTED_DEFAULTS.items():
            if value := getattr(self, name):
                raise ValueError(f"{name}: expected {only!r}, got {value!r}. It is not written; leave it out")
        if not isinstance(histogram_freq, int) or histogram_freq < 0:
            raise ValueError(f"histogram_freq: expected a whole number of at least 0, got {histogram_freq!r}")
        if update_freq not in ("epoch", "batch") and not (isinstance(update_freq, int) and update_freq > 0):
            raise ValueError(f"update_freq: expected 'epoch', 'batch' or a number of batches, got {update_freq!r}")
        self.histogram_freq, self.update_freq = histogram_freq, update_freq
        self.writers: dict[str, Any] = {}
        self.maker = summary_writer()
        self.steps, self.since = {"epoch": 0, "batch": 0}, {"epoch": 0.0, "batch": 0.0}

    def writer(self, kind: str) -> Any:
        """That of "train" or "validation"."""
        if kind not in self.writers:
            self.writers[kind] = self.maker(os.path.join(self.log_dir, kind))
        return self.writers[kind]

    def wants(self, phase: Any) -> bool:
        """See `Callback.wants`."""
        return phase == "train" and self.update_freq != "epoch"

    def begin(self, kind: str) -> None:
        """Count steps and time from now on."""
        self.steps[kind], self.since[kind] = int(self.model.optimizer.iterations), time.perf_counter()

    def speed(self, kind: str) -> dict[str, float]:
        """The updates by second since `begin`, if they are wanted."""
        if not self.write_steps_per_second:
            return {}
        steps = self.model.optimizer.iterations - self.steps[kind]
        return {"steps_per_second": steps / max(time.perf_counter() - self.since[kind], 1e-9)}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the clock."""
        self.begin("epoch")
        self.begin("batch")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Write averages of the epoch so far."""
        if self.update_freq == "epoch":  # called where another callback wants it
            return
        step = self.model.optimizer.iterations
        if step % (1 if self.update_freq == "batch" else self.update_freq) == 0:
            for name, value in ((logs or {}) | self.speed("batch")).items():
                self.writer("train").add_scalar(f"batch_{name}", value, step)
            self.begin("batch")

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write what came of it, by updates."""
        if (optimizer := self.model.optimizer) is not None:
            for name, value in (logs or {}).items():
                if np.ndim(value) == 0:
                    self.writer("validation").add_scalar(
                        f"evaluation_{name}_vs_iterations", value, optimizer.iterations
                    )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write what is a number."""
        rates = {name: float(optimizer.learning_rate) for name, optimizer in named(self.model.optimizer)}
        for name, value in ((logs or {}) | rates | self.speed("epoch")).items():
            if np.ndim(value) == 0 and isinstance(value, (int, float, np.number)):
                kind = "validation" if name.startswith("val_") else "train"
                self.writer(kind).add_scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and (epoch + 1) % self.histogram_freq == 0:
            for path, weights in self.model.named_weights.items():
                self.writer("train").add_histogram(f"{path}/histogram", weights, epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the files."""
        self.on_close()

    def on_close(self) -> None:
        """Close the files."""
        writers, self.writers = self.writers, {}
        for writer in writers.values():
            writer.close()


def summary_writer() -> Any:
    """A class of writers for TensorBoard's files."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ImportError(
                "TensorBoard: expected tensorboardX to be installed, which writes its files: pip install tensorboardX"
            ) from None
    return SummaryWriter


class RemoteMonitor(Callback):
    """Send the logs of every epoch to a server, as JSON; a server that does not answer is warned of.

    Parameters
    ----------
    root, path : str, default "http://localhost:9000", "/publish/epoch/end/"
        Where to.
    field : str, default "data"
        Of the form that holds the JSON, unless `send_as_json`.
    headers : dict, optional
    send_as_json : bool, default False
        Whether the JSON is the body itself.
    """

    @explained
    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        if not isinstance(root, str) or not root.startswith(("http://", "https://")):
            raise ValueError(f"root: expected an address that begins with http:// or https://, got {root!r}")
        self.root, self.path, self.field, self.headers = root, path, field, headers
        self.send_as_json = check_flag(send_as_json, "send_as_json")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Send ``{"epoch": …, "loss": …}``; an array of one element is the number that it holds."""
        numbers = {name: value.item() if np.size(value) == 1 and isinstance(value, np.ndarray) else value
                   for name, value in (logs or {}).items()}  # fmt: skip
        text = json.dumps({"epoch": epoch} | as_json(numbers))
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        body = text if self.send_as_json else urllib.parse.urlencode({self.field: text})
        headers = {"Content-Type": kind} | dict(self.headers or {})
        request = urllib.request.Request(self.root + self.path, body.encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10):
                pass
        except OSError as error:
            warn(
                f"RemoteMonitor: could not reach the server at {self.root}: {error} "
                f"(Could not reach RemoteMonitor root server at {self.root})"
            )
