"""Which checkpoint a run continues from, and when it is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from configuring import parsed
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.rules import rl_rules
from openrlhf.errors import UserError
from openrlhf.trainer.checkpoint import STATE_FILE, Record, checkpoint_folders
from openrlhf.trainer.resuming import Start, settings_of, start_of
from openrlhf.trainer.state import TrainerState


def config_of(folder: Path, *flags: str) -> RLConfig:
    needed = ("--pretrain", "m", "--prompt_data", "p.json", "--remote_rm_url", "math", "--init_kl_coef", "0")
    needed += ("--label_key", "answer", "--n_samples_per_prompt", "2")
    batches = ("--train_batch_size", "8", "--rollout_batch_size", "8", "--actor_num_gpus_per_node", "2")
    argv = (*needed, *batches, "--ckpt_path", str(folder), "--load_checkpoint", *flags)
    return rl_rules(parsed("train_ppo_ray_intro", *argv).config)[0]


def save(folder: Path, step: int, config: RLConfig, role: str = "_actor", ranks: int = 2) -> Path:
    made = folder / role / f"global_step{step}"
    made.mkdir(parents=True)
    (made / "shard.pt").write_bytes(b"weights")
    state = {"step": step, "optimizer_steps": step, "kl_coef": 0.0, "sampler": {"epoch": 0, "position": 8 * step}}
    Record("run", state, settings_of(config), ranks).write(made)
    (made.parent / "latest").write_text(made.name)
    return made


def start(config: RLConfig) -> Start[TrainerState]:
    return start_of(config, TrainerState(run="run"), checkpoint_folders(config), config.placement.actor_ranks)


def test_the_latest_checkpoint_is_continued_and_says_so(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    for step in (1, 2):
        save(tmp_path, step, config)
    found = start(config)
    assert (found.tag, found.state.step, found.state.sampler["position"]) == ("global_step2", 2, 16)
    assert found.notes == (f"Continuing from {tmp_path}/_actor/global_step2.",)
    (tmp_path / "_actor" / "latest").write_text("global_step1")  # the user goes back
    assert start(config).tag == "global_step1"


def test_an_empty_folder_starts_anew_and_says_so(tmp_path: Path) -> None:
    found = start(config_of(tmp_path))
    assert (found.tag, found.state.step) == (None, 0)
    assert "starting anew" in found.notes[0]


BROKEN_STATES = {
    "empty": "",
    "cut": '{"run": "run", "state": {"st',
    "a list": "[]",
    "a text for a number": json.dumps({"run": "run", "state": {"step": "2"}}),
    "an unknown entry": json.dumps({"run": "run", "state": {"step": 2, "steps": 2}}),
    "null": json.dumps({"run": "run", "state": {"step": None}}),
    "no state": json.dumps({"run": "run"}),
    "no UTF-8": "\udcff",
}


@pytest.mark.parametrize("text", BROKEN_STATES.values(), ids=BROKEN_STATES.keys())
def test_a_broken_state_file_sends_the_run_back_to_the_checkpoint_before(tmp_path: Path, text: str) -> None:
    config = config_of(tmp_path)
    for step in (1, 2):
        made = save(tmp_path, step, config)
    (made / STATE_FILE).write_bytes(text.encode("utf-8", errors="surrogateescape"))
    found = start(config)
    assert found.tag == "global_step1"
    assert found.notes[0].startswith(f"{made} cannot be used: {STATE_FILE}")


def test_without_another_checkpoint_a_broken_one_ends_the_run_in_one_line(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    (save(tmp_path, 1, config) / STATE_FILE).write_text("{")
    with pytest.raises(UserError, match=r"cannot be used: .* No other checkpoint is left: start anew with --overwrite"):
        start(config)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_missing_or_shortened_shard_counts_as_broken(tmp_path: Path, damage: str) -> None:
    config = config_of(tmp_path)
    for step in (1, 2):
        made = save(tmp_path, step, config)
    (made / "shard.pt").write_bytes(b"w") if damage == "cut" else (made / "shard.pt").unlink()
    found = start(config)
    assert found.tag == "global_step1"
    assert "shard.pt should have 7 bytes" in found.notes[0]


@pytest.mark.parametrize("latest", ["", "global_step7", "nonsense", "../x", None])
def test_a_wrong_pointer_does_not_lose_the_checkpoints(tmp_path: Path, latest: str | None) -> None:
    config = config_of(tmp_path)
    save(tmp_path, 1, config)
    pointer = save(tmp_path, 2, config).parent / "latest"
    pointer.unlink() if latest is None else pointer.write_text(latest)
    assert start(config).tag == "global_step2"


def test_policy_and_critic_continue_from_the_same_step(tmp_path: Path) -> None:
    config = config_of(tmp_path, "--advantage_estimator", "gae", "--critic_num_gpus_per_node", "2")
    for step in (1, 2):
        save(tmp_path, step, config)
        critic = save(tmp_path, step, config, "_critic")
    (critic / "shard.pt").unlink()
    assert start(config).tag == "global_step1"


REFUSED: dict[str, tuple[str, str, Any]] = {
    "batch": ("--train_batch_size", "4", 8),
    "rollout batch": ("--rollout_batch_size", "16", 8),
    "LoRA": ("--lora_rank", "8", 0),
    "model": ("--pretrain", "other", "m"),
    "rate": ("--actor_learning_rate", "0.01", 1e-06),
    "seed": ("--seed", "1", 42),
    "method's own": ("--intro_top_k", "3", 20),
    "method": ("--advantage_estimator", "reinforce", "intro"),
}


@pytest.mark.parametrize(("flag", "value", "before"), REFUSED.values(), ids=REFUSED.keys())
def test_what_would_change_the_result_is_refused_with_both_values(
    tmp_path: Path, flag: str, value: str, before: Any
) -> None:
    save(tmp_path, 1, config_of(tmp_path))
    with pytest.raises(UserError) as refused:
        start(config_of(tmp_path, flag, value))
    assert f"{flag} {value} (it had {before})" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_another_number_of_ranks_and_zero_stage_are_noted(tmp_path: Path) -> None:
    save(tmp_path, 1, config_of(tmp_path))
    found = start(config_of(tmp_path, "--actor_num_gpus_per_node", "4", "--zero_stage", "3"))
    assert "4 rank(s) (it was written by 2)" in found.notes[0]
    assert "--zero_stage 3 (it had 2)" in found.notes[0]


def test_harmless_differences_are_noted_and_secrets_never_stored(tmp_path: Path) -> None:
    before = config_of(tmp_path, "--use_wandb", "local-key-123")
    made = save(tmp_path, 1, before)
    assert "local-key-123" not in (made / STATE_FILE).read_text()
    found = start(config_of(tmp_path, "--save_steps", "5", "--micro_train_batch_size", "2"))
    assert "--micro_train_batch_size 2 (it had 4), --save_steps 5 (it had -1)" in found.notes[0]


def test_the_same_file_under_another_name_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    save(tmp_path, 1, config_of(tmp_path))
    assert start(config_of(tmp_path, "--prompt_data", str(tmp_path / "p.json"))).tag == "global_step1"
