"""Files of other libraries: under their names nothing is written, and their content is told from damage."""

from __future__ import annotations

import os
from typing import Any

from nncore.arguments import check_flag, check_path
from nncore.errors import FormatError

#: Endings that promise another format. Not .keras, which Keras asks of a model's name, so that its programs have it.
ENDINGS = (
    *(".h5", ".hdf5", ".pb", ".tflite", ".onnx", ".pt", ".pth"),
    *(".pkl", ".pickle", ".joblib", ".npy", ".npz", ".json"),
)
#: How files of other formats begin.
BEGINNINGS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes it (.h5)",
    b"PK\x03\x04": "a ZIP archive, as Keras (.keras), PyTorch (.pt) and NumPy (.npz) write it",
    b"\x93NUMPY": "an array of NumPy (.npy)",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}


def check_ending(path: str, argument: str) -> None:
    """Raise a ValueError where the name of a file to be written promises another format."""
    ending = next((e for e in ENDINGS if path.lower().endswith(e)), None)
    if ending:
        stem = path[: -len(ending)].removesuffix(".weights")
        raise ValueError(
            f"{argument}: expected a name for a safetensors file, which is what is written, got {path!r}. "
            f"Call it {stem + '.safetensors'!r}"
        )


def new_file(path: Any, overwrite: Any) -> str:
    """The name of a file to be written; a FileExistsError where there is one that must not be overwritten."""
    name = check_path(path, "path")
    check_ending(name, "path")
    if not check_flag(overwrite, "overwrite") and os.path.lexists(name):
        raise FileExistsError(f"path: expected a new file, since overwrite=False, got {name!r}, which exists")
    return name


def check_beginning(first: bytes) -> None:
    """Raise a FormatError where the first 8 bytes of a file are those of another format."""
    for beginning, what in BEGINNINGS.items():
        if first.startswith(beginning):
            raise FormatError(
                f"expected a safetensors file that nncore wrote, found {what}. Read it with the library that wrote it, "
                "and give its arrays to set_weights of a model of the same layers"
            )
