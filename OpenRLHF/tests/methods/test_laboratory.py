"""Methods that learn from hints, and other policy gradients, on numbers worked out by hand or written down anew.

The output layer is the identity and a vocabulary of four, so that hidden states are logits: log-probabilities go in and
gradients by logits come out.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from configuring import rl_config
from openrlhf.errors import UserError
from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import MicroBatch, collate
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import RLMethod
from openrlhf.methods.cispo import CISPO
from openrlhf.methods.dapo import DAPO
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.methods.gspo import GSPO
from openrlhf.methods.hdpo import HDPO
from openrlhf.methods.hints import right_sibling, wrong_answers, wrong_siblings
from openrlhf.methods.intro import Intro
from openrlhf.methods.opsd import OPSD
from openrlhf.methods.rlcsd import RLCSD
from openrlhf.methods.rlsd import RLSD
from openrlhf.methods.sdpo import SDPO
from openrlhf.methods.srpo import SRPO
from openrlhf.models.scorer import ScoringHead
from openrlhf.models.scores import Scores
from openrlhf.objectives.base import Objective
from openrlhf.trainer.learner import with_posterior_columns
from openrlhf.trainer.preparation import check_hinted_rows, load_prompts
from openrlhf.utils.tally import Tally
from toy_models import byte_tokenizer

CPU = torch.device("cpu")
LN2 = math.log(2)
Q = [[1 / 2, 1 / 4, 1 / 8, 1 / 8], [1 / 4, 1 / 4, 1 / 4, 1 / 4]]
RIGHT = [[1 / 4, 1 / 2, 1 / 8, 1 / 8], [1 / 8, 1 / 8, 1 / 4, 1 / 2]]
WRONG = [[1 / 2, 1 / 8, 1 / 8, 1 / 4], [1 / 4, 1 / 4, 1 / 4, 1 / 4]]
WRONG_TOO = [[1 / 4, 1 / 8, 1 / 8, 1 / 2], [3 / 4, 1 / 12, 1 / 12, 1 / 12]]
TOKENS = (1, 0)  # Q: ln q = −2 ln 2 at both; RIGHT: −ln 2 and −3 ln 2, so Δ = ln 2 and −ln 2


def row(hints: Sequence[Any] = (RIGHT,), weight: float = 0.5, **columns: Sequence[float]) -> Example:
    """A prompt of one token and the response TOKENS; what a hint says does not matter, only how many there are."""
    texts = tuple((9, number) for number, _ in enumerate(hints))
    return Example((3, *TOKENS), (1, 2), weight, texts, 1, columns={"advantage": (1.0, 1.0), **columns})


def scored(
    objective: Objective,
    rows: Sequence[Example],
    policy: Sequence[Any],
    posteriors: Sequence[Any],
    figures: dict[str, float] | None = None,
) -> tuple[Tensor, Scores, MicroBatch]:
    """Logits, scores and the micro-batch: policy holds a distribution for each token, posteriors those of all hints."""
    head = identity(len(Q[0]))
    with_posterior = objective.needs_posterior or objective.looks_ahead
    if objective.looks_ahead:
        batch = collate(rows, CPU, with_posterior=True)
        states = torch.tensor(posteriors).flatten(0, 1).log() if posteriors else torch.zeros(0, 4)
        spec = replace(objective.spec(batch), targets=batch.posterior_rows.targets, measured=True, posterior_top_k=0)  # type: ignore[union-attr]
        rows = with_posterior_columns(rows, Scores(*head(states, spec)))
        figures = {**objective.look_ahead_figures(collate(rows, CPU, with_posterior=True)), **(figures or {})}
    batch = collate(
        rows,
        CPU,
        num_candidates=objective.num_candidates,
        with_posterior=with_posterior,
        figures=figures or {},
    )
    logits = torch.tensor(policy).flatten(0, -2).log().requires_grad_()
    hidden = None
    if objective.needs_posterior:
        hidden = torch.tensor(posteriors).flatten(0, 1).log() if posteriors else torch.zeros(0, 4)
    spec = replace(objective.spec(batch), hinted=batch.hinted, measured=True)
    return logits, Scores(*head(logits, spec, hidden)), batch


def identity(size: int) -> ScoringHead:
    head = ScoringHead(size, size, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(size))
    return head


def of(method: RLMethod, **values: Any) -> Objective:
    return method.objective(rl_config(method.name, init_kl_coef=0.0, **values))


def loss(objective: Objective, *arguments: Any, **named: Any) -> tuple[float, Tensor, dict[str, float]]:
    """Value, gradient by the logits, and figures."""
    logits, scores, batch = scored(objective, *arguments, **named)
    tally = Tally()
    value = objective.loss(scores, batch, tally)
    (gradient,) = torch.autograd.grad(value, logits)
    return float(value.detach()), gradient, objective.figures(tally)


# --- hints


def rollout(sample: int, reward: float, ids: tuple[int, ...] = (), text: str = "") -> Rollout:
    own = ids or (sample,)
    return Rollout(Prompt(0, "p", (1,), "4", {"solution": "2 + 2 = 4"}), sample, own, (-1.0,) * len(own), "stop",
                   text or rf"so \boxed{{{sample}}}", reward)  # fmt: skip


def test_siblings_are_the_next_ones_and_never_the_rollout_itself() -> None:
    group = [rollout(0, 1.0), rollout(1, 0.0), rollout(2, 1.0), rollout(3, math.nan), rollout(4, 0.0, ids=(1,))]
    assert [right_sibling(r, group).sample for r in group] == [2, 2, 0, 0, 0]  # type: ignore[union-attr]
    assert right_sibling(group[0], [group[0], *group[3:]]) is None
    # 4 has the tokens of 1: neither reads the other
    assert [[w.sample for w in wrong_siblings(r, group, 5)] for r in group] == [[1, 4], [], [4, 1], [4, 1], []]
    assert len(wrong_siblings(group[0], group, 1)) == 1


def test_wrong_answers_are_different_ones_that_siblings_gave() -> None:
    texts = (r"\boxed{4}", r"\boxed{5}", r"\boxed{5}", "no answer at all", r"\boxed{7}")
    group = [rollout(i, float(i == 0), text=text) for i, text in enumerate(texts)]
    assert wrong_answers(group[0], group, 5) == ["5", "7"]
    assert wrong_answers(group[1], group, 5) == ["7"]  # not its own
    assert wrong_answers(group[0], group, 1) == ["5"]


def test_a_method_asks_for_one_row_and_one_for_each_wrong_sibling() -> None:
    group = [rollout(0, 1.0), rollout(1, 0.0), rollout(2, 0.0)]
    assert Intro().hints(group[0], group) == [" ###Answer:4 ###Solution:"]
    answers = Intro(contrast=1).hints(group[0], group)
    assert answers == [" ###Answer:4 ###Solution:", " ###Answer:1 ###Solution:"]
    solutions = OPSD(contrast=2, solution_key="solution").hints(group[0], group)
    assert ["2 + 2 = 4" in solutions[0], r"\boxed{1}" in solutions[1], r"\boxed{2}" in solutions[2]] == [True] * 3
    assert [len(RLCSD(wrong=4).hints(r, group)) for r in group] == [0, 2, 2]  # nobody else is right for the first
    assert [len(SRPO().hints(r, group)) for r in group] == [0, 1, 1]
    assert SDPO().outcomes(group) == [None, 0.0, 0.0]
    assert SDPO().outcomes(group[1:]) == [None, None]


def prompts_of(folder: Path, **flags: Any) -> tuple[list[Prompt], int, list[str]]:
    rows = [{"input": "1 + 1", "answer": "2", "steps": "1 + 1 = 2"}, {"input": "3", "answer": "3", "steps": None},
            {"input": "7", "answer": "7", "steps": "s" * 100}]  # fmt: skip
    (folder / "rows.json").write_text(json.dumps(rows))
    config = rl_config("opsd", prompt_data=str(folder / "rows.json"), label_key="answer", prompt_max_len=80, **flags)
    return load_prompts(config, byte_tokenizer())


def test_prompts_without_a_usable_solution_are_left_out_and_counted(tmp_path: Path) -> None:
    prompts, longest, notes = prompts_of(tmp_path, opsd_solution_key="steps")
    assert [prompt.label for prompt in prompts] == ["2"]
    assert longest == len(OPSD(solution_key="steps").prompt_hint("2", prompts[0].fields))
    assert notes == [
        "1 of 3 prompts have an empty solution: left out.",
        "1 solutions are longer than --prompt_max_len as a hint: left out.",
    ]
    assert len(prompts_of(tmp_path)[0]) == 3  # the answer is enough
    with pytest.raises(UserError, match="--opsd_solution_key proof: the prompts have no such field; found: steps"):
        prompts_of(tmp_path, opsd_solution_key="proof")


def test_rows_with_siblings_must_fit_into_the_models_context() -> None:
    flags = {"prompt_max_len": 30, "generate_max_len": 50}
    template = len(SDPO().sibling_hint(""))
    check_hinted_rows(rl_config("sdpo", **flags), byte_tokenizer(), 0, 130 + template)
    with pytest.raises(UserError, match=f"a hint of up to {50 + template} tokens"):
        check_hinted_rows(rl_config("sdpo", **flags), byte_tokenizer(), 0, 129 + template)
    check_hinted_rows(rl_config("intro", **flags), byte_tokenizer(), 20, 1)
    with pytest.raises(UserError, match=r"no \{solution\}"):
        SDPO(solution_template="nothing").settle(rl_config("sdpo"))


def test_a_row_with_several_hints_costs_as_many_rows() -> None:
    assert row([RIGHT]).size == 3 + 2
    assert row([RIGHT, WRONG]).size == 2 * (3 + 2)
    assert row([]).size == 3


def test_the_scores_of_ragged_hints_are_those_of_one_row_after_the_other() -> None:
    generator = torch.manual_seed(0)
    head, other = ScoringHead(6, 11), ScoringHead(6, 11)
    counts, length = (2, 0, 1, 4), 3
    rows = [Example((1,) * (1 + length), (1, 2, 3), 1.0, tuple((k,) for k in range(n)), 1) for n in counts]
    batch = collate(rows, CPU, with_posterior=True)
    hidden = torch.randn(len(counts) * length, 6, generator=generator)
    states = torch.randn(sum(counts) * length, 6, generator=generator)
    assert batch.hinted is not None
    for top, chunk in ((0, 5), (4, 0), (4, 1), (40, 7)):
        spec = replace(OPSD().objective(rl_config("opsd")).spec(batch), hinted=batch.hinted, chunk_size=chunk,
                       posterior_top_k=top, measured=True)  # fmt: skip
        scores = Scores(*head(hidden, spec, states, other))
        policy, posterior = head(hidden).log_softmax(-1), other(states).log_softmax(-1)
        start = 0
        for index, count in enumerate(counts):
            own = slice(index * length, (index + 1) * length)
            q, targets = policy[own], batch.rows.targets[own, None]
            hinted = [posterior[start + k * length : start + (k + 1) * length] for k in range(count)]
            start += count * length
            p = hinted[0] if count else q
            wrong = torch.stack([h.exp() for h in hinted[1:]]).mean(0).log() if count > 1 else q
            likeliest = p.topk(min(top, 11)).indices
            torch.testing.assert_close(scores.posterior_target_logprobs[own], p.gather(1, targets)[:, 0])
            torch.testing.assert_close(scores.contrast_target_logprobs[own], wrong.gather(1, targets)[:, 0])
            torch.testing.assert_close(scores.kl[own], (p.exp() * (p - q)).sum(-1), atol=1e-6, rtol=1e-5)
            assert torch.equal(scores.candidates[own], likeliest)
            torch.testing.assert_close(scores.candidate_logprobs[own], q.gather(1, likeliest))
            torch.testing.assert_close(scores.posterior_candidate_logprobs[own], p.gather(1, likeliest))
            torch.testing.assert_close(scores.contrast_candidate_logprobs[own], wrong.gather(1, likeliest))


# --- RLSD


def test_rlsd_weighs_advantages_by_the_evidence_of_the_hint() -> None:
    """Δ = ln 2 and −ln 2. A = 1: exp(Δ) = 2 and 1/2, cut to 1.2 and 0.8, so A_t = (1 + 1.2)/2 and (1 + 0.8)/2.
    A = −1: exp(−Δ) = 1/2 and 2, so A_t = −0.9 and −1.1. L = −(1/2)(A_1 + A_2) at ratio 1."""
    objective = of(RLSD())
    for sign, wanted in ((1.0, (1.1, 0.9)), (-1.0, (-0.9, -1.1))):
        _, scores, batch = scored(objective, [row(advantage=(sign, sign))], Q, [RIGHT])
        assert objective.advantages(scores, batch).tolist() == pytest.approx(wanted)  # type: ignore[attr-defined]
    value, _, figures = loss(objective, [row(task=(1.0, 0.0))], Q, [RIGHT])
    assert value == pytest.approx(-1.0)
    assert figures["hint_gap"] == pytest.approx(0.0, abs=1e-6)
    assert (figures["hint_gap_task"], figures["hint_gap_other"]) == pytest.approx((LN2, LN2))
    # λ = 1 and no bound: the advantage is the likelihood ratio
    _, scores, batch = scored(of(RLSD(mix=1.0, bound=1.0)), [row()], Q, [RIGHT])
    assert of(RLSD(mix=1.0, bound=1.0)).advantages(scores, batch).tolist() == pytest.approx([2.0, 0.5])  # type: ignore[attr-defined]


def grpo(rows: Sequence[Example], policy: Sequence[Any]) -> tuple[float, Tensor]:
    return loss(of(GroupNorm()), [replace(r, hints=((),)) for r in rows], policy, [])[:2]


ROWS = [row(advantage=(2.0, 2.0), old_logprob=(-1.0, -1.6)), row(advantage=(-1.0, -1.0), old_logprob=(-1.2, -1.5))]


@pytest.mark.parametrize(
    ("method", "posteriors"),
    [
        (RLSD(mix=0.0), [RIGHT, RIGHT]),  # λ = 0
        (RLSD(), [Q, Q]),  # the hint changes nothing
        (RLCSD(strength=0.0), [RIGHT, WRONG, RIGHT, WRONG]),
        (RLCSD(), [RIGHT, RIGHT, WRONG, WRONG]),  # right and wrong hints say the same
    ],
)
def test_without_a_word_from_the_hint_the_loss_is_grpos(method: RLMethod, posteriors: list[Any]) -> None:
    hints = len(posteriors) // 2
    rows = [replace(r, hints=tuple((9, k) for k in range(hints)), weight=0.25) for r in ROWS]
    value, gradient, _ = loss(of(method), rows, [Q, Q], posteriors)
    plain, expected = grpo(rows, [Q, Q])
    assert value == pytest.approx(plain, rel=1e-5)
    torch.testing.assert_close(gradient, expected)


def test_rows_without_any_hint_are_grpos_too() -> None:
    rows = [replace(r, hints=(), weight=0.25) for r in ROWS]
    plain, expected = grpo(rows, [Q, Q])
    for method in (RLSD(), RLCSD(), SRPO(), SRPO(entropy_beta=0.0)):
        value, gradient, figures = loss(of(method), rows, [Q, Q], [])
        assert value == pytest.approx(plain, rel=1e-5)
        torch.testing.assert_close(gradient, expected)
        assert figures.get("hint_gap", 0.0) == 0


def test_contrast_takes_the_mixture_of_wrong_hints_in_the_policys_place() -> None:
    """log p − log mean p_w: token 1 has p = 1/2 and p_w = (1/8 + 1/8)/2, so ln 4; token 2 has 1/8 and (1/4 + 3/4)/2."""
    objective = of(RLSD(contrast=2))
    hints = [RIGHT, WRONG, WRONG_TOO]
    scores = scored(objective, [row(hints)], Q, hints)[1]
    gap = scores.posterior_target_logprobs - scores.contrast_target_logprobs
    assert gap.tolist() == pytest.approx([2 * LN2, -2 * LN2])
    one = scored(objective, [row([RIGHT, WRONG])], Q, [RIGHT, WRONG])[1]  # K = 1: that of the one
    assert (one.posterior_target_logprobs - one.contrast_target_logprobs).tolist() == pytest.approx([2 * LN2, -LN2])
    same = scored(objective, [row([RIGHT, RIGHT])], Q, [RIGHT, RIGHT])[1]
    assert torch.equal(same.posterior_target_logprobs, same.contrast_target_logprobs)


# --- RLCSD


def test_rlcsd_moves_advantages_within_their_sign_and_normalises_each_kind_of_token() -> None:
    """K = 2: e = ln 4 and −ln 4. With τ = 2 ln 4 / ln 3, tanh(e/τ) = tanh(± ln 3 / 2) = ± 1/2, so r = ± 1/4 for
    η = 1/2. A = 1/8: 3/8, and 0 instead of −1/8. One other row has no hint: its two tokens keep A = −1.

    L = −(1/2)(3/8 + 0) − (1/2)(−1 − 1) = 13/16.
    """
    method = RLCSD(scale=4 * LN2 / math.log(3))
    hints = [RIGHT, WRONG, WRONG_TOO]
    rows = [row(hints, advantage=(1 / 8, 1 / 8)), row([], advantage=(-1.0, -1.0))]
    value, gradient, figures = loss(of(method), rows, [Q, Q], hints)
    assert value == pytest.approx(13 / 16)
    assert figures["moved_share"] == 0.5
    q = torch.tensor([Q, Q]).flatten(0, 1)
    onehot = torch.nn.functional.one_hot(torch.tensor(TOKENS * 2), 4)
    expected = -torch.tensor([3 / 8, 0, -1, -1])[:, None] / 2 * (onehot - q)
    torch.testing.assert_close(gradient, expected)
    # below δ nothing is moved: η tanh < 0.3
    assert loss(of(replace(method, threshold=0.3)), rows, [Q, Q], hints)[2]["moved_share"] == 0


def test_rlcsd_does_not_move_an_advantage_of_zero() -> None:
    value, gradient, _ = loss(of(RLCSD()), [row([RIGHT, WRONG], advantage=(0.0, 0.0))], Q, [RIGHT, WRONG])
    assert value == 0
    assert not gradient.any()


# --- distillation


def plain_divergence(logits: Tensor, teacher: Tensor, beta: float, top: int, clip: float = math.inf) -> Tensor:
    """[T], over the teacher's `top` tokens and the rest, term by term."""
    losses = []
    for own, theirs in zip(logits.softmax(-1), teacher, strict=True):
        order = sorted(range(len(theirs)), key=lambda a: -float(theirs[a]))
        groups = [[a] for a in order[:top]] + ([order[top:]] if top < len(order) else [])
        terms = []
        for group in groups:
            q, p = sum(own[a] for a in group), sum(theirs[a] for a in group)
            m = beta * p + (1 - beta) * q
            if beta == 0:
                term = p * (p / q).log()
            elif beta == 1:
                term = q * (q / p).log()
            else:
                term = beta * p * (p / m).log() + (1 - beta) * q * (q / m).log()
            terms.append(term if float(term.detach()) < clip else torch.tensor(clip))
        losses.append(sum(terms))
    return torch.stack(losses)  # type: ignore[arg-type]


