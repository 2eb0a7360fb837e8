"""What the reinforcement-learning commands share: parse → rules → folders → plan → run."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import concluded, one_voice_of, run_command
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.rules import rl_rules
from openrlhf.config.run_file import write_run_file
from openrlhf.config.settings import with_flags
from openrlhf.errors import UserError
from openrlhf.trainer.checkpoint import checkpoint_folders
from openrlhf.trainer.early_rows import check_prompts
from openrlhf.trainer.outlook import ahead_outlook
from openrlhf.trainer.resuming import Start, hinting_at_checkpoints, start_of
from openrlhf.trainer.run_folders import NOTES_FILE, PLAN_FILE, claimed, metrics_file
from openrlhf.trainer.state import TrainerState
from openrlhf.utils.atomic import write_atomically
from openrlhf.utils.console import keep_notes, note, say


def main(command: str, argv: Sequence[str] | None) -> int:
    """Exit status: 0 done, 2 something the user can mend, 143 and 130 after SIGTERM and SIGINT."""
    return run_command(command, argv, rl_rules, begin)


def begin(config: RLConfig, notes: list[str], parsed: Parsed) -> None:
    if config.plan.plan_only:
        from openrlhf.trainer.preparation import prepare  # torch: not for --help

        prepare(config).report(notes)
        if outlook := ahead_outlook(metrics_file(config)):
            print(outlook)
        return
    clock = time.monotonic()
    with claimed(config) as folders, one_voice_of(config, parsed):
        start = started(config, folders.run)
        check_prompts(config)
        from openrlhf.trainer.preparation import prepare  # torch: not before the folders are known to be usable

        prepared = prepare(config)
        from openrlhf.trainer.ray.launch import run

        def on_start() -> None:
            prepared.report([*notes, *start.notes])
            folders.begin()
            save_path = Path(config.checkpoint.save_path)
            write_atomically(save_path / PLAN_FILE, prepared.text([*notes, *start.notes]) + "\n")
            keep_notes(save_path / NOTES_FILE)
            write_run_file(Path(config.checkpoint.save_path), parsed.command, parsed.config, parsed.method_source)

        pending = [on_start]  # not again after a restart
        with hinting_at_checkpoints(config), concluded(config, parsed.command, clock, lambda: not pending):
            with_restarts(config, start, lambda where: run(prepared, where, pending.pop() if pending else lambda: None))


def started(config: RLConfig, run: str) -> Start[TrainerState]:
    """Where the run begins; see `start_of`."""
    fresh = TrainerState(kl_coef=config.kl.init_kl_coef, run=run)
    return start_of(config, fresh, checkpoint_folders(config), config.placement.actor_ranks)


def with_restarts(config: RLConfig, start: Start[TrainerState], run: Callable[[Start[TrainerState]], None]) -> None:
    """Runs; where a part of the run dies, at most --max_restarts times again, from the latest checkpoint.

    What the user can mend is raised at once: it would only happen again.
    """
    identity, limit = start.state.run, config.checkpoint.max_restarts
    for attempt in range(limit + 1):
        try:
            run(start)
            return
        except UserError:
            raise
        except RuntimeError as error:
            if attempt == limit:
                raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            note(f"{reason[0]}: restart {attempt + 1} of {limit}.")
            start = started(with_flags(config, load_checkpoint=True), identity)
            for line in start.notes:
                say(f"note: {line}")
