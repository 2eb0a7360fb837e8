"""Weights travel through the real Gloo transport into real engines in Ray actors."""

import threading
import time
from pathlib import Path

import pytest
import ray
import torch
from rollout_models import forward_logprobs, save_tiny_qwen2
from transformers import AutoModelForCausalLM

from openrlhf.errors import UserError
from openrlhf.rollout.actor import EngineActor, actor_options
from openrlhf.rollout.engine import Request, Sampling
from openrlhf.rollout.errors import WeightSyncError
from openrlhf.rollout.gloo_transport import GlooGroup, GlooReceiver, GlooSender, Parameter, listen, update_payload
from openrlhf.rollout.opening import open_engine
from openrlhf.rollout.pool import EnginePool
from openrlhf.rollout.shared_buffer import SharedBuffer
from openrlhf.rollout.weight_sync import ModuleSource, WeightSender

REQUESTS = [Request((i, 0), tuple(range(50 + i, 56 + 2 * i)), seed=90 + i) for i in range(6)]


def start(engine, model_path, **options):
    in_flight = options.get("in_flight", False)
    actor = ray.remote(EngineActor).options(**actor_options(gpus_per_worker=0, in_flight=in_flight))
    settings = {"dtype": "float32", "max_model_len": 128, "max_num_seqs": 8, "sync_backend": "gloo"}
    return actor.remote(model_path, engine, **{**settings, **options})


def started(*engines):
    ray.get([engine.ready.remote() for engine in engines])
    return list(engines)


