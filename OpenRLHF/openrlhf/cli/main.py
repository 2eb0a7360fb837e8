"""All commands as one: openrlhf COMMAND …, python3 -m openrlhf COMMAND …, beside python3 -m openrlhf.cli.MODULE …"""

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from openrlhf.cli.arguments import build_parser
from openrlhf.cli.commands import COMMANDS
from openrlhf.version import __version__

# Title of a group → (command, module, what it does).
GROUPS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Train": (
        ("train-intro", "train_ppo_ray_intro", "InTRO, and every other method of reinforcement learning"),
        ("train-ppo", "train_ppo_ray", "PPO, GRPO, RLOO, REINFORCE++ …, with 0.6.2's defaults"),
        ("train-sft", "train_sft", "supervised fine-tuning"),
        ("train-rm", "train_rm", "a reward model from preferences"),
        ("train-dpo", "train_dpo", "DPO, cDPO, IPO"),
        ("train-kto", "train_kto", "KTO"),
        ("train-prm", "train_prm", "a process reward model"),
        ("train-kd", "train_kd", "distillation"),
    ),
    "Look": (
        ("report", "report", "one HTML page about one run or several"),
        ("explain", "explain", "what the answer says of each token"),
        ("rollouts", "rollouts", "the rollouts that a run kept"),
        ("methods", "methods", "the methods and their settings"),
    ),
    "Use": (
        ("math-eval", "math_eval", "score a model on mathematical benchmarks"),
        ("batch-inference", "batch_inference", "responses to a file of prompts, rewards for a file of responses"),
        ("chat", "interactive_chat", "talk to a model"),
        ("serve-rm", "serve_rm", "serve a reward model"),
        ("grade-answers", "grade_answers", "compare answers with gold answers"),
        ("lora-combiner", "lora_combiner", "merge an adapter into its model"),
        ("ray-job", "ray_job", "run a command as a job of a Ray cluster"),
    ),
}
MODULES = {name: module for group in GROUPS.values() for name, module, _ in group}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of the command; 2 where there is no such."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(f"openrlhf {__version__}")
        return 0
    if words[0] == "completion":
        print(completion())
        return 0
    module = module_of(words[0])
    if module is None:
        close = get_close_matches(words[0].replace("_", "-"), MODULES, n=1)
        hint = f"; did you mean {close[0]}?" if close else ": openrlhf --help lists them"
        print(f"error: there is no command {words[0]!r}{hint}", file=sys.stderr)
        return 2
    sys.argv = [f"openrlhf {words[0]}", *words[1:]]  # commands read it, and look for keys in it
    return int(import_module(f"openrlhf.cli.{module}").main() or 0)


def module_of(command: str) -> str | None:
    """Of a command by its own name, or by its module's, with dashes or underscores."""
    own = command.replace("_", "-")
    return MODULES.get(own) or next((m for m in MODULES.values() if m.replace("_", "-") == own), None)


def overview() -> str:
    lines = ["usage: openrlhf COMMAND [flags], openrlhf COMMAND --help, openrlhf --version"]
    for title, commands in GROUPS.items():
        lines += ["", title, *(f"  {name:<16} {about}" for name, _, about in commands)]
    lines += [
        "",
        'Completion for bash and zsh: source <(openrlhf completion); "python3 -m openrlhf" is the same command.',
    ]
    return "\n".join(lines)


def completion() -> str:
    """A bash script that completes commands and flags; zsh reads it after `autoload bashcompinit; bashcompinit`."""
    cases = "\n".join(f'    {name}) words="{" ".join(flags_of(module))}" ;;' for name, module in MODULES.items())
    return f"""_openrlhf() {{
  local words="{" ".join(MODULES)} --help --version"
  if [ "$COMP_CWORD" -gt 1 ]; then
    case "${{COMP_WORDS[1]}}" in
{cases}
    *) words="" ;;
    esac
    case "${{COMP_WORDS[COMP_CWORD]}}" in
    -*) ;;
    *) COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}")); return ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o filenames -F _openrlhf openrlhf"""


def flags_of(module: str) -> list[str]:
    """The long flags of a command whose parser can be had without running it."""
    found = import_module(f"openrlhf.cli.{module}")
    make = getattr(found, "parser", None) or getattr(found, "build_parser", None)
    if module not in COMMANDS and make is None:
        return ["--help"]
    parser: argparse.ArgumentParser = build_parser(module) if module in COMMANDS else make()  # type: ignore[misc]
    return sorted(option for action in parser._actions for option in action.option_strings if option.startswith("--"))


if __name__ == "__main__":
    sys.exit(main())
