"""What all commands that train on fixed data share: parse → rules → folders → train."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import concluded, one_voice_of, run_command
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.rules import offline_rules
from openrlhf.config.run_file import write_run_file
from openrlhf.trainer.early_rows import check_file
from openrlhf.trainer.resuming import hinting_at_checkpoints, start_of
from openrlhf.trainer.run_folders import NOTES_FILE, PLAN_FILE, RunFolders, claimed
from openrlhf.trainer.state import OfflineState
from openrlhf.utils.atomic import write_atomically
from openrlhf.utils.console import keep_notes


def main(command: str, argv: Sequence[str] | None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return run_command(command, argv, offline_rules, begin)


def begin(config: OfflineConfig, notes: list[str], parsed: Parsed) -> None:
    """Every rank comes here; the folders are the first one's."""
    settings = config.checkpoint
    rank, clock = int(os.environ.get("RANK", "0")), time.monotonic()
    mine = not config.plan.plan_only and rank == 0
    with ExitStack() as around:
        folders = around.enter_context(claimed(config)) if mine else RunFolders()
        if not config.plan.plan_only:
            around.enter_context(one_voice_of(config, parsed, rank))
        fresh, ranks = OfflineState(run=folders.run), int(os.environ.get("WORLD_SIZE", "1"))
        start = start_of(config, fresh, [Path(settings.ckpt_path)], ranks)
        if mine:
            check_file(config)
        from openrlhf.trainer.offline_run import train  # torch: not before the folders are known to be usable

        begun = []

        def on_start(plan: str) -> None:
            folders.begin()
            write_atomically(Path(settings.save_path) / PLAN_FILE, plan + "\n")
            keep_notes(Path(settings.save_path) / NOTES_FILE)
            begun.append(True)
            write_run_file(Path(settings.save_path), parsed.command, parsed.config)

        if mine:
            around.enter_context(hinting_at_checkpoints(config))
            around.enter_context(concluded(config, parsed.command, clock, lambda: bool(begun)))
        train(config, [*notes, *start.notes], start, on_start)