def test_opsds_divergence_by_hand() -> None:
    """KL = 1/4 ln 1/2 + 1/2 ln 2 = 1/4 ln 2, and (1/8 + 1/8) ln 1/2 + 1/2 ln 2 = 1/4 ln 2. Cut at 0.05, the shares
    −1/4 ln 2, 1/2 ln 2, 0, 0 become −1/4 ln 2 + 0.05, and −1/8 ln 2 twice, 0 and 1/2 ln 2 the same."""
    assert loss(of(OPSD(clip=math.inf)), [row()], Q, [RIGHT])[0] == pytest.approx(LN2 / 4, rel=1e-4)
    assert loss(of(OPSD()), [row()], Q, [RIGHT])[0] == pytest.approx(0.05 - LN2 / 4, rel=1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("clip", [math.inf, 0.05])
@pytest.mark.parametrize("top", [2, 3, 100])
def test_distillation_is_the_divergence_written_out(beta: float, clip: float, top: int) -> None:
    """At the whole vocabulary the forward KL's gradient is q − T."""
    value, gradient, figures = loss(of(OPSD(beta=beta, clip=clip, top_k=top)), [row()], Q, [RIGHT])
    logits = torch.tensor(Q).log().requires_grad_()
    expected = plain_divergence(logits, torch.tensor(RIGHT), beta, top, clip).mean()
    (wanted,) = torch.autograd.grad(expected, logits)
    assert value == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-6)
    torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=1e-4)
    assert figures["distil_loss"] == pytest.approx(value, rel=1e-5)
    if (beta, clip, top) == (0.0, math.inf, 100):
        torch.testing.assert_close(gradient, (torch.tensor(Q) - torch.tensor(RIGHT)) / 2, atol=1e-5, rtol=1e-4)


