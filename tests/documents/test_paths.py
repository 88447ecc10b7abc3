"""Names of files: text, bytes, path-like, as long as the file system allows, and such as are no text."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import cli, files
from nncore.arguments import check_path, printable
from nncore.callbacks import BackupAndRestore, CSVLogger, ModelCheckpoint

X = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
Y = X[:, :1]

NAMES = {
    "short": b"m",
    "a text": "mödel ✓.safetensors".encode(),
    "no text": b"m\xff\xfe\x80.safetensors",
    "newline and quote": b"m\n'\".safetensors",
    "longest": b"m" * 243 + b".safetensors",
    "longest, no text": b"\xff" * 255,
}


class Where:
    """What os.fspath takes, with bytes."""

    def __init__(self, path: bytes) -> None:
        self.path = path

    def __fspath__(self) -> bytes:
        return self.path


KINDS: dict[str, Callable[[bytes], Any]] = {
    "str": os.fsdecode,
    "bytes": bytes,
    "pathlib": lambda path: pathlib.Path(os.fsdecode(path)),
    "path-like": Where,
}


def fitted(*callbacks: Any, **settings: Any) -> nn.Model:
    model = nn.Model([nn.Dense(2, activation="tanh"), nn.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=2, callbacks=callbacks, **{"verbose": 0} | settings)
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_everything_that_reads_or_writes(name: str, kind: str, tmp_path: pathlib.Path, capsys: Any) -> None:
    path, encoded = KINDS[kind](os.fsencode(tmp_path) + b"/" + NAMES[name]), NAMES[name]

    def only_it() -> None:
        assert os.listdir(os.fsencode(tmp_path)) == [encoded]

    files.write(path, {"a": X}, {})
    files.write(path, {"a": X}, {})
    assert files.read(path)[0]["a"].tobytes() == X.tobytes()
    only_it()
    model = fitted(ModelCheckpoint(path, verbose=1))
    only_it()
    assert nn.load_model(path).predict(X).tobytes() == model.predict(X).tobytes()
    model.save(path)
    model.save_weights(path)
    model.load_weights(path)
    only_it()
    fitted(CSVLogger(path))
    with open(path, "rb") as file:
        assert file.read().startswith(b"epoch,loss\n0,")
    os.unlink(path)
    fitted(BackupAndRestore(path, delete_checkpoint=False))
    assert len(fitted(BackupAndRestore(path)).history.epoch) == 2
    assert os.listdir(tmp_path) == []
    assert "saving model to " in capsys.readouterr().out


def test_the_command(tmp_path: pathlib.Path) -> None:
    path = os.fsencode(tmp_path) + b"/" + NAMES["no text"]
    command = [sys.executable, "-P", "-m", "nncore", "train", "--epochs", "1", "--output", path]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert rb"m\xff\xfe\x80.safetensors" in result.stdout
    nn.load_model(path)


@pytest.mark.parametrize("path", [None, 3, 2.5, ["m"], object(), np.str_, bytearray(b"m"), memoryview(b"m")])
def test_no_path_at_all(path: Any) -> None:
    model = fitted()
    for action in (files.read, nn.load_model, model.save, model.save_weights, model.load_weights):
        with pytest.raises(TypeError, match="path: expected a name or path"):
            action(path)
    for make, argument in ((ModelCheckpoint, "filepath"), (BackupAndRestore, "backup_dir"), (CSVLogger, "filename")):
        with pytest.raises(TypeError, match=f"{argument}: expected a name or path"):
            make(path)


@pytest.mark.parametrize("path", ["", b"", "a\0b", b"a\0b", "\ud800"])
def test_names_that_no_file_has(path: Any) -> None:
    with pytest.raises(ValueError, match="where: expected a name or path"):
        check_path(path, "where")


def test_printable() -> None:
    assert printable("a/é") == "a/é"
    assert printable(os.fsdecode(b"a/\xff")) == "a/\\xff"


@pytest.mark.parametrize("too_long", ["m" * 256, "é" * 128])
def test_names_beyond_the_limit(too_long: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="too long"):
        files.write(tmp_path / too_long, {}, {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["m", "m" * 255])
def test_leftovers_of_short_and_long_names_are_removed(name: str, tmp_path: pathlib.Path) -> None:
    code = (
        "import os, sys; from nncore import files\nos.fsync = lambda fd: os._exit(9)\nfiles.write(sys.argv[1], {}, {})"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / name]).returncode == 9
    (left,) = os.listdir(tmp_path)
    assert left != name and left.endswith(".tmp")
    files.write(tmp_path / ("n" * len(name)), {}, {})
    assert left in os.listdir(tmp_path)  # that of another target
    files.write(tmp_path / name, {}, {})
    assert sorted(os.listdir(tmp_path)) == sorted([name, "n" * len(name)])


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555])
def test_a_read_only_file_is_not_replaced(mode: int, tmp_path: pathlib.Path) -> None:
    """Also for root, whom the system lets write everything."""
    path = tmp_path / "m"
    model = fitted()
    model.save(path)
    before = path.read_bytes()
    path.chmod(mode)
    (tmp_path / "link").symlink_to("m")
    for action in (model.save, model.save_weights, lambda p: fitted(ModelCheckpoint(p))):
        for name in (path, tmp_path / "link"):
            with pytest.raises(PermissionError, match=f"read-only, mode {mode:o}: allow writing .*chmod u.w.*{path}"):
                action(name)
    with pytest.raises(SystemExit):
        cli.main(["train", "--epochs", "1", "--output", str(path)])
    assert path.read_bytes() == before and stat.S_IMODE(path.stat().st_mode) == mode
    assert sorted(os.listdir(tmp_path)) == ["link", "m"]
    path.chmod(0o644)
    model.save(path)
