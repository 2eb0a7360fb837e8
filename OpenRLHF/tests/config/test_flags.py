"""Flags against the facts extracted from OpenRLHF 0.6.2, and how command lines are read."""

import argparse
import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from configuring import Flat, parsed
from openrlhf.cli.arguments import build_parser, given_flags
from openrlhf.cli.commands import COMMANDS
from openrlhf.config.method import RLMethodConfig
from openrlhf.config.settings import flags_of
from openrlhf.methods.registry import METHODS, methods_of

FIXTURE = Path(__file__).parents[1] / "fixtures" / "openrlhf_0_6_2_flags.json"
UPSTREAM = {
    name.rsplit(".", 1)[1]: flags for name, flags in json.loads(FIXTURE.read_text(encoding="utf-8"))["modules"].items()
}
# What a computed default of 0.6.2 comes out as, by its expression.
COMPUTED = {
    "torch.cuda.device_count()": r"visible",
    "'exp_%s' % datetime.now().strftime('%m%dT%H:%M')": r"exp_\d{4}T\d\d:\d\d",
    "'sft_%s' % datetime.now().strftime('%m%dT%H:%M')": r"sft_\d{4}T\d\d:\d\d",
    "'rm_%s' % datetime.now().strftime('%m%dT%H:%M')": r"rm_\d{4}T\d\d:\d\d",
    "'ppo_%s' % datetime.now().strftime('%m%dT%H:%M')": r"ppo_\d{4}T\d\d:\d\d",
    "'prm_%s' % datetime.now().strftime('%m%dT%H:%M')": r"prm_\d{4}T\d\d:\d\d",
}
TYPE_NAMES = {"integer": "int", "gpu_count": "int", "float": "float", "str": "str"}
EVERY_FLAG = [(command, name) for command, flags in UPSTREAM.items() for name in flags]


def actions(command: str) -> dict[str, argparse.Action]:
    return {action.option_strings[0]: action for action in build_parser(command)._actions}


ACTIONS = {command: actions(command) for command in COMMANDS}


# Of --advantage_estimator: the declarations say which methods are not OpenRLHF's.
ADDED = [m for m in METHODS if issubclass(m, RLMethodConfig) and not m.in_openrlhf]
ADDED_CHOICES = {m.name for m in ADDED}
ADDED_METHODS = [m for m in ADDED if "train_ppo_ray" in m.commands]
OWN = {"--config"}


def test_the_facts_cover_eleven_commands_and_555_flags():
    assert len(UPSTREAM) == 11
    assert len(EVERY_FLAG) == 555
    assert len({name for _, name in EVERY_FLAG}) == 164


@pytest.mark.parametrize(("command", "name"), EVERY_FLAG)
def test_each_flag_of_0_6_2_has_the_same_type_default_choices_and_arity(command: str, name: str):
    wanted, ours = UPSTREAM[command][name], ACTIONS[command][name]
    assert ours.option_strings == [name]
    assert ours.required == wanted.get("required", False)
    if wanted.get("action") == "store_true":
        assert (ours.nargs, ours.const, ours.default, ours.type) == (0, True, wanted["default"], None)
        return
    assert TYPE_NAMES[ours.type.__name__] == wanted["type"]
    assert ours.nargs == wanted.get("nargs")
    choices = [choice for choice in ours.choices or () if choice not in ADDED_CHOICES]
    assert (choices or None) == wanted.get("choices")
    default = list(ours.default) if isinstance(ours.default, tuple) else ours.default
    if isinstance(wanted["default"], dict):
        assert re.fullmatch(COMPUTED[wanted["default"]["expr"]], default)
    elif wanted["type"] == "int" and isinstance(wanted["default"], str):
        assert default == int(wanted["default"])  # argparse converts a default written as text
    else:
        assert default == wanted["default"]
        assert isinstance(default, type(wanted["default"])) or wanted["type"] == "float"


@pytest.mark.parametrize("command", UPSTREAM)
def test_no_command_has_a_flag_beside_those_of_0_6_2_and_the_documented_additions(command: str):
    training = {
        "--plan_only",
        "--gpu_memory_gib",
        "--attn_implementation",
        "--score_chunk_size",
        "--metrics_path",
        "--lr_min_ratio",
        "--overwrite",
        "--max_tokens_per_micro_batch",
        "--max_restarts",
        "--save_on_signal",
    }
    # Commands that run the same loop take the same flags; 0.6.2 has these in some of them only.
    loop = {"--save_hf_ckpt", "--disable_ds_ckpt", "--lr_scheduler", "--packing_samples", "--use_tensorboard"}
    offline = {f"train_{name}": training | loop for name in ("sft", "rm", "dpo", "kto", "prm", "kd")}
    added = {
        **offline,
        "train_ppo_ray": training
        | {
            "--method",
            "--reward_policy",
            "--rollout_engine",
            "--vllm_kv_cache_mb",
            "--sync_timeout",
            "--generate_timeout",
            "--reward_workers",
            "--stop",
            "--rollout_ahead",
            "--rollout_inflight",
            "--off_policy_correction",
            "--correction_cap",
            "--correction_range",
        }
        | {
            "--reward_timeout",
            "--max_reward_failures",
            "--on_anomaly",
            "--api_key_file",
            "--dynamic_filtering",
            "--eval_dataset",
            "--eval_n_samples",
            "--eval_temperature",
            "--eval_max_samples",
        }
        | {"--num_sample_rationales", "--save_rollouts", "--replay"}
        | {f"--{flag.name}" for method in ADDED_METHODS for _, flag in flags_of(method)},
        "serve_rm": {"--workers", "--max_requests", "--max_request_mb", "--api_key_file", "--no_api_key"},
    }.get(command, set())
    talk = {"--quiet", "--verbose"} if command.startswith("train_") else set()
    assert set(ACTIONS[command]) - {"-h"} == set(UPSTREAM[command]) | added | OWN | talk


