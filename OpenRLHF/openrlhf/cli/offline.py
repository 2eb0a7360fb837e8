"""What all commands that train on fixed data share: parse → rules → train."""

from collections.abc import Sequence
from pathlib import Path

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import run_command
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.rules import offline_rules
from openrlhf.config.run_file import write_run_file


def main(command: str, argv: Sequence[str] | None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return run_command(command, argv, offline_rules, begin)


def begin(config: OfflineConfig, notes: list[str], parsed: Parsed) -> None:
    from openrlhf.trainer.offline_run import train  # torch: not for --help

    train(config, notes, lambda: write_run_file(Path(config.checkpoint.save_path), parsed.command, parsed.config))
