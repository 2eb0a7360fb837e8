"""Methods side by side on the demo: the same loop, roles and objectives as the command's, in one process without Ray.

A method is a command line. Every run takes the same prompts in the same order, as many samples and as many optimiser
steps; models are scored on held-out problems by the grader.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from openrlhf.cli.arguments import parse
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.rules import rl_rules
from openrlhf.config.settings import with_flags
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.intro import Intro
from openrlhf.models.parameters import FullParameters
from openrlhf.rewards.functions import open_rewards
from openrlhf.rollout.engine import Sampling
from openrlhf.rollout.hf_engine import HfEngine
from openrlhf.trainer.assembly import Assembler
from openrlhf.trainer.critic_worker import CriticWorker
from openrlhf.trainer.frozen_workers import ReferenceWorker
from openrlhf.trainer.gpu_memory import GpuMemory
from openrlhf.trainer.graders import TextGrader
from openrlhf.trainer.policy_worker import PolicyWorker
from openrlhf.trainer.preparation import Prepared, prepare
from openrlhf.trainer.rl_evaluation import Evaluator
from openrlhf.trainer.rl_trainer import RLTrainer, Roles
from openrlhf.trainer.role_group import LocalGroup
from openrlhf.trainer.rollout_maker import RolloutMaker
from openrlhf.trainer.run_log import rl_log
from openrlhf.trainer.second_round import with_second_round
from openrlhf.trainer.state import TrainerState
from openrlhf.utils.atomic import write_atomically
from openrlhf.utils.network import free_port

RESULT = "result.json"


@dataclass(frozen=True)
class Method:
    """name: in the table. flags: of train_ppo_ray_intro. hint: answer, none or wrong (controls of InTRO).

    gold: train on the data's solutions instead of samples (supervised fine-tuning).
    """

    name: str
    flags: tuple[str, ...]
    hint: str = "answer"
    gold: bool = False


def _of(estimator: str, *more: str) -> tuple[str, ...]:
    return ("--advantage_estimator", estimator, *more)


ESTIMATORS = (
    ("n=1", ("--intro_num_candidates", "1")),
    ("n=5", ()),
    ("exact", ("--intro_estimator", "exact")),
)
METHODS = (
    Method("SFT", _of("raft"), gold=True),
    Method("RAFT", _of("raft")),
    Method("GRPO", _of("group_norm")),
    Method("RLOO", _of("rloo")),
    Method("REINFORCE++", _of("reinforce")),
    Method("PPO", _of("gae")),
    *(Method(f"InTRO {name}", _of("intro", *flags)) for name, flags in ESTIMATORS),
    *(Method(f"InTRO {name}, EMA posterior", _of("intro", *flags, "--intro_posterior", "ema",
                                                 "--intro_posterior_ema", "0.95")) for name, flags in ESTIMATORS),
    *(Method(f"InTRO {name}, frozen posterior", _of("intro", *flags, "--intro_posterior", "initial"))
      for name, flags in ESTIMATORS),
    Method("InTRO n=5, no hint", _of("intro"), hint="none"),
    Method("InTRO n=5, wrong hint", _of("intro"), hint="wrong"),
)  # fmt: skip

BUDGETS = {
    "short": ("--num_episodes", "1", "--actor_learning_rate", "2e-4", "--lr_warmup_ratio", "0.25"),
    "long": ("--num_episodes", "2", "--actor_learning_rate", "3e-4", "--lr_warmup_ratio", "0.125",
             "--lr_min_ratio", "1"),
}  # fmt: skip

WATCHED = 200  # held-out problems that are also scored while a run goes on; all of them are at its end

COMMON = (
    *("--input_key", "problem", "--label_key", "answer", "--remote_rm_url", "math", "--init_kl_coef", "0"),
    *("--actor_num_gpus_per_node", "1", "--critic_num_gpus_per_node", "1", "--zero_stage", "0"),
    *("--rollout_engine", "hf", "--rollout_batch_size", "64", "--n_samples_per_prompt", "4", "--temperature", "1.0"),
    *("--train_batch_size", "256", "--micro_train_batch_size", "64", "--micro_rollout_batch_size", "64"),
    *("--prompt_max_len", "64", "--generate_max_len", "64", "--adam_betas", "0.9", "0.99", "--logging_steps", "1"),
    *("--critic_learning_rate", "1e-3", "--reward_workers", "1", "--save_steps", "-1", "--eval_steps", "5"),
    *("--hinted_eval_steps", "5", "--hinted_eval_prompts", str(WATCHED)),
)


class LocalPolicy(PolicyWorker):
    """A policy whose engine lives in the same process: weights are copied into it."""

    def __init__(self, config: RLConfig, engine: HfEngine) -> None:
        super().__init__(config, 0, 1)
        self._engine = engine

    def sync_weights(self, version: int | None = None) -> dict[str, float]:
        started = time.monotonic()
        self._engine.load_weights(FullParameters(self.learner.network))
        self._engine.finish_weight_update(version or 0)
        return {"seconds": time.monotonic() - started}


class TimedEvaluator(Evaluator):
    """Adds up the CPU time that evaluation takes, so that a method's own time can be told from it."""

    cpu_seconds = 0.0

    def evaluate(self, step: int) -> dict[str, float]:
        started = time.process_time()
        metrics = super().evaluate(step)
        self.cpu_seconds += time.process_time() - started
        return metrics

    def evaluate_hinted(self, step: int) -> dict[str, float]:
        started = time.process_time()
        metrics = super().evaluate_hinted(step)
        self.cpu_seconds += time.process_time() - started
        return metrics


