"""A conversation with a model on the terminal: python3 -m openrlhf.cli.interactive_chat --pretrain ..."""

import sys
from collections.abc import Sequence

from openrlhf.config.effects import ineffective_flags
from openrlhf.config.flags import build_parser, given_flags
from openrlhf.config.inference_rules import chat_rules
from openrlhf.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    parser = build_parser("interactive_chat")
    args = parser.parse_args(argv)
    try:
        args, notes = chat_rules(args)
        notes += ineffective_flags(args, given_flags(parser, argv))
        from openrlhf.inference.chat import talk  # torch: not for --help

        talk(args, notes)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
