"""What vLLM's worker processes load of ours: a Gloo transport for their registry, and checksums."""

from typing import Any

from openrlhf.rollout.checksum import Names, engine_checksums


class WorkerExtension:
    """Methods that vLLM mixes into its worker (`worker_extension_cls`); called through `collective_rpc`."""

    model_runner: Any

    def parameter_checksums(self) -> dict[Names, int]:
        return engine_checksums(self.model_runner.get_model())
