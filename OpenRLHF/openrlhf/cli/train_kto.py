"""Kahneman-Tversky optimisation: python3 -m openrlhf.cli.train_kto ..., alone or under a launcher (torchrun, ...)."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openrlhf.cli import offline
from openrlhf.config.rules import kto_rules

if TYPE_CHECKING:
    from openrlhf.datasets.files import Record
    from openrlhf.trainer.batching import Example
    from openrlhf.trainer.learner import Learner


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return offline.main("train_kto", argv, kto_rules, build_samples, build_learner)


def build_samples(
    records: "list[Record]", tokenizer: Any, args: Namespace
) -> "tuple[list[tuple[Example, ...]], list[str]]":
    from openrlhf.datasets.sft import SFTFormat
    from openrlhf.datasets.unpaired import build_labelled
    from openrlhf.trainer.batching import Example

    style = SFTFormat(
        input_key=args.input_key,
        output_key=args.output_key,
        input_template=args.input_template,
        apply_chat_template=args.apply_chat_template,
    )
    made = build_labelled(records, tokenizer, style, args.label_key, max_len=args.max_len)
    samples: list[tuple[Example, ...]] = [
        (Example(ids=sample.token_ids, scored=sample.scored, weight=1.0, label=float(label)),)
        for sample, label in zip(made.samples, made.labels, strict=True)
    ]
    return samples, list(made.notes)


def build_learner(args: Namespace, tokenizer: Any) -> "Learner":
    from openrlhf.objectives.kto import KtoObjective
    from openrlhf.trainer.frozen import FrozenActor
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.networks import trainable_actor

    objective = KtoObjective(
        beta=args.beta,
        desirable_weight=args.desirable_loss_weight,
        undesirable_weight=args.undesirable_loss_weight,
        max_len=args.max_len,
        chunk_size=args.score_chunk_size,
    )
    actor = trainable_actor(args.pretrain, args, tokenizer.pad_token_id)
    learner = Learner(args, actor, objective, args.learning_rate)
    learner.reference = FrozenActor(args.pretrain, args, tokenizer.pad_token_id, offload=args.ref_offload)
    return learner


if __name__ == "__main__":
    sys.exit(main())
