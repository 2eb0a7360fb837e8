"""What all commands that train on fixed data share: parse → rules → data → plan → train."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from openrlhf.config.effects import ineffective_flags
from openrlhf.config.flags import build_parser, given_flags
from openrlhf.errors import UserError

if TYPE_CHECKING:
    from openrlhf.datasets.blending import Stop
    from openrlhf.datasets.files import Record
    from openrlhf.trainer.batching import Example
    from openrlhf.trainer.learner import Learner

Rules = Callable[[Namespace], tuple[Namespace, list[str]]]
# (records, tokenizer, args) → the rows of each sample, and notes about what was cut or left out
BuildSamples = Callable[["list[Record]", Any, Namespace], "tuple[list[tuple[Example, ...]], list[str]]"]
# (args, tokenizer) → the learner, once the process group exists
BuildLearner = Callable[[Namespace, Any], "Learner"]
# (args, tokenizer), before anything is loaded
Check = Callable[[Namespace, Any], None]


def main(
    command: str,
    argv: Sequence[str] | None,
    rules: Rules,
    build_samples: BuildSamples,
    build_learner: BuildLearner,
    *,
    blend_stop: "Stop" = "first_exhausted",
    check: Check | None = None,
) -> int:
    """Runs one command. Exit status: 0 done, 2 something the user can mend.

    blend_stop: until when several sources are mixed, see `load_blend`. check: refuses further models that do not fit.
    """
    parser = build_parser(command)
    args = parser.parse_args(argv)
    try:
        args, notes = rules(args)
        notes += ineffective_flags(args, given_flags(parser, argv))
        train(args, notes, build_samples, build_learner, blend_stop, check)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def train(
    args: Namespace,
    notes: list[str],
    build_samples: BuildSamples,
    build_learner: BuildLearner,
    blend_stop: "Stop" = "first_exhausted",
    check: Check | None = None,
) -> None:
    """Reads and checks the data before a model is loaded. A source without the eval split has nothing held out."""
    import torch.distributed as dist

    from openrlhf.config.plan import offline_plan
    from openrlhf.datasets.blending import load_blend
    from openrlhf.models.loader import load_config, load_tokenizer
    from openrlhf.models.moe import router_balance
    from openrlhf.trainer.deepspeed_setup import init_process_group
    from openrlhf.trainer.offline_trainer import OfflineTrainer

    tokenizer = load_tokenizer(args.pretrain, use_fast=not args.disable_fast_tokenizer)
    if getattr(args, "tokenizer_chat_template", None):
        tokenizer.chat_template = args.tokenizer_chat_template
    router_balance(load_config(args.pretrain), args)  # refuses what could not be balanced
    if check is not None:
        check(args, tokenizer)

    def samples(split: str, required: bool) -> "list[tuple[Example, ...]]":
        records = load_blend(
            args.dataset,
            args.dataset_probs,
            split=split,
            seed=args.seed,
            max_samples=args.max_samples,
            stop=blend_stop,
            required=required,
        )
        if not records:
            return []
        made, left_out = build_samples(records, tokenizer, args)
        notes.extend(f"{split}: {note}" for note in left_out)
        return made

    train_samples = samples(args.train_split, required=True)
    held_out = samples(args.eval_split, required=False) if args.eval_split != args.train_split else []
    plan = offline_plan(args, len(train_samples), len(held_out))
    if args.plan_only:
        _report(notes, plan)
        return
    init_process_group()
    if dist.get_rank() == 0:
        _report(notes, plan)
    OfflineTrainer(args, build_learner(args, tokenizer), tokenizer, train_samples, held_out).train()
    dist.destroy_process_group()


def _report(notes: list[str], plan: str) -> None:
    for note in notes:
        print(f"note: {note}")
    print(plan, flush=True)
