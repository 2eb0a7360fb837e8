"""Rules between flags, one sentence each."""

from pathlib import Path

import pytest

from configuring import Flat, parsed
from openrlhf.cli.reading import settled
from openrlhf.config import rules
from openrlhf.config.rules import offline_rules, rl_rules
from openrlhf.config.settings import values_of
from openrlhf.errors import UserError
from toy_models import toy_config, toy_experts

BASE = ["--pretrain", "m", "--prompt_data", "d.json", "--label_key", "answer", "--n_samples_per_prompt", "4"]
PPO = ["--pretrain", "m", "--prompt_data", "d.json", "--remote_rm_url", "http://host/score"]


def rl(command: str, *argv: str) -> tuple[Flat, list[str]]:
    config, notes = rl_rules(parsed(command, *argv).config)
    return Flat(config), notes


def intro(*argv: str) -> tuple[Flat, list[str]]:
    return rl("train_ppo_ray_intro", *BASE, *argv)


def ppo(*argv: str) -> tuple[Flat, list[str]]:
    return rl("train_ppo_ray", *PPO, *argv)


def offline(command: str, *argv: str) -> tuple[Flat, list[str]]:
    config, notes = offline_rules(parsed(command, "--pretrain", "m", "--dataset", "d", *argv).config)
    return Flat(config), notes


def sft(*argv: str) -> tuple[Flat, list[str]]:
    return offline("train_sft", *argv)


def ineffective(*argv: str) -> dict[str, str]:
    _, notes = settled(parsed("train_ppo_ray_intro", *BASE, *argv), rl_rules)
    return dict(note.split(" has no effect: ") for note in notes if " has no effect: " in note)


def test_plain_intro_needs_no_more_than_model_data_label_and_samples():
    args, notes = intro()
    assert notes == []
    assert (args.config.reward.sources, args.critic_pretrain, args.packing_samples) == (["math"], None, True)
    assert args.attn_implementation == "sdpa"
    assert not args.needs_reference


def test_the_parsed_configuration_is_left_as_it_was():
    config = parsed("train_ppo_ray_intro", *BASE, "--input_template", "None").config
    before = values_of(config)
    rl_rules(config)
    assert values_of(config) == before


def test_only_gae_keeps_a_critic():
    args, notes = ppo("--advantage_estimator", "reinforce", "--critic_pretrain", "c")
    assert args.critic_pretrain is None
    assert notes == ["--critic_pretrain is dropped: REINFORCE++ trains no critic."]


def test_gae_without_critic_starts_it_from_the_policy_under_a_remote_reward():
    args, notes = ppo()
    assert args.critic_pretrain == "m"
    assert "The critic starts from m" in notes[0]


def test_gae_without_critic_starts_it_from_the_first_reward_model():
    args, _ = rl("train_ppo_ray", "--pretrain", "m", "--prompt_data", "d", "--reward_pretrain", "r1,r2")
    assert args.critic_pretrain == "r1"
    assert (args.config.reward.sources, args.config.reward.models) == ([], ["r1", "r2"])


@pytest.mark.parametrize("estimator", ["rloo", "reinforce_baseline", "group_norm"])
def test_estimators_that_compare_responses_refuse_a_single_one(estimator: str):
    with pytest.raises(UserError, match=r"needs several responses .* --n_samples_per_prompt is 1: give at least 2"):
        ppo("--advantage_estimator", estimator)
    assert ppo("--advantage_estimator", estimator, "--n_samples_per_prompt", "2")[0].n_samples_per_prompt == 2


def test_intro_refuses_a_single_sample_per_prompt():
    with pytest.raises(UserError, match="n_samples_per_prompt is 1"):
        intro("--n_samples_per_prompt", "1")


def test_reinforce_and_gae_accept_a_single_sample():
    assert ppo("--advantage_estimator", "reinforce")[0].n_samples_per_prompt == 1


def test_reward_urls_are_split_on_commas():
    urls = "http://a:5000/get_reward, https://b/get_reward"
    assert ppo("--remote_rm_url", urls)[0].config.reward.sources == [
        "http://a:5000/get_reward",
        "https://b/get_reward",
    ]