def test_a_hint_that_changes_nothing_teaches_nothing() -> None:
    for method in (OPSD(), OPSD(beta=0.5), SDPO(top_k=2)):
        for hints, posteriors in (([Q], [Q]), ([], [])):
            value, gradient, _ = loss(of(method), [row(hints)], Q, posteriors)
            assert value == pytest.approx(0.0, abs=1e-6)
            assert float(gradient.abs().max()) < 1e-6


def test_opsd_with_contrast_is_guided_away_from_the_wrong_hint() -> None:
    """T* ∝ T^1.5 T_w^−0.5; each token's weight is KL(T ‖ T_w) / (1 + KL(T ‖ T_w))."""
    value, gradient, _ = loss(of(OPSD(contrast=2, clip=math.inf)), [row([RIGHT, WRONG, WRONG_TOO])], Q,
                              [RIGHT, WRONG, WRONG_TOO])  # fmt: skip
    right, wrong = torch.tensor(RIGHT), (torch.tensor(WRONG) + torch.tensor(WRONG_TOO)) / 2
    teacher = right.pow(1.5) * wrong.pow(-0.5)
    teacher = teacher / teacher.sum(-1, keepdim=True)
    apart = (right * (right / wrong).log()).sum(-1)
    logits = torch.tensor(Q).log().requires_grad_()
    expected = (plain_divergence(logits, teacher, 0.0, 4) * apart / (1 + apart)).mean()
    assert value == pytest.approx(float(expected.detach()), rel=1e-3)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0], atol=1e-3, rtol=1e-3)


