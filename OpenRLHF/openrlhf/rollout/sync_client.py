"""The trainer's calls to its engines in a weight update, in the form of vLLM's `VLLMWeightSyncClient`."""

from collections.abc import Mapping, Sequence
from typing import Any

from openrlhf.rollout.checksum import Names
from openrlhf.rollout.errors import WeightSyncError


class EngineClient:
    """Calls all engines at once and waits for all of them, with a time limit and errors that name the engine.

    rank_offsets: per engine, the rank of its first worker in the transfer group. vLLM's own client gives
        every engine the same one, which fits one engine only.
    version: what the weights of the next transfer are called.
    """

    def __init__(self, engines: Sequence[Any], timeout_s: float) -> None:
        self._engines = list(engines)
        self._timeout_s = timeout_s
        self._pending: list[Any] = []
        self.rank_offsets: list[int] = []
        self.version = 0

    def transfer_infos(self) -> list[dict[str, Any]]:
        return self._call("transfer_info", [()] * len(self._engines))

    def parameter_checksums(self) -> list[list[dict[Names, int]]]:
        """For each engine, for each of its ranks, checksums by names."""
        return self._call("parameter_checksums", [()] * len(self._engines))

    def init_weight_transfer_engine(self, init_info: Mapping[str, Any]) -> None:
        if "rank_offset" in init_info:
            infos = [({**init_info, "rank_offset": offset},) for offset in self.rank_offsets]
        else:
            infos = [(dict(init_info),)] * len(self._engines)
        self._call("init_weight_transfer_engine", infos)

    def start_weight_update(self) -> None:
        self._call("start_weight_update", [()] * len(self._engines))

    def update_weights(self, update_info: Any) -> None:
        self._call("update_weights", [(update_info,)] * len(self._engines))

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._call("finish_weight_update", [(self.version,)] * len(self._engines))

    def _call(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        calls = [getattr(engine, method).remote(*given) for engine, given in zip(self._engines, arguments, strict=True)]
        self._pending = calls
        return [self._answer(engine, method, call) for engine, call in enumerate(calls)]

    def _answer(self, engine: int, method: str, call: Any) -> Any:
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

        try:
            return ray.get(call, timeout=self._timeout_s)
        except RayTaskError as error:
            raise WeightSyncError(f"engine {engine} failed in {method}: {error.cause or error}") from error
        except RayActorError as error:
            raise WeightSyncError(f"engine {engine} died in {method}: {error}") from error
        except GetTimeoutError as error:
            raise WeightSyncError(f"engine {engine} gave no answer to {method} within {self._timeout_s:g} s") from error

    def unanswered(self) -> str:
        """The engines that have not answered the last call, for an error message."""
        import ray

        late = []
        for engine, call in enumerate(self._pending):
            ready, _rest = ray.wait([call], timeout=0)
            if not ready:
                late.append(f"engine {engine}")
        return ", ".join(late)
