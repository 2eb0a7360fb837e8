"""Process reward models: python3 -m openrlhf.cli.train_prm ..., alone or under a launcher (torchrun, deepspeed)."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openrlhf.cli import offline
from openrlhf.config.rules import prm_rules

if TYPE_CHECKING:
    from openrlhf.datasets.files import Record
    from openrlhf.trainer.batching import Example
    from openrlhf.trainer.learner import Learner


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return offline.main("train_prm", argv, prm_rules, build_samples, build_learner)


def build_samples(
    records: "list[Record]", tokenizer: Any, args: Namespace
) -> "tuple[list[tuple[Example, ...]], list[str]]":
    from openrlhf.datasets.process import StepTokens, build_step_samples
    from openrlhf.trainer.batching import Example

    made = build_step_samples(
        records,
        tokenizer,
        StepTokens.build(tokenizer, args.placeholder_token, args.reward_tokens),
        input_key=args.input_key,
        label_key=args.label_key,
        max_len=args.max_len,
    )
    samples: list[tuple[Example, ...]] = [
        (Example(ids=s.token_ids, scored=s.scored, weight=1.0, columns={"label": s.labels}),) for s in made.samples
    ]
    return samples, made.notes(args.max_len)


def build_learner(args: Namespace, tokenizer: Any) -> "Learner":
    from openrlhf.datasets.process import StepTokens
    from openrlhf.objectives.process import ProcessObjective
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.networks import trainable_actor

    tokens = StepTokens.build(tokenizer, args.placeholder_token, args.reward_tokens)
    objective = ProcessObjective(tuple(tokens.rewards.values()), args.score_chunk_size)
    actor = trainable_actor(args.pretrain, args, tokenizer.pad_token_id)
    return Learner(args, actor, objective, args.learning_rate)


if __name__ == "__main__":
    sys.exit(main())