def test_contrast_of_equal_hints_teaches_nothing() -> None:
    value, gradient, _ = loss(of(OPSD(contrast=1)), [row([RIGHT, RIGHT])], Q, [RIGHT, RIGHT])
    assert value == pytest.approx(0.0, abs=1e-6)
    assert float(gradient.abs().max()) < 1e-6


def test_sdpo_weighs_by_the_probability_ratio_up_to_two() -> None:
    """ln q = −2 ln 2; an old ln q of −2 ln 2 − ln 1.5 and −5 ln 2 gives the ratios 1.5 and 8, cut to 2."""
    old = (-2 * LN2 - math.log(1.5), -5 * LN2)
    value, gradient, _ = loss(of(SDPO(top_k=2)), [row(old_logprob=old)], Q, [RIGHT])
    logits = torch.tensor(Q).log().requires_grad_()
    per_token = plain_divergence(logits, torch.tensor(RIGHT), 0.5, 2)
    expected = (per_token * torch.tensor([1.5, 2.0])).mean()
    assert value == pytest.approx(float(expected.detach()), rel=1e-4)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0], atol=1e-6, rtol=1e-4)


def test_srpo_distils_rows_with_a_hint_and_follows_the_reward_in_the_others() -> None:
    """Four tokens in all. Weights exp(−H(T)) over their mean; the right row is GRPO's."""
    rows = [row([RIGHT], 0.25, advantage=(-1.0, -1.0)), row([], 0.25, advantage=(1.0, 1.0), old_logprob=(-1.3, -1.5))]
    rows[0] = replace(rows[0], columns={**rows[0].columns, "old_logprob": (-2 * LN2, -2 * LN2)})
    value, gradient, figures = loss(of(SRPO(top_k=3)), rows, [Q, Q], [RIGHT])
    logits = torch.tensor([Q, Q]).log().requires_grad_()
    right = torch.tensor(RIGHT)
    sure = (right * right.log()).sum(-1).exp()
    distilled = (plain_divergence(logits[0], right, 0.5, 3) * sure / sure.mean()).sum()
    ratio = (logits[1].log_softmax(-1)[[0, 1], list(TOKENS)] - torch.tensor([-1.3, -1.5])).exp()
    followed = torch.minimum(ratio, ratio.clamp(0.8, 1.2)).sum()
    expected = (distilled - followed) / 4
    assert value == pytest.approx(float(expected.detach()), rel=1e-4)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0].flatten(0, 1), atol=1e-6, rtol=1e-4)
    assert figures["distil_loss"] == pytest.approx(float(distilled.detach()) / 2, rel=1e-4)