def test_a_reward_file_must_exist_and_stand_alone(tmp_path: Path):
    file = tmp_path / "grade.py"
    with pytest.raises(UserError, match=r"grade.py: cannot be read .No such file"):
        intro("--remote_rm_url", str(file))
    file.write_text("def reward_func(queries, prompts, labels): ...\n", encoding="utf-8")
    assert intro("--remote_rm_url", str(file))[0].config.reward.sources == [str(file)]
    with pytest.raises(UserError, match="only URLs can be summed"):
        intro("--remote_rm_url", f"{file},http://a")
    with pytest.raises(UserError, match=r"ftp://a is neither a .py file, nor a URL"):
        intro("--remote_rm_url", "ftp://a")


def test_ppo_without_any_reward_is_refused():
    with pytest.raises(UserError, match="no reward: give --remote_rm_url"):
        rl("train_ppo_ray", "--pretrain", "m", "--prompt_data", "d")


@pytest.mark.parametrize(("template", "notes"), [("None", 0), ("", 0), ("Question:", 1)])
def test_a_template_without_braces_is_none(template: str, notes: int):
    args, said = intro("--input_template", template)
    assert args.input_template is None
    assert len(said) == notes


def test_a_template_with_braces_is_kept_and_a_literal_backslash_n_is_pointed_out():
    args, notes = intro("--input_template", "Q: {}\nA: ")
    assert (args.input_template, notes) == ("Q: {}\nA: ", [])
    args, notes = intro("--input_template", r"Q: {}\nA: ")
    assert args.input_template == r"Q: {}\nA: "
    assert "backslash" in notes[0]


def test_intro_packs_unless_told_not_to():
    assert not intro("--no_pack_samples")[0].packing_samples
    assert intro("--packing_samples")[0].packing_samples
    with pytest.raises(UserError, match="contradict"):
        intro("--packing_samples", "--no_pack_samples")


def test_pretraining_data_go_with_policy_gradients_alone():
    with pytest.raises(UserError, match=r"InTRO adds no loss on plain text"):
        intro("--pretrain_data", "text.jsonl")
    assert ppo("--pretrain_data", "text.jsonl", "--packing_samples")[0].pretrain_data == "text.jsonl"


def test_sleeping_engines_need_colocation():
    args, notes = intro("--vllm_enable_sleep")
    assert args.vllm_enable_sleep is False
    assert "--colocate_all_models" in notes[0]
    colocated = ["--vllm_enable_sleep", "--colocate_all_models", "--vllm_num_engines", "8"]
    assert intro(*colocated)[0].vllm_enable_sleep is True


def test_a_sleeping_trainer_needs_zero_3_and_has_nothing_to_move_under_adam_offload():
    assert intro("--deepspeed_enable_sleep", "--zero_stage", "3")[0].deepspeed_enable_sleep
    with pytest.raises(UserError, match="needs --zero_stage 3, found 2"):
        intro("--deepspeed_enable_sleep", "--zero_stage", "2")
    assert not intro("--deepspeed_enable_sleep", "--adam_offload", "--zero_stage", "2")[0].deepspeed_enable_sleep


def test_texts_to_stop_at_are_not_empty_and_a_literal_line_break_is_pointed_out():
    assert intro("--stop", "\n\n", "Q:")[0].config.rollout.stop == ("\n\n", "Q:")
    with pytest.raises(UserError, match="--stop has an empty text"):
        intro("--stop", "Q:", "")
    assert "backslash" in intro("--stop", "\\n")[1][0]


def test_the_rollout_batch_is_a_multiple_of_the_actor_ranks():
    with pytest.raises(UserError, match="--rollout_batch_size 100 cannot be shared equally by 16"):
        intro("--rollout_batch_size", "100", "--actor_num_nodes", "2")


@pytest.mark.parametrize(("engines", "fine"), [("2", True), ("8", True), ("16", True), ("3", False), ("12", False)])
def test_engines_and_actor_ranks_divide_one_another(engines: str, fine: bool):
    if fine:
        assert intro("--vllm_num_engines", engines)[0].vllm_num_engines == int(engines)
    else:
        with pytest.raises(UserError, match=f"8 actor ranks and --vllm_num_engines {engines}"):
            intro("--vllm_num_engines", engines)


def test_actor_ranks_are_a_multiple_of_critic_ranks_where_there_is_a_critic():
    with pytest.raises(UserError, match="8 actor ranks are not a multiple of 3 critic ranks"):
        ppo("--critic_num_gpus_per_node", "3")
    ppo("--critic_num_gpus_per_node", "3", "--advantage_estimator", "reinforce")


