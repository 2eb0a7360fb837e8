"""What the reinforcement-learning commands share: parse → rules → folders → plan → run."""

from collections.abc import Sequence
from pathlib import Path

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import run_command
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.rules import rl_rules
from openrlhf.config.run_file import write_run_file
from openrlhf.trainer.checkpoint import checkpoint_folders
from openrlhf.trainer.resuming import hinting_at_checkpoints, start_of
from openrlhf.trainer.run_folders import claimed
from openrlhf.trainer.state import TrainerState


def main(command: str, argv: Sequence[str] | None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return run_command(command, argv, rl_rules, begin)


def begin(config: RLConfig, notes: list[str], parsed: Parsed) -> None:
    if config.plan.plan_only:
        from openrlhf.trainer.preparation import prepare  # torch: not for --help

        prepare(config).report(notes)
        return
    with claimed(config) as folders:
        fresh = TrainerState(kl_coef=config.kl.init_kl_coef, run=folders.run)
        start = start_of(config, fresh, checkpoint_folders(config), config.placement.actor_ranks)
        from openrlhf.trainer.preparation import prepare  # torch: not before the folders are known to be usable

        prepared = prepare(config)
        prepared.report([*notes, *start.notes])
        from openrlhf.trainer.ray.launch import run

        folders.begin()
        write_run_file(Path(config.checkpoint.save_path), parsed.command, parsed.config, parsed.method_source)
        with hinting_at_checkpoints(config):
            run(prepared, start)
