"""Rules of batch_inference, interactive_chat and serve_rm; as those in `rules`."""

import ipaddress
import os
from dataclasses import replace
from pathlib import Path

from openrlhf.config.inference import BatchConfig, ChatConfig, ServingConfig
from openrlhf.config.rules import check_ranges, require, settled_model, settled_template
from openrlhf.config.settings import with_flags
from openrlhf.errors import UserError

TASKS = ("generate", "generate_vllm", "rm")
POST_PROCESSORS = ("rs", "csft", "iter_dpo")


def batch_rules(config: BatchConfig) -> tuple[BatchConfig, list[str]]:
    """Afterwards `post_processor` is None or one of `POST_PROCESSORS`."""
    task = config.task
    if task.eval_task not in TASKS:
        raise UserError(f"--eval_task {task.eval_task}: choose one of {', '.join(TASKS)}")
    require(config.model.pretrain, "pretrain", "the model: a Hugging Face folder or hub name")
    require(config.data.dataset, "dataset", "the prompts, or for rm the responses to score: a file, folder or hub name")
    require(task.output_path, "output_path", "the JSON lines file to write")
    if task.output_path and Path(task.output_path).is_dir():
        raise UserError(f"--output_path {task.output_path} is a folder: name the file to write in it")
    check_ranges(config)
    model, notes = settled_model(config.model)
    template, said = settled_template(config.data.input_template, config.data.apply_chat_template)
    post_processor = None if task.post_processor in ("null", "") else task.post_processor
    config = with_flags(replace(config, model=model), input_template=template, post_processor=post_processor)
    if post_processor not in (None, *POST_PROCESSORS):
        raise UserError(f"--post_processor {post_processor}: choose one of {', '.join(POST_PROCESSORS)}")
    if task.eval_task == "rm":
        _check_reward_template(config)
    else:
        _check_generation(config)
    return config, notes + said


def chat_rules(config: ChatConfig) -> tuple[ChatConfig, list[str]]:
    require(config.model.pretrain, "pretrain", "the model to talk to: a Hugging Face folder or hub name")
    opening = config.conversation.ta_prompt
    if opening and not Path(opening).is_file():
        raise UserError(f"--ta_prompt {opening}: there is no such file")
    check_ranges(config)
    model, notes = settled_model(config.model)
    talk = config.conversation
    template, said = settled_template(talk.input_template, talk.apply_chat_template)
    return with_flags(replace(config, model=model), input_template=template), notes + said


def serving_rules(config: ServingConfig) -> tuple[ServingConfig, list[str]]:
    server = config.server
    require(server.reward_pretrain, "reward_pretrain", "the reward model: a Hugging Face folder or hub name")
    if server.reward_pretrain and "," in server.reward_pretrain:
        raise UserError(
            f"--reward_pretrain {server.reward_pretrain}: one server holds one model; start one on another --port for"
            " each, and give their addresses to --remote_rm_url, separated by commas"
        )
    check_ranges(config)
    model, notes = settled_model(config.model)
    if server.max_len < 2:
        raise UserError(
            f"--max_len {server.max_len} leaves no room for a token and the end of sequence: give at least 2"
        )
    if server.no_api_key and server.api_key_file:
        raise UserError("--api_key_file asks for a key and --no_api_key for none: remove one of them")
    if not server.api_key_file and not _is_loopback(server.host):
        if not server.no_api_key:
            raise UserError(
                f"--host {server.host} can be reached from other machines: give --api_key_file, or --host 127.0.0.1 to"
                " keep to this machine; --no_api_key lets everybody ask"
            )
        notes.append(f"--host {server.host} can be reached from other machines, and --no_api_key lets everybody ask.")
    return replace(config, model=model), notes


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_generation(config: BatchConfig) -> None:
    task, sampling = config.task, config.sampling
    if task.post_processor:
        raise UserError(
            f"--post_processor {task.post_processor} works on rewards: first --eval_task {task.eval_task} alone, then"
            " --eval_task rm with its file as --dataset and the post-processor"
        )
    if task.best_of_n > 1 and (sampling.greedy_sampling or sampling.temperature == 0):
        raise UserError(
            f"--best_of_n {task.best_of_n} responses without sampling are all equal: remove --greedy_sampling (or raise"
            " --temperature), or leave --best_of_n at 1"
        )
    if task.eval_task == "generate_vllm" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "--eval_task generate_vllm starts its own workers (--tp_size): run it with python3 -m, without torchrun or"
            " deepspeed"
        )


def _check_reward_template(config: BatchConfig) -> None:
    template = config.task.reward_template
    if config.task.post_processor != "csft" or template is None:
        return
    missing = [name for name in ("{input}", "{reward}") if name not in template]
    if missing:
        raise UserError(f"--reward_template {template!r} has no {' and no '.join(missing)}: write it where it belongs")
