"""Progress: what appears on terminals and pipes, with the clock in our hands."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nncore import progress


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """The lines as one sees them: a carriage return goes back and overwrites."""
        lines = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            lines.append(shown.rstrip())
        return lines


class Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    monkeypatch.setenv("COLUMNS", "80")
    return made


def test_what_verbose_means() -> None:
    pipe, terminal = io.StringIO(), Terminal()
    kinds: list[Any] = [
        ("auto", pipe, progress.Lines),
        ("auto", terminal, progress.Bar),
        (0, terminal, progress.Progress),
    ]
    kinds += [(1, pipe, progress.Bar), (1, terminal, progress.Bar), (2, terminal, progress.Lines)]
    kinds += [(None, terminal, progress.Progress), (False, pipe, progress.Progress), (True, pipe, progress.Bar)]
    for verbose, stream, kind in kinds:
        assert type(progress.make(verbose, 1, 1, stream)) is kind


@pytest.mark.parametrize("verbose", [3, -1, "yes"])
def test_unknown_verbose(verbose: Any) -> None:
    with pytest.raises(ValueError, match="verbose: expected 'auto', 0, 1 or 2, got"):
        progress.make(verbose, 1, 1)


def test_default_is_stdout_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    show = progress.make(2, None, 10)
    show.end_epoch({"loss": 1.0})
    assert capsys.readouterr().out.endswith("loss: 1.0000\n")


def test_no_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert type(progress.make("auto", 1, 1)) is progress.Progress


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    show = progress.make(0, 2, 10)
    show.begin_epoch(0)
    show.update(5, {"loss": 1.0})
    show.end_epoch({"loss": 1.0})
    show.close()
    assert capsys.readouterr() == ("", "")


def test_lines(clock: Clock) -> None:
    stream = io.StringIO()
    show = progress.make("auto", 20, 60_000, stream)
    for epoch in range(2):
        show.begin_epoch(epoch)
        clock.now += 0.6
        show.update(30_000, {"loss": 9.0})
        clock.now += 0.6
        show.end_epoch({"loss": 0.12345, "accuracy": 0.5, "val_loss": 1.234567e-5})
    show.close()
    logs = "1.2 s - 50,000 samples/s - loss: 0.1235 - accuracy: 0.5000 - val_loss: 1.2346e-05\n"
    assert stream.getvalue() == f"Epoch 1/20 - {logs}Epoch 2/20 - {logs}"


def test_lines_of_evaluate_and_of_unknown_size(clock: Clock) -> None:
    stream = io.StringIO()
    show = progress.make(2, None, None, stream)
    show.update(30, {})
    clock.now += 0.5
    show.end_epoch({"loss": 2.0})
    assert stream.getvalue() == "500 ms - 60 samples/s - loss: 2.0000\n"


def test_rate_after_a_resume_counts_what_was_done_since(clock: Clock) -> None:
    for verbose, rate in ((2, "40 samples/s"), (1, "40.0 samples/s")):
        stream = io.StringIO()
        show = progress.make(verbose, 3, 100, stream)
        show.begin_epoch(1, 60)
        clock.now += 1
        show.end_epoch({})
        assert "Epoch 2/3" in stream.getvalue() and rate in stream.getvalue()


SECONDS = [(0.0, "0 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (59.94, "59.9 s"), (59.96, "1:00"), (125, "2:05")]


@pytest.mark.parametrize(("seconds", "text"), [*SECONDS, (3607, "1:00:07")])
def test_seconds(seconds: float, text: str) -> None:
    assert progress._seconds(seconds) == text


NUMBERS = [(0.12345, "0.1235"), (0, "0"), (0.0, "0.0000"), (-0.5, "-0.5000"), (7, "7"), (1e-5, "1.0000e-05")]
OTHERS = [(float("nan"), "nan"), (np.float32(0.25), "0.2500"), ("{word}", "{word}"), (np.array([1, 2]), "[1 2]")]


@pytest.mark.parametrize(("value", "text"), [*NUMBERS, *OTHERS, (True, "True"), (-math.inf, "-inf")])
def test_numbers(value: object, text: str) -> None:
    assert progress._number(value) == text
    stream = io.StringIO()
    progress.make(1, None, 10, stream).end_epoch({"{x}": value})
    assert f"| {{x}}: {text}, " in stream.getvalue()


def test_bar_on_a_terminal(clock: Clock) -> None:
    stream = Terminal()
    show = progress.make("auto", 20, 60_000, stream)
    show.begin_epoch(2)
    clock.now += 1
    show.update(30_000, {"loss": 0.5})
    assert stream.screen() == ["Epoch  3/20:  50%|█████     | loss: 0.5000, 30.0k samples/s, 00:01 left"]
    clock.now += 1
    show.update(45_000, {"loss": 0.5, "a_metric_with_a_long_name": 1.0})
    cut = "Epoch  3/20:  75%|███████▌  | loss: 0.5000, a_metric_with_a_long_name: 1.0000, 22.5k"
    assert stream.screen() == [cut[:79].rstrip()]  # and never wraps
    clock.now += 1
    show.end_epoch({"loss": 0.25, "accuracy": 0.75, "val_loss": 0.5, "val_accuracy": 0.7})
    logs = "loss: 0.2500, accuracy: 0.7500, val_loss: 0.5000, val_accuracy: 0.7000"
    assert stream.screen() == [f"Epoch  3/20: 100%|██████████| {logs}, 20.0k samples/s, 3.0 s", ""]
    show.close()
    assert stream.screen()[-2:] == [stream.screen()[0], ""]


def test_a_shorter_picture_covers_a_longer_one(clock: Clock) -> None:
    stream = Terminal()
    show = progress.make(1, 1, 100, stream)
    clock.now += 1
    show.update(50, {"a_rather_long_metric_name": 1.0})
    clock.now += 1
    show.end_epoch({})
    assert stream.screen() == ["Epoch 1/1: 100%|██████████| 50.0 samples/s, 2.0 s", ""]


def test_updates_are_drawn_by_the_clock(clock: Clock) -> None:
    stream = Terminal()
    show = progress.make(1, 1, 1000, stream)
    for i in range(1000):
        clock.now += 0.001
        show.update(i)
    assert 18 <= stream.getvalue().count("\r") <= 20


def test_short_epochs_share_a_line(clock: Clock) -> None:
    stream = Terminal()
    show = progress.make(1, 1000, 10, stream)
    for epoch in range(1000):
        show.begin_epoch(epoch)
        clock.now += 0.001
        show.end_epoch({"loss": 1.0 / (epoch + 1)})
    show.close()
    assert 18 <= stream.getvalue().count("\r") <= 22
    assert len(stream.screen()) == 2 and stream.screen()[0].startswith("Epoch 1000/1000: 100%")
    assert "| loss: 1.0000e-03, " in stream.screen()[0]


def test_short_epochs_stopped_early_show_the_last(clock: Clock) -> None:
    stream = Terminal()
    show = progress.make(1, 1000, 10, stream)
    for epoch in range(7):
        show.begin_epoch(epoch)
        clock.now += 0.001
        show.end_epoch({"loss": float(epoch)})
    show.close()
    assert len(stream.screen()) == 2 and stream.screen()[0].startswith("Epoch    7/1000")
    assert "| loss: 6.0000, " in stream.screen()[0]


def test_interrupted_bar_ends_its_line(clock: Clock) -> None:
    stream = Terminal()
    show = progress.make(1, 2, 10, stream)
    show.begin_epoch(0)
    clock.now += 1
    show.update(5)
    show.close()
    show.close()
    assert stream.getvalue().endswith(" left\n") and stream.getvalue().count("\n") == 1


def test_bar_in_a_pipe(clock: Clock) -> None:
    stream = io.StringIO()
    show = progress.make(1, 2, 10, stream)
    for epoch in range(2):
        show.begin_epoch(epoch)
        for done in range(10):
            clock.now += 0.125
            show.update(done, {"loss": 1.0})
        show.end_epoch({"loss": 1.0})
    show.close()
    picture = "100%|##########| loss: 1.0000, 8.00 samples/s, 1.2 s\n"
    assert stream.getvalue() == f"Epoch 1/2: {picture}Epoch 2/2: {picture}"


def test_unknown_number_of_samples(clock: Clock) -> None:
    stream = io.StringIO()
    show = progress.make(1, None, None, stream)
    clock.now += 2
    show.update(500)
    show.end_epoch({"loss": 1.0})
    assert stream.getvalue() == "500 samples, loss: 1.0000, 250 samples/s, 2.0 s\n"


def test_the_process_stays_as_it_was() -> None:
    """tqdm's monitor thread and multiprocessing lock are not made; nor is it imported before a bar is shown."""
    code = (
        "import sys, threading; from nncore import progress\n"
        "assert 'tqdm' not in sys.modules\n"
        "show = progress.make(1, 1, 10); show.update(5); show.end_epoch({}); show.close()\n"
        "assert 'tqdm' in sys.modules and 'multiprocessing.synchronize' not in sys.modules\n"
        "assert threading.active_count() == 1\n"
    )
    root = os.path.dirname(os.path.dirname(progress.__file__))
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (out.returncode, out.stderr) == (0, "")
