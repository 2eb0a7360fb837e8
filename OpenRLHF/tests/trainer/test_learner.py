"""The learner on DeepSpeed: ranks, accumulation, ZeRO stages change nothing; checkpoints continue exactly."""

from pathlib import Path

import pytest
import torch
from launching import launch
from learner_program import examples

from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import collate
from openrlhf.methods.intro import Intro, IntroObjective
from openrlhf.models.actor import Actor
from openrlhf.models.scores import Scores
from openrlhf.trainer.batching import split_over_ranks
from openrlhf.utils.tally import Tally
from toy_models import save_toy, toy_model

SPLITS_ALONE = {
    "zero0": {"zero_stage": 0},
    "zero2, 8 steps": {"zero_stage": 2, "micro": 1, "count": 8},
    "zero3, 2 steps": {"zero_stage": 3, "micro": 4},
}
SPLITS_TOGETHER = {
    "zero0, 2 steps": {"zero_stage": 0, "micro": 2},
    "zero2, 2 steps": {"zero_stage": 2, "micro": 2},
    "zero3, 1 step": {"zero_stage": 3, "micro": 4},
    "zero3, 4 steps": {"zero_stage": 3, "micro": 1},
    "zero3, by tokens": {"zero_stage": 3, "max_tokens_per_micro_batch": 40},
}
POSTERIORS = {
    kind: {"intro_posterior": kind, "steps": 3, "use_kl_loss": kind == "initial", "micro": 2}
    for kind in ("online", "ema", "initial")
}


