"""Run by the tests in a process of its own: one command line of train_ppo_ray_intro after the other, without Ray and
with the Hugging Face engine. Argument: a JSON file with the flags of each run."""

import json
import os
import sys
from pathlib import Path

from openrlhf.cli.arguments import parse
from openrlhf.config.rules import rl_rules
from openrlhf.demo.comparison import LocalPolicy
from openrlhf.rewards.functions import open_rewards
from openrlhf.rollout.hf_engine import HfEngine
from openrlhf.trainer.assembly import Assembler
from openrlhf.trainer.deepspeed_setup import init_process_group
from openrlhf.trainer.gpu_memory import GpuMemory
from openrlhf.trainer.graders import TextGrader
from openrlhf.trainer.preparation import prepare
from openrlhf.trainer.rl_evaluation import Evaluator
from openrlhf.trainer.rl_trainer import RLTrainer, Roles
from openrlhf.trainer.role_group import LocalGroup
from openrlhf.trainer.rollout_maker import RolloutMaker
from openrlhf.trainer.run_log import RunLog
from openrlhf.trainer.second_round import with_second_round
from openrlhf.trainer.state import TrainerState
from openrlhf.utils.network import free_port


def run(flags: list[str]) -> None:
    config, _ = rl_rules(parse("train_ppo_ray_intro", flags).config)
    prepared = prepare(config)
    engine = HfEngine(str(config.model.pretrain), dtype="float32", max_num_seqs=16)
    grader = TextGrader(open_rewards(config.reward.sources, workers=1, timeout=60.0), prepared.tokenizer)
    try:
        sampled = RolloutMaker(engine, grader, config.optimizer.seed)
        policy = LocalGroup(LocalPolicy(config, engine), "127.0.0.1", free_port())
        roles = Roles(
            policy=policy,
            critic=None,
            memory=GpuMemory(config, engine, {}, frozenset()),
            rollouts=with_second_round(sampled, config, prepared.prompts, prepared.tokenizer),
            assembler=Assembler(config, prepared.tokenizer, policy),
            evaluator=Evaluator(config, sampled, prepared.tokenizer, [], []),
        )
        state = TrainerState(kl_coef=config.kl.init_kl_coef)
        RLTrainer(prepared.plan, prompts=prepared.prompts, roles=roles, log=RunLog(config), state=state).train()
    finally:
        grader.close()


if __name__ == "__main__":
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()), RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")
    init_process_group()
    for flags in json.loads(Path(sys.argv[1]).read_text()):
        run(flags)
