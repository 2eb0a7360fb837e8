"""Rules between the flags of batch_inference, interactive_chat and serve_rm; as those in `rules`."""

import os
from argparse import Namespace
from pathlib import Path

from openrlhf.config.rules import model_rules
from openrlhf.errors import UserError

TASKS = ("generate", "generate_vllm", "rm")
POST_PROCESSORS = ("rs", "csft", "iter_dpo")
EVERY_ADDRESS = ("0.0.0.0", "::", "")


def batch_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """Adjusts the flags of batch_inference. Afterwards `post_processor` is None or one of `POST_PROCESSORS`."""
    if args.eval_task not in TASKS:
        raise UserError(f"--eval_task {args.eval_task}: choose one of {', '.join(TASKS)}")
    _require(args, "pretrain", "the model: a Hugging Face folder or hub name")
    _require(args, "dataset", "the prompts, or for rm the responses to score: a file, folder or hub name")
    _require(args, "output_path", "the JSON lines file to write")
    if Path(args.output_path).is_dir():
        raise UserError(f"--output_path {args.output_path} is a folder: name the file to write in it")
    args, notes = model_rules(args)
    args.packing_samples = False
    if args.post_processor in ("null", ""):
        args.post_processor = None
    if args.post_processor not in (None, *POST_PROCESSORS):
        raise UserError(f"--post_processor {args.post_processor}: choose one of {', '.join(POST_PROCESSORS)}")
    if args.eval_task == "rm":
        _check_reward_template(args)
    else:
        _check_generation(args)
    return args, notes


def chat_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """Adjusts the flags of interactive_chat."""
    _require(args, "pretrain", "the model to talk to: a Hugging Face folder or hub name")
    if args.ta_prompt and not Path(args.ta_prompt).is_file():
        raise UserError(f"--ta_prompt {args.ta_prompt}: there is no such file")
    return model_rules(args)


def serving_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """Adjusts the flags of serve_rm."""
    _require(args, "reward_pretrain", "the reward model: a Hugging Face folder or hub name")
    if "," in args.reward_pretrain:
        raise UserError(
            f"--reward_pretrain {args.reward_pretrain}: one server holds one model; start one on another --port for"
            " each, and give their addresses to --remote_rm_url, separated by commas"
        )
    args, notes = model_rules(args)
    if args.max_len < 2:
        raise UserError(f"--max_len {args.max_len} leaves no room for a token and the end of sequence: give at least 2")
    args.packing_samples = False
    if args.host in EVERY_ADDRESS:
        notes.append(
            f"--host {args.host} listens on every address of this machine and asks nobody for a password; --host"
            " 127.0.0.1 keeps the server to this machine."
        )
    return args, notes


def _require(args: Namespace, name: str, what: str) -> None:
    if not getattr(args, name):
        raise UserError(f"--{name} is missing: {what}")


def _check_generation(args: Namespace) -> None:
    if args.post_processor:
        raise UserError(
            f"--post_processor {args.post_processor} works on rewards: first --eval_task {args.eval_task} alone, then"
            " --eval_task rm with its file as --dataset and the post-processor"
        )
    if args.best_of_n > 1 and (args.greedy_sampling or args.temperature == 0):
        raise UserError(
            f"--best_of_n {args.best_of_n} responses without sampling are all equal: remove --greedy_sampling (or raise"
            " --temperature), or leave --best_of_n at 1"
        )
    if args.eval_task == "generate_vllm" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "--eval_task generate_vllm starts its own workers (--tp_size): run it with python3 -m, without torchrun or"
            " deepspeed"
        )


def _check_reward_template(args: Namespace) -> None:
    if args.post_processor != "csft" or args.reward_template is None:
        return
    missing = [name for name in ("{input}", "{reward}") if name not in args.reward_template]
    if missing:
        raise UserError(
            f"--reward_template {args.reward_template!r} has no {' and no '.join(missing)}: write it where it belongs"
        )
