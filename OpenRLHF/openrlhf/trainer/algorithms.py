"""The table of methods: which algorithm each value of --advantage_estimator names."""

from typing import Any

from openrlhf.trainer.algorithm import Algorithm, KeepCorrect, hint_ids
from openrlhf.trainer.policy_gradient import PolicyGradient
from openrlhf.trainer.role_group import RoleGroup


def algorithm_of(
    args: Any, tokenizer: Any, policy: RoleGroup, reference: RoleGroup | None, critic: RoleGroup | None
) -> Algorithm:
    """args: the flags of an RL command, after the rules between them."""
    if args.advantage_estimator == "intro":
        template = args.intro_answer_template
        return KeepCorrect(
            args.intro_loss_aggregation, args.seed, lambda prompt: hint_ids(tokenizer, template, prompt.label)
        )
    if args.advantage_estimator == "raft":
        return KeepCorrect("seq-mean", args.seed)
    return PolicyGradient(args, policy, reference, critic)
