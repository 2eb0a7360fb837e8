"""Who may import whom in evaluation: rooms look back to earlier stages only, and nothing knows the trainer."""

import ast
from pathlib import Path

import openrlhf.evaluation

ROOT = Path(openrlhf.evaluation.__file__).parent
ROOMS = ("questions", "generation", "figures", "pages")
BELOW = {"errors", "config", "utils", "grading", "rollout"}
HERE = "openrlhf.evaluation."


def imports_of(file: Path) -> set[str]:
    """Modules of the package that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            # `from package import module` and `from module import name` look alike.
            found |= {f"{node.module}.{alias.name}" if is_room(node.module) else node.module for alias in node.names}
    return {name for name in found if name and name.startswith("openrlhf.")}


def is_room(module: str | None) -> bool:
    return module == HERE[:-1] or module in {HERE + room for room in ROOMS}


def files() -> list[Path]:
    found = sorted(ROOT.rglob("*.py"))
    assert len(found) > 30
    return found


def room_of(name: str) -> int:
    """The place of a room in the order of stages; the modes come behind all rooms."""
    first = name.removeprefix(HERE).split(".")[0]
    return ROOMS.index(first) if first in ROOMS else len(ROOMS)


def test_a_room_imports_only_those_before_it():
    for file in files():
        name = HERE + ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for imported in imports_of(file):
            if imported.startswith(HERE):
                assert room_of(imported) <= room_of(name), f"{name} imports {imported}"


def test_evaluation_imports_nothing_of_the_trainer_or_the_command_line():
    for file in files():
        for imported in imports_of(file):
            part = imported.split(".")[1]
            assert part in BELOW | {"evaluation"}, f"{file.relative_to(ROOT)} imports {imported}"
        assert "argparse" not in file.read_text(encoding="utf-8")


def test_no_two_files_of_evaluation_import_each_other():
    graph = {HERE + ".".join(f.relative_to(ROOT).with_suffix("").parts): imports_of(f) for f in files()}
    reached: dict[str, set[str]] = {}

    def reach(name: str, on_the_way: tuple[str, ...]) -> set[str]:
        assert name not in on_the_way, f"a circle: {' → '.join((*on_the_way, name))}"
        if name not in reached:
            here = {other for other in graph[name] if other in graph}
            reached[name] = here.union(*(reach(other, (*on_the_way, name)) for other in here))
        return reached[name]

    for name in graph:
        reach(name, ())
    assert any(reached.values())
