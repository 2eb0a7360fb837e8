"""Supervised fine-tuning: python3 -m openrlhf.cli.train_sft ..., alone or under a launcher (torchrun, deepspeed)."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openrlhf.cli import offline
from openrlhf.config.rules import sft_rules

if TYPE_CHECKING:
    from openrlhf.datasets.files import Record
    from openrlhf.trainer.batching import Example
    from openrlhf.trainer.learner import Learner


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return offline.main("train_sft", argv, sft_rules, build_samples, build_learner)


def build_samples(
    records: "list[Record]", tokenizer: Any, args: Namespace
) -> "tuple[list[tuple[Example, ...]], list[str]]":
    """Also those of train_kd."""
    from openrlhf.datasets.sft import SFTFormat, build_sft_samples
    from openrlhf.trainer.batching import Example

    style = SFTFormat(
        input_key=args.input_key,
        output_key=args.output_key,
        input_template=args.input_template,
        apply_chat_template=args.apply_chat_template,
        multiturn=getattr(args, "multiturn", False),
        pretrain_mode=args.pretrain_mode,
    )
    made = build_sft_samples(records, tokenizer, style, max_len=args.max_len)
    samples: list[tuple[Example, ...]] = [
        (Example(ids=s.token_ids, scored=s.scored, weight=1.0),) for s in made.samples
    ]
    return samples, made.notes(args.max_len)


def build_learner(args: Namespace, tokenizer: Any) -> "Learner":
    from openrlhf.objectives.sft import SftObjective
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.networks import trainable_actor

    actor = trainable_actor(args.pretrain, args, tokenizer.pad_token_id)
    return Learner(args, actor, SftObjective(args.score_chunk_size), args.learning_rate)


if __name__ == "__main__":
    sys.exit(main())
