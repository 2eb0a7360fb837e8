"""Parts of parameters that ranks hold, in files that any other number of ranks can read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Piece:
    """tensor: [n], a view of what this rank holds: the numbers from `start` on of a flattened parameter."""

    start: int
    tensor: Tensor


Pieces = Mapping[str, Piece]


def write_pieces(folder: Path, kind: str, rank: int, pieces: Pieces, notes: Mapping[str, float] | None = None) -> None:
    """{kind}_rank{rank}.safetensors in `folder`; none for a rank without pieces. notes: numbers to keep with them."""
    from safetensors.torch import save_file

    held = {name: piece for name, piece in pieces.items() if piece.tensor.numel()}
    if not held:
        return
    # One entry: safetensors writes several in any order, and the same state should be the same bytes.
    about = {"starts": {name: piece.start for name, piece in held.items()}, "notes": dict(notes or {})}
    tensors = {name: piece.tensor.detach().cpu().clone() for name, piece in held.items()}
    save_file(tensors, folder / f"{kind}_rank{rank}.safetensors", {"pieces": json.dumps(about)})


def read_pieces(folder: Path, kind: str, rank: int, pieces: Pieces) -> dict[str, float]:
    """Fills the pieces from the files of whichever ranks wrote them, and returns the notes.

    This rank's own file comes first: with as many ranks as before it holds everything, and the others need not be
    within reach.

    Raises:
        ValueError: the files cannot be read, or do not hold all that is wanted.
    """
    from safetensors import SafetensorError, safe_open

    own = f"{kind}_rank{rank}.safetensors"
    missing = {name: piece.tensor.numel() for name, piece in pieces.items() if piece.tensor.numel()}
    notes: dict[str, float] = {}
    for file in sorted(folder.glob(f"{kind}_rank*.safetensors"), key=lambda file: (file.name != own, file.name)):
        try:
            with safe_open(file, "pt") as opened:
                about = json.loads(opened.metadata()["pieces"])
                starts, notes = about["starts"], about["notes"]
                for name in missing.keys() & starts.keys():
                    missing[name] -= _copy(opened.get_slice(name), starts[name], pieces[name])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"{file.name} cannot be read ({error})") from None
        missing = {name: count for name, count in missing.items() if count > 0}
        if not missing:
            return notes
    if missing:
        name, count = next(iter(missing.items()))
        raise ValueError(f"{count} numbers of {name} are in no {kind}_rank*.safetensors")
    return notes


def _copy(stored: Any, start: int, piece: Piece) -> int:
    """How many numbers of the piece are in what was stored, which begins at `start`."""
    (length,) = stored.get_shape()
    low, high = max(start, piece.start), min(start + length, piece.start + piece.tensor.numel())
    if low >= high:
        return 0
    piece.tensor.data[low - piece.start : high - piece.start].copy_(stored[low - start : high - start])
    return high - low
