"""Reward models from preferences: python3 -m openrlhf.cli.train_rm ..., alone or under a launcher (torchrun, ...)."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openrlhf.cli import offline
from openrlhf.config.rules import rm_rules
from openrlhf.errors import UserError

if TYPE_CHECKING:
    from openrlhf.datasets.files import Record
    from openrlhf.trainer.batching import Example
    from openrlhf.trainer.learner import Learner


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return offline.main("train_rm", argv, rm_rules, build_samples, build_learner, blend_stop="all_exhausted")


def build_samples(
    records: "list[Record]", tokenizer: Any, args: Namespace
) -> "tuple[list[tuple[Example, ...]], list[str]]":
    from openrlhf.datasets.preference import PreferenceFormat, build_pairs
    from openrlhf.trainer.batching import Example

    made = build_pairs(records, tokenizer, PreferenceFormat.of(args), max_len=args.max_len, for_reward=True)
    notes = made.notes(args.max_len)
    if args.margin_loss and args.loss == "sigmoid" and made.margins < len(made.pairs):
        if not made.margins:
            raise UserError("--margin_loss: none of the rows has a field 'margin'; add it, or remove the flag")
        notes.append(f"{len(made.pairs) - made.margins} of {len(made.pairs)} pairs have no margin: it counts as 0.")
    samples: list[tuple[Example, ...]] = [
        tuple(
            Example(ids=row.token_ids, scored=(len(row.token_ids) - 1,), weight=1.0, label=pair.margin)
            for row in (pair.chosen, pair.rejected)
        )
        for pair in made.pairs
    ]
    return samples, notes


def build_learner(args: Namespace, tokenizer: Any) -> "Learner":
    from openrlhf.objectives.reward import RewardObjective
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.networks import trainable_scalar

    model = trainable_scalar(
        args.pretrain, args, tokenizer.pad_token_id, head_prefix=args.value_head_prefix, at_predictors=False
    )
    return Learner(args, model, RewardObjective(args.loss, args.margin_loss), args.learning_rate)


if __name__ == "__main__":
    sys.exit(main())
