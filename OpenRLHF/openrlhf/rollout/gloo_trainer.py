"""The trainer's end of the Gloo transport, in the form of vLLM's trainer-side transfer engines."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from openrlhf.rollout.deadline import Background
from openrlhf.rollout.errors import WeightSyncError
from openrlhf.rollout.gloo_transport import GlooGroup, GlooSender, listen, update_payload
from openrlhf.rollout.shared_buffer import SharedBuffer
from openrlhf.rollout.sync_client import EngineClient

if TYPE_CHECKING:
    import torch


class GlooTrainer:
    """Sends a source's weights to all engines; `sender` is None on ranks that only take part in gathers."""

    def __init__(self, client: EngineClient, source: Any, sender: GlooSender | None, bucket_bytes: int) -> None:
        self._client = client
        self._source = source
        self._is_sender = sender is not None
        self._sender = sender
        self._bucket_bytes = bucket_bytes

    @classmethod
    def open(
        cls,
        *,
        rank: int,
        address: str,
        workers: Sequence[int],
        client: EngineClient,
        source: Any,
        timeout_s: float,
        bucket_bytes: int,
    ) -> "GlooTrainer":
        """Rank 0 listens on `address` and lets every engine's workers (`workers[i]` of engine i) connect."""
        if rank != 0:
            return cls(client, source, None, bucket_bytes)
        listener, port = listen(address)
        shared = SharedBuffer.create() if address == "127.0.0.1" else None  # then all engines are on this machine
        world_size = 1 + sum(workers)
        init_info = {
            "master_address": address,
            "master_port": port,
            "rank_offset": 1,
            "world_size": world_size,
            "timeout_s": timeout_s,
            "shared_path": shared.path if shared else "",
        }
        try:
            connecting = Background(client.init_weight_transfer_engine, init_info)
            group = GlooGroup(address, port, 0, world_size, timeout_s, listener)
            connecting.result(timeout_s)
        finally:
            if shared is not None:
                shared.remove_name()  # everybody has opened it, or never will
        engines = [range(offset, offset + count) for offset, count in zip(client.rank_offsets, workers, strict=True)]
        return cls(client, source, GlooSender(group, engines, bucket_bytes, shared), bucket_bytes)

    def send_weights(self) -> None:
        """One transfer to all engines; on every rank.

        Whatever goes wrong on rank 0, it iterates the source to its end, so that no other rank is left in a
        collective without its partner, and hangs up, so that no engine waits for the rest.
        """
        weights = iter(self._source)
        try:
            if self._is_sender:
                self._send(weights)
        except BaseException:
            self.shutdown()
            raise
        finally:
            for _ in weights:
                pass

    def _send(self, weights: Iterator[tuple[str, "torch.Tensor"]]) -> None:
        if self._sender is None:
            raise WeightSyncError("the connection to the engines was closed after an error; connect() again")
        parameters = self._source.metadata()
        self._client.start_weight_update()
        receiving = Background(self._client.update_weights, update_payload(parameters, self._bucket_bytes))
        try:
            self._sender.send(parameters, weights)
        except WeightSyncError:
            if receiving.failed():  # the engine's own words say more than that it stopped listening
                receiving.result()
            raise
        receiving.result()
        self._client.finish_weight_update()

    def shutdown(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None
