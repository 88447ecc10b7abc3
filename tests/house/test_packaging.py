"""What is installed: metadata, the compiled modules, the guard against an unbuilt tree, the build's own errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest

import nncore as nn

TOP = Path(__file__).parents[2]
in_checkout = pytest.mark.skipif(not (TOP / "setup.py").exists(), reason="needs the source tree beside the tests")


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=kept | variables, capture_output=True, text=True, timeout=300)


@in_checkout
def test_lines_of_c_and_cython_fit_120_columns() -> None:
    """As ruff says of Python's; in bytes, as tools count that show C."""
    sources = [*(TOP / "src_c").rglob("*.[chd]*"), *(TOP / "nncore").rglob("*.p[yx][xdi]*")]
    lines = ((path, n, line) for path in sources for n, line in enumerate(path.read_bytes().splitlines(), 1))
    assert [f"{path.name}:{n}" for path, n, line in lines if len(line) > 120] == []


def test_version_is_the_distribution_s():
    assert nn.__version__ == metadata.version("nncore-cpu")


def test_run_time_needs_three_packages():
    required = [line for line in metadata.requires("nncore-cpu") or [] if "extra ==" not in line]
    assert sorted(line.split(">")[0] for line in required) == ["numpy", "tqdm"]


def test_files_beside_the_code():
    top = resources.files("nncore")
    assert top.joinpath("py.typed").is_file()
    compiled = {Path(str(p)).name.split(".")[0] for p in top.joinpath("_kernels").iterdir() if str(p).endswith(".so")}
    assert {"table", "dense", "elementwise", "loss", "update", "engine"} <= compiled
    stubs = {Path(str(p)).stem for p in top.joinpath("_kernels").iterdir() if str(p).endswith(".pyi")}
    assert stubs == compiled


@in_checkout
def test_every_kernel_source_was_built():
    sources = {p.stem for p in (TOP / "nncore/_kernels").glob("*.pyx")}
    for name in sources:
        assert __import__(f"nncore._kernels.{name}", fromlist=["__name__"])


@in_checkout
def test_unbuilt_source_tree_says_what_to_do(tmp_path):
    unbuilt = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(TOP / "nncore", tmp_path / "nncore", ignore=unbuilt)
    result = run(sys.executable, "-c", "import nncore", cwd=tmp_path)
    assert result.returncode == 1
    assert "ImportError" in result.stderr
    assert str(tmp_path) in result.stderr
    assert "pip install" in result.stderr


@in_checkout
@pytest.mark.parametrize("command", [["-m", "pytest"], ["-P", "-m", "pytest"]])
def test_tests_use_the_installed_package_wherever_they_start(tmp_path, command):
    """`python -m pytest` in a checkout, too, although it puts the unbuilt tree first on sys.path."""
    shutil.copytree(TOP / "nncore", tmp_path / "nncore", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (tmp_path / "tests").mkdir()
    shutil.copy(TOP / "pyproject.toml", tmp_path)
    shutil.copy(TOP / "tests/conftest.py", tmp_path / "tests")
    (tmp_path / "tests/test_where.py").write_text(
        f"import nncore\n\ndef test_where():\n    assert nncore.__file__ == {nn.__file__!r}\n"
    )
    result = run(sys.executable, *command, "-p", "no:cacheprovider", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def build(tmp_path: Path, **variables: str) -> str:
    """The message of a build that must fail before it compiles a kernel."""
    pytest.importorskip("setuptools")
    pytest.importorskip("Cython")
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "README.md").touch()
    shutil.copytree(TOP / "nncore", tmp_path / "nncore", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(TOP / "src_c", tmp_path / "src_c")
    result = run(sys.executable, "setup.py", "build_ext", cwd=tmp_path, **variables)
    assert result.returncode != 0
    return result.stderr


@in_checkout
def test_build_without_a_compiler_names_the_remedy(tmp_path):
    assert "apt install gcc" in build(tmp_path, CC="no-such-compiler")


@in_checkout
def test_build_without_openmp_names_the_remedy(tmp_path):
    compiler = tmp_path / "cc-without-openmp"
    compiler.write_text('#!/bin/sh\ncase " $* " in *" -fopenmp "*) exit 1;; esac\nexec gcc "$@"\n')
    compiler.chmod(0o755)
    message = build(tmp_path, CC=str(compiler))
    assert "NNCORE_NO_OPENMP=1" in message
    assert "OpenMP" in message