def test_colocated_engines_fill_exactly_the_actor_gpus():
    fits = ["--colocate_all_models", "--vllm_num_engines", "4", "--vllm_tensor_parallel_size", "2"]
    assert intro(*fits)[0].colocate_all_models
    with pytest.raises(UserError, match="8 GPUs, but 4 engines × --vllm_tensor_parallel_size 1 need 4"):
        intro("--colocate_all_models", "--vllm_num_engines", "4")


def test_colocated_engines_are_as_many_as_fill_the_gpus_where_nothing_is_said():
    args, notes = intro("--colocate_all_models", "--actor_num_gpus_per_node", "4")
    assert args.config.engine.engines == 4
    assert notes == ["4 engines fill the actor's 4 GPUs (--vllm_num_engines chooses another number)."]
    halves = ["--colocate_all_models", "--vllm_tensor_parallel_size", "2"]
    assert intro(*halves)[0].config.engine.engines == 4
    assert intro(*halves, "--actor_num_gpus_per_node", "2")[1] == []  # one engine is what one expects
    with pytest.raises(UserError, match="8 GPUs, of which --vllm_tensor_parallel_size 3 is no divisor"):
        intro("--colocate_all_models", "--vllm_tensor_parallel_size", "3")


def test_a_hugging_face_engine_has_one_gpu():
    with pytest.raises(UserError, match="but --vllm_tensor_parallel_size is 2"):
        intro("--rollout_engine", "hf", "--vllm_tensor_parallel_size", "2")


def test_policy_and_reference_on_the_same_gpus_have_equally_many():
    flags = ["--colocate_actor_ref", "--ref_num_gpus_per_node", "4"]
    with pytest.raises(UserError, match="--actor_num_gpus_per_node is 8 and --ref_num_gpus_per_node is 4"):
        ppo(*flags)
    ppo(*flags, "--init_kl_coef", "0")
    intro(*flags)


def test_critic_and_reward_on_the_same_gpus_have_equally_many():
    argv = [
        "--pretrain",
        "m",
        "--prompt_data",
        "d",
        "--reward_pretrain",
        "r",
        "--colocate_critic_reward",
        "--reward_num_nodes",
        "2",
    ]
    with pytest.raises(UserError, match="--critic_num_nodes is 1 and --reward_num_nodes is 2"):
        rl("train_ppo_ray", *argv)


def test_intro_loads_a_reference_only_for_a_kl_loss_that_weighs_something():
    assert intro("--use_kl_loss")[0].needs_reference
    assert not intro("--use_kl_loss", "--init_kl_coef", "0")[0].needs_reference
    assert ppo()[0].needs_reference
    assert not ppo("--init_kl_coef", "0")[0].needs_reference


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--ring_attn_size", "3"], "but actor has 8: make --actor_num_nodes × --actor_num_gpus_per_node a multiple"),
        (["--ring_attn_size", "2", "--no_pack_samples"], "remove --no_pack_samples"),
        (["--intro_answer_template", " answer: "], "has no {answer}"),
        (["--intro_num_candidates", "0"], "--intro_num_candidates 0 is out of range: give at least 1"),
        (["--intro_top_k", "-1"], "--intro_top_k -1 is out of range: give at least 0"),
        (["--intro_temperature", "0"], "--intro_temperature 0.0 is out of range: give more than 0"),
        (["--intro_clip_max", "nan"], "--intro_clip_max nan is out of range"),
        (["--intro_posterior_ema", "1.5"], "give at least 0 and at most 1"),
        (["--zero_stage", "4"], "--zero_stage 4 is out of range: give at least 0 and at most 3"),
        (["--train_batch_size", "0"], "--train_batch_size 0 is out of range"),
        (["--top_p", "0"], "--top_p 0.0 is out of range: give more than 0 and at most 1"),
        (["--adam_betas", "0.9", "1"], "--adam_betas"),
        (["--temperature", "0"], "--temperature 0 makes all"),
        (["--eval_n_samples", "4"], "--eval_temperature 0 are all equal"),
        (["--vllm_sync_backend", "mpi"], "mpi does not exist: use nccl"),
        (["--pretrain", ""], "--pretrain is missing"),
        (["--prompt_data", ""], "--prompt_data is missing"),
    ],
)
def test_what_cannot_work_is_refused_with_the_flag_to_change(argv: list[str], message: str):
    with pytest.raises(UserError) as refusal:
        intro(*argv)
    assert message in str(refusal.value)


def test_intro_without_a_label_key_is_refused():
    with pytest.raises(UserError, match="--label_key"):
        rl("train_ppo_ray_intro", "--pretrain", "m", "--prompt_data", "d", "--n_samples_per_prompt", "4")


