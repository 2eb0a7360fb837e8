"""Generates responses to a file of prompts, or scores a file of responses: python3 -m openrlhf.cli.batch_inference
--eval_task generate|generate_vllm|rm ..."""

import sys
from collections.abc import Sequence

from openrlhf.config.effects import ineffective_flags
from openrlhf.config.flags import build_parser, given_flags
from openrlhf.config.inference_rules import batch_rules
from openrlhf.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    parser = build_parser("batch_inference")
    args = parser.parse_args(argv)
    try:
        args, notes = batch_rules(args)
        notes += ineffective_flags(args, given_flags(parser, argv))
        if args.eval_task == "rm":
            from openrlhf.inference.scoring import score_file  # torch: not for --help

            score_file(args, notes)
        else:
            from openrlhf.inference.generation import generate_file

            generate_file(args, notes)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