@pytest.mark.parametrize("coef", [0.0, 0.3])
def test_hdpo_adds_the_distillation_of_hinted_rows_to_grpo(coef: float) -> None:
    """The engine's log-probabilities of a hinted row are those with the hint, so they are compared with nothing."""
    hinted = row([RIGHT], 0.25, advantage=(7.0, 7.0), engine=(0.0, 0.0))
    plain = row([], 0.25, advantage=(1.0, -1.0), engine=(-2 * LN2, -2 * LN2))
    value, gradient, figures = loss(of(HDPO(weight=coef)), [hinted, plain], [Q, Q], [RIGHT])
    logits = torch.tensor([Q, Q]).log().requires_grad_()
    distilled = plain_divergence(logits[0], torch.tensor(RIGHT), 0.0, 4).sum()
    logprobs = logits[1].log_softmax(-1)[[0, 1], list(TOKENS)]
    expected = (coef * distilled - ((logprobs - logprobs.detach()).exp() * torch.tensor([1.0, -1.0])).sum()) / 4
    assert value == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-6)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0].flatten(0, 1), atol=1e-5, rtol=1e-4)
    assert figures["engine_gap_max"] == pytest.approx(0.0, abs=1e-6)


# --- InTRO with contrast


def test_intros_contrast_divides_by_the_mixture_of_wrong_answers() -> None:
    """At token 1 candidate 1 has p = 1/2 and p_w = 1/8, w = 4; candidate 0 has 1/4 and (1/2 + 1/4)/2, w = 2/3."""
    method = Intro(num_candidates=2, top_k=0, contrast=2)
    hints = [RIGHT, WRONG, WRONG_TOO]
    objective = of(method)
    batch = collate([row(hints)], CPU, num_candidates=2, with_posterior=True)
    spec = replace(objective.spec(batch), uniforms=None, candidates=torch.tensor([[1, 0], [0, 1]]), hinted=batch.hinted)
    scores = Scores(*identity(4)(torch.tensor(Q).log(), spec, torch.tensor(hints).flatten(0, 1).log()))
    from openrlhf.methods.intro import correction_factors

    w = correction_factors(scores, 200.0)
    torch.testing.assert_close(w[0], torch.tensor([4.0, 2 / 3]))
    torch.testing.assert_close(w[1], torch.tensor([1 / 4, (1 / 8) / ((1 / 4 + 1 / 12) / 2)]))
    equal = Scores(*identity(4)(torch.tensor(Q).log(), spec, torch.tensor([RIGHT] * 3).flatten(0, 1).log()))
    torch.testing.assert_close(correction_factors(equal, 200.0), torch.ones(2, 2))


