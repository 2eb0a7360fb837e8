"""How processes that compute on CPUs keep their memory."""

import importlib.util
from pathlib import Path


def heap_environment() -> dict[str, str]:
    """Environment of a process to be started, in which a freed tensor's memory waits 20 s for the next tensor.

    glibc gives blocks of 32 MiB and more back at once, and every page of the next one is faulted in and cleared anew:
    that took a CPU rank longer than reading and writing it. Ray brings jemalloc along; empty where it does not.
    """
    found = importlib.util.find_spec("ray")
    library = Path(str(found.origin)).parent / "core" / "libjemalloc.so" if found else None
    if library is None or not library.is_file():
        return {}
    return {
        "LD_PRELOAD": str(library),
        "MALLOC_CONF": "oversize_threshold:0,dirty_decay_ms:20000,muzzy_decay_ms:0",
    }
