"""The Gloo transport as one of vLLM's weight-transfer engines, beside its own "nccl" and "ipc".

Written against vLLM 0.32's `vllm.distributed.weight_transfer.base`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import (
    finalize_layerwise_reload,
    initialize_layerwise_reload,
)

from openrlhf.rollout.gloo_transport import GlooReceiver


@dataclass
class GlooInitInfo(WeightTransferInitInfo):
    """Where the sender listens, which rank of its group this engine's first worker is, and the file of the memory that
    they share, "" for none."""

    master_address: str
    master_port: int
    rank_offset: int
    world_size: int
    timeout_s: float
    shared_path: str = ""


@dataclass
class GlooUpdateInfo(WeightTransferUpdateInfo):
    """The parameters of one transfer; see `gloo_transport.update_payload`."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]
    bucket_bytes: int


class GlooWeightTransferEngine(WeightTransferEngine[GlooInitInfo, GlooUpdateInfo]):
    """Receives full tensors in checkpoint format and loads them layer by layer.

    The layerwise reload is what vLLM's NCCL engine uses too. It is also what makes an update possible on the
    CPU, where matrices have been moved into a kernel's own format and must be made anew from the
    checkpoint's.
    """

    init_info_cls = GlooInitInfo
    update_info_cls = GlooUpdateInfo

    _receiver: GlooReceiver | None = None

    def init_transfer_engine(self, init_info: GlooInitInfo) -> None:
        self.shutdown()
        parallel = self.parallel_config
        worker = parallel.data_parallel_index * parallel.world_size + parallel.rank
        self._receiver = GlooReceiver(**asdict(init_info), worker_rank=worker)

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)
        if self.device.type == "cpu":
            _repack_output_layers(self.model)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self.receive_weights(self.parse_update_info(update_info))
        if self.device.type != "cpu":  # the base class's way of waiting does not exist on a CPU
            torch.accelerator.synchronize()

    def receive_weights(self, update_info: GlooUpdateInfo) -> None:
        if self._receiver is None:
            raise RuntimeError("weights were sent before the transfer was initialised")
        model: Any = self.model
        self._receiver.receive(asdict(update_info), model.load_weights)

    def shutdown(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None


def _repack_output_layers(model: torch.nn.Module) -> None:
    """Gives output layers that share the embedding's weights a packed copy of the new ones.

    No weights are loaded into a tied output layer, so vLLM 0.32's reload leaves it as it was. On a GPU that
    is right, as it multiplies with the shared parameter itself; on the CPU it multiplies with a copy in a
    kernel's format, which would stay that of the first weights for ever.
    """
    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)
