"""PPO, GRPO, RLOO, REINFORCE++ and so on, on Ray: python3 -m openrlhf.cli.train_ppo_ray --pretrain ... ..."""

import sys
from collections.abc import Sequence

from openrlhf.cli import rl


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return rl.main("train_ppo_ray", argv)


if __name__ == "__main__":
    sys.exit(main())
