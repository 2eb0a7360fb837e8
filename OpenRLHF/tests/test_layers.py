"""Who may know whom: the table in docs/architecture.md against all imports, also lazy ones and those for types."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "openrlhf"
ARCHITECTURE = PACKAGE.parents[1] / "docs" / "architecture.md"


def allowed() -> dict[str, set[str]]:
    """Folder → the folders it may know, from the rows `| `folder` | what it is | `one`, `another` |`."""
    section = ARCHITECTURE.read_text(encoding="utf-8").split("## Who may know whom", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", section, flags=re.MULTILINE)
    return {folder: set(re.findall(r"`(\w+)`", known)) for folder, known in rows}


def module_of(file: Path) -> str:
    parts = ("openrlhf", *file.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folder_of(module: str) -> str:
    """`errors` and `version` stand alone beside the folders."""
    return module.split(".")[1] if "." in module else "openrlhf"


MODULES = {module_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imports(source: str, package: str) -> Iterator[str]:
    """Modules of the package that a source names, whether it imports them or things in them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "openrlhf")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], base]).strip(".")
            if base.split(".")[0] == "openrlhf":
                yield from (f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names)


def graph() -> dict[str, set[str]]:
    found = {}
    for module, file in MODULES.items():
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        found[module] = set(imports(file.read_text(encoding="utf-8"), package)) - {module}
    return found


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """Some circle of modules, [] where there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        for other in sorted(edges.get(module, ())):
            if found := visit(other):
                return found
        path.pop()
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := visit(module))), [])


def test_every_folder_has_a_row_and_knows_only_rows_above_it() -> None:
    table = allowed()
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert table.keys() == folders | {"errors"}
    names = list(table)
    for position, folder in enumerate(names):
        assert table[folder] <= set(names[:position]), f"{folder} looks up"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_folder_may_know(module: str) -> None:
    folder = folder_of(module)
    known = allowed().get(folder, set()) | {folder, "openrlhf", "version"}
    strangers = sorted(other for other in graph_once()[module] if folder_of(other) not in known)
    assert not strangers, f"{MODULES[module]} may not know {', '.join(strangers)}"


def test_no_two_files_know_each_other_not_even_through_others() -> None:
    assert cycle(graph_once()) == []


def test_a_circle_would_be_found_and_named() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


_GRAPH: dict[str, set[str]] = {}


def graph_once() -> dict[str, set[str]]:
    if not _GRAPH:
        _GRAPH.update(graph())
    return _GRAPH


@pytest.mark.parametrize("folder", ["config", "methods", "objectives", "experience", "models", "trainer", "datasets"])
def test_nothing_below_the_commands_sees_argparse(folder: str) -> None:
    for file in (PACKAGE / folder).rglob("*.py"):
        assert not re.search(r"\bargparse\b.*import|import argparse|Namespace", file.read_text(encoding="utf-8")), file
