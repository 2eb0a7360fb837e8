"""One rank of the policy: scores, trains, sends weights to the engines, saves."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openrlhf.experience.example import MicroBatches
from openrlhf.methods.base import method_of
from openrlhf.models.parameters import FullParameters
from openrlhf.models.saving import save_pretrained
from openrlhf.objectives.correction import Correction
from openrlhf.objectives.likelihood import LikelihoodObjective
from openrlhf.trainer.checkpoint import UNSAVED, rotate_hf_copies, tag_of
from openrlhf.trainer.learner import Learner
from openrlhf.trainer.networks import trainable_actor
from openrlhf.trainer.posterior import supply_frozen_models
from openrlhf.trainer.rank_checkpoint import save_learner
from openrlhf.trainer.training_worker import TrainingWorker
from openrlhf.trainer.weight_average import WeightAverage
from openrlhf.utils.tally import Tally

if TYPE_CHECKING:
    from openrlhf.rollout.weight_sync import WeightSender

EMA_DECAY = 0.992  # as in OpenRLHF


class PolicyWorker(TrainingWorker):
    def load(self) -> None:
        config, pad = self.config, self.tokenizer.pad_token_id
        actor = trainable_actor(str(config.model.pretrain), config, pad)
        objective = method_of(config).objective(config)
        self.learner = Learner(config, actor, objective, config.policy.actor_learning_rate)
        supply_frozen_models(self.learner, config, pad)
        rollout = config.rollout
        if rollout.corrects:
            bounds = (rollout.correction_cap, *rollout.correction_range)
            self.learner.correction = Correction(str(rollout.off_policy_correction), *bounds)
        if config.policy.enable_ema:
            self.learner.average = WeightAverage(actor, EMA_DECAY)  # saved instead of the last weights
        self._pretraining = LikelihoodObjective("ptx_loss")
        self.sender: WeightSender | None = None
        self._version = 0

    def train_step(
        self,
        micro_batches: MicroBatches,
        learning_rate: float,
        figures: Mapping[str, float],
        pretraining: MicroBatches = (),
    ) -> Tally:
        """figures: what the loss reads of the whole step. pretraining: micro-batches of plain text, whose weights carry
        --ptx_coef."""
        return self.learner.train_step(micro_batches, learning_rate, [(self._pretraining, pretraining)], figures)

    def connect_engines(self, engines: Sequence[Any], backend: str, timeout: float) -> None:
        """Collective: builds the channel through which weights reach the engines (Ray actor handles)."""
        from openrlhf.rollout.weight_sync import WeightSender

        if self.sender is not None:
            self.sender.connect(engines)  # one of them has been replaced
            return
        self.sender = WeightSender(
            rank=self.rank,
            backend=backend,
            engines=engines,
            source=FullParameters(self.learner.network),
            timeout_s=timeout,
        )
        self.sender.connect()

    def sync_weights(self, version: int | None = None) -> dict[str, float]:
        """Collective: sends all weights in place and compares checksums; returns what was measured on rank 0.

        version: the step that they come from; None where it is the last one again, for an engine that was replaced.
        """
        assert self.sender is not None
        self._version = self._version if version is None else version
        report = self.sender.send(self._version)
        return {"seconds": report.seconds, "mib": report.nbytes / 2**20, "compared": float(report.compared)}

    def save_checkpoint(self, parent: str, step: int, state: dict[str, Any], files: Mapping[str, str] = {}) -> None:
        """files: further ones by name, with their texts."""
        save_learner(self.learner, parent, step, state, self.config.checkpoint.max_ckpt_num, files)

    def save_model(self, folder: str) -> None:
        """Collective: a plain Hugging Face folder of the policy, or of its average under --enable_ema.

        Where it cannot be written, it goes beside the checkpoints, and UserError says so.
        """
        fallback = Path(self.config.checkpoint.ckpt_path) / UNSAVED
        average = self.learner.average
        with average.applied() if average is not None else nullcontext():
            self._save(Path(folder), fallback)

    def save_hf_copy(self, parent: str, step: int) -> None:
        """Collective: {parent}/global_step{step}_hf, and older copies beyond --max_ckpt_num go."""
        self._save(Path(parent) / f"{tag_of(step)}_hf")
        if self.rank == 0:
            rotate_hf_copies(Path(parent), self.config.checkpoint.max_ckpt_num, step)

    def _save(self, folder: Path, fallback: Path | None = None) -> None:
        source = str(self.config.model.pretrain)
        save_pretrained(self.learner.network, self.tokenizer, folder, source=source, fallback=fallback)
