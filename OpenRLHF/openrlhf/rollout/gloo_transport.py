"""Weights over Gloo: what NCCL is on GPUs, for machines without any. Needs neither vLLM nor Ray.

One process (the trainer's rank 0) sends buckets of parameters point to point to every receiver. The group is
built directly on a store of its own, so it does not touch the process's default group, and it listens only on
the address that it is given.
"""

import math
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch

from openrlhf.rollout.errors import WeightSyncError
from openrlhf.rollout.shared_buffer import SLOT_BYTES, SharedBuffer

BUCKET_BYTES = 64 << 20
_TAG_HEADER, _TAG_DATA, _TAG_READ = 0, 1, 2

Load = Callable[[list[tuple[str, torch.Tensor]]], object]


@dataclass(frozen=True)
class Parameter:
    """Name, type on the wire and full shape of a parameter, as both sides know it before a transfer."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def room(self) -> int:
        """Bytes in a bucket: whole words of 8, so that any type may stand behind any other."""
        return -(-self.nbytes // 8) * 8


def update_payload(parameters: Sequence[Parameter], bucket_bytes: int) -> dict[str, Any]:
    """What a receiver must know about a transfer: plain data, in vLLM's field names."""
    return {
        "names": [parameter.name for parameter in parameters],
        "dtype_names": [str(parameter.dtype).removeprefix("torch.") for parameter in parameters],
        "shapes": [list(parameter.shape) for parameter in parameters],
        "bucket_bytes": bucket_bytes,
    }


def read_payload(payload: Mapping[str, Any]) -> list[Parameter]:
    return [
        Parameter(name, getattr(torch, dtype), tuple(shape))
        for name, dtype, shape in zip(payload["names"], payload["dtype_names"], payload["shapes"], strict=True)
    ]


def split_into_buckets(parameters: Iterable[Parameter], bucket_bytes: int) -> Iterator[list[Parameter]]:
    """Neighbouring parameters together, up to `bucket_bytes`; a larger one has a bucket to itself."""
    bucket: list[Parameter] = []
    size = 0
    for parameter in parameters:
        if bucket and size + parameter.room > bucket_bytes:
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.room
    if bucket:
        yield bucket


