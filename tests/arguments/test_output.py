"""Text on streams of every kind: it degrades, and nothing ends for it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from nncore import output


class Tee:
    """What programs put into `sys.stdout`: nothing but `write`."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.text, self.codec = "", encoding

    def write(self, text: str) -> None:
        self.text += text.encode(self.codec).decode(self.codec)


class Liar(Tee):
    encoding = "utf-8"


class Failing(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "─ █▍ é µ x ≥ 日"),
        ("ascii", "- ## ? u x >= ?"),
        ("latin-1", "- ## é u x >= ?"),
        ("cp1252", "- ## é u x >= ?"),
        ("cp437", "- ## é u x >= ?"),
    ],
)
def test_characters_that_an_encoding_lacks(encoding: str, written: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    output.write(stream, "─ █▍ é µ x ≥ 日\n")
    assert raw.getvalue().decode(encoding) == written + "\n"  # flushed


@pytest.mark.parametrize("kind", [Tee, Liar])
def test_a_stream_that_does_not_say_its_encoding(kind: Any) -> None:
    tee = kind("ascii")
    output.write(tee, "─ é\n")
    assert tee.text == "- ?\n"


def test_streams_that_take_nothing() -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed, Failing(BrokenPipeError()), Failing(OSError(28, "No space left"))):
        output.write(stream, "text")
        assert not output.is_terminal(stream)
    with pytest.raises(RuntimeError):  # whose error is the program's own is not hidden
        output.write(Failing(RuntimeError()), "text")


def test_say_uses_stdout_of_the_moment(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    output.say("a line")
    assert capsys.readouterr().out == "a line\n"
    monkeypatch.setattr(sys, "stdout", None)
    output.say("nowhere")


PROGRAM = """
import sys, numpy as np, nncore as nn
{prologue}
model = nn.Model([nn.Input(3), nn.Dense(2, name="größe")], seed=0)
model.compile("sgd", "mse")
stop = nn.callbacks.EarlyStopping("loss", verbose=1, restore_best_weights=True)
keep = nn.callbacks.ModelCheckpoint("m-é", verbose=1)
for verbose in ("auto", 1, 2):
    model.fit(np.zeros((8, 3)), np.zeros((8, 2)), epochs=4, verbose=verbose, callbacks=[stop, keep])
    model.evaluate(np.zeros((8, 3)), np.zeros((8, 2)), verbose=verbose)
    model.predict(np.zeros((8, 3)), verbose=verbose)
model.summary()
nn.show_config()
nan = nn.callbacks.TerminateOnNaN()
nan.model = model
nan.on_diverged(0, 0)
print("alive", file=sys.stderr)
"""

STDOUT = {
    "tee": "class Tee:\n    def write(self, text): return sys.__stdout__.write(text)\n"
    "    def flush(self): pass  # the interpreter asks for it at its end\nsys.stdout = Tee()",
    "none": "sys.stdout = None",
    "closed": "sys.stdout.close()",
    "no isatty of a closed file": "import io; sys.stdout = io.TextIOWrapper(io.BytesIO()); sys.stdout.close()",
}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_everything_that_prints_in_any_encoding(encoding: str, tmp_path: Any) -> None:
    result = run(PROGRAM.format(prologue=""), tmp_path, PYTHONIOENCODING=encoding)
    assert (result.returncode, result.stderr) == (0, b"alive\n")
    text = result.stdout.decode(encoding)
    assert "Epoch 2: early stopping" in text and "Total: 8 parameters" in text and "Batch 0: Invalid loss" in text
    assert ("gr??e" if encoding == "ascii" else "größe") in text
    assert ("─" if encoding == "utf-8" else "-") * 20 in text


@pytest.mark.parametrize("case", STDOUT)
def test_everything_that_prints_on_any_stream(case: str, tmp_path: Any) -> None:
    result = run(PROGRAM.format(prologue=STDOUT[case]), tmp_path, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, b"alive\n")
    assert (b"Total: 8 parameters" in result.stdout) == (case == "tee")


@pytest.mark.parametrize("case", ["none", "closed"])
def test_the_command_without_stdout(case: str, tmp_path: Any) -> None:
    program = f"import sys\n{STDOUT[case]}\nfrom nncore import cli\nstatus = cli.main(['info'])\nsys.stderr.write('0')"
    assert run(program, tmp_path).stderr == b"0"


def test_a_reader_that_went_away_does_not_end_a_fit(tmp_path: Any) -> None:
    program = textwrap.dedent(PROGRAM.format(prologue="sys.stdin.readline()")) + "import os; os._exit(0)"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.stderr.read() == b"alive\n"
    assert process.wait(timeout=60) == 0


def run(program: str, directory: Any, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-P", "-c", program]
    return subprocess.run(command, cwd=directory, capture_output=True, env={**os.environ, **environment}, timeout=120)
