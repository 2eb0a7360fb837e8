"""Direct preference optimisation: python3 -m openrlhf.cli.train_dpo ...,
alone or under a launcher (torchrun, deepspeed)."""

import sys
from collections.abc import Sequence

from openrlhf.cli import offline


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return offline.main("train_dpo", argv)


if __name__ == "__main__":
    sys.exit(main())
