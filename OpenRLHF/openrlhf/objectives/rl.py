"""The objective of each --advantage_estimator."""

from argparse import Namespace

from openrlhf.objectives.base import Objective
from openrlhf.objectives.intro import IntroConfig, IntroObjective
from openrlhf.objectives.kl import KlTerm
from openrlhf.objectives.policy import PolicyObjective
from openrlhf.objectives.sft import SftObjective


def rl_objective(args: Namespace) -> Objective:
    """args: the flags of an RL command, after the rules between them."""
    kl = KlTerm(args.init_kl_coef, args.kl_estimator) if args.use_kl_loss and args.init_kl_coef > 0 else None
    if args.advantage_estimator == "intro":
        config = IntroConfig(
            estimator=args.intro_estimator,
            num_candidates=args.intro_num_candidates,
            top_k=args.intro_top_k,
            clip_max=args.intro_clip_max,
            temperature=args.intro_temperature,
        )
        return IntroObjective(config, args.score_chunk_size, kl)
    if args.advantage_estimator == "raft":
        return SftObjective(args.score_chunk_size, "nll")
    return PolicyObjective(args.eps_clip, args.score_chunk_size, args.temperature or 1.0, kl)
