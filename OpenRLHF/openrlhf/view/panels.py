"""Which charts a report has: every metric stands in one of them, known ones together."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """unit: of the vertical axis. metrics: the first in full colour, others dashed, dotted and so on.

    share: the axis runs from 0 to 1. log: it is logarithmic. stacked: metrics add up, so there is a chart for each run.
    """

    title: str
    unit: str
    metrics: tuple[str, ...]
    share: bool = False
    log: bool = False
    stacked: bool = False


PANELS = (
    Panel("Accuracy", "share",
          ("train/accuracy", "eval/accuracy", "train/hinted_accuracy", "train/acc", "eval/acc"), share=True),
    Panel("Length of a response", "tokens", ("train/response_length", "eval/response_length")),
    Panel("Loss", "", ("train/policy_loss", "train/loss", "eval/loss", "train/loss_mean")),
    Panel("Kept, solved, cut off", "share",
          ("train/kept_share", "train/solved_prompts_share", "train/truncated_share", "eval/truncated_share"),
          share=True),
    Panel("Factor w = p/q", "", ("train/w_mean", "train/w_median")),
    Panel("Largest w", "", ("train/w_max",), log=True),
    Panel("w: clipped, effective sample size", "share", ("train/w_ess_share", "train/w_clipped_share"), share=True),
    Panel("KL(posterior ‖ policy)", "nats a token", ("train/kl_posterior",)),
    Panel("KL to the reference", "nats a token", ("train/kl",)),
    Panel("Entropy of the policy", "nats a token", ("train/entropy",)),
    Panel("Log-likelihood of rationales", "nats a token", ("train/loglik", "train/loglik_hinted")),
    Panel("Gradient norm", "", ("train/grad_norm", "train/critic_grad_norm")),
    Panel("Learning rate", "", ("train/actor_lr", "train/lr", "train/critic_lr")),
    Panel("Engine against trainer", "nats", ("train/engine_gap_mean", "train/engine_gap_max"), log=True),
    Panel("Reward", "", ("train/reward", "train/return", "train/chosen_reward", "train/reject_reward")),
    Panel("Probability ratio", "", ("train/ratio_max", "train/clipped_share", "train/policy_shift")),
    Panel("Tokens per second", "tokens/s", ("perf/generate_tokens_per_s", "perf/train_tokens_per_s")),
    Panel("Seconds per phase", "s",
          ("time/generate_s", "time/train_s", "time/sync_s", "time/evaluate_s"), stacked=True),
    Panel("Memory", "GiB", ("perf/memory_gib", "perf/gpu_memory_gib")),
)  # fmt: skip
# Of the run as a whole, or said by another figure.
_LEFT_OUT = ("time", "eval/problems", "train/kept", "train/optimizer_steps", "train/skipped_steps_total")


def panels_for(names: Sequence[str]) -> list[Panel]:
    """Those that have something to show, and one for each metric that none of them shows."""
    there = set(names)
    made = []
    for panel in PANELS:
        own = tuple(name for name in panel.metrics if name in there)
        if own:
            made.append(Panel(panel.title, panel.unit, own, panel.share, panel.log, panel.stacked))
    shown = {name for panel in made for name in panel.metrics} | set(_LEFT_OUT)
    return made + [Panel(name, "", (name,)) for name in dict.fromkeys(names) if name not in shown]