def load(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def sender(engines, source, **options):
    settings = {"rank": 0, "backend": "gloo", "timeout_s": 20, **options}
    return WeightSender(engines=engines, source=source, **settings)


def generate(engine, sampling):
    parts = EnginePool([engine], stall_limit_s=60).generate(REQUESTS, sampling)
    return {completion.key: completion for part in parts for completion in part}


def assert_engine_has(engine, model):
    """Log-probabilities are those of a plain forward pass of `model`, greedy tokens its most likely ones."""
    sampled = generate(engine, Sampling(temperature=0.8, max_new_tokens=20))
    greedy = generate(engine, Sampling(temperature=0.0, max_new_tokens=20))
    for request in REQUESTS:
        found = sampled[request.key]
        expected = forward_logprobs(model, request.prompt_ids, found.token_ids)
        torch.testing.assert_close(torch.tensor(found.logprobs), expected, rtol=0, atol=1e-4)
        tokens = greedy[request.key].token_ids
        with torch.no_grad():
            scores = model(torch.tensor([[*request.prompt_ids, *tokens]])).logits[0]
        assert list(tokens) == scores.argmax(-1)[len(request.prompt_ids) - 1 : -1].tolist()


@pytest.fixture(scope="module")
def vllm_engine(cluster, model_path):
    pytest.importorskip("vllm")
    (engine,) = started(start("vllm", model_path))
    yield engine
    ray.kill(engine)


@pytest.fixture(scope="module")
def hf_engine(cluster, model_path):
    (engine,) = started(start("hf", model_path))
    yield engine
    ray.kill(engine)


@pytest.mark.vllm
@pytest.mark.slow
def test_both_engines_follow_the_trainer_through_several_updates(vllm_engine, hf_engine, model_path, other_path):
    both_engines = [vllm_engine, hf_engine]
    trained = load(model_path)
    for engine in both_engines:
        assert_engine_has(engine, trained)
    link = sender(both_engines, ModuleSource(trained), bucket_bytes=20_000)  # several buckets
    link.connect()
    other = load(other_path).state_dict()
    for share in (0.5, 1.0):
        with torch.no_grad():
            for name, parameter in trained.named_parameters():
                parameter.lerp_(other[name], share)
        report = link.send()
        parameters = list(trained.parameters())
        assert report.parameters == len(parameters)
        assert report.nbytes == 4 * sum(parameter.numel() for parameter in parameters)
        # What vLLM on the CPU can read back: the embedding, twice the q, k and v biases, five norms.
        assert report.compared >= 12
        for engine in both_engines:
            assert_engine_has(engine, trained)
    link.shutdown()


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_follows_a_trainer_whose_output_layer_is_not_tied(cluster, tmp_path):
    """And takes its weights while it generates: tokens go on from the keys and values of the old ones."""
    pytest.importorskip("vllm")
    first, second = (save_tiny_qwen2(tmp_path / str(seed), seed, tied=False) for seed in (3, 4))
    (engine,) = started(start("vllm", first, in_flight=True, max_num_seqs=2, enable_prefix_caching=False))
    old, trained = load(first), load(second)
    link = sender([engine], ModuleSource(trained))
    link.connect()
    requests = [Request((i, 0), tuple(range(50 + i, 56 + i)), seed=i) for i in range(40)]
    stream = EnginePool([engine], stall_limit_s=60).generate(requests, Sampling(max_new_tokens=100))
    found = [*next(stream)]
    link.send(version=5)
    found += [completion for part in stream for completion in part]
    seen = [sorted({*completion.versions}) for completion in found]
    assert [0] in seen
    assert [5] in seen
    mixed = [c for c, versions in zip(found, seen, strict=True) if versions == [0, 5]]
    assert mixed
    for completion in mixed:
        count, prompt = completion.versions.count(0), requests[completion.key[0]].prompt_ids
        assert completion.versions == (0,) * count + (5,) * (len(completion.token_ids) - count)
        expected = forward_logprobs(old, prompt, completion.token_ids[:count])
        with torch.no_grad():
            cache = old(torch.tensor([[*prompt, *completion.token_ids[: count - 1]]]), use_cache=True).past_key_values
            scores = trained(torch.tensor([completion.token_ids[count - 1 : -1]]), past_key_values=cache).logits[0]
        later = torch.tensor(completion.token_ids[count:])[:, None]
        expected = torch.cat([expected, scores.log_softmax(-1).gather(1, later)[:, 0]])
        torch.testing.assert_close(torch.tensor(completion.logprobs), expected, rtol=0, atol=1e-4)
    assert_engine_has(engine, trained)
    ray.kill(engine)


def test_parameters_larger_than_a_slot_of_shared_memory_arrive_in_pieces(monkeypatch):
    for module in ("shared_buffer", "gloo_transport"):
        monkeypatch.setattr(f"openrlhf.rollout.{module}.SLOT_BYTES", 4096)
    weights = {name: torch.randn(size) for name, size in (("a", 3), ("b", 5000), ("c", 1024), ("d", 77))}
    parameters = [Parameter(name, torch.float32, tuple(tensor.shape)) for name, tensor in weights.items()]
    shared, (listener, port) = SharedBuffer.create(), listen("127.0.0.1")
    assert shared is not None
    assert Path(shared.path).stat().st_mode & 0o777 == 0o600
    received = {}

    def receive():
        where = {"master_address": "127.0.0.1", "master_port": port, "rank_offset": 1, "world_size": 2}
        receiver = GlooReceiver(**where, timeout_s=20, shared_path=shared.path)
        for _ in range(2):
            receiver.receive(update_payload(parameters, 5000), lambda part: received.update(part))
        receiver.close()

    engine = threading.Thread(target=receive)
    engine.start()
    link = GlooSender(GlooGroup("127.0.0.1", port, 0, 2, 20, listener), [[1]], 5000, shared)
    shared.remove_name()
    for _ in range(2):
        received.clear()
        link.send(parameters, iter(weights.items()))
    engine.join(20)
    link.close()
    assert {name: tensor.tolist() for name, tensor in received.items()} == {
        name: tensor.tolist() for name, tensor in weights.items()
    }


class Lockstep:
    """A source whose iteration is a collective of two ranks, as gathering ZeRO-3 shards is."""

    def __init__(self, module, barrier, broken_at=None):
        self._inner = ModuleSource(module)
        self._barrier = barrier
        self._broken_at = broken_at

    def metadata(self):
        return self._inner.metadata()

    def __iter__(self):
        for name, tensor in self._inner:
            self._barrier.wait()
            yield name, tensor[:-1] if name == self._broken_at else tensor


@pytest.mark.slow
def test_every_rank_takes_part_and_rank_0_alone_sends_also_without_shared_memory(hf_engine, other_path, monkeypatch):
    monkeypatch.setattr(SharedBuffer, "create", lambda: None)
    other = load(other_path)
    barrier = threading.Barrier(2, timeout=10)
    links = [sender([hf_engine], Lockstep(other, barrier), rank=rank) for rank in (0, 1)]
    for link in links:
        link.connect()
    helper = threading.Thread(target=links[1].send)
    helper.start()
    report = links[0].send()
    helper.join(10)
    assert not helper.is_alive()
    assert report.compared == report.parameters
    assert_engine_has(hf_engine, other)


@pytest.mark.slow
def test_a_source_that_breaks_its_promise_is_named_and_leaves_no_rank_waiting(hf_engine, other_path):
    barrier = threading.Barrier(2, timeout=10)
    broken = Lockstep(load(other_path), barrier, broken_at="model.layers.1.input_layernorm.weight")
    links = [sender([hf_engine], broken, rank=rank) for rank in (0, 1)]
    for link in links:
        link.connect()
    reports = []
    helper = threading.Thread(target=lambda: reports.append(links[1].send()))
    helper.start()
    with pytest.raises(WeightSyncError, match=r"layers.1.input_layernorm.weight \[64\].*gave .*\[63\]"):
        links[0].send()
    helper.join(10)
    assert len(reports) == 1


@pytest.mark.slow
def test_float32_weights_reach_a_bfloat16_engine_rounded(cluster, model_path, other_path):
    (engine,) = started(start("hf", model_path, dtype="bfloat16"))
    link = sender([engine], ModuleSource(load(other_path)))
    link.connect()
    report = link.send()
    sums = ray.get(engine.parameter_checksums.remote())[0]
    ray.kill(engine)
    name = "model.layers.0.mlp.down_proj.weight"
    rounded = load(other_path).state_dict()[name].bfloat16()
    assert sums[name,] == int(rounded.view(torch.int16).long().sum())
    assert report.nbytes == 2 * sum(parameter.numel() for parameter in load(other_path).parameters())


class Renamed(ModuleSource):
    """Sends one parameter under another name or in another shape."""

    def __init__(self, module, name, new_name=None, extra_rows=0):
        super().__init__(module)
        self._name, self._new_name, self._extra_rows = name, new_name or name, extra_rows

    def _changed(self, name, tensor):
        if name != self._name:
            return name, tensor
        return self._new_name, torch.cat([tensor, tensor[: self._extra_rows]])

    def metadata(self):
        return [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in self]

    def __iter__(self):
        for name, tensor in super().__iter__():
            yield self._changed(name, tensor)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extra_rows": 2}, r"norm.weight of shape \[66\] could not be loaded.*shape \[64\]"),
        ({"new_name": "model.norm.wait"}, r"model.norm.wait of .* no such parameter"),
    ],
    ids=["shape", "name"],
)
def test_a_parameter_that_does_not_fit_is_named_at_once(hf_engine, other_path, change, said):
    link = sender([hf_engine], Renamed(load(other_path), "model.norm.weight", **change))
    link.connect()
    begun = time.monotonic()
    with pytest.raises(WeightSyncError, match=f"(?s)engine 0 failed in update_weights.*{said}"):
        link.send()
    assert time.monotonic() - begun < 10


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_names_a_parameter_of_the_wrong_shape(vllm_engine, other_path):
    link = sender([vllm_engine], Renamed(load(other_path), "model.norm.weight", extra_rows=2))
    link.connect()
    with pytest.raises(WeightSyncError, match=r"(?s)engine 0 failed in update_weights.*norm.weight of shape \[66\]"):
        link.send()


