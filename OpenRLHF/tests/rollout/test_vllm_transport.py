"""NCCL and CUDA IPC up to the point where a GPU is needed: our calls against vLLM's own classes."""

import inspect

import pytest
import torch

from openrlhf.rollout.actor import EngineActor
from openrlhf.rollout.sync_client import EngineClient
from openrlhf.rollout.vllm_transport import open_vllm_transport
from openrlhf.rollout.weight_sync import ModuleSource, WireSource

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
pytest.importorskip("vllm")


class RecordingClient(EngineClient):
    """An `EngineClient` of two engines with two workers each; writes calls down instead of making them."""

    def __init__(self):
        super().__init__([None, None], timeout_s=1)
        self.rank_offsets = [1, 3]
        self.calls = []

    def _call(self, method, arguments):
        self.calls.append((method, arguments))
        return [None, None]


def wire_source():
    torch.manual_seed(0)
    return WireSource(ModuleSource(torch.nn.Linear(30, 50)), torch.bfloat16, None)


def open_transport(backend, rank, client, source, bucket_bytes=64):
    return open_vllm_transport(
        backend,
        rank=rank,
        address="127.0.0.1",
        world_size=5,
        client=client,
        source=source,
        bucket_bytes=bucket_bytes,
    )


def test_our_client_has_the_form_of_vllms_and_the_actor_all_that_it_calls():
    from vllm.distributed.weight_transfer.base import VLLMWeightSyncClient

    assert isinstance(EngineClient([], timeout_s=1), VLLMWeightSyncClient)

    def arguments(method):
        parameters = inspect.signature(getattr(EngineActor, method)).parameters
        return [name for name in parameters if not name.startswith("_ray")]  # Ray adds one of its own

    assert arguments("init_weight_transfer_engine") == ["self", "init_info"]
    assert arguments("update_weights") == ["self", "update_info"]
    assert arguments("finish_weight_update") == ["self", "version"]
    for method in ("start_weight_update", "transfer_info", "parameter_checksums"):
        assert arguments(method) == ["self"]


def test_over_nccl_every_engine_gets_ranks_of_its_own(monkeypatch):
    from vllm.distributed.weight_transfer import nccl_engine

    endpoints = []
    monkeypatch.setattr(nccl_engine, "open_trainer_endpoint", endpoints.append)
    client = RecordingClient()
    open_transport("nccl", 0, client, wire_source())
    ((method, payloads),) = client.calls
    assert method == "init_weight_transfer_engine"
    infos = [nccl_engine.NCCLWeightTransferInitInfo(**payload) for (payload,) in payloads]
    assert [info.rank_offset for info in infos] == [1, 3]
    assert {(i.world_size, i.packed, i.packed_buffer_size_bytes) for i in infos} == {(5, True, 64)}
    assert {(info.master_address, info.master_port) for info in infos} == {("127.0.0.1", endpoints[0].master_port)}
    assert endpoints[0].world_size == 5


def test_over_nccl_the_other_ranks_gather_and_talk_to_no_engine():
    client, source = RecordingClient(), wire_source()
    source.wanted = frozenset(["weight", "bias"])
    transport = open_transport("nccl", 2, client, source)
    transport.send_weights()
    assert client.calls == []
    assert set(source.checksums) == {"weight", "bias"}  # it was iterated to its end


def test_what_the_source_yields_is_what_vllm_was_told_to_expect():
    from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerWeightTransferEngine

    source = wire_source()
    pairs = list(NCCLTrainerWeightTransferEngine._checked_iter(source, source.metadata()))
    assert [(name, tensor.dtype) for name, tensor in pairs] == [
        ("weight", torch.bfloat16),
        ("bias", torch.bfloat16),
    ]


def test_the_staging_buffer_of_ipc_holds_the_largest_parameter(monkeypatch):
    from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

    opened = []
    monkeypatch.setattr(WeightTransferTrainerFactory, "trainer_init", lambda info, **_: opened.append(info))
    open_transport("ipc", 1, RecordingClient(), wire_source())
    open_transport("ipc", 1, RecordingClient(), wire_source(), bucket_bytes=10_000)
    assert [(info.rank, info.packed, info.packed_buffer_size_bytes) for info in opened] == [
        (1, True, 30 * 50 * 2),
        (1, True, 10_000),
    ]


def test_payloads_without_ranks_reach_every_engine_as_they_are():
    client = RecordingClient()
    client.init_weight_transfer_engine({"packed": True})  # what vLLM's IPC engine sends
    assert client.calls == [("init_weight_transfer_engine", [({"packed": True},), ({"packed": True},)])]
