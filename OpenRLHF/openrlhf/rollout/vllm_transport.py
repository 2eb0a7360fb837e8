"""vLLM's own transports on the trainer's side: NCCL, and CUDA IPC when trainer and engines share their GPUs.

Written against vLLM 0.32 (`vllm.distributed.weight_transfer`).
"""

import socket
from typing import Any


def open_vllm_transport(
    backend: str,
    *,
    rank: int,
    address: str,
    world_size: int,
    client: Any,
    source: Any,
    bucket_bytes: int,
) -> Any:
    """Connects and returns vLLM's trainer engine, which has `send_weights()` and `shutdown()`.

    world_size: of the transfer group, the sending trainer rank included. Without effect for "ipc", where
    every trainer rank contributes the handles of its own GPU (over the default process group).
    bucket_bytes: size of the staging buffers; "ipc" makes it as large as the largest parameter, which vLLM
    wants to fit.
    """
    from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

    if backend == "ipc":
        bucket_bytes = max(bucket_bytes, *(parameter.nbytes for parameter in source.metadata()))
    init_info = trainer_init_info(backend, rank, address, world_size, bucket_bytes)
    return WeightTransferTrainerFactory.trainer_init(init_info, client=client, source=source)


def trainer_init_info(backend: str, rank: int, address: str, world_size: int, bucket_bytes: int) -> Any:
    if backend == "ipc":
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        return IPCTrainerInitInfo(rank=rank, packed=True, packed_buffer_size_bytes=bucket_bytes)
    from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

    return NCCLTrainerInitInfo(
        rank=rank,
        master_address=address,
        master_port=_free_port(address),
        world_size=world_size,
        packed=True,
        packed_buffer_size_bytes=bucket_bytes,
    )


def _free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]