@pytest.mark.slow
def test_an_engine_that_died_between_updates_is_named_in_time(hf_engine, model_path, other_path):
    engines = [hf_engine, *started(start("hf", model_path))]
    link = sender(engines, ModuleSource(load(other_path)), timeout_s=15)
    link.connect()
    link.send()
    ray.kill(engines[1])
    begun = time.monotonic()
    with pytest.raises(WeightSyncError, match="engine 1 died in"):
        link.send()
    assert time.monotonic() - begun < 15
    link.connect([hf_engine])  # without the dead one it goes on
    report = link.send()
    assert report.compared == report.parameters


class Dying(ModuleSource):
    """Kills an engine in the middle of a transfer."""

    victim = None

    def __iter__(self):
        for at, (name, tensor) in enumerate(super().__iter__()):
            if at == 10 and self.victim is not None:
                ray.kill(self.victim)
                time.sleep(1)
            yield name, tensor


@pytest.mark.slow
def test_an_engine_that_dies_in_the_middle_of_a_transfer_is_named_in_time(hf_engine, model_path, other_path):
    engines = [hf_engine, *started(start("hf", model_path))]
    source = Dying(load(other_path))
    link = sender(engines, source, timeout_s=20, bucket_bytes=5_000)
    link.connect()
    source.victim = engines[1]
    begun = time.monotonic()
    with pytest.raises(WeightSyncError, match="engine 1"):
        link.send()
    # The other engine does not wait for the rest.
    assert ray.get(engines[0].transfer_info.remote(), timeout=5)["workers"] == 1
    assert time.monotonic() - begun < 10
    with pytest.raises(WeightSyncError, match=r"closed after an error; connect\(\) again"):
        link.send()


