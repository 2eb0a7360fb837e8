"""What vLLM's worker processes load of ours: a Gloo transport for their registry, and checksums."""

from typing import Any

from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

from openrlhf.rollout.checksum import Names, engine_checksums

# vLLM imports this module in every worker before it builds the transfer engine.
WeightTransferEngineFactory.register_engine("gloo", "openrlhf.rollout.gloo_vllm", "GlooWeightTransferEngine")


class WorkerExtension:
    """Methods that vLLM mixes into its worker (`worker_extension_cls`); called through `collective_rpc`."""

    model_runner: Any
    model_config: Any

    def parameter_checksums(self) -> dict[Names, int]:
        return engine_checksums(self.model_runner.get_model(), self.model_config.dtype)
