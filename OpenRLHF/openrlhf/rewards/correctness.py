"""Grades as rewards: the `reward_func` interface of OpenRLHF's `--remote_rm_url file.py`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from openrlhf.errors import UserError
from openrlhf.grading.policy import GradingPolicy, named_policy
from openrlhf.grading.pool.grading_pool import GradingPool, grade_responses

if TYPE_CHECKING:
    import torch


def correctness_reward(
    queries: Sequence[str],
    prompts: Sequence[str],
    labels: Sequence[str],
    policy: GradingPolicy | str | None = None,
    pool: GradingPool | None = None,
) -> "torch.Tensor":
    """1.0 for each response whose answer equals its label, else 0.0; float32, shape [len(queries)].

    queries: prompt and response together. prompts: what is cut off each query; an answer is looked for in the
    response alone. labels: gold answers. policy: one of one's own, or the name of one (`grading.POLICIES`:
    "word_problem"); that of MATH when None. pool: this process's own when None.

    Raises `UserError` where a query does not contain its prompt, the three lengths differ, or no policy has the name.
    """
    import torch

    if not len(queries) == len(prompts) == len(labels):
        raise UserError(
            f"a reward function got {len(queries)} queries, {len(prompts)} prompts, {len(labels)} labels; "
            f"expected as many of each (for labels, set --label_key)"
        )
    if isinstance(policy, str):
        policy = named_policy(policy)
    responses = [response_of(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
    graded = grade_responses(responses, [str(label) for label in labels], policy, pool)
    return torch.tensor([float(one.verdict.equal) for one in graded], dtype=torch.float32)


def response_of(query: str, prompt: str) -> str:
    """What follows the prompt in a query; padding may stand before the prompt."""
    start = query.find(prompt)
    if start < 0:
        raise UserError(
            f"a query does not contain its prompt, so its response cannot be found; the query begins with "
            f"{query[:80]!r}, the prompt with {prompt[:80]!r}. Pass queries as prompt + response"
        )
    return query[start + len(prompt) :]
