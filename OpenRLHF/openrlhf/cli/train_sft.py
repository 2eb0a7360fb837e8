"""Supervised fine-tuning: python3 -m openrlhf.cli.train_sft ..., alone or under a launcher (torchrun, deepspeed)."""

import sys
from argparse import Namespace
from collections.abc import Sequence

from openrlhf.config.errors import UserError
from openrlhf.config.flags import build_parser
from openrlhf.config.rules import sft_rules


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    args = build_parser("train_sft").parse_args(argv)
    try:
        args, notes = sft_rules(args)
        train(args, notes)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def train(args: Namespace, notes: list[str]) -> None:
    import torch.distributed as dist

    from openrlhf.config.plan import offline_plan
    from openrlhf.datasets.blending import load_blend
    from openrlhf.datasets.sft import SFTFormat, build_sft_samples
    from openrlhf.models.loader import load_tokenizer
    from openrlhf.objectives.sft import SftObjective
    from openrlhf.trainer.batching import Example
    from openrlhf.trainer.deepspeed_setup import init_process_group
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.offline_trainer import OfflineTrainer

    tokenizer = load_tokenizer(args.pretrain, use_fast=not args.disable_fast_tokenizer)
    if args.tokenizer_chat_template:
        tokenizer.chat_template = args.tokenizer_chat_template
    style = SFTFormat(
        input_key=args.input_key,
        output_key=args.output_key,
        input_template=args.input_template,
        apply_chat_template=args.apply_chat_template,
        multiturn=args.multiturn,
        pretrain_mode=args.pretrain_mode,
    )

    def examples(split: str, required: bool) -> list[Example]:
        records = load_blend(
            args.dataset,
            args.dataset_probs,
            split=split,
            seed=args.seed,
            max_samples=args.max_samples,
            required=required,
        )
        if not records:
            return []
        made = build_sft_samples(records, tokenizer, style, max_len=args.max_len)
        notes.extend(f"{split}: {note}" for note in made.notes(args.max_len))
        return [Example(ids=s.token_ids, scored=s.scored, weight=1.0) for s in made.samples]

    samples = examples(args.train_split, required=True)
    # A single file has one split only: then there is nothing held out to evaluate on.
    held_out = examples(args.eval_split, required=False) if args.eval_split != args.train_split else []
    if args.plan_only:
        print(offline_plan(args, len(samples), len(held_out)))
        return
    init_process_group()
    if dist.get_rank() == 0:
        for note in notes:
            print(f"note: {note}")
        print(offline_plan(args, len(samples), len(held_out)), flush=True)
    learner = Learner(args, SftObjective(args.score_chunk_size), args.learning_rate, tokenizer.pad_token_id)
    OfflineTrainer(args, learner, tokenizer, samples, held_out).train()
    dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
