"""Reward models: how texts become rows, which layer scores them, and rewards against transformers' own class."""

from pathlib import Path

import pytest
import torch

from openrlhf.config.model import LoadingConfig
from openrlhf.errors import UserError
from openrlhf.models.loader import find_head
from openrlhf.rewards.reward_model import RewardModel, inspect_reward_model
from toy_models import byte_tokenizer, save_toy, save_toy_reward_model, toy_reward

END, PAD = "<|endoftext|>", "<|pad|>"
END_ID = 256
CONFIG = LoadingConfig(attn_implementation="sdpa")


def ids(text: str) -> list[int]:
    return byte_tokenizer()(text)["input_ids"]


def load(path: str, normalize: bool = False, max_len: int = 64) -> RewardModel:
    files, _ = inspect_reward_model(path, head_prefix="score", normalize_reward=normalize)
    return RewardModel(files, CONFIG, torch.device("cpu"), max_len=max_len)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    return load(save_toy_reward_model(tmp_path_factory.mktemp("reward"), seed=5))


def test_texts_keep_their_special_tokens_and_end_with_one_end_of_sequence_token(model: RewardModel) -> None:
    texts = [
        "ab",
        f"ab{END}",
        f"a{END}b{END}{END}",
        f"{PAD}{PAD}ab{END}{PAD}",
        f"{END}ab",
        "ab ",
    ]
    rows, cut = model.encode(texts)
    a, b = ids("a"), ids("b")
    assert rows == [
        [*a, *b, END_ID],
        [*a, *b, END_ID],
        [*a, END_ID, *b, END_ID],
        [*a, *b, END_ID],
        [END_ID, *a, *b, END_ID],
        [*ids("ab "), END_ID],
    ]
    assert cut == 0


def test_a_text_that_is_too_long_loses_its_beginning(model: RewardModel) -> None:
    rows, cut = model.encode(["x" * 62 + "y", "x" * 63 + "y", "z"])
    assert rows[0] == [*ids("x" * 62 + "y"), END_ID]
    assert rows[1] == [*ids("x" * 62 + "y"), END_ID]
    assert cut == 1


@pytest.mark.parametrize("text", ["", END, PAD + END])
def test_a_text_without_tokens_cannot_be_judged(model: RewardModel, text: str) -> None:
    with pytest.raises(UserError, match="query 1 is empty"):
        model.encode(["a", text])


def test_rewards_are_those_of_transformers_own_class_in_any_batch(model: RewardModel) -> None:
    texts = [f"question {n}" * (n % 5 + 1) for n in range(7)]
    rows, _ = model.encode(texts)
    expected = [toy_reward(5, row) for row in rows]
    assert max(expected) - min(expected) > 0.01
    for batch_size in (None, 1, 3):
        torch.testing.assert_close(model.score(rows, batch_size), expected, rtol=0, atol=2e-5)
    assert model.score([]) == []


def test_normalised_rewards_have_the_stored_mean_taken_off_and_are_divided_by_the_deviation(tmp_path: Path) -> None:
    path = save_toy_reward_model(tmp_path, seed=5, mean=0.25, std=4.0)
    row = [*ids("hello"), END_ID]
    expected = toy_reward(5, row)
    torch.testing.assert_close(load(path).score([row]), [expected], rtol=0, atol=1e-5)
    torch.testing.assert_close(load(path, normalize=True).score([row]), [(expected - 0.25) / 4.0], rtol=0, atol=1e-5)


def test_rewards_cannot_be_normalised_without_statistics(tmp_path: Path) -> None:
    path = save_toy_reward_model(tmp_path)
    with pytest.raises(UserError, match=r"--normalize_reward: the config.json of .* has no usable mean and std"):
        inspect_reward_model(path, head_prefix="score", normalize_reward=True)


def test_the_head_is_the_one_that_the_config_names_or_else_the_one_asked_for(tmp_path: Path) -> None:
    path = save_toy_reward_model(tmp_path / "named", seed=5, head="my_head", value_head_prefix="my_head")
    unnamed = save_toy_reward_model(tmp_path / "unnamed", seed=5, head="my_head")
    assert find_head(unnamed, "my_head") == find_head(path, "my_head") == "my_head"
    files, notes = inspect_reward_model(path, head_prefix="value_head", normalize_reward=False)
    assert files.head_prefix == "my_head"
    assert notes == [
        f"--value_head_prefix value_head: the config.json of {path} names its last layer my_head, which is used."
    ]
    row = [*ids("hello"), END_ID]
    torch.testing.assert_close(
        RewardModel(files, CONFIG, torch.device("cpu"), max_len=64).score([row]),
        [toy_reward(5, row)],
        rtol=0,
        atol=1e-5,
    )


def test_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no layer score.weight in its safetensors files.*train_rm"):
        find_head(save_toy(tmp_path / "policy"), "score")
    with pytest.raises(UserError, match=r"no layer v.weight"):
        find_head(save_toy_reward_model(tmp_path / "lying", value_head_prefix="v"), "value_head")
