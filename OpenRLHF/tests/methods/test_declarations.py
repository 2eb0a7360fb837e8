"""What is derived from the methods' declarations: documentation, choices, and what a declaration must hold."""

import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from openrlhf.cli.commands import COMMANDS
from openrlhf.cli.methods import listing, main
from openrlhf.config.method import MethodConfig
from openrlhf.config.settings import flags_of
from openrlhf.methods.registry import METHODS, methods_of

PACKAGE = Path(__file__).resolve().parents[2] / "openrlhf"
ROOT = PACKAGE.parents[1]


def test_the_documented_tables_are_those_of_the_declarations() -> None:
    assert "\n".join(listing(METHODS)) in (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


def test_a_method_of_ones_own_is_listed_too(capsys: pytest.CaptureFixture) -> None:
    assert main(["--method", str(ROOT / "code/examples/methods/hint_weighted.py")]) == 0
    assert "| `hint_weighted` | A policy gradient that counts a token for more" in capsys.readouterr().out
    assert main(["--method", "none.py"]) == 2


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_declaration_is_complete(method: type[MethodConfig]) -> None:
    assert method.commands
    assert set(method.commands) <= COMMANDS.keys()
    assert len(list(flags_of(method))) == len(fields(method))  # every field is a setting


def test_every_command_starts_with_a_method_that_it_offers() -> None:
    for name, command in COMMANDS.items():
        assert (command.method in methods_of(name)) == bool(command.method)


# "rm" is a task of batch_inference as well.
NAMES = sorted({n for method in METHODS for n in (method.name, method.title) if len(n.split()) == 1} - {"rm"})
OWN = {Path(str(sys.modules[method.__module__].__file__)) for method in METHODS}
# The registry lists the methods, the commands are called after them, the comparison's settings name them, and the token
# picture shows one method's factor.
MAY_NAME = OWN | {
    PACKAGE / "methods" / "registry.py",
    PACKAGE / "view" / "token_picture.py",
    *PACKAGE.glob("demo/comparison*.py"),
}


def test_no_other_line_of_code_of_the_package_names_a_method() -> None:
    """Comments and documentation included."""
    pattern = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, NAMES)) + r")(?![\w.])")
    for file in PACKAGE.rglob("*.py"):
        if file in MAY_NAME or file.parent.name == "cli":
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            assert not pattern.search(line), f"{file}:{number}: {line.strip()}"
