"""What the reinforcement-learning commands share: parse → rules → plan → run."""

from collections.abc import Sequence
from pathlib import Path

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import run_command
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.rules import rl_rules
from openrlhf.config.run_file import write_run_file


def main(command: str, argv: Sequence[str] | None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return run_command(command, argv, rl_rules, begin)


def begin(config: RLConfig, notes: list[str], parsed: Parsed) -> None:
    from openrlhf.trainer.preparation import prepare  # torch: not for --help

    prepared = prepare(config)
    for note in [*notes, *prepared.notes]:
        print(f"note: {note}")
    print(prepared.description, flush=True)
    if not config.plan.plan_only:
        from openrlhf.trainer.ray.launch import run

        write_run_file(Path(config.checkpoint.save_path), parsed.command, parsed.config, parsed.method_source)
        run(prepared)
