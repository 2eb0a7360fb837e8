"""Direct preference optimisation: python3 -m openrlhf.cli.train_dpo ..., alone or under a launcher (torchrun, ...)."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openrlhf.cli import offline
from openrlhf.config.rules import dpo_rules

if TYPE_CHECKING:
    from openrlhf.datasets.files import Record
    from openrlhf.trainer.batching import Example
    from openrlhf.trainer.learner import Learner


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return offline.main("train_dpo", argv, dpo_rules, build_samples, build_learner, blend_stop="all_exhausted")


def build_samples(
    records: "list[Record]", tokenizer: Any, args: Namespace
) -> "tuple[list[tuple[Example, ...]], list[str]]":
    from openrlhf.datasets.preference import PreferenceFormat, build_pairs
    from openrlhf.models.loader import check_same_vocabulary
    from openrlhf.trainer.batching import Example

    if args.ref_pretrain != args.pretrain:
        check_same_vocabulary(tokenizer, args.ref_pretrain, "--ref_pretrain")
    made = build_pairs(records, tokenizer, PreferenceFormat.of(args), max_len=args.max_len, for_reward=False)
    samples: list[tuple[Example, ...]] = [
        tuple(Example(ids=row.token_ids, scored=row.scored, weight=1.0) for row in (pair.chosen, pair.rejected))
        for pair in made.pairs
    ]
    return samples, made.notes(args.max_len)


def build_learner(args: Namespace, tokenizer: Any) -> "Learner":
    from openrlhf.objectives.dpo import DpoObjective
    from openrlhf.trainer.frozen import FrozenActor
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.networks import trainable_actor

    objective = DpoObjective(args.beta, args.label_smoothing, args.ipo, args.nll_loss_coef, args.score_chunk_size)
    actor = trainable_actor(args.pretrain, args, tokenizer.pad_token_id)
    learner = Learner(args, actor, objective, args.learning_rate)
    learner.reference = FrozenActor(args.ref_pretrain, args, tokenizer.pad_token_id, offload=args.ref_offload)
    return learner


if __name__ == "__main__":
    sys.exit(main())