def test_flash_attention_is_used_where_installed_and_replaced_with_a_note_elsewhere(monkeypatch):
    monkeypatch.setattr("openrlhf.config.rules.find_spec", lambda name: None)
    args, notes = intro("--flash_attn", "--bf16")
    assert args.attn_implementation == "sdpa"
    assert "not installed" in notes[0]
    with pytest.raises(UserError, match="needs the package flash-attn"):
        intro("--attn_implementation", "flash_attention_2", "--bf16")
    with pytest.raises(UserError, match="needs bitsandbytes"):
        intro("--load_in_4bit")
    monkeypatch.setattr("openrlhf.config.rules.find_spec", lambda name: object())
    args, notes = intro("--flash_attn", "--bf16")
    assert (args.attn_implementation, notes) == ("flash_attention_2", [])
    with pytest.raises(UserError, match="float32: add --bf16"):
        intro("--flash_attn")
    assert intro("--flash_attn", "--attn_implementation", "eager")[0].attn_implementation == "eager"


def test_the_published_command_has_nothing_without_effect():
    argv = [
        "--actor_num_nodes",
        "1",
        "--actor_num_gpus_per_node",
        "4",
        "--vllm_num_engines",
        "1",
        "--vllm_tensor_parallel_size",
        "1",
        "--micro_train_batch_size",
        "2",
        "--train_batch_size",
        "128",
        "--rollout_batch_size",
        "1024",
        "--n_samples_per_prompt",
        "4",
        "--actor_learning_rate",
        "5e-7",
        "--temperature",
        "0.8",
        "--prompt_max_len",
        "1024",
        "--generate_max_len",
        "2048",
        "--zero_stage",
        "3",
        "--bf16",
        "--flash_attn",
        "--packing_samples",
        "--gradient_checkpointing",
        "--max_samples",
        "100000",
    ]
    assert ineffective(*argv) == {}
    assert intro(*argv)[0].packing_samples


def test_flags_that_do_nothing_for_intro_say_so_when_given():
    argv = [
        "--critic_pretrain",
        "c",
        "--critic_learning_rate",
        "1e-5",
        "--gamma",
        "1",
        "--lambd",
        "0.9",
        "--eps_clip",
        "0.2",
        "--value_clip",
        "0.2",
        "--normalize_reward",
        "--reward_pretrain",
        "r",
        "--ptx_coef",
        "0.1",
        "--init_kl_coef",
        "0.1",
        "--ref_num_nodes",
        "2",
        "--intro_posterior_ema",
        "0.9",
        "--max_len",
        "4096",
        "--eval_n_samples",
        "2",
        "--eval_temperature",
        "1",
    ]
    said = ineffective(*argv)
    assert set(said) == {word for word in argv if word.startswith("--")}
    assert said["--lambd"] == "InTRO has no such setting; gae has it."
    assert said["--init_kl_coef"] == "InTRO has no KL term without --use_kl_loss."


def test_kl_flags_have_an_effect_once_a_kl_loss_is_asked_for():
    assert ineffective("--init_kl_coef", "0.1", "--kl_estimator", "k3", "--use_kl_loss") == {}
    assert ineffective("--use_kl_loss", "--ref_num_nodes", "2") == {
        "--ref_num_nodes": "the reference model shares the GPUs of the policy."
    }
    assert set(ineffective("--use_kl_loss", "--init_kl_coef", "0", "--kl_estimator", "k3")) == {
        "--use_kl_loss",
        "--kl_estimator",
    }


def test_a_grading_policy_is_the_built_in_graders(tmp_path: Path):
    assert ineffective("--reward_policy", "word_problem") == {}
    said = ineffective("--reward_policy", "word_problem", "--remote_rm_url", "http://r")
    assert said == {"--reward_policy": "the built-in grader does not give the rewards."}


def test_sampling_flags_have_no_effect_in_the_exact_form():
    flags = ["--intro_top_k", "5", "--intro_num_candidates", "2", "--intro_clip_max", "10"]
    assert ineffective(*flags) == {}
    assert set(ineffective(*flags, "--intro_estimator", "exact")) == {flags[0], flags[2], flags[4]}


def test_intro_flags_have_no_effect_under_another_estimator():
    said = ineffective(
        "--advantage_estimator", "rloo", "--remote_rm_url", "http://r", "--intro_top_k", "5", "--gamma", "0.9"
    )
    assert said == {"--intro_top_k": "RLOO has no such setting; intro has it."}


