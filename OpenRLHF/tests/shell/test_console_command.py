"""`openrlhf` as one command beside the modules."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from openrlhf.cli import main as console
from openrlhf.cli.arguments import build_parser
from openrlhf.cli.commands import COMMANDS, FIRST
from openrlhf.cli.main import MODULES, completion, flags_of, module_of, overview
from openrlhf.version import __version__

CLI = Path(console.__file__).parent


def test_every_module_with_a_command_is_there_once() -> None:
    with_main = {path.stem for path in CLI.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")} - {"main"}
    assert sorted(MODULES.values()) == sorted(with_main)
    assert all(callable(import_module(f"openrlhf.cli.{module}").main) for module in MODULES.values())
    assert all(name in overview() for name in MODULES)


@pytest.mark.parametrize("word", ["train-intro", "train_intro", "train_ppo_ray_intro", "train-ppo-ray-intro"])
def test_a_command_is_known_by_its_name_and_by_its_modules(word: str) -> None:
    assert module_of(word) == "train_ppo_ray_intro"


def test_flags_and_status_go_through(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["openrlhf"])
    assert console.main(["train-sft", "--pretrain", "m", "--dataset", "d.json", "--max_epochs", "0"]) == 2
    assert "--max_epochs 0" in capsys.readouterr().err
    assert console.main(["rollouts", "nowhere"]) == 2
    assert console.main(["reprot"]) == 2
    assert "did you mean report?" in capsys.readouterr().err
    assert console.main(["--version"]) == 0
    assert capsys.readouterr().out == f"openrlhf {__version__}\n"


def test_the_package_itself_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "openrlhf"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, overview())


def test_completion_is_bash_and_knows_commands_and_flags() -> None:
    script = completion()

    def completed(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in words)
        ask = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _openrlhf; echo ${{COMPREPLY[@]}}"
        return subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()

    assert completed("openrlhf", "train-k") == ["train-kto", "train-kd"]
    assert completed("openrlhf", "train-intro", "--intro_est") == ["--intro_estimator"]
    assert completed("openrlhf", "math-eval", "--data_na") == ["--data_names"]
    assert "--watch" in flags_of("report")


@pytest.mark.parametrize("command", [name for name in COMMANDS if COMMANDS[name].config in FIRST])
def test_help_begins_with_the_flags_that_matter_first(command: str) -> None:
    text = build_parser(command).format_help()
    names = [name for name in FIRST[COMMANDS[command].config].split() if f"  --{name} " in text]
    assert len(names) >= 8
    places = [text.index(f"  --{name} ") for name in names]
    assert places == sorted(places)
    assert text.index("First:") < places[0] < places[-1] < text.index("\nRun:")
    assert "usage: python3 -m openrlhf.cli." in text.splitlines()[0]
