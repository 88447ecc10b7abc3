"""CONTRIBUTING.md is true: its map names every folder and file of the code, its table what each addition touches."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (TOP / "setup.py").exists(), reason="needs the source tree beside the tests")

#: For each row of the table an example, and other files that name it, with the reason.
EXAMPLES: dict[str, tuple[str, dict[str, str]]] = {
    "an activation": ("silu", {}),
    "a loss": ("huber", {}),
    "a metric": (
        "binary_accuracy",
        {"nncore/losses/probabilities.py": "what 'accuracy' means beside a loss is a fact of the loss"},
    ),
    "an optimizer": ("rmsprop", {"nncore/compiled.py": "the default of compile"}),
    "a constraint": ("MinMaxNorm", {}),
    "a schedule": ("InverseTimeDecay", {}),
    "a layer": (
        "Rescaling",
        {
            "nncore/cli/digits.py": "a program that uses it",
            "nncore/compiler/programs.py": "the error for a loss behind it says so",
            "nncore/sklearn/members.py": "a network that uses it",
        },
    ),
    "an operation": ("dense_backward_weights", {}),
    "an instruction set": ("avx512_bf16", {}),
}


@cache
def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def contributing() -> str:
    return text_of(TOP / "CONTRIBUTING.md")


# -- the map -----------------------------------------------------------------------------------------------------------


def mapped(block: str) -> set[str]:
    """Paths that a map names: a line has names, two spaces and words; what is indented lies in the folder above."""
    found, folders = set(), [""]
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        folders[depth + 1 :] = []
        for name in re.split(r" {2,}", line.strip())[0].split(" "):
            path = folders[depth] + name
            assert path not in found, f"{path} is named twice"
            found.add(path)
            if name.endswith("/"):
                folders[depth + 1 :] = [path]
    return found


def present() -> set[str]:
    """Folders and files of src_c, folders and modules of nncore, and the other folders that are part of the project."""
    found = {f"{name}/" for name in ("src_c", "nncore", "tests", "bench", "examples")}
    found |= {f"{path.parent.relative_to(TOP).as_posix()}/" for path in (TOP / "tests").glob("*/test_*.py")}
    for path in (TOP / "src_c").rglob("*"):
        where = path.relative_to(TOP).as_posix()
        if path.is_dir():
            found.add(f"{where}/")
        elif path.suffix in (".c", ".h", ".def"):
            found.add(where)
    for path in [*(TOP / "nncore").rglob("*.py"), *(TOP / "nncore").rglob("*.pyx")]:
        where = path.relative_to(TOP)
        found.add(f"{where.parent.as_posix()}/" if path.stem == "__init__" else where.with_suffix("").as_posix())
    return found


def test_the_map_names_what_there_is() -> None:
    [block] = re.findall(r"^## The house\n.*?```\n(.*?)```", contributing(), re.DOTALL | re.MULTILINE)
    named, there = mapped(block), present()
    assert (sorted(named - there), sorted(there - named)) == ([], [])


def test_a_map_is_read() -> None:
    assert mapped("a/    words\n  b.c b/  more words\n    c\n  d\ne\n") == {"a/", "a/b.c", "a/b/", "a/b/c", "a/d", "e"}


def test_paths_in_the_text_exist() -> None:
    """Those that are written in backticks, from the top, or by the end that says enough."""
    text = re.sub(r"```.*?```", "", contributing(), flags=re.DOTALL) + text_of(TOP / "src_c/DECISIONS.md")
    names = set(re.findall(r"`([\w./]+\.(?:py|pyx|c|h|def|md))`", text))
    found = [*TOP.glob("*.*"), *(p for top in ("src_c", "nncore", "tests", "bench") for p in (TOP / top).rglob("*.*"))]
    files = [path.relative_to(TOP).as_posix() for path in found]
    assert sorted(n for n in names if not any(f"/{file}".endswith(f"/{n}") for file in files)) == []


def test_every_part_says_what_it_is() -> None:
    silent = []
    for path in (TOP / "nncore").rglob("*.py*"):
        if path.suffix in (".py", ".pyx") and not re.match(r'(#[^\n]*\n)*r?"""\S', text_of(path)):
            silent.append(path)
    for path in [*(TOP / "src_c").rglob("*.[ch]"), *(TOP / "src_c").glob("*.def")]:
        if not text_of(path).startswith(f"/* {path.name}: "):
            silent.append(path)
    silent += [path for path in (TOP / "src_c/operations").rglob("*.def") if not text_of(path).startswith("/* ")]
    assert [str(path.relative_to(TOP)) for path in silent] == []


# -- the table ---------------------------------------------------------------------------------------------------------


def touched(kind: str) -> list[str]:
    """The paths that the table lists for a kind of thing, with * for what is another name each time."""
    [row] = re.findall(rf"^\| {kind} \|(.*)\|$", contributing(), re.MULTILINE)
    return [re.sub(r"<\w+>", "*", path) for path in re.findall(r"`([^`]+)`", row)]


def code_of(path: Path) -> str:
    """A file without its comments and docstrings, in which a name is only talked about."""
    text = text_of(path)
    if path.suffix in (".c", ".h", ".def"):
        return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    if path.suffix != ".py":
        return re.sub(r'""".*?"""|#[^\n]*', "", text, flags=re.DOTALL)
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)  # type: ignore[operator]
    text = "\n".join(lines)
    words = [(token.type, token.string) for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    return " ".join(string for kind, string in words if kind != tokenize.COMMENT)


def naming(name: str) -> set[str]:
    """Files that name it, in any case, perhaps as a part of a longer name in snake case."""
    pattern = re.compile(rf"(?<![a-z0-9]){name}(?![a-z0-9])", re.IGNORECASE)
    files = [path for top in ("src_c", "nncore", "tests") for path in (TOP / top).rglob("*.*")]
    suffixes = (".c", ".h", ".def", ".py", ".pyx", ".pxd", ".pyi")
    candidates = [path for path in [*files, TOP / "setup.py"] if path.suffix in suffixes]
    found = [path for path in candidates if pattern.search(text_of(path)) and pattern.search(code_of(path))]
    return {path.relative_to(TOP).as_posix() for path in found}


def test_every_row_of_the_table_has_an_example() -> None:
    _, table = contributing().split("\n| add |", 1)
    assert re.findall(r"^\| (an? [\w ]+) \|", table, re.MULTILINE) == list(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_addition_touches_what_the_table_says(kind: str) -> None:
    """Tests beside those may use the thing; code may not know it."""
    (name, allowed), listed = EXAMPLES[kind], touched(kind)
    found = naming(name)
    assert [path for path in listed if not any(fnmatch(file, path) for file in found)] == []
    strangers = {file for file in found - set(allowed) if not any(fnmatch(file, path) for path in listed)}
    assert sorted(file for file in strangers if not file.startswith("tests/")) == []
    assert set(allowed) <= found, "an exception that is none any more"


def test_comments_do_not_count_as_code(tmp_path: Path) -> None:
    for name, text in (
        ("a.h", "/* silu\n silu */ x // silu\n"),
        ("b.py", '"""silu"""\nx = 1  # silu\n'),
        ("c.pyx", '"""silu"""\nx = 1  # silu\n'),
    ):
        (tmp_path / name).write_text(text)
        assert "silu" not in code_of(tmp_path / name) and "x" in code_of(tmp_path / name)
    (tmp_path / "d.py").write_text('x = "silu"\n')
    assert "silu" in code_of(tmp_path / "d.py")
