"""Who may import whom in grading: its rooms look down, as their doors say, and nothing heavy comes in."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import openrlhf.grading

ROOT = Path(openrlhf.grading.__file__).parent
ROOMS = ("knowledge", "extraction", "reading", "comparing", "pool")
OUTSIDE = {"policy": {"openrlhf.errors"}, "pool": {"openrlhf.utils.worker_pool"}}
LIBRARIES = {"comparing": {"mpmath", "sympy", "latex2sympy2_extended"}}


def test_a_room_imports_only_what_its_door_says():
    for file in _files():
        room = _room(file)
        if room == "grading":
            continue
        here, allowed = file.relative_to(ROOT), {room, *(_door(room) if room in ROOMS else set())}
        outside = OUTSIDE.get(room, set())
        for name in _imported(file):
            top = name.split(".")[0]
            if name.startswith("openrlhf.grading."):
                assert name.split(".")[2] in allowed, (
                    f"{file.relative_to(ROOT)} imports {name}, which is not on its door"
                )
            elif top == "openrlhf":
                assert name in outside, f"{here} imports {name} from outside of grading"
            else:
                libraries = sys.stdlib_module_names | LIBRARIES.get(room, set())
                assert top in libraries, f"{here} imports {top}"


def test_doors_let_nobody_look_up():
    for place, room in enumerate(ROOMS):
        assert _door(room) <= {"policy", *ROOMS[:place]}, f"{room} says that it imports a later room"


def test_no_two_files_of_grading_import_each_other():
    imports = {_module(file): {n for n in _imported(file) if n.startswith("openrlhf.grading")} for file in _files()}
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        assert module not in path, f"a circle: {' → '.join([*path[path.index(module) :], module])}"
        if module not in finished:
            for name in sorted(imports.get(module, ())):
                visit(name, [*path, module])
            finished.add(module)

    for module in imports:
        visit(module, [])


def test_importing_grading_brings_in_neither_torch_nor_computer_algebra_nor_the_rest_of_the_package():
    loaded = _modules_after("import openrlhf.grading")
    assert not loaded & {"torch", "sympy", "mpmath", "numpy", "ray", "transformers"}
    ours = {name for name in loaded if name.startswith("openrlhf.") and not name.startswith("openrlhf.grading")}
    assert ours == {"openrlhf.errors", "openrlhf.utils", "openrlhf.utils.worker_pool", "openrlhf.version"}


def test_grading_in_a_worker_loads_no_torch_in_the_caller_and_no_sympy():
    code = "from openrlhf.grading import grade\nassert grade('x+x', '2x').equal"
    assert not _modules_after(code) & {"torch", "sympy", "mpmath"}


def _files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def _room(file: Path) -> str:
    inside = file.relative_to(ROOT)
    return inside.parts[0] if len(inside.parts) > 1 else {"__init__": "grading"}.get(inside.stem, inside.stem)


def _module(file: Path) -> str:
    parts = ("openrlhf", "grading", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _door(room: str) -> set[str]:
    """The rooms that a room's first lines name behind "Imports:"."""
    text = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
    assert text
    assert "Imports: " in text, f"{room}/__init__.py does not say what it imports"
    names = text.split("Imports: ")[1].split(".")[0].split(", ")
    return set(names) - {"nothing"}


def _imported(file: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere, in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file.relative_to(ROOT)} has a relative import"
            # "from package import module" imports the module.
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                is_module = (ROOT.parents[1] / (name.replace(".", "/") + ".py")).exists()
                found.add(name if is_module else str(node.module))
    return found


def _modules_after(code: str) -> set[str]:
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))
