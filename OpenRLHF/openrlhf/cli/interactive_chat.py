"""A conversation with a model on the terminal: python3 -m openrlhf.cli.interactive_chat --pretrain ..."""

import sys
from collections.abc import Sequence

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import run_command
from openrlhf.config.inference import ChatConfig
from openrlhf.config.inference_rules import chat_rules


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return run_command("interactive_chat", argv, chat_rules, begin)


def begin(config: ChatConfig, notes: list[str], parsed: Parsed) -> None:
    from openrlhf.inference.chat import talk  # torch: not for --help

    talk(config, notes)


if __name__ == "__main__":
    sys.exit(main())
