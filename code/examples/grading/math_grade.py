"""Reward for `--remote_rm_url`: 1.0 where the response's final answer equals the label, else 0.0."""

from openrlhf.rewards.correctness import correctness_reward


def reward_func(queries, prompts, labels):
    """float32 tensor, one value per query; see `openrlhf.rewards.correctness.correctness_reward`."""
    return correctness_reward(queries, prompts, labels)
