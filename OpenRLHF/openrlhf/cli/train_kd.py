"""Knowledge distillation: python3 -m openrlhf.cli.train_kd ..., alone or under a launcher (torchrun, deepspeed)."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from openrlhf.cli import offline
from openrlhf.cli.train_sft import build_samples
from openrlhf.config.rules import kd_rules

if TYPE_CHECKING:
    from openrlhf.trainer.learner import Learner


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return offline.main("train_kd", argv, kd_rules, build_samples, build_learner, check=check_teacher)


def build_learner(args: Namespace, tokenizer: Any) -> "Learner":
    from openrlhf.objectives.distill import DistillObjective
    from openrlhf.trainer.frozen import FrozenActor
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.networks import trainable_actor
    from openrlhf.trainer.posterior import InitialPosterior

    actor = trainable_actor(args.pretrain, args, tokenizer.pad_token_id)
    learner = Learner(args, actor, DistillObjective(args.kd_coef, args.score_chunk_size), args.learning_rate)
    teacher = FrozenActor(args.teacher_model, args, tokenizer.pad_token_id, offload=args.teacher_offload)
    learner.posterior = InitialPosterior(teacher)
    return learner


def check_teacher(args: Namespace, tokenizer: Any) -> None:
    """UserError unless the teacher's distribution is one over the student's tokens."""
    from openrlhf.errors import UserError
    from openrlhf.models.loader import load_config, load_tokenizer

    sizes = [load_config(path).get_text_config().vocab_size for path in (args.pretrain, args.teacher_model)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"--teacher_model {args.teacher_model} has {sizes[1]} outputs, --pretrain {args.pretrain} has {sizes[0]}: "
            "distributions can only be compared over the same vocabulary; choose a teacher of the student's family"
        )
    theirs = load_tokenizer(args.teacher_model, use_fast=not args.disable_fast_tokenizer)
    if theirs.get_vocab() != tokenizer.get_vocab():
        raise UserError(
            f"--teacher_model {args.teacher_model} and --pretrain {args.pretrain} number their tokens differently: "
            "choose a teacher that has the student's tokenizer"
        )


if __name__ == "__main__":
    sys.exit(main())