class GoldSolutions(RolloutMaker):
    """Gives the data's worked solutions in place of samples, so that RAFT's loss becomes supervised fine-tuning's."""

    def __init__(self, solutions: dict[str, str], tokenizer: Any) -> None:
        self._solutions = solutions
        self._tokenizer = tokenizer

    def make(self, prompts: Sequence[Prompt], samples: int, sampling: Sampling, **_: Any) -> list[Rollout]:
        made = []
        for prompt in prompts:
            text = " " + self._solutions[prompt.text]
            ids = self._tokenizer(text + " " + self._tokenizer.eos_token, add_special_tokens=False)["input_ids"]
            no_logprobs = (0.0,) * len(ids)  # no engine wrote these
            made.append(Rollout(prompt, 0, tuple(ids), no_logprobs, "stop", text, reward=1.0))
        return made


def run(method: Method, budget: str, seed: int, data: Path, base: Path, folder: Path) -> dict[str, Any]:
    """Trains and scores one model below `folder`, and writes the result into the file RESULT there, at the end.

    data: what make_demo_data.py and data_preprocessing.py wrote. base: the warm-started model. The process group of one
    rank must exist.
    """
    prepared = _prepare(method, budget, seed, data, base, folder)
    config = prepared.plan.config
    engine = HfEngine(str(base), dtype="float32", max_num_seqs=256)
    grader = TextGrader(open_rewards(["math"], workers=1, timeout=30.0), prepared.tokenizer)
    try:
        sampled = RolloutMaker(engine, grader, seed)
        held_out = prepared.held_out
        evaluator = TimedEvaluator(config, sampled, prepared.tokenizer, held_out[:WATCHED], held_out[:WATCHED])
        rollouts = with_second_round(sampled, config, prepared.prompts, prepared.tokenizer)
        if method.gold:
            rollouts = GoldSolutions(_solutions(data), prepared.tokenizer)
        started = time.process_time()
        RLTrainer(
            prepared.plan,
            prompts=prepared.prompts,
            roles=_roles(prepared, engine, rollouts, evaluator),
            log=rl_log(config, prepared.tokenizer, ""),
            state=TrainerState(kl_coef=config.kl.init_kl_coef),
        ).train()
        seconds = time.process_time() - started - evaluator.cpu_seconds
        result = {"method": method.name, "budget": budget, "seed": seed, "cpu_seconds": seconds}
        result.update(score(sampled, held_out))
    finally:
        grader.close()
    write_atomically(folder / RESULT, json.dumps(result, indent=2) + "\n")
    return result


