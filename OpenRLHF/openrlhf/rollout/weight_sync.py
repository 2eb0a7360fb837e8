"""Brings the trainer's weights into the engines, in place and without a copy on disk.

Every trainer rank owns a `WeightSender`, since gathering ZeRO-3 shards is a collective; rank 0 talks to the
engines. The control calls are those of vLLM's weight-transfer interface (init, start, update, finish), the
data goes over NCCL or CUDA IPC through vLLM's own classes, or over Gloo (`gloo_transport`); nothing else
differs.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from openrlhf.errors import UserError
from openrlhf.rollout.checksum import bit_sum, first_difference
from openrlhf.rollout.deadline import Background
from openrlhf.rollout.errors import WeightSyncError
from openrlhf.rollout.gloo_transport import BUCKET_BYTES, Parameter
from openrlhf.rollout.sync_client import EngineClient

BACKENDS = ("nccl", "ipc", "gloo")


class Source(Protocol):
    """The trainer's weights under their Hugging Face names; can be iterated again and again.

    metadata: (name, dtype, full shape) of every parameter, without gathering anything.
    Iteration yields (name, full tensor) in that order. It may be a collective: all ranks iterate together,
    and on ranks other than 0 the tensors need not be whole (for "ipc" they must be).
    """

    def metadata(self) -> Sequence[tuple[str, torch.dtype, Sequence[int]]]: ...

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]: ...


@dataclass(frozen=True)
class SyncReport:
    """What one transfer did. nbytes: bytes per engine; compared: parameters that were read back from every engine that
    can show them; the others were handed to the engine's loader, which refuses what it does not know."""

    parameters: int
    nbytes: int
    compared: int
    seconds: float