class ForgetfulActor(EngineActor):
    """Receives everything and keeps nothing."""

    def update_weights(self, update_info):
        self._engine._receiver.receive(update_info, lambda weights: None)


@pytest.mark.slow
def test_weights_that_did_not_arrive_in_the_model_are_noticed(cluster, model_path, other_path):
    actor = ray.remote(ForgetfulActor).options(**actor_options(gpus_per_worker=0))
    (engine,) = started(actor.remote(model_path, "hf", dtype="float32", sync_backend="gloo"))
    link = sender([engine], ModuleSource(load(other_path)))
    link.connect()
    with pytest.raises(WeightSyncError, match=r"engine 0 has other weights than were sent: model\.embed"):
        link.send()
    ray.kill(engine)


class HoldingActor(EngineActor):
    """Keeps one matrix as it was."""

    def update_weights(self, update_info):
        kept = "model.layers.1.mlp.up_proj.weight"

        def load(weights):
            self._engine.load_weights([(name, tensor) for name, tensor in weights if name != kept])

        self._engine._receiver.receive(update_info, load)


@pytest.mark.slow
def test_a_single_parameter_that_was_held_back_is_named(cluster, model_path, other_path):
    actor = ray.remote(HoldingActor).options(**actor_options(gpus_per_worker=0))
    (engine,) = started(actor.remote(model_path, "hf", dtype="float32", sync_backend="gloo"))
    link = sender([engine], ModuleSource(load(other_path)))
    link.connect()
    with pytest.raises(WeightSyncError, match=r"other weights than were sent: model.layers.1.mlp.up_proj.weight"):
        link.send()
    ray.kill(engine)


class DeafEngine:
    """Accepts every call and never connects."""

    def transfer_info(self):
        return {"workers": 1, "dtype": "float32", "node": ray.get_runtime_context().get_node_id()}

    def parameter_checksums(self):
        return [{}]

    def init_weight_transfer_engine(self, init_info):
        time.sleep(20)


@pytest.mark.slow
def test_an_engine_that_does_not_connect_is_named_within_the_limit(cluster, other_path):
    engine = ray.remote(DeafEngine).remote()
    ray.get(engine.transfer_info.remote())
    link = sender([engine], ModuleSource(load(other_path)), timeout_s=4)
    begun = time.monotonic()
    with pytest.raises(WeightSyncError, match="engine 0"):
        link.connect()
    assert time.monotonic() - begun < 8
    ray.kill(engine)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("engine", ["hf", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_a_transport_for_gpus_is_refused_without_one(engine, model_path):
    with pytest.raises(UserError, match="backend nccl needs GPUs"):
        sender([], None, backend="nccl")
    with pytest.raises(UserError, match="over gloo, not nccl; set --vllm_sync_backend gloo"):
        open_engine(model_path, engine, dtype="float32", sync_backend="nccl")


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(UserError, match="'mpi'; choose one of nccl, ipc, gloo"):
        sender([], None, backend="mpi")