def test_intros_contrast_needs_candidates() -> None:
    from openrlhf.config.rules import rl_rules

    config = rl_config("intro", pretrain="m", prompt_data="d", label_key="a", hint_contrast=1, intro_estimator="exact",
                       n_samples_per_prompt=4, rollout_engine="hf")  # fmt: skip
    with pytest.raises(UserError, match="--intro_estimator sampled"):
        rl_rules(config)


# --- policy gradients without hints

RESPONSES = [  # advantage, log-probabilities before: ratios of q's −2 ln 2 at TOKENS
    (1.0, (-2 * LN2 - math.log(1.3), -2 * LN2 + math.log(1.3))),
    (-0.5, (-2 * LN2 - math.log(6.0), -2 * LN2)),
]


def batch_rows(weight: float = 0.25) -> list[Example]:
    return [row(((),), weight, advantage=(a, a), old_logprob=old) for a, old in RESPONSES]


def ratios() -> tuple[Tensor, Tensor, Tensor]:
    """Leaf logits [4, 4], log-probabilities [2, 2], log ratios [2, 2]."""
    logits = torch.tensor([Q, Q]).flatten(0, 1).log().requires_grad_()
    logprobs = logits.log_softmax(-1).gather(1, torch.tensor(TOKENS * 2)[:, None]).view(2, 2)
    return logits, logprobs, logprobs - torch.tensor([old for _, old in RESPONSES])


