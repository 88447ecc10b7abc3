"""The house stands: imports have no circle and go one way between its storeys, which CONTRIBUTING.md lists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "nncore"
pytestmark = pytest.mark.skipif(not (TOP / "setup.py").exists(), reason="needs the source tree beside the tests")

#: Imports within functions that a reason allows: (module, imported) → reason.
WITHIN_FUNCTIONS: dict[tuple[str, str], str] = {
    ("cli.tables", "cli.fitting"): "needs pandas and scikit-learn, which other commands do without",
    ("cli.tables", "cli.predicting"): "the same",
}

#: Kinds of things that a model is made of: none of them needs to know another.
APART = ("layers", "losses", "metrics", "optimizers")

#: Modules that read headers of src_c. Those of the last three hold functions for one module alone.
LINKED = {
    "_kernels.table": r"core/\w+\.h|stdlib\.h",
    "_kernels.threads": r"core/threads\.h",
    "_kernels.hashing": r"core/fingerprint\.h|Python\.h",
    "_kernels.scaling": r"core/features\.h",
}


def name_of(path: Path, package: Path = PACKAGE) -> str:
    """`layers.base` of nncore/layers/base.py, `layers` of nncore/layers/__init__.py, "" of nncore/__init__.py."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass
class Imports:
    """Which module imports which, by the kind of import: at the top of a module, in a function, for types alone."""

    modules: dict[str, Path]
    found: dict[str, set[tuple[str, str]]] = field(
        default_factory=lambda: {"module": set(), "function": set(), "types": set(), "package": set()}
    )

    def add(self, kind: str, importer: str, module: str, name: str | None = None) -> None:
        """Note an import of `name` from `module`, which says nncore at its front."""
        if module.split(".")[0] != "nncore":
            return
        target = module.removeprefix("nncore").lstrip(".")
        inner = f"{target}.{name}".lstrip(".")
        imported = inner if name and inner in self.modules else target
        if imported == importer:  # a .pyx reads its own .pxd
            return
        assert imported in self.modules, f"{importer} imports {imported}, which is no module"
        self.found[kind].add((importer, imported))
        package = imported.rpartition(".")[0]  # importing a module runs the packages that it is in
        while package and not f"{importer}.".startswith(f"{package}."):
            self.found["types" if kind == "types" else "package"].add((importer, package))
            package = package.rpartition(".")[0]

    @property
    def running(self) -> set[tuple[str, str]]:
        """Imports that happen when a program runs."""
        return self.found["module"] | self.found["function"] | self.found["package"]


