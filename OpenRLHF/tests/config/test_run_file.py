"""run.yaml starts a run again."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from configuring import parsed
from openrlhf.cli.commands import COMMANDS
from openrlhf.config.run_file import write_run_file
from openrlhf.errors import UserError

BASE = ["--pretrain", "m", "--prompt_data", "d.json", "--label_key", "answer", "--seed", "7"]


def written(folder: Path, command: str, *argv: str) -> str:
    made = parsed(command, *argv)
    write_run_file(folder, command, made.config, made.method_source)
    return str(folder / "run.yaml")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name.startswith("train_")])
def test_a_run_is_the_same_again_whatever_its_command(command: str, tmp_path: Path) -> None:
    argv = ("--adam_betas", "0.8", "0.9", "--bf16", "--max_samples", "1e3", "--target_modules", "q_proj", "v_proj")
    first = parsed(command, *argv).config
    assert parsed(command, "--config", written(tmp_path, command, *argv)).config == first


def test_the_file_holds_every_setting_by_section(tmp_path: Path) -> None:
    file = written(tmp_path, "train_ppo_ray_intro", *BASE)
    tree = yaml.safe_load(Path(file).read_text())
    assert tree["command"] == "train_ppo_ray_intro"
    assert (tree["method"]["name"], tree["method"]["estimator"]) == ("intro", "sampled")
    assert tree["optimizer"]["seed"] == 7

    def names(config: Any) -> dict:
        return {
            field.name: names(value) if is_dataclass(value := getattr(config, field.name)) else True
            for field in fields(config)
            if field.name not in ("use_wandb", "overwrite")  # a secret, and what must be asked for each time
        }

    def shape(tree: Any) -> Any:
        return {name: shape(value) if isinstance(value, dict) else True for name, value in tree.items()}

    del tree["command"], tree["method"]["name"]
    assert shape(tree) == names(parsed("train_ppo_ray_intro", *BASE).config)


def test_flags_given_besides_win_and_a_method_given_besides_too(tmp_path: Path) -> None:
    file = written(tmp_path, "train_ppo_ray_intro", *BASE, "--intro_top_k", "3")
    config = parsed("train_ppo_ray_intro", "--config", file, "--seed", "1").config
    assert (config.optimizer.seed, config.method.top_k, config.model.pretrain) == (1, 3, "m")
    other = parsed("train_ppo_ray_intro", "--config", file, "--advantage_estimator", "rloo").config
    assert (other.method.name, other.optimizer.seed) == ("rloo", 7)


def test_what_the_file_changes_counts_as_given(tmp_path: Path) -> None:
    file = written(tmp_path, "train_ppo_ray_intro", *BASE, "--intro_top_k", "3")
    given = parsed("train_ppo_ray_intro", "--config", file).given
    assert {"seed", "intro_top_k", "pretrain"} <= given
    assert not given & {"gamma", "bf16", "intro_clip_max"}


def test_a_key_is_not_written_down(tmp_path: Path) -> None:
    file = written(tmp_path, "train_ppo_ray_intro", *BASE, "--use_wandb", "secret-key")
    assert "secret-key" not in Path(file).read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("optimiser: {seed: 1}", "'optimiser' is unknown; did you mean 'optimizer'?"),
        ("optimizer: {sed: 1}", "optimizer: 'sed' is unknown; did you mean 'seed'?"),
        ("optimizer: 3", "'optimizer' is a section, found 3"),
        ("optimizer: {seed: many}", "'many' is no value of --seed"),
        ("model: {bf16: 1}", "1 is no value of --bf16"),
        ("method: {name: intor}", "there is no method 'intor'; did you mean 'intro'?"),
        ("method: {name: intro, topk: 1}", "method: 'topk' is unknown; did you mean 'top_k'?"),
        ("command: train_sft", "is a run of train_sft, not of train_ppo_ray_intro"),
        ("[1, 2]", "holds no configuration"),
        ("a: [", "is no YAML"),
    ],
)
def test_what_is_not_a_configuration_is_refused_with_the_nearest_name(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(UserError) as refusal:
        parsed("train_ppo_ray_intro", "--config", str(tmp_path / "run.yaml"))
    assert said in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        parsed("train_ppo_ray_intro", "--config", str(tmp_path / "none.yaml"))
