"""Models that all tests of rollouts share."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; vLLM's CPU threads depend on it

import pytest
import ray
import torch
from rollout_models import save_tiny_qwen2
from transformers import AutoModelForCausalLM

from openrlhf.utils.ray_connection import start_local_ray


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    return save_tiny_qwen2(tmp_path_factory.mktemp("tiny"), seed=0)


@pytest.fixture(scope="session")
def other_path(tmp_path_factory):
    """A second model of the same shape with other weights."""
    return save_tiny_qwen2(tmp_path_factory.mktemp("other"), seed=1)


@pytest.fixture(scope="session")
def reference(model_path):
    return AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()


@pytest.fixture(scope="package")
def cluster():
    """Ray on this machine; its workers find the tests' modules."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    start_local_ray(
        num_cpus=8,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, paths))}},
    )
    yield
    ray.shutdown()
