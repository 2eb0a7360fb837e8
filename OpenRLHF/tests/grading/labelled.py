"""The table of labelled pairs: `pairs/<topic>.txt`, one pair a line."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "pairs"
_MARKS = {"=": True, "≠": False}


@dataclass(frozen=True)
class LabelledPair:
    """A prediction, a gold answer, whether they are equal, and why."""

    topic: str
    prediction: str
    gold: str
    equal: bool
    reason: str


def labelled_pairs() -> list[LabelledPair]:
    pairs = []
    for file in sorted(FOLDER.glob("*.txt")):
        for line in file.read_text(encoding="utf-8").split("\n"):
            if line and not line.startswith("#"):
                mark, prediction, gold, reason = line.split(" ¦ ")
                pairs.append(LabelledPair(file.stem, prediction.strip(), gold.strip(), _MARKS[mark], reason))
    return pairs
