"""Bytes between processes of one machine: slots of memory that a sender and its receivers have all mapped."""

import mmap
import os
import tempfile
from pathlib import Path

import torch

SLOTS, SLOT_BYTES = 2, 32 << 20
_FOLDER = Path("/dev/shm")


class SharedBuffer:
    """While receivers read one slot, the sender fills the next; who may do what when is theirs to agree on.

    path: the file behind the memory, readable for this user alone. It can be removed once everybody has opened it.
    """

    def __init__(self, path: str) -> None:
        """Opens what `create` has made."""
        self.path = path
        with open(path, "r+b") as file:
            mapped = mmap.mmap(file.fileno(), SLOTS * SLOT_BYTES)
        self.slots = torch.frombuffer(mapped, dtype=torch.uint8).split(SLOT_BYTES)

    @classmethod
    def create(cls) -> "SharedBuffer | None":
        """None where this machine has no room for it (containers often have 64 MiB)."""
        try:
            handle, path = tempfile.mkstemp(prefix="openrlhf-weights-", dir=_FOLDER)
        except OSError:
            return None
        try:
            os.posix_fallocate(handle, 0, SLOTS * SLOT_BYTES)  # a page that turns out to be missing later would kill
            return cls(path)
        except OSError:
            os.unlink(path)
            return None
        finally:
            os.close(handle)

    def remove_name(self) -> None:
        Path(self.path).unlink(missing_ok=True)