OTHER_OBJECTIVES = {
    "ppo": {"advantage_estimator": "gae", "use_kl_loss": True},
    "critic": {"advantage_estimator": "critic"},
    "rlcsd": {"advantage_estimator": "rlcsd", "several": True},
    "srpo": {"advantage_estimator": "srpo", "several": True},
}
OTHERS_ALONE = {
    f"{name}, {view}": {**flags, "zero_stage": 0, "packing_samples": view == "packed", "micro": micro}
    for name, flags in OTHER_OBJECTIVES.items()
    for view, micro in (("packed", 7), ("padded", 2))
}
OTHERS_TOGETHER = {f"{name}, two ranks": {**flags, "micro": 1} for name, flags in OTHER_OBJECTIVES.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("learner")
    save_toy(path / "model")
    return path


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict:
    """Scenarios on one rank."""
    replicated = {kind: {**flags, "zero_stage": 0} for kind, flags in POSTERIORS.items()}
    lora = {"lora": {"lora_rank": 4, "steps": 2}}
    scenarios = {**SPLITS_ALONE, **OTHERS_ALONE, **replicated, **lora, "one rationale": {"count": 1}}
    return launch("learner_program.py", folder, 1, scenarios, pretrain=str(folder / "model"))


@pytest.fixture(scope="module")
def together(folder: Path) -> dict:
    """Scenarios on two ranks."""
    sharded = {kind: {**flags, "gradient_checkpointing": True} for kind, flags in POSTERIORS.items()}
    interrupted = {"intro_posterior": "ema", "steps": 3, "micro": 2, "checkpoint": str(folder / "_actor")}
    checkpoints = {"whole": interrupted, "continued": {**interrupted, "resume": True}}
    naps = {"naps": {"intro_posterior": "ema", "steps": 3, "micro": 2, "naps": True}}
    scenarios = {**SPLITS_TOGETHER, **OTHERS_TOGETHER, **sharded, **checkpoints, **naps, "one rationale": {"count": 1}}
    return launch("learner_program.py", folder, 2, scenarios, pretrain=str(folder / "model"))


def plain_gradients(count: int) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of the whole batch at once, by PyTorch alone."""
    model = toy_model()
    actor = Actor(model, packed=False)
    objective = IntroObjective(Intro())
    batch = collate(examples(count), torch.device("cpu"), num_candidates=5, with_posterior=True)
    with torch.no_grad():
        posterior = actor(batch.posterior_rows)
    loss = objective.loss(Scores(*actor(batch.rows, objective.spec(batch), posterior)), batch, Tally())
    loss.backward()
    return float(loss.detach()), {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "split"), [("alone", s) for s in SPLITS_ALONE] + [("together", s) for s in SPLITS_TOGETHER]
)
def test_the_same_batch_gives_the_same_gradient_however_it_is_split(
    ranks: str, split: str, request: pytest.FixtureRequest
) -> None:
    """7 rationales: over two ranks the shares differ in size, and one rank may have an idle micro-batch."""
    result = request.getfixturevalue(ranks)[split]
    loss, expected = plain_gradients(8 if "8" in split else 7)
    assert result["losses"][0] == pytest.approx(loss, rel=1e-5)
    for name, gradient in result["gradients"].items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=2e-5, msg=name)
    norm = torch.cat([g.flatten() for g in expected.values()]).norm()
    assert result["norm"] == pytest.approx(float(norm), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OTHER_OBJECTIVES)
def test_policy_gradients_and_critics_too_do_not_depend_on_the_split(
    objective: str, alone: dict, together: dict
) -> None:
    """Packed, padded in four accumulation steps, and two ZeRO-3 ranks; the KL loss starts at the reference, at 0."""
    whole = alone[f"{objective}, packed"]
    assert whole["norm"] > 0
    for other in (alone[f"{objective}, padded"], together[f"{objective}, two ranks"]):
        assert other["losses"] == pytest.approx(whole["losses"], rel=1e-4)
        assert other["norm"] == pytest.approx(whole["norm"], rel=1e-4)
        for name, gradient in whole["gradients"].items():
            torch.testing.assert_close(other["gradients"][name], gradient, rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.slow
def test_the_first_loss_of_ppo_is_that_of_plain_pytorch(alone: dict) -> None:
    model = toy_model()
    total = 0.0
    for example in examples():
        with torch.no_grad():
            logits = model(torch.tensor([example.ids])).logits[0]
        logprobs = logits.log_softmax(-1)[torch.tensor(example.scored) - 1]
        logprobs = logprobs.gather(1, torch.tensor(example.ids)[list(example.scored)][:, None])[:, 0]
        ratio = (logprobs - torch.tensor(example.columns["old_logprob"])).exp()
        advantage = torch.tensor(example.columns["advantage"])
        total -= example.weight * float(torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).sum())
    assert alone["ppo, packed"]["losses"][0] == pytest.approx(total, rel=1e-4)


@pytest.mark.slow
def test_a_rank_without_any_rationale_takes_part_and_changes_nothing(alone: dict, together: dict) -> None:
    one, two = alone["one rationale"], together["one rationale"]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)
    for name, gradient in two["gradients"].items():
        torch.testing.assert_close(gradient, one["gradients"][name], rtol=1e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_posteriors_and_kl_term_do_not_depend_on_sharding(posterior: str, alone: dict, together: dict) -> None:
    assert together[posterior]["losses"] == pytest.approx(alone[posterior]["losses"], rel=1e-4)


@pytest.mark.slow
def test_the_three_posteriors_agree_at_the_start_and_part_ways_later(alone: dict) -> None:
    first = {round(alone[kind]["losses"][0], 5) for kind in ("online", "ema")}
    last = {round(alone[kind]["losses"][2], 3) for kind in POSTERIORS}
    assert len(first) == 1
    assert len(last) == 3


@pytest.mark.slow
def test_a_continued_run_repeats_the_losses_of_one_that_was_not_interrupted(folder: Path, together: dict) -> None:
    assert (folder / "_actor" / "latest").read_text() == "global_step1"
    assert not list((folder / "_actor").glob("*.partial"))
    assert together["continued"]["losses"] == together["whole"]["losses"][1:]


@pytest.mark.slow
def test_an_optimizer_that_sleeps_between_steps_changes_nothing(together: dict) -> None:
    assert together["naps"]["losses"] == together["whole"]["losses"]


@pytest.mark.slow
def test_lora_trains_only_its_own_parameters(alone: dict) -> None:
    result = alone["lora"]
    assert result["gradients"]
    assert all("lora_" in name for name in result["gradients"])
    assert result["losses"][1] != result["losses"][0]


def test_every_rank_gets_as_many_micro_batches_and_every_example_once() -> None:
    shares = split_over_ranks(examples(7), 3, 2)
    assert [len(share) for share in shares] == [2, 2, 2]
    rows = [example for share in shares for micro in share for example in micro]
    assert sorted(e.seed for e in rows if e.weight) == list(range(7))
    assert sum(e.weight == 0 for e in rows) == 2  # two ranks had one micro-batch fewer


def test_ranks_carry_similar_numbers_of_tokens() -> None:
    made = [Example(ids=(1,) * length, scored=(1,), weight=1.0) for length in (100, 90, 50, 40, 30, 20)]
    loads = [sum(len(e.ids) for micro in share for e in micro) for share in split_over_ranks(made, 2, 8)]
    # longest first, forwards and backwards: 100 + 40 + 30 and 90 + 50 + 20
    assert sorted(loads) == [160, 170]


def test_a_token_budget_fills_micro_batches_and_balances_ranks() -> None:
    lengths = (100, 90, 50, 40, 30, 20, 10)
    made = [Example(ids=(1,) * length, scored=(1,), weight=1.0) for length in lengths]
    shares = split_over_ranks(made, 2, 1, max_tokens=100)
    tokens = [[sum(len(e.ids) for e in micro if e.weight) for micro in share] for share in shares]
    # 100 | 90, then to the lesser load: 50, 40 → 140 | 140, 30, 20 → …, each filled longest first
    assert tokens == [[100, 70], [90, 80]]
    small = split_over_ranks(made, 2, 1, max_tokens=60)
    assert [len(share) for share in small] == [3, 3]
    assert max(len(micro) for share in small for micro in share) == 2
