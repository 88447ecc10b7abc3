"""README's programs print what README says they print, and the examples hold what they assert."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import nncore as nn

TOP = Path(__file__).parents[2]
PROGRAM = re.compile(r"^```python\n(.*?)^```$(?:(?:\n\n[^\n`#]+)?\n\n```text\n(.*?)^```$)?", re.M | re.S)


def programs() -> list[pytest.ParameterSet]:
    """Each ```python block with the ```text block behind it, at most a line of words between them; by its heading."""
    readme = (TOP / "README.md").read_text()
    found = []
    for program in PROGRAM.finditer(readme):
        heading = re.findall(r"^##+ (.*)$", readme[: program.start()], re.M)[-1]
        found.append(pytest.param(program[1], program[2] or "", marks=needs(program[1]), id=heading))
    return found


def needs(code: str) -> list[pytest.MarkDecorator]:
    """The mark of programs that need more than the tests do."""
    return [pytest.mark.frames] if re.search(r"^(from|import) (pandas|sklearn|nncore\.sklearn)\b", code, re.M) else []


def run(path: Path, folder: Path) -> str:
    """What the program prints; it must succeed."""
    done = subprocess.run([sys.executable, "-P", path], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_programs() -> None:
    assert len(programs()) == len(re.findall(r"^```python$", (TOP / "README.md").read_text(), re.M)) > 8


@pytest.mark.parametrize(("code", "output"), programs())
def test_readme(code: str, output: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(code)
    assert run(tmp_path / "program.py", tmp_path) == output


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=needs(p.read_text()), id=p.stem) for p in sorted((TOP / "examples").glob("*.py"))]
)
def test_example(path: Path, tmp_path: Path) -> None:
    assert run(path, tmp_path)


def test_the_table_names_every_layer() -> None:
    [row] = [line for line in (TOP / "README.md").read_text().splitlines() if line.startswith("| layers |")]
    assert {cls.__name__ for cls in nn.layers.LAYERS.classes.values()} <= set(re.findall(r"\w+", row))


def test_the_list_names_every_example() -> None:
    [listed] = re.findall(r"^Longer ones, .*?\n\n(.*?)\n\n", (TOP / "README.md").read_text(), re.M | re.S)
    links = re.findall(r"\(examples/(\w+)\.py\)", listed)
    assert sorted(links) == sorted(path.stem for path in (TOP / "examples").glob("*.py"))