class Reader(ast.NodeVisitor):
    """Collects the imports of a Python module."""

    def __init__(self, imports: Imports, module: str) -> None:
        self.imports, self.module, self.kind = imports, module, "module"

    def within(self, kind: str, nodes: Iterable[ast.AST]) -> None:
        before = self.kind
        self.kind = before if before == "types" else kind
        for node in nodes:
            self.visit(node)
        self.kind = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.within("function", node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.within("function", [node.body])

    def visit_If(self, node: ast.If) -> None:
        types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        self.within("types" if types else self.kind, node.body)
        self.within(self.kind, node.orelse)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imports.add(self.kind, self.module, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"{self.module}: expected the full name of a module, got a relative one"
        for alias in node.names:
            self.imports.add(self.kind, self.module, str(node.module), alias.name)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        assert called not in ("__import__", "importlib.import_module", "import_module"), f"{self.module}: {called}"
        self.generic_visit(node)


CYTHON = re.compile(r"^([ \t]*)from[ ]+(nncore[\w.]*)[ ]+c?import[ ]+(\([^)]*\)|[^\n(]*)", re.MULTILINE)


def read_cython(imports: Imports, module: str, text: str) -> None:
    """Collect the imports of a .pyx or .pxd."""
    text = re.sub(r"#.*", "", text)
    for indent, imported, names in CYTHON.findall(text):
        for name in re.findall(r"[\w*]+(?:\s+as\s+\w+)?", names):
            imports.add("function" if indent else "module", module, imported, name.split()[0])
    assert not re.search(r"^\s*c?import\s+nncore", text, re.MULTILINE), f"{module}: expected from … import …"


@pytest.fixture(scope="module")
def imports() -> Imports:
    return read(PACKAGE)


def read(package: Path) -> Imports:
    sources = [*sorted(package.rglob("*.py")), *sorted(package.rglob("*.pyx"))]
    imports = Imports({name_of(path, package): path for path in sources})
    for module, path in imports.modules.items():
        if path.suffix == ".py":
            Reader(imports, module).visit(ast.parse(path.read_text("utf-8")))
            continue
        for source in (path, path.with_suffix(".pxd")):
            read_cython(imports, module, source.read_text("utf-8") if source.exists() else "")
    return imports


def circle(edges: set[tuple[str, str]]) -> list[str]:
    """Modules that import each other in turn; empty where there are none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for importer, imported in edges:
        sorter.add(importer, imported)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def storeys() -> list[list[str]]:
    """The storeys of CONTRIBUTING.md from the ground up, each a list of modules and folders of nncore."""
    text = (TOP / "CONTRIBUTING.md").read_text("utf-8")
    [block] = re.findall(r"Imports have no circle.*?```\n(.*?)```", text, re.DOTALL)
    return [re.sub(r"^\w+ {2,}", "", line).split() for line in block.splitlines()]


def levels(modules: Iterable[str]) -> dict[str, int]:
    """The number of each module's storey: where it is named itself, or else the nearest folder that holds it."""
    named = {name: i for i, storey in enumerate(storeys()) for name in storey}
    found = {}
    for module in modules:
        name = module or "nncore"
        while name not in named:
            name = name.rpartition(".")[0]
            assert name, f"CONTRIBUTING.md: expected a storey for {module}, found none"
        found[module] = named[name]
    return found


def against(order: dict[str, int], edges: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Imports of what stands higher."""
    return (f"{a} imports {b}" for a, b in sorted(edges) if order[a] < order[b])


def test_imports_have_no_circle(imports: Imports) -> None:
    assert circle(imports.running) == []


def test_functions_import_nothing(imports: Imports) -> None:
    """A circle would not go away by that, only be found later."""
    assert imports.found["function"] == set(WITHIN_FUNCTIONS)


def test_imports_go_one_way(imports: Imports) -> None:
    assert list(against(levels(imports.modules), imports.running)) == []


def test_storeys_name_what_there_is_once(imports: Imports) -> None:
    names = [name for storey in storeys() for name in storey]
    assert len(set(names)) == len(names)
    assert set(names) - set(imports.modules) == {"nncore"}


def test_parts_of_a_model_stand_apart(imports: Imports) -> None:
    kinds = [(a.split(".")[0], b.split(".")[0]) for a, b in imports.running]
    assert [(a, b) for a, b in kinds if a != b and a in APART and b in APART] == []


def test_only_table_links_the_c_library() -> None:
    linked: dict[str, set[str]] = {}
    for path in [*PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")]:
        headers = re.findall(r"cdef extern from\s+(\S+)", path.read_text("utf-8"))
        if headers:
            linked.setdefault(name_of(path), set()).update(header.strip("\"':") for header in headers)
    assert set(linked) == set(LINKED)
    for module, headers in linked.items():
        assert all(re.fullmatch(LINKED[module], header) for header in headers), (module, headers)


# -- the reading itself ------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of every kind of import."""
    sources = {
        "__init__.py": "from nncore import a\n",
        "a.py": "from typing import TYPE_CHECKING\nimport nncore.b.c\nif TYPE_CHECKING:\n    from nncore.d import x\n",
        "b/__init__.py": "",
        "b/c.py": "def f():\n    from nncore import d\n",
        "d.py": "from nncore.k import (\n    y,\n)\n",
        "k.pyx": "from nncore.m cimport (\n    z,  # from nncore.a import q\n)\n",
        "k.pxd": "from nncore cimport n\n",
        "m.pyx": "def f():\n    from nncore.b.c import f\n",
        "n.pyx": "",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


def test_every_kind_of_import_is_read(package: Path) -> None:
    found = read(package).found
    assert found == {
        "module": {("", "a"), ("a", "b.c"), ("d", "k"), ("k", "m"), ("k", "n")},
        "function": {("b.c", "d"), ("m", "b.c")},
        "types": {("a", "d")},
        "package": {("a", "b"), ("m", "b")},
    }


def test_a_circle_is_found(package: Path) -> None:
    assert set(circle(read(package).running)) == {"b.c", "d", "k", "m"}
    (package / "m.pyx").write_text("")
    assert circle(read(package).running) == []
    (package / "b/__init__.py").write_text("from nncore import a\n")  # runs before b.c does, so in the midst of a
    assert set(circle(read(package).running)) == {"a", "b"}


def test_an_import_of_what_stands_higher_is_found() -> None:
    assert list(against({"a": 0, "b": 1, "c": 1}, {("b", "a"), ("a", "c"), ("b", "c")})) == ["a imports c"]