def check(method: RLMethod, rows: Sequence[Example], expected: Tensor, logits: Tensor) -> None:
    value, gradient, _ = loss(of(method), rows, [Q, Q], [])
    assert value == pytest.approx(float(expected.detach()), rel=1e-5)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0], atol=1e-6, rtol=1e-4)


ADVANTAGES = torch.tensor([[1.0], [-0.5]])


@pytest.mark.parametrize(("low", "high"), [(3e-4, 4e-4), (0.9, 2.0)])
def test_gspo_clips_the_geometric_mean_of_a_responses_ratios(low: float, high: float) -> None:
    """Here (1.3 / 1.3)^½ = 1, which is not cut although both tokens' ratios lie far from 1, and 6^½."""
    logits, _, log_ratio = ratios()
    s = log_ratio.mean(1, keepdim=True).exp()
    assert s.flatten().tolist() == pytest.approx([1.0, 6**0.5])
    expected = -torch.minimum(s * ADVANTAGES, s.clamp(1 - low, 1 + high) * ADVANTAGES).mean()
    assert GSPO().weights([2, 2], rl_config("gspo")) == [0.25, 0.25]
    check(GSPO(eps_clip=low, eps_clip_high=high), batch_rows(), expected, logits)


def test_gspo_of_one_token_is_grpos_with_its_clips() -> None:
    rows = [replace(r, ids=(3, 1), scored=(1,), columns={k: v[:1] for k, v in r.columns.items()}) for r in batch_rows()]
    one = loss(of(GSPO(eps_clip=0.2, eps_clip_high=0.2)), rows, [Q[:1], Q[:1]], [])
    other = loss(of(GroupNorm()), rows, [Q[:1], Q[:1]], [])
    assert one[0] == pytest.approx(other[0])
    torch.testing.assert_close(one[1], other[1])