def test_the_intro_command_takes_every_flag_of_ppo_with_intro_as_the_default_estimator():
    ppo, intro = ACTIONS["train_ppo_ray"], ACTIONS["train_ppo_ray_intro"]
    assert set(ppo) < set(intro)
    for name in UPSTREAM["train_ppo_ray"].keys() - {"--advantage_estimator"}:
        assert (intro[name].type, intro[name].default) == (ppo[name].type, ppo[name].default)
    assert intro["--advantage_estimator"].default == "intro"
    assert set(intro["--advantage_estimator"].choices) == {"intro", *ppo["--advantage_estimator"].choices}


def test_intro_defaults_are_the_published_setting():
    args = Flat(parsed("train_ppo_ray_intro").config)
    assert (args.intro_num_candidates, args.intro_top_k, args.intro_clip_max) == (5, 20, 200.0)
    assert args.intro_answer_template.format(answer="7") == " ###Answer:7 ###Solution:"
    assert (args.intro_estimator, args.intro_posterior) == ("sampled", "online")
    assert (args.intro_loss_aggregation, args.intro_temperature) == ("seq-mean", 1.0)


def flags_of_a(command: str) -> dict[str, str]:
    """Name and help of each flag of a command's parts and methods."""
    kinds = [COMMANDS[command].config, *methods_of(command).values()]
    return {flag.name: flag.help for kind in kinds for _, flag in flags_of(kind)}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_leaves_out_or_changes_is_there_to_be_left_out_or_changed(command: str):
    own, names = COMMANDS[command], flags_of_a(command)
    assert set(own.without.split()) <= names.keys()
    assert set(own.defaults) <= names.keys() - set(own.without.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_flag_means_one_thing_in_a_command_and_explains_itself_in_a_sentence(command: str):
    kinds = [COMMANDS[command].config, *methods_of(command).values()]
    meanings: dict[str, set[tuple]] = {}
    for kind in kinds:
        for _, flag in flags_of(kind):
            meanings.setdefault(flag.name, set()).add((flag.help, flag.kind, flag.choices))
            assert flag.help.endswith("."), flag.name
            assert len(flag.help.split()) >= 3, flag.name
    assert [name for name, found in meanings.items() if len(found) > 1] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_printed_with_every_flag_in_a_group(command: str):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit) as stop:
        build_parser(command).parse_args(["--help"])
    assert stop.value.code == 0
    groups = text.getvalue().split("\n\n")
    assert not any(part.startswith("options:") and "--" in part.replace("--help", "") for part in groups)
    for name in flags_of_a(command).keys() - set(COMMANDS[command].without.split()):
        assert f"--{name}" in text.getvalue()


def test_whole_numbers_may_be_written_with_an_exponent_but_not_with_a_fraction(capsys):
    parser = build_parser("train_sft")
    assert parser.parse_args(["--max_samples", "1e8"]).max_samples == 100_000_000
    assert isinstance(parser.parse_args(["--max_samples", "1e3"]).max_samples, int)
    for bad in ("1.5", "many", "nan", "inf"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--max_samples", bad])
        assert f"argument --max_samples: invalid integer value: '{bad}'" in capsys.readouterr().err


def test_given_flags_are_those_on_the_command_line_even_when_equal_to_the_default():
    parser = build_parser("train_ppo_ray_intro")
    argv = ["--gamma", "1", "--bf16", "--adam_betas", "0.9", "0.95", "--target_modules", "--eps_cl=0.2"]
    assert given_flags(parser, argv) == {"gamma", "bf16", "adam_betas", "target_modules", "eps_clip"}
    assert given_flags(parser, []) == set()


def test_the_lora_combiner_requires_its_three_paths(capsys):
    with pytest.raises(SystemExit):
        build_parser("lora_combiner").parse_args([])
    assert "--model_path, --lora_path, --output_path" in capsys.readouterr().err


def test_the_number_of_gpus_is_asked_for_only_when_it_is_not_given():
    code = (
        "import sys; from openrlhf.cli.arguments import build_parser; p = build_parser('batch_inference');"
        "assert p.parse_args(['--tp_size', '4']).tp_size == 4; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_flags_and_rules_import_nothing_heavy():
    code = (
        "import sys; import openrlhf.cli.reading;"
        "heavy = {'torch', 'transformers', 'ray', 'vllm', 'deepspeed', 'datasets', 'numpy'};"
        "heavy &= set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
