"""Generates responses to a file of prompts, or scores a file of responses: python3 -m openrlhf.cli.batch_inference
--eval_task generate|generate_vllm|rm ..."""

import sys
from collections.abc import Sequence

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import run_command
from openrlhf.config.inference import BatchConfig
from openrlhf.config.inference_rules import batch_rules


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return run_command("batch_inference", argv, batch_rules, begin)


def begin(config: BatchConfig, notes: list[str], parsed: Parsed) -> None:
    if config.task.eval_task == "rm":
        from openrlhf.inference.scoring import score_file  # torch: not for --help

        score_file(config, notes)
    else:
        from openrlhf.inference.generation import generate_file

        generate_file(config, notes)


if __name__ == "__main__":
    sys.exit(main())
