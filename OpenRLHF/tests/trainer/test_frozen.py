"""Where the weights of frozen models are kept."""

import pytest
import torch
import torch.distributed as dist
from learner_program import FLAGS

from configuring import rl_config
from openrlhf.trainer.frozen import _frozen_config


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_offloading_keeps_a_frozen_model_in_cpu_memory_whatever_the_stage_of_the_policy(
    stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 1)
    run = rl_config(**{**FLAGS, "zero_stage": stage})
    config = _frozen_config(run, offload=True)
    assert config is not None
    zero = config["zero_optimization"]
    assert (zero["stage"], zero["offload_param"]["device"]) == (3, "cpu")
    assert run.deepspeed.zero_stage == stage
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)  # a single rank on the CPU shards nothing
    assert (_frozen_config(run, offload=True) is None) == (stage != 3)