def test_cispo_keeps_the_gradient_of_every_token() -> None:
    """Ratios 1.3, 1/1.3, 6 (cut to 5) and 1."""
    logits, logprobs, log_ratio = ratios()
    weight = log_ratio.detach().exp().clamp(max=5.0)
    assert weight.flatten().tolist() == pytest.approx([1.3, 1 / 1.3, 5.0, 1.0])
    expected = -(weight * ADVANTAGES * logprobs).sum() / 4
    assert CISPO().weights([1, 3], rl_config("cispo")) == [0.25, 0.25]
    check(CISPO(), batch_rows(), expected, logits)


def test_dapo_clips_higher_above() -> None:
    logits, _, log_ratio = ratios()
    ratio = log_ratio.exp()
    expected = -torch.minimum(ratio * ADVANTAGES, ratio.clamp(0.8, 1.28) * ADVANTAGES).sum() / 4
    assert DAPO().weights([1, 3], rl_config("dapo")) == [0.25, 0.25]
    check(DAPO(), batch_rows(), expected, logits)


def test_dapo_takes_reward_from_long_responses_and_leaves_groups_without_signal_out() -> None:
    method = DAPO(overlong_from=4, overlong_to=8)
    assert [method.overlong(n) for n in (3, 4, 5, 6, 8, 9)] == [0, 0, 0.25, 0.5, 1, 1]
    group = [rollout(0, 1.0, ids=(5,) * 6), rollout(1, 0.0), rollout(2, 1.0)]
    outcomes = method.outcomes(group)
    mean = (0.5 + 0 + 1) / 3
    deviation = math.sqrt(sum((r - mean) ** 2 for r in (0.5, 0, 1)) / 2)
    assert outcomes == pytest.approx([(r - mean) / deviation for r in (0.5, 0, 1)])
    # lengths differ, but all are right
    assert method.outcomes([group[0], group[2]]) == [None, None]


def test_dapos_limits_follow_from_the_longest_response() -> None:
    config, _ = DAPO().settle(rl_config("dapo", generate_max_len=100))
    assert (config.method.overlong_from, config.method.overlong_to) == (80, 100)
    with pytest.raises(UserError, match="dapo_overlong_from 60 is not less"):
        DAPO(overlong_from=60, overlong_to=50).settle(rl_config("dapo"))
