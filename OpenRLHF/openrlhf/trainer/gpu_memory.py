"""The one owner of GPU memory: moves engines and optimisers as the ledger says (`config.memory.residence`).

A transition has one order, whatever is moved: what leaves goes first, then everybody hands back the memory that its
allocator keeps for later, then what comes is brought in. So no GPU holds more at any moment than in one of the phases.
"""

from collections.abc import Mapping

from openrlhf.config.memory import PHASES, residence
from openrlhf.config.reinforcement import RLConfig
from openrlhf.rollout.engine import RolloutEngine
from openrlhf.trainer.role_group import RoleGroup

TRAINED = ("actor", "critic")


class GpuMemory:
    """A state machine whose states are phases, and whose first is "start": engines are up and nothing else is.

    groups: all roles but the engines, by name. sharing: those that share GPUs with another role or with engines.
    """

    def __init__(
        self, config: RLConfig, engines: RolloutEngine, groups: Mapping[str, RoleGroup], sharing: frozenset[str]
    ) -> None:
        self.phase = PHASES[0]
        self._lies = residence(config)
        self._engines = engines
        self._trained = [group for name, group in groups.items() if name in TRAINED]
        self._sharing = [group for name, group in groups.items() if name in sharing]

    def enter(self, phase: str) -> None:
        """Returns when everything lies where it belongs in `phase`; "update" covers the optimiser's step."""
        before, self.phase = self.phase, phase
        leaving = {what for what, phases in self._lies.items() if before in phases and phase not in phases}
        coming = {what for what, phases in self._lies.items() if before not in phases and phase in phases}
        if "engine weights" in leaving:
            # Nobody has newer weights yet at the start; later they are overwritten before they are used.
            self._engines.sleep(keep_weights=before == "start")
        if "optimiser" in leaving:
            self._all(self._trained, "sleep")
        if before != "start":
            self._all(self._sharing, "release_memory")
        if "optimiser" in coming and phase != "load":  # there it comes into being
            self._all(self._trained, "wake")
        if "engine weights" in coming:
            self._engines.wake_weights()
        if "engine cache" in coming:
            self._engines.wake_cache()

    @staticmethod
    def _all(groups: list[RoleGroup], method: str) -> None:
        pending = [group.begin(method, [()] * group.world_size) for group in groups]
        for finish in pending:
            finish()
