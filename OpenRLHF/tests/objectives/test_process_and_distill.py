"""Process rewards and distillation against closed forms and against cross-entropy over full logits."""

import math

import pytest
import torch

from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import MicroBatch, collate
from openrlhf.methods.kd import DistillObjective
from openrlhf.methods.prm import ProcessObjective
from openrlhf.models.scorer import ScoringHead
from openrlhf.models.scores import Scores
from openrlhf.objectives.base import Objective
from openrlhf.utils.tally import Tally

# log-probabilities of the vocabulary 0 … 3 in every position: 0.1, 0.2, 0.3, 0.4
HEAD = ScoringHead(1, 4, bias=False)
with torch.no_grad():
    HEAD.weight.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]).log()[:, None])


def run(objective: Objective, labels: list[list[float]]) -> tuple[float, dict[str, float]]:
    """The loss of rows with these labels where the model says the same everywhere, and what was logged."""
    rows = [Example((0,) * (len(y) + 1), tuple(range(1, len(y) + 1)), 1.0, columns={"label": y}) for y in labels]
    batch = collate(objective.weighted(rows), torch.device("cpu"))
    tally = Tally()
    loss = objective.loss(scored(objective, batch), batch, tally)
    return float(loss.detach()), tally.metrics()


def scored(objective: Objective, batch: MicroBatch) -> Scores:
    return Scores(*HEAD(torch.ones(len(batch.token_weights), 1), objective.spec(batch)))


def test_over_the_whole_vocabulary_it_is_the_labels_log_likelihood():
    loss, logged = run(ProcessObjective(), [[1.0, 3.0], [2.0]])
    assert loss == pytest.approx(-(math.log(0.2) + math.log(0.4) + math.log(0.3)) / 3)
    assert logged == {"prm_loss": pytest.approx(loss), "acc": pytest.approx(1 / 3)}  # 3 is the likeliest


def test_two_reward_tokens_are_renormalised_over_themselves():
    """Tokens 2 and 0 have 0.3 and 0.1: three quarters and one quarter."""
    loss, logged = run(ProcessObjective((2, 0)), [[1.0, 0.0, 0.6]])
    quarter, rest = math.log(0.25), math.log(0.75)
    assert loss == pytest.approx(-(rest + quarter + 0.6 * rest + 0.4 * quarter) / 3)
    assert logged["acc"] == pytest.approx(2 / 3)


def test_more_reward_tokens_are_chosen_by_index():
    loss, logged = run(ProcessObjective((0, 1, 2)), [[2.0, 0.0]])
    assert loss == pytest.approx(-(math.log(3 / 6) + math.log(1 / 6)) / 2)
    assert logged["acc"] == 0.5


def test_every_step_of_the_batch_counts_alike_however_it_is_spread_over_rows():
    together = run(ProcessObjective((2, 0)), [[1.0, 0.0, 0.0]])[0]
    assert run(ProcessObjective((2, 0)), [[1.0], [0.0, 0.0]])[0] == pytest.approx(together)


@pytest.mark.parametrize("coef", [0.0, 0.4, 1.0])
def test_distillation_mixes_likelihood_and_the_teachers_cross_entropy(coef: float):
    """The teacher says 0.4, 0.3, 0.2, 0.1."""
    objective = DistillObjective(coef)
    batch = collate(objective.weighted([Example((0, 3, 1), (1, 2), 1.0)]), torch.device("cpu"), with_posterior=True)
    teacher = ScoringHead(2, 4, bias=False)
    with torch.no_grad():
        teacher.weight.copy_(torch.tensor([0.4, 0.3, 0.2, 0.1]).log()[:, None].expand(4, 2) / 2)
    scores = Scores(*HEAD(torch.ones(2, 1), objective.spec(batch), torch.ones(2, 2), teacher))
    tally = Tally()
    loss = float(objective.loss(scores, batch, tally).detach())
    likelihood = -(math.log(0.4) + math.log(0.2)) / 2
    distilled = -(0.4 * math.log(0.1) + 0.3 * math.log(0.2) + 0.2 * math.log(0.3) + 0.1 * math.log(0.4))
    assert loss == pytest.approx((1 - coef) * likelihood + coef * distilled)
    assert tally.metrics() == {"gpt_loss": pytest.approx(likelihood), "distil_loss": pytest.approx(distilled)}