def test_a_balancing_loss_has_no_effect_on_a_dense_model(tmp_path: Path):
    for config, expected in (
        (toy_config(), ["--aux_loss_coef has no effect: the model is no mixture of experts."]),
        (toy_experts().config, []),
    ):
        config.save_pretrained(tmp_path)
        argv = ["--pretrain", str(tmp_path), "--dataset", "d", "--max_len", "99", "--aux_loss_coef", "0.1"]
        assert settled(parsed("train_sft", *argv, "--pretrain_mode"), offline_rules)[1] == expected


def test_split_rows_are_packed_and_go_through_sdpa():
    split = ("--pretrain_mode", "--packing_samples", "--ring_attn_size", "2")
    assert sft(*split)[0].attn_implementation == "sdpa"
    assert "PyTorch's sdpa" in sft(*split, "--flash_attn", "--bf16")[1][0]
    for flag, message in [
        ("--attn_implementation eager", "not with --attn_implementation eager: remove that flag"),
        ("--torch_compile", "--ring_attn_size 2 and --torch_compile"),
    ]:
        with pytest.raises(UserError, match=message):
            sft(*split, *flag.split())
    with pytest.raises(UserError, match="add --packing_samples"):
        sft("--pretrain_mode", "--ring_attn_size", "2")


def test_sft_rules():
    assert sft("--output_key", "response", "--input_template", "None")[0].input_template is None
    assert sft("--pretrain_mode")[0].attn_implementation == "sdpa"
    with pytest.raises(UserError, match="give --output_key"):
        sft()
    with pytest.raises(UserError, match="--multiturn needs --apply_chat_template"):
        sft("--output_key", "response", "--multiturn")
    with pytest.raises(UserError, match="remove one"):
        sft("--multiturn", "--apply_chat_template", "--pretrain_mode")
    with pytest.raises(UserError, match="--dataset is missing"):
        sft("--dataset", "")


def test_a_process_reward_model_needs_a_placeholder_and_none_or_several_reward_tokens():
    def prm(*argv: str) -> Flat:
        return offline("train_prm", *argv)[0]

    assert not prm("--placeholder_token", "ки").reward_tokens
    assert not prm("--placeholder_token", "ки", "--reward_tokens").reward_tokens
    assert prm("--placeholder_token", "ки", "--reward_tokens", "+", "-").reward_tokens == ("+", "-")
    with pytest.raises(UserError, match="--placeholder_token is missing"):
        prm()
    with pytest.raises(UserError, match="at least two"):
        prm("--placeholder_token", "ки", "--reward_tokens", "+")


def test_distillation_needs_a_teacher_and_a_weight_between_0_and_1():
    def kd(*argv: str) -> Flat:
        return offline("train_kd", *argv)[0]

    assert kd("--teacher_model", "t").kd_coef == 0.4
    with pytest.raises(UserError, match="--teacher_model is missing"):
        kd()
    with pytest.raises(UserError, match=r"--kd_coef 1\.5 is out of range"):
        kd("--teacher_model", "t", "--kd_coef", "1.5")


def test_weights_of_4_bits_are_trained_through_lora_and_not_sharded(monkeypatch: pytest.MonkeyPatch):
    flags = ["--output_key", "response", "--load_in_4bit"]
    monkeypatch.setattr(rules, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs bitsandbytes"):
        sft(*flags)
    monkeypatch.setattr(rules, "find_spec", lambda name: object())
    with pytest.raises(UserError, match="add --lora_rank"):
        sft(*flags)
    with pytest.raises(UserError, match="--zero_stage 3"):
        sft(*flags, "--lora_rank", "8", "--zero_stage", "3")
    assert sft(*flags, "--lora_rank", "8")[0].load_in_4bit


def test_a_replay_grades_and_evaluates_nothing_and_is_not_written_over_its_source(tmp_path: Path) -> None:
    source = tmp_path / "run" / "rollouts"
    flags = ("--replay", str(source), "--eval_dataset", "e.json", "--eval_steps", "2")
    config, notes = intro(*flags, "--save_path", str(tmp_path / "other"))
    assert (config.remote_rm_url, config.eval_dataset, config.hinted_eval_steps, config.engines) == (None, None, -1, 0)
    assert any("nothing is sampled, graded or evaluated" in note for note in notes)
    for folder in (source, source.parent):
        with pytest.raises(UserError, match="lies in --save_path"):
            intro(*flags, "--save_path", str(folder))
