"""In which order things move on and off a GPU: on fakes that write down what they are asked for."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from configuring import rl_config
from openrlhf.config.memory import GIB, PHASES, ModelShape, held, ledger
from openrlhf.config.reinforcement import RLConfig
from openrlhf.trainer.gpu_memory import GpuMemory
from openrlhf.trainer.ray.cluster import sharing_roles
from openrlhf.trainer.ray.launch import load_models, sync_backend
from openrlhf.trainer.role_group import RoleGroup

ALL = {"colocate_all_models": True, "zero_stage": 3, "bf16": True}
ROLES = ("actor", "reference", "critic", "reward0")


class Engines:
    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def begin_ready(self) -> Callable[[], None]:
        return lambda: self.calls.append("engines ready")

    def sleep(self, keep_weights: bool) -> None:
        self.calls.append("engines sleep" + (" with weights" if keep_weights else ""))

    def wake_weights(self) -> None:
        self.calls.append("engines wake weights")

    def wake_cache(self) -> None:
        self.calls.append("engines wake cache")


class Group(RoleGroup):
    world_size = 1

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def begin(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> Callable[[], list[Any]]:
        self.calls.append(f"{self.name} {method}")
        return lambda: []

    def begin_setup(self) -> Callable[[], list[Any]]:
        return self.begin("setup", [()])

    def shutdown(self) -> None:
        pass


def started(config: RLConfig) -> tuple[GpuMemory, list[str]]:
    calls: list[str] = []
    engines: Any = Engines(calls)
    groups: Any = {name: Group(name, calls) for name in ROLES}
    memory = GpuMemory(config, engines, groups, sharing_roles(config))
    load_models(config, engines, groups, memory)
    return memory, calls


def ppo(**flags: Any) -> RLConfig:
    values = {"critic_pretrain": "c", "reward_pretrain": "r", "init_kl_coef": 0.1, **flags}
    return rl_config("gae", **values)


def of_a_step(config: RLConfig) -> list[list[str]]:
    """What is moved when each phase of a step begins."""
    memory, calls = started(config)
    memory.enter("sync")
    memory.enter("generate")
    found = []
    for phase in ("score", "update", "sync", "generate"):
        calls.clear()
        memory.enter(phase)
        found.append(list(calls))
    return found


RELEASES = [f"{name} release_memory" for name in ROLES]


def test_engines_start_and_sleep_before_any_other_model_loads() -> None:
    _, calls = started(ppo(**ALL, vllm_enable_sleep=True, deepspeed_enable_sleep=True))
    setups = [f"{name} setup" for name in ROLES]
    assert calls == ["engines ready", "engines sleep with weights", *setups]
    _, calls = started(ppo(**ALL))
    assert calls == ["engines ready", *setups]


def test_engines_with_gpus_of_their_own_start_beside_the_others() -> None:
    _, calls = started(ppo(zero_stage=3))
    assert calls[0] == "actor setup"


def test_engines_are_awake_when_the_channel_to_them_is_made() -> None:
    """Checksums are read from their weights then; those are the ones they started with."""
    memory, calls = started(ppo(**ALL, vllm_enable_sleep=True, deepspeed_enable_sleep=True))
    calls.clear()
    memory.enter("sync")
    assert calls == ["actor sleep", "critic sleep", *RELEASES, "engines wake weights"]


def test_weights_wake_before_they_are_overwritten_and_the_cache_after_that() -> None:
    score, update, sync, generate = of_a_step(ppo(**ALL, vllm_enable_sleep=True, deepspeed_enable_sleep=True))
    assert score == ["engines sleep", *RELEASES]
    assert update == [*RELEASES, "actor wake", "critic wake"]
    assert sync == ["actor sleep", "critic sleep", *RELEASES, "engines wake weights"]
    assert generate == [*RELEASES, "engines wake cache"]


@pytest.mark.parametrize("more", [{}, {"adam_offload": True}])
def test_every_role_hands_its_spare_memory_back_before_engines_wake_whatever_happens_to_optimisers(more: dict) -> None:
    _, _, sync, generate = of_a_step(ppo(**ALL, vllm_enable_sleep=True, **more))
    assert sync == [*RELEASES, "engines wake weights"]
    assert generate == [*RELEASES, "engines wake cache"]


def test_only_those_that_share_a_gpu_hand_memory_back() -> None:
    shared = of_a_step(ppo(colocate_actor_ref=True))
    assert shared == [["actor release_memory", "reference release_memory"]] * 4
    assert of_a_step(ppo()) == [[]] * 4


SHAPE = ModelShape(parameters=8 * GIB, layer=2**20, embedding=2**20, layers=2, width=64, vocabulary=2**14)


@pytest.mark.parametrize("trainers", [True, False])
@pytest.mark.parametrize("engines", [True, False])
def test_between_two_phases_no_gpu_holds_more_than_in_one_of_them(trainers: bool, engines: bool) -> None:
    """Every call takes from the GPU, or brings to it, what the ledger says of it."""
    config = ppo(**ALL, vllm_enable_sleep=engines, deepspeed_enable_sleep=trainers)
    holdings = ledger(config, {"actor": SHAPE, "critic": SHAPE}, 80.0)
    size = {
        (h.role, h.name): h.gib for h in holdings if h.name not in ("activations", "output layer", "float32 gradients")
    }
    states = sum(size["actor", name] for name in ("optimiser", "gradients", "gradient buckets"))
    moved = {
        "engines sleep": -size["engine", "weights"] - size["engine", "cache"],
        "engines sleep with weights": -size["engine", "weights"] - size["engine", "cache"],
        "engines wake weights": size["engine", "weights"],
        "engines wake cache": size["engine", "cache"],
        **{f"{role} sleep": -states for role in ("actor", "critic")},
        **{f"{role} wake": states for role in ("actor", "critic")},
    }
    moving = {"optimiser", "gradients", "gradient buckets"}

    def lying(phase: str) -> float:
        kept = [h for h in holdings if h.role == "engine" or h.name in moving]
        return sum(held(kept, phase).values())

    memory, calls = started(config)
    for before, after in pairwise(["load", "sync", "generate", "score", "update", "sync", "generate"]):
        calls.clear()
        memory.enter(after)
        now, limit = lying(before), max(lying(before), lying(after))
        for call in calls:
            now += moved.get(call, 0.0)
            assert now <= limit + 1e-9, (before, after, call)
        assert now == pytest.approx(lying(after)), (before, after)
    assert set(PHASES) >= {"start", "load", "generate", "score", "update", "sync"}


def test_hugging_face_engines_get_their_weights_over_gloo_wherever_they_are() -> None:
    for flags in ({"colocate_all_models": True}, {}):
        assert sync_backend(rl_config(rollout_engine="hf", **flags), has_cuda=True) == "gloo"
    assert sync_backend(rl_config(rollout_engine="vllm", colocate_all_models=True), has_cuda=True) == "ipc"
    assert sync_backend(rl_config(rollout_engine="vllm"), has_cuda=True) == "nccl"
    assert sync_backend(rl_config(rollout_engine="vllm"), has_cuda=False) == "gloo"
