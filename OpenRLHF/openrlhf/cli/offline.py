"""What all commands that train on fixed data share: parse → rules → folders → train."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import run_command
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.rules import offline_rules
from openrlhf.config.run_file import write_run_file
from openrlhf.trainer.early_rows import check_file
from openrlhf.trainer.resuming import hinting_at_checkpoints, start_of
from openrlhf.trainer.run_folders import RunFolders, claimed
from openrlhf.trainer.state import OfflineState


def main(command: str, argv: Sequence[str] | None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return run_command(command, argv, offline_rules, begin)


def begin(config: OfflineConfig, notes: list[str], parsed: Parsed) -> None:
    """Every rank comes here; the folders are the first one's."""
    settings = config.checkpoint
    mine = not config.plan.plan_only and os.environ.get("RANK", "0") == "0"
    with claimed(config) if mine else nullcontext(RunFolders()) as folders:
        fresh, ranks = OfflineState(run=folders.run), int(os.environ.get("WORLD_SIZE", "1"))
        start = start_of(config, fresh, [Path(settings.ckpt_path)], ranks)
        if mine:
            check_file(config)
        from openrlhf.trainer.offline_run import train  # torch: not before the folders are known to be usable

        def on_start() -> None:
            folders.begin()
            write_run_file(Path(settings.save_path), parsed.command, parsed.config)

        with hinting_at_checkpoints(config) if mine else nullcontext():
            train(config, [*notes, *start.notes], start, on_start)
