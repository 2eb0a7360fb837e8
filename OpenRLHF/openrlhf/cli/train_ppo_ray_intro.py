"""Trains a policy with InTRO on Ray: python3 -m openrlhf.cli.train_ppo_ray_intro --pretrain ... --prompt_data ..."""

import sys
from collections.abc import Sequence

from openrlhf.config.effects import ineffective_flags
from openrlhf.config.errors import UserError
from openrlhf.config.flags import build_parser, given_flags
from openrlhf.config.rules import rl_rules


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    parser = build_parser("train_ppo_ray_intro")
    args = parser.parse_args(argv)
    try:
        args, notes = rl_rules(args)
        if args.advantage_estimator != "intro":
            raise UserError(
                f"--advantage_estimator {args.advantage_estimator} is not built into this command: leave it at intro"
            )
        notes += ineffective_flags(args, given_flags(parser, argv))
        from openrlhf.trainer.ray.launch import prepare, run  # torch and Ray: not for --help

        prepared = prepare(args)
        for note in [*notes, *prepared.notes]:
            print(f"note: {note}")
        print(prepared.description, flush=True)
        if not args.plan_only:
            run(args, prepared)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
