"""From rollouts to advantages, with roles that answer from a table."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from configuring import rl_config
from openrlhf.experience.example import Example
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.trainer.assembly import Assembler, train_batches
from openrlhf.trainer.graders import ModelGrader
from openrlhf.trainer.rl_metrics import rollout_metrics
from openrlhf.trainer.role_group import RoleGroup
from openrlhf.trainer.worker import TokenValues
from openrlhf.utils.tally import Tally
from toy_models import byte_tokenizer

FLAGS = {
    "n_samples_per_prompt": 2,
    "reward_clip_range": (-10.0, 10.0),
    "dynamic_filtering": False,
    "kl_estimator": "k1",
    "use_kl_loss": False,
    "gamma": 1.0,
    "lambd": 1.0,
    "generate_max_len": 10,
    "micro_rollout_batch_size": 2,
    "micro_train_batch_size": 2,
}


class TableGroup(RoleGroup):
    """Two ranks that score every token by its id."""

    world_size = 2

    def __init__(self, value: Callable[[int], float], **flags: Any) -> None:
        self.config = rl_config("group_norm", **{**FLAGS, **flags})
        self._value = value

    def begin(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> Callable[[], list[TokenValues]]:
        assert method == "score"
        assert len({len(micros) for (micros,) in arguments}) == 1  # as many micro-batches on every rank
        return lambda: [
            [[[self._value(e.ids[p]) for p in e.scored] for e in micro] for micro in micros] for (micros,) in arguments
        ]

    def shutdown(self) -> None:
        pass


def rollout(prompt: int, sample: int, ids: tuple[int, ...], reward: float) -> Rollout:
    source = Prompt(prompt, f"p{prompt}", (1, 2), "a")
    return Rollout(source, sample, ids, (-0.5,) * len(ids), "stop", "", reward)


POLICY = TableGroup(lambda token: -float(token))
REFERENCE = TableGroup(lambda token: -float(token) - 0.5)
ROLLOUTS = [
    rollout(0, 0, (3, 4), 1.0),
    rollout(0, 1, (5,), 0.0),
    rollout(1, 0, (6, 7, 8), 1.0),
    rollout(1, 1, (9,), 1.0),
]


def gradient(
    reference: RoleGroup | None = None,
    critic: RoleGroup | None = None,
    advantage_estimator: str = "group_norm",
    **flags: Any,
) -> Assembler:
    config = rl_config(advantage_estimator, **{**FLAGS, **flags})
    return Assembler(config, byte_tokenizer(), POLICY, reference, critic)


def test_scores_come_back_in_the_order_of_the_examples() -> None:
    examples = [Example((1, token), (1,), 1.0) for token in (9, 3, 7, 5, 4)]
    assert POLICY.begin_score(examples)() == [[-9.0], [-3.0], [-7.0], [-5.0], [-4.0]]


def test_ranks_that_share_rows_are_sent_the_same_and_counted_once() -> None:
    group = TableGroup(lambda token: -float(token), ring_attn_size=2)
    examples = [Example((1, token), (1,), 1.0) for token in (9, 3, 7)]
    assert group.begin_score(examples)() == [[-9.0], [-3.0], [-7.0]]
    sent: list[tuple] = []

    def begin(method: str, arguments: Sequence[tuple[Any, ...]]) -> Callable[[], list[Tally]]:
        sent.extend(arguments)
        return lambda: [Tally(totals={"loss": 2.0}) for _ in arguments]

    group.begin = begin  # type: ignore[method-assign,assignment]
    assert group.begin_train_step(examples, 1e-3)().totals == {"loss": 2.0}
    assert len(sent) == 2
    assert sent[0] == sent[1]


def test_every_token_of_a_response_has_the_groups_advantage() -> None:
    prepared, metrics = gradient().prepare(ROLLOUTS, step=1, kl_coef=0.0)
    assert prepared[0].columns["advantage"] == pytest.approx([1 / math.sqrt(2)] * 2)
    assert prepared[1].columns["advantage"] == pytest.approx([-1 / math.sqrt(2)])
    assert prepared[2].columns["advantage"] == pytest.approx([0.0] * 3, abs=1e-6)
    assert "train/kl" not in metrics


def test_old_logprobs_are_scored_only_for_what_the_first_update_does_not_meet() -> None:
    own = gradient(train_batch_size=2)
    first, second = train_batches(ROLLOUTS, 2, seed=own._config.optimizer.seed, step=1)
    prepared, _ = own.prepare(ROLLOUTS, step=1, kl_coef=0.0)
    scored = {(r.prompt.index, r.sample): r.columns.get("old_logprob") for r in prepared}
    assert [scored[r.prompt.index, r.sample] for r in first] == [None, None]
    assert [scored[r.prompt.index, r.sample] for r in second] == [[-float(i) for i in r.token_ids] for r in second]
    again, _ = gradient(train_batch_size=2, max_epochs=2).prepare(ROLLOUTS, step=1, kl_coef=0.0)
    assert all("old_logprob" in r.columns for r in again)


def test_kl_is_taken_off_the_reward_at_every_token() -> None:
    """k1 is 0.5 at every token here: returns are r − 0.1 · 0.5 · tokens to go."""
    prepared, metrics = gradient(REFERENCE, advantage_estimator="dr_grpo").prepare(ROLLOUTS, step=1, kl_coef=0.1)
    assert prepared[0].columns["return"] == pytest.approx([0.4, 0.45])
    assert prepared[2].columns["return"] == pytest.approx([-0.15, -0.1, -0.05])
    assert metrics["train/kl"] == pytest.approx(0.5)
    assert metrics["train/kl_coef"] == 0.1
    # sums of the token rewards: 0.5 − 0.1, −0.5 − 0.05, −0.15, −0.05
    assert metrics["train/return"] == pytest.approx((0.4 - 0.55 - 0.15 - 0.05) / 4)


def test_with_a_kl_loss_the_reward_stays_as_it_is_and_the_reference_travels_to_the_loss() -> None:
    prepared, _ = gradient(REFERENCE, advantage_estimator="dr_grpo", use_kl_loss=True).prepare(
        ROLLOUTS, step=1, kl_coef=0.1
    )
    assert prepared[0].columns["return"] == pytest.approx([0.5, 0.5])
    assert prepared[0].columns["reference"] == [-3.5, -4.5]


def test_ppo_takes_the_critics_values_into_account_and_normalises() -> None:
    critic = TableGroup(lambda token: token / 10)
    prepared, metrics = gradient(critic=critic, advantage_estimator="gae").prepare(ROLLOUTS[:2], step=1, kl_coef=0.0)
    # λ = γ = 1: returns are the rewards, advantages r − v = 0.7, 0.6, −0.5 before normalisation
    assert prepared[0].columns["return"] == pytest.approx([1.0, 1.0])
    raw = [0.7, 0.6, -0.5]
    mean = sum(raw) / 3
    deviation = math.sqrt(sum((x - mean) ** 2 for x in raw) / 3)
    found = [*prepared[0].columns["advantage"], *prepared[1].columns["advantage"]]
    assert found == pytest.approx([(x - mean) / deviation for x in raw], rel=1e-5)
    assert metrics["train/values"] == pytest.approx(0.4)


def test_rewards_are_clipped_before_they_are_compared() -> None:
    high = [rollout(0, 0, (3,), 100.0), rollout(0, 1, (4,), -100.0)]
    prepared, _ = gradient(advantage_estimator="dr_grpo", reward_clip_range=(-1.0, 3.0)).prepare(high, 1, 0.0)
    assert [r.columns["advantage"] for r in prepared] == [[2.0], [-2.0]]


def test_failed_grades_and_empty_responses_are_not_trained_on() -> None:
    batch = [
        rollout(0, 0, (3,), float("nan")),
        rollout(0, 1, (4,), 1.0),
        rollout(1, 0, (), 1.0),
        rollout(1, 1, (5,), 0.0),
    ]
    method = gradient()
    prepared, _ = method.prepare(batch, 1, 0.0)
    assert [bool(r.columns) for r in prepared] == [False, True, False, True]
    assert rollout_metrics(prepared)["train/kept"] == 2
    assert [e.ids for e in method.examples(prepared, 1, first=False)] == [(1, 2, 4), (1, 2, 5)]


def test_dynamic_filtering_leaves_groups_with_equal_rewards_out_and_the_others_count_for_more() -> None:
    method = gradient(dynamic_filtering=True)
    prepared, metrics = method.prepare(ROLLOUTS, 1, 0.0)
    assert metrics["train/filtered_groups"] == 1
    examples = method.examples(prepared, 1, first=True)
    assert [e.weight for e in examples] == [1 / (2 * 2), 1 / 2]
    assert examples[0].columns["engine"] == (-0.5, -0.5)


def test_the_sampler_is_named_where_its_weights_may_not_be_the_policys() -> None:
    method = gradient(off_policy_correction="tis")
    prepared, _ = method.prepare([replace(r, versions=(0,) * len(r.token_ids)) for r in ROLLOUTS], 1, 0.0)
    for step, first, names in ((1, True, {"engine", "behaviour"}), (2, True, {"behaviour"}), (1, False, {"behaviour"})):
        for example in method.examples(prepared, step, first):
            assert {*example.columns} - {"advantage", "return", "old_logprob"} == names
            assert example.columns["behaviour"] == (-0.5,) * len(example.scored)


def test_weights_are_a_mean_over_responses_of_the_mean_over_tokens_but_for_dr_grpo() -> None:
    for estimator, expected in (("group_norm", [1 / 8, 1 / 4, 1 / 12, 1 / 4]), ("dr_grpo", [1 / 40] * 4)):
        method = gradient(advantage_estimator=estimator)
        prepared, _ = method.prepare(ROLLOUTS, 1, 0.0)
        assert [e.weight for e in method.examples(prepared, 1, first=False)] == pytest.approx(expected)


def test_raft_trains_on_correct_responses_alone_and_without_a_hint() -> None:
    method = Assembler(rl_config("raft", **FLAGS), byte_tokenizer(), POLICY)
    prepared, _ = method.prepare(ROLLOUTS, 1, 0.0)
    assert [r.trained for r in prepared] == [True, False, True, True]
    examples = method.examples(prepared, 1, first=False)
    assert [e.ids for e in examples] == [(1, 2, 3, 4), (1, 2, 6, 7, 8), (1, 2, 9)]
    assert all(e.hints == ((),) for e in examples)
    assert [e.weight for e in examples] == pytest.approx([1 / 6, 1 / 9, 1 / 3])


def test_the_posterior_of_intro_reads_the_answer_between_prompt_and_response() -> None:
    method = Assembler(rl_config(**FLAGS, intro_answer_template="<{answer}>"), byte_tokenizer(), POLICY)
    prepared, _ = method.prepare(ROLLOUTS[:2], 1, 0.0)
    (example,) = method.examples(prepared, 1, first=False)
    assert (example.hints, example.hint_at) == ((tuple(byte_tokenizer()("<a>")["input_ids"]),), 2)
    assert prepared[1].hints == ((),)  # a wrong response is not trained on


def test_train_batches_hold_every_rollout_once_in_each_epoch() -> None:
    batches = list(train_batches(ROLLOUTS, 3, seed=1, step=2, epochs=2))
    assert [len(batch) for batch in batches] == [3, 1, 3, 1]
    for epoch in (batches[:2], batches[2:]):
        assert sorted((r.prompt.index, r.sample) for batch in epoch for r in batch) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_reward_models_are_summed_at_the_last_token_which_is_the_end_of_sequence_token() -> None:
    grader = ModelGrader([TableGroup(lambda token: token / 10), TableGroup(lambda token: -1.0)], eos_token_id=4)
    rewards = grader.grade([ROLLOUTS[0], ROLLOUTS[1]]).result()
    grader.close()
    assert rewards == pytest.approx([0.4 - 1, 0.4 - 1])  # (3, 4) ends with it, behind (5,) it is added