class ModuleSource:
    """A `Source` over a module that is whole on every rank (ZeRO-0 to 2, or no DeepSpeed)."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module

    def metadata(self) -> list[tuple[str, torch.dtype, Sequence[int]]]:
        return [(name, p.dtype, tuple(p.shape)) for name, p in self._module.named_parameters()]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, parameter in self._module.named_parameters():
            yield name, parameter.detach()


class WireSource:
    """A `Source` as the transport sees it: in the engine's type, on the transport's device, and with
    checksums.

    Has the form of vLLM's `WeightSource`, whose metadata are objects with name, dtype and shape. Tensors are
    copies: the trainer may free the gathered original when the next one is asked for, while the transport may
    still be sending this one.
    """

    def __init__(self, source: Source, dtype: torch.dtype, device: torch.device | None) -> None:
        self._source = source
        self._dtype = dtype
        self._device = device
        self.wanted: frozenset[str] = frozenset()
        self.checksums: dict[str, int] = {}

    def metadata(self) -> list[Parameter]:
        return [Parameter(name, self._dtype, tuple(shape)) for name, _dtype, shape in self._source.metadata()]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        self.checksums = {}
        for name, tensor in self._source:
            sent = tensor.detach().to(self._device or tensor.device, self._dtype, copy=True).contiguous()
            if name in self.wanted:
                self.checksums[name] = bit_sum(sent)
            yield name, sent


class WeightSender:
    """The trainer's end of the weight sync. Every rank constructs one, connects and sends, together.

    rank: of this trainer process; rank 0 sends.
    backend: "nccl", "ipc" (trainer and engines on the same GPUs) or "gloo".
    engines: Ray handles of `EngineActor`s.
    timeout_s: limit for connecting, and for each transfer.
    address: where rank 0 listens; None takes loopback when all engines are on its machine, else this node's
        address in the Ray cluster.

    Raises: UserError for a backend that is unknown or needs GPUs; WeightSyncError (from `connect` and `send`)
    naming the engine, the rank or the parameter. After an error in `send` the engine concerned has old and
    new weights mixed and must be replaced (a Hugging Face engine may also be connected and sent to again).
    """

    def __init__(
        self,
        *,
        rank: int,
        backend: str,
        engines: Sequence[Any],
        source: Source,
        timeout_s: float = 600.0,
        bucket_bytes: int = BUCKET_BYTES,
        address: str | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise UserError(f"there is no sync backend {backend!r}; choose one of {', '.join(BACKENDS)}")
        if backend != "gloo" and not torch.cuda.is_available():
            raise UserError(f"sync backend {backend} needs GPUs and torch finds none; use --vllm_sync_backend gloo")
        self._rank = rank
        self._backend = backend
        self._client = EngineClient(engines, timeout_s)
        self._source = source
        self._timeout_s = timeout_s
        self._bucket_bytes = bucket_bytes
        self._address = address
        self._transport: Any = None

    def connect(self, engines: Sequence[Any] | None = None) -> None:
        """Brings trainer and engines together; needed once, and again when an engine has been replaced.

        engines: the handles from now on; None keeps those that are known.
        """
        self.shutdown()
        if engines is not None:
            self._client = EngineClient(engines, self._timeout_s)
        self._within_limit("connecting", self._connect)

    def _connect(self) -> None:
        infos = self._client.transfer_infos()
        dtypes = {info["dtype"] for info in infos}
        if len(dtypes) > 1:
            raise WeightSyncError(f"the engines' weights have different types: {', '.join(sorted(dtypes))}")
        # NCCL and IPC send from the GPU; Gloo from wherever the tensor is.
        device = None if self._backend == "gloo" else torch.device("cuda", torch.cuda.current_device())
        self._wire = WireSource(self._source, getattr(torch, dtypes.pop()), device)
        if self._rank == 0:
            self._wire.wanted = self._choose_compared()
        self._transport = self._open_transport([info["workers"] for info in infos], infos)

    def _choose_compared(self) -> frozenset[str]:
        """Every parameter that some engine can show."""
        sent = {parameter.name for parameter in self._wire.metadata()}
        shown = [names for ranks in self._client.parameter_checksums() for names in ranks[0]]
        return frozenset(name for names in shown if sent.issuperset(names) for name in names)

    def _open_transport(self, workers: Sequence[int], infos: Sequence[Mapping[str, Any]]) -> Any:
        world_size = 1 + sum(workers)
        self._client.rank_offsets = [1 + sum(workers[:i]) for i in range(len(workers))]
        if self._backend == "gloo":
            from openrlhf.rollout.gloo_trainer import GlooTrainer

            return GlooTrainer.open(
                rank=self._rank,
                address=self._listen_address(infos),
                workers=workers,
                client=self._client,
                source=self._wire,
                timeout_s=self._timeout_s,
                bucket_bytes=self._bucket_bytes,
            )
        from openrlhf.rollout.vllm_transport import open_vllm_transport

        return open_vllm_transport(
            self._backend,
            rank=self._rank,
            address=self._listen_address(infos),
            world_size=world_size,
            client=self._client,
            source=self._wire,
            bucket_bytes=self._bucket_bytes,
        )

    def _listen_address(self, infos: Sequence[Mapping[str, Any]]) -> str:
        if self._address is not None:
            return self._address
        import ray

        here = ray.get_runtime_context().get_node_id()
        if all(info["node"] == here for info in infos):
            return "127.0.0.1"
        return ray.util.get_node_ip_address()

    def send(self, version: int = 0) -> SyncReport:
        """Sends all weights to all engines and compares checksums. On every rank, together.

        version: what engines call them from now on, see `Completion.versions`.
        """
        if self._transport is None:
            raise WeightSyncError("send() before connect()")
        self._client.version = version
        started = time.monotonic()
        self._within_limit("sending weights", self._transport.send_weights)
        metadata = self._wire.metadata()
        if self._rank == 0:
            self._compare()
        return SyncReport(
            parameters=len(metadata),
            nbytes=sum(parameter.nbytes for parameter in metadata),
            compared=len(self._wire.checksums),
            seconds=time.monotonic() - started,
        )

    def _compare(self) -> None:
        if missing := self._wire.wanted - self._wire.checksums.keys():
            raise WeightSyncError(f"{len(missing)} parameters were not sent, such as {min(missing)}")
        for engine, ranks in enumerate(self._client.parameter_checksums()):
            wrong = first_difference(self._wire.checksums, ranks)
            if wrong is not None:
                raise WeightSyncError(f"engine {engine} has other weights than were sent: {' + '.join(wrong)} differs")

    def shutdown(self) -> None:
        if self._transport is not None:
            self._transport.shutdown()
            self._transport = None

    def _within_limit(self, what: str, call: Any) -> None:
        try:
            Background(call).result(self._timeout_s)
        except TimeoutError as error:
            waiting = self._client.unanswered()
            raise WeightSyncError(
                f"rank {self._rank}: {what} took longer than {self._timeout_s:g} s"
                + (f"; no answer from {waiting}" if waiting else "")
                + " (raise --sync_timeout if the model is that large)"
            ) from error