def listen(address: str) -> tuple[socket.socket, int]:
    """A socket that listens on this address alone, and its port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.bind((address, 0))
    opened.listen()
    return opened, opened.getsockname()[1]


def own_address(master_address: str) -> str:
    """The address of this machine on the way to the sender (loopback if the sender is on loopback)."""
    family = socket.AF_INET6 if ":" in master_address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((master_address, 9))  # no packet is sent: this only looks up the route
        return probe.getsockname()[0]


class GlooGroup:
    """A process group of its own, of the sender (rank 0) and the receivers.

    listener: the sender's socket from `listen`; receivers pass None.
    timeout_s: limit for the group to come together and for each message.
    """

    def __init__(
        self,
        address: str,
        port: int,
        rank: int,
        world_size: int,
        timeout_s: float,
        listener: socket.socket | None = None,
    ) -> None:
        from torch.distributed import PrefixStore, ProcessGroupGloo, TCPStore

        limit = timedelta(seconds=timeout_s)
        self._store: Any = TCPStore(
            address,
            port,
            world_size,
            is_master=listener is not None,
            timeout=limit,
            wait_for_workers=False,
            master_listen_fd=None if listener is None else listener.detach(),
        )
        gloo: Any = ProcessGroupGloo
        options = gloo._Options()
        options._devices = [gloo.create_device(hostname=own_address(address))]
        options._timeout = limit
        self._group: Any = gloo(PrefixStore("weights", self._store), rank, world_size, options)
        self._limit = limit

    def send(self, tensor: torch.Tensor, rank: int, tag: int) -> Any:
        """Starts sending; `wait` on what it returns, and keep the tensor until then."""
        return self._group.send([tensor], rank, tag)

    def wait(self, work: Any) -> None:
        work.wait(self._limit)

    def begin_receive(self, tensor: torch.Tensor, rank: int, tag: int) -> Any:
        """Starts receiving; as `send`."""
        return self._group.recv([tensor], rank, tag)

    def receive(self, tensor: torch.Tensor, tag: int) -> None:
        """From the sender."""
        self.wait(self.begin_receive(tensor, 0, tag))

    def close(self) -> None:
        """Closes the connections; a peer that waits for this one gets an error."""
        self._group = self._store = None


class GlooReceiver:
    """The engine's end. `rank_offset + worker_rank` is its rank in the group.

    Raises: RuntimeError where the group does not come together within `timeout_s`.
    """

    def __init__(
        self,
        *,
        master_address: str,
        master_port: int,
        rank_offset: int,
        world_size: int,
        timeout_s: float,
        shared_path: str = "",
        worker_rank: int = 0,
    ) -> None:
        self._shared = SharedBuffer(shared_path) if shared_path else None
        rank = rank_offset + worker_rank
        self._group: GlooGroup | None = GlooGroup(master_address, master_port, rank, world_size, timeout_s)

    def receive(self, payload: Mapping[str, Any], load: Load) -> None:
        """Receives one transfer and hands each parameter to `load` as it comes.

        Where `load` refuses one, the rest is still received, so that sender and group stay usable.

        Raises: WeightSyncError naming the parameter that could not be loaded.
        """
        if self._group is None:
            raise WeightSyncError("weights were sent to an engine that has closed its connection")
        failure: WeightSyncError | None = None
        for bucket in split_into_buckets(read_payload(payload), payload["bucket_bytes"]):
            flat = torch.empty(sum(parameter.room for parameter in bucket), dtype=torch.uint8)
            if self._shared is not None:
                self._read_shared(self._group, self._shared, flat)
            else:
                self._receive_bucket(self._group, bucket, flat)
            for parameter, tensor in _unpack(flat, bucket):
                if failure is not None:
                    break
                try:
                    load([(parameter.name, tensor)])
                except Exception as error:
                    failure = WeightSyncError(
                        f"parameter {parameter.name} of shape {list(parameter.shape)} could not be loaded: "
                        f"{error or type(error).__name__}"
                    )
        if failure is not None:
            raise failure

    @staticmethod
    def _read_shared(group: GlooGroup, shared: SharedBuffer, flat: torch.Tensor) -> None:
        for piece in flat.split(SLOT_BYTES):
            header = torch.empty(3, dtype=torch.int64)
            group.receive(header, _TAG_HEADER)
            size, slot, checksum = header.tolist()
            piece.copy_(shared.slots[slot][: piece.numel()])
            if (size, checksum) != (piece.numel(), _sum(piece)):
                raise WeightSyncError(
                    f"a piece of {piece.numel()} bytes arrived damaged: {size} with checksum {checksum} were sent"
                )
            group.wait(group.send(header, 0, _TAG_READ))

    @staticmethod
    def _receive_bucket(group: GlooGroup, bucket: Sequence[Parameter], flat: torch.Tensor) -> None:
        header = torch.empty(2, dtype=torch.int64)
        group.receive(header, _TAG_HEADER)
        group.receive(flat, _TAG_DATA)
        size, checksum = header.tolist()
        if (size, checksum) != (flat.numel(), _crc(flat)):
            raise WeightSyncError(
                f"the bucket from {bucket[0].name} to {bucket[-1].name} arrived damaged: {size} bytes with "
                f"checksum {checksum} were sent"
            )

    def close(self) -> None:
        if self._group is not None:
            self._group.close()
            self._group = None


class GlooSender:
    """The trainer's end on rank 0: sends a stream of tensors to the receivers of several engines.

    engines: for each engine the ranks of its workers in the group.
    shared: memory that all receivers have opened; then Gloo only says what lies in which slot.
    """

    def __init__(
        self,
        group: GlooGroup,
        engines: Sequence[Sequence[int]],
        bucket_bytes: int,
        shared: SharedBuffer | None = None,
    ) -> None:
        self._shared = shared
        self._group = group
        self._engines = engines
        self._bucket_bytes = bucket_bytes

    def close(self) -> None:
        self._group.close()

    def send(self, parameters: Sequence[Parameter], weights: Iterator[tuple[str, torch.Tensor]]) -> None:
        """Sends what `weights` yields: the `parameters`, in their order, in their types and shapes.

        Raises: WeightSyncError naming the engine that stopped receiving, or the parameter that does not fit.
        """
        buckets = list(split_into_buckets(parameters, self._bucket_bytes))
        sizes = [sum(parameter.room for parameter in bucket) for bucket in buckets]
        room = torch.empty(max(sizes, default=0), dtype=torch.uint8)
        for bucket, size in zip(buckets, sizes, strict=True):
            flat = room[:size]
            for parameter, place in _unpack(flat, bucket):
                name, tensor = next(weights, (None, None))
                if tensor is None or name != parameter.name or tuple(tensor.shape) != parameter.shape:
                    found = "nothing" if tensor is None else f"{name} {list(tensor.shape)}"
                    raise WeightSyncError(
                        f"metadata() promised {parameter.name} {list(parameter.shape)}, the source gave {found}"
                    )
                place.copy_(tensor)
            self._send_bucket(flat, bucket)

    def _send_bucket(self, flat: torch.Tensor, bucket: Sequence[Parameter]) -> None:
        failure = self._failure_of_sending(flat) if self._shared is None else self._failure_of_sharing(flat)
        if failure is not None:
            raise WeightSyncError(f"{failure} (between {bucket[0].name} and {bucket[-1].name})")

    def _failure_of_sharing(self, flat: torch.Tensor) -> str | None:
        """As `_failure_of_sending`: lays a bucket into the slots in turn, each as soon as everybody has read it."""
        assert self._shared is not None
        reading: list[list[tuple[int, int, Any]]] = [[] for _ in self._shared.slots]
        engine = rank = -1  # those that are waited for are named in the error
        try:
            for number, piece in enumerate(flat.split(SLOT_BYTES)):
                slot = number % len(reading)
                for engine, rank, read in reading[slot]:  # noqa: B007
                    self._group.wait(read)
                self._shared.slots[slot][: piece.numel()].copy_(piece)
                header = torch.tensor([piece.numel(), slot, _sum(piece)], dtype=torch.int64)
                reading[slot] = []
                for engine, rank in self._receivers:
                    read = self._group.begin_receive(torch.empty_like(header), rank, _TAG_READ)
                    reading[slot].append((engine, rank, read))
                    self._group.wait(self._group.send(header, rank, _TAG_HEADER))
            for engine, rank, read in (entry for own in reading for entry in own):  # noqa: B007
                self._group.wait(read)
        except RuntimeError as error:
            return _stopped(engine, rank, error)
        return None

    @property
    def _receivers(self) -> list[tuple[int, int]]:
        return [(engine, rank) for engine, ranks in enumerate(self._engines) for rank in ranks]

    def _failure_of_sending(self, flat: torch.Tensor) -> str | None:
        """Sends a bucket to everyone; says who did not take it.

        Returned and not raised, because the frames of a traceback would keep unfinished messages, and those
        the
        connections: `close` would not hang up, and the other engines would wait for the rest of their
        weights.
        """
        header = torch.tensor([flat.numel(), _crc(flat)], dtype=torch.int64)
        started: list[tuple[int, int, Any]] = []
        engine = rank = -1
        try:
            for engine, rank in self._receivers:
                started.append((engine, rank, self._group.send(header, rank, _TAG_HEADER)))
                started.append((engine, rank, self._group.send(flat, rank, _TAG_DATA)))
            for engine, rank, work in started:  # noqa: B007 (the last ones are named in the error)
                self._group.wait(work)
        except RuntimeError as error:
            return _stopped(engine, rank, error)
        return None


def _stopped(engine: int, rank: int, error: RuntimeError) -> str:
    return f"engine {engine} (rank {rank} of the transfer) stopped receiving: {str(error).splitlines()[0]}"


def _crc(flat: torch.Tensor) -> int:
    return zlib.crc32(flat.numpy().data)


def _sum(piece: torch.Tensor) -> int:
    """Of whole words; at the speed of memory, where nothing but a mistake of ours can change a byte."""
    return int(piece.view(torch.int64).sum())


def _unpack(flat: torch.Tensor, bucket: Sequence[Parameter]) -> Iterator[tuple[Parameter, torch.Tensor]]:
    """Views of a bucket's bytes, parameter by parameter."""
    start = 0
    for parameter in bucket:
        part = flat[start : start + parameter.nbytes]
        start += parameter.room
        yield parameter, part.view(parameter.dtype).view(parameter.shape)
