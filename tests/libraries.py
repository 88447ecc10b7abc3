"""Shared libraries that tests write in C."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path


def compiled(folder: Path, name: str, code: str, *options: str) -> str:
    """The path of folder/name.so, built by CC, as nncore is: this Python may be an emulated one, of another machine."""
    (folder / f"{name}.c").write_text(code)
    compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("gcc") or "cc"]
    subprocess.run(
        [*compiler, "-O1", "-shared", "-fPIC", f"{name}.c", "-o", f"{name}.so", *options], check=True, cwd=folder
    )
    return str(folder / f"{name}.so")
