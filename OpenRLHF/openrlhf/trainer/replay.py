"""Rollouts from files in place of engines (--replay): the same loop trains on what an earlier run sampled."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.rollout.engine import Sampling
from openrlhf.trainer.rollout_files import RolloutFile, origin_of, read_file, rollout_folder, steps_in
from openrlhf.trainer.rollout_maker import RolloutMaker


class Replay(RolloutMaker):
    """Gives each step the rollouts that the file of that step holds, with the rewards that they had."""

    def __init__(self, folder: Path, tokenizer: Any, steps: int) -> None:
        """steps: how many the run has by its plan; it ends earlier where the files do.

        Raises:
            UserError: no files, files of another tokenizer, or a step that is missing between others.
        """
        self._files = steps_in(rollout_folder(folder))
        missing = sorted(set(range(1, min(max(self._files), steps) + 1)) - self._files.keys())
        if missing:
            raise UserError(f"--replay {folder}: the files of steps {_shortened(missing)} are missing")
        self.last_step = max(self._files)
        first = read_file(self._files[1])
        if first.origin.get("vocabulary") != origin_of("", tokenizer, "")["vocabulary"]:
            raise UserError(
                f"--replay {folder}: its token ids belong to another tokenizer, that of {first.origin.get('model')}:"
                " choose a --pretrain with the same"
            )

    def check(self, prompts: Sequence[Prompt]) -> None:
        """UserError: the first step's rollouts are of prompts that the run does not have."""
        self._rollouts(read_file(self._files[1]), prompts)

    def make(
        self,
        prompts: Sequence[Prompt],
        samples: int,
        sampling: Sampling,
        *,
        purpose: str,
        step: int,
        hints: Sequence[tuple[int, ...]] | None = None,
        on_progress: Callable[[int], None] = lambda count: None,
    ) -> list[Rollout]:
        """Those of the step, which must be of `prompts`; `samples` and `sampling` were the earlier run's.

        Raises:
            UserError: they are of other prompts.
        """
        saved = read_file(self._files[step])
        rollouts = self._rollouts(saved, prompts)
        if unused := {p.index for p in prompts} - {r.prompt.index for r in rollouts}:
            self._refuse(saved, f"it has no rollout of {len(unused)} prompt(s) of this step")
        on_progress(len(rollouts))
        return rollouts

    def _rollouts(self, saved: RolloutFile, prompts: Sequence[Prompt]) -> list[Rollout]:
        """In the order of the file. UserError: see `make`."""
        known = {prompt.index: prompt for prompt in prompts}
        made = []
        for row in saved.rows:
            prompt = known.get(row["prompt_index"])
            if prompt is None or prompt.token_ids != tuple(row["prompt_ids"]):
                self._refuse(saved, f"it has rollouts of another prompt ({row['prompt'][:60]!r})")
            assert prompt is not None
            made.append(
                Rollout(
                    prompt=prompt,
                    sample=row["sample"],
                    token_ids=tuple(row["token_ids"]),
                    logprobs=tuple(row["engine_logprobs"]),
                    finish_reason=row["finish_reason"],
                    text=row["text"],
                    versions=tuple(row["versions"]),
                    guided=row["guided"],
                    reward=math.nan if row["reward"] is None else row["reward"],
                )
            )
        return made

    @staticmethod
    def _refuse(saved: RolloutFile, why: str) -> None:
        raise UserError(
            f"--replay {saved.path.parent}, step {saved.step}: {why}: give --prompt_data, --seed and"
            " --rollout_batch_size as that run had them"
        )


def _shortened(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps[:5])) + (f" and {len(steps) - 5} others" if len(steps) > 5 else "")