def score(rollouts: RolloutMaker, problems: Sequence[Prompt]) -> dict[str, float]:
    """Accuracy and mean tokens of greedy responses, and accuracy of one sample a problem at temperature 1."""
    found: dict[str, float] = {"problems": len(problems)}
    for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        sampling = Sampling(temperature=temperature, max_new_tokens=64)
        made = rollouts.make(problems, 1, sampling, purpose=f"score {name}", step=0)
        found[name] = sum(rollout.correct for rollout in made) / len(made)
        found[f"{name}_length"] = sum(len(rollout.token_ids) for rollout in made) / len(made)
    return found


def _prepare(method: Method, budget: str, seed: int, data: Path, base: Path, folder: Path) -> Prepared:
    held_out = str(data / "benchmark" / "demo" / "test.jsonl")
    files = ["--pretrain", str(base), "--prompt_data", str(data / "train.json"), "--save_path", str(folder)]
    files += ["--eval_dataset", held_out]
    flags = [*files, *COMMON, *BUDGETS[budget], *method.flags, "--seed", str(seed)]
    config, _ = rl_rules(parse("train_ppo_ray_intro", flags).config)
    # On a CPU attention computes the whole square of a packed row.
    config = with_flags(config, packing_samples=False)
    prepared = prepare(config)
    if method.hint == "answer":
        return prepared
    settings = {own.name: getattr(config.method, own.name) for own in fields(config.method)}
    hint = _ControlHint(**settings, labels=_labels(method, prepared))
    return replace(prepared, plan=replace(prepared.plan, config=replace(config, method=hint)))


def _roles(prepared: Prepared, engine: HfEngine, rollouts: RolloutMaker, evaluator: Evaluator) -> Roles:
    config = prepared.plan.config
    policy = _local(LocalPolicy(config, engine))
    critic = _local(CriticWorker(config, 0, 1)) if config.has_critic else None
    reference = _local(ReferenceWorker(config, 0, 1)) if config.reference_is_a_role else None
    return Roles(
        policy=policy,
        critic=critic,
        memory=GpuMemory(config, engine, {}, frozenset()),
        rollouts=rollouts,
        assembler=Assembler(config, prepared.tokenizer, policy, reference, critic),
        evaluator=evaluator,
    )


def _local(worker: Any) -> LocalGroup:
    return LocalGroup(worker, "127.0.0.1", free_port())


@dataclass(frozen=True)
class _ControlHint(Intro):
    """Controls of the hint: `labels` holds another answer for each prompt, or is empty for no hint at all."""

    labels: Mapping[int, str] = field(default_factory=dict)

    def hint(self, rollout: Rollout, group: Sequence[Rollout]) -> str:
        return self.answer_hint(self.labels[rollout.prompt.index]) if self.labels else ""


def _labels(method: Method, prepared: Prepared) -> dict[int, str]:
    """For a wrong hint the answer of the next problem that has another one."""
    if method.hint == "none":
        return {}
    labels = {prompt.index: prompt.label for prompt in prepared.prompts}
    count = len(labels)
    wrong = {}
    for index, own in labels.items():
        others = (labels[(index + step) % count] for step in range(1, count))
        wrong[index] = next(label for label in others if label != own)
    return wrong


def _solutions(data: Path) -> dict[str, str]:
    rows = json.loads((data / "train.json").read_text(encoding="utf-8"))
    return {row["problem"]: row["solution"] for row in rows}


def run_folder(root: Path, name: str, budget: str, seed: int) -> Path:
    """Where a run's files lie below the comparison's folder."""
    return root / "runs" / f"{name}_{budget}_seed{seed}".replace(" ", "_").replace(",", "").replace("+", "p")
