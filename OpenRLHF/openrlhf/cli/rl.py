"""What the reinforcement-learning commands share: parse → rules → plan → run."""

import sys
from collections.abc import Sequence

from openrlhf.config.effects import ineffective_flags
from openrlhf.config.flags import build_parser, given_flags
from openrlhf.config.rules import rl_rules
from openrlhf.errors import UserError


def main(command: str, argv: Sequence[str] | None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    parser = build_parser(command)
    args = parser.parse_args(argv)
    try:
        args, notes = rl_rules(args)
        notes += ineffective_flags(args, given_flags(parser, argv))
        from openrlhf.trainer.preparation import prepare  # torch: not for --help

        prepared = prepare(args)
        for note in [*notes, *prepared.notes]:
            print(f"note: {note}")
        print(prepared.description, flush=True)
        if not args.plan_only:
            from openrlhf.trainer.ray.launch import run

            run(args, prepared)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
