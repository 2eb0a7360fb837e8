"""`python3 benchmarks/gpu_rows.py NAME…`: rows that say something only on a GPU; a JSON line each.

With INTRO_GPU_TOY=1 the same code runs on the CPU at toy sizes, to see that it runs; its figures mean nothing.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "OpenRLHF"), str(ROOT / "OpenRLHF" / "tests")]
sys.path += [str(ROOT / "OpenRLHF" / "tests" / "trainer"), str(ROOT / "benchmarks")]
TOY = os.environ.get("INTRO_GPU_TOY") == "1"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Shapes of published models; weights are random. Heads are 128 wide.
SHAPES: dict[str, dict[str, Any]] = {
    "Qwen3-0.6B": {
        "family": "Qwen3",
        **{"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
        **{"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": True},
    },
    "Qwen2.5-1.5B": {
        "family": "Qwen2",
        **{"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
        **{"num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
    },
}
TOY_SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
TOY_SIZES |= {"num_key_value_heads": 1, "vocab_size": 512}


def seconds_of(work: Callable[[], None], repetitions: int = 5) -> float:
    """The least of some repetitions, after one to warm up."""
    found = []
    for _ in range(repetitions + 1):
        started = time.perf_counter()
        work()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return min(found[1:])


def peak_gib(work: Callable[[], None]) -> float:
    """Peak of allocated memory while `work` runs, what was there before included; 0 on the CPU."""
    if DEVICE.type != "cuda":
        work()
        return 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 2**30


def machine() -> dict[str, Any]:
    import transformers

    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU, toy sizes"
    size = 256 if TOY else 8192
    matrix = torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16)
    seconds = seconds_of(lambda: [matrix @ matrix for _ in range(10)] and None)
    return {
        "device": name,
        "gpus": torch.cuda.device_count(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "bf16 TFLOP/s": round(20 * size**3 / seconds / 1e12, 1),
    }


def loss_share(tokens: int = 16384) -> dict[str, Any]:
    """InTRO's loss and gradient through the output layer against its four matrix products, bf16."""
    from loss import OBJECTIVE

    from openrlhf.experience.example import Example
    from openrlhf.experience.micro_batch import collate
    from openrlhf.models.scorer import ScoringHead
    from openrlhf.models.scores import Scores
    from openrlhf.utils.tally import Tally

    tokens, width, vocabulary = (64, 32, 512) if TOY else (tokens, 1536, 151_936)
    torch.manual_seed(0)
    hidden = torch.randn(tokens, width, device=DEVICE, dtype=torch.bfloat16, requires_grad=True)
    posterior = hidden.detach() + 0.1
    head = ScoringHead(width, vocabulary, bias=False, dtype=torch.bfloat16, device=DEVICE)
    ids = torch.randint(0, vocabulary, (tokens + 1,)).tolist()
    batch = collate(
        [Example(tuple(ids), tuple(range(1, tokens + 1)), 1.0 / tokens)],
        DEVICE,
        num_candidates=OBJECTIVE.num_candidates,
    )

    def products() -> None:
        weight = head.weight.detach()
        for h, p in zip(hidden.detach().split(1024), posterior.split(1024), strict=True):
            q = h @ weight.T
            p @ weight.T
            q @ weight
            q.T @ h

    def ours() -> None:
        hidden.grad = head.weight.grad = None
        spec = replace(OBJECTIVE.spec(batch), chunk_size=1024)

        def token_loss(scores: Scores, part: Any) -> torch.Tensor:
            return OBJECTIVE.loss(scores, batch.part(part), Tally())

        head(hidden, spec, posterior, None, token_loss)[-1].backward()

    base, own = seconds_of(products), seconds_of(ours)
    before = torch.cuda.memory_allocated() / 2**30 if DEVICE.type == "cuda" else 0.0
    return {
        "what": f"InTRO's loss, {tokens} tokens, width {width}, vocabulary {vocabulary}, bf16",
        "products ms": round(base * 1e3, 1),
        "loss and gradient ms": round(own * 1e3, 1),
        "times the products": round(own / base, 2),
        "TFLOP/s of the products": round(8 * tokens * width * vocabulary / base / 1e12, 1),
        "GiB above inputs": round(peak_gib(ours) - before, 2),
    }


def learner_of(shape: str, objective: Any, **flags: Any) -> tuple[Any, Any]:
    """A ZeRO-3 learner in bf16 over random weights of a shape, and its configuration."""
    import transformers
    from learner_program import FLAGS

    from configuring import rl_config
    from openrlhf.models.actor import Actor
    from openrlhf.trainer.deepspeed_setup import init_process_group
    from openrlhf.trainer.learner import Learner

    init_process_group()
    settings = {**SHAPES[shape], **(TOY_SIZES if TOY else {})}
    family = settings.pop("family")
    options = {**FLAGS, "bf16": True, "gradient_checkpointing": True, "score_chunk_size": 512, "max_norm": 1.0}
    config = rl_config(**{**options, "zero_stage": 3, "actor_num_gpus_per_node": 1, **flags})
    torch.manual_seed(0)
    with DEVICE:
        made = getattr(transformers, f"{family}Config")(
            **settings, attn_implementation=config.model.attn_implementation
        )
        model = transformers.AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16)
    if config.model.gradient_checkpointing:
        model.config.use_cache = False
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return Learner(config, Actor(model.train(), packed=config.model.packing_samples), objective, 1e-6), config


def trainer_step(shape: str, tokens: int, rows: int, method: str = "likelihood", **flags: Any) -> dict[str, Any]:
    """One optimiser step after one to warm up: `tokens` in `rows` equal rows of one micro-batch, three quarters of each
    scored.

    The plan's figure is that of the phases "update" and "step" without the process's context, which the allocator does
    not see.
    """
    from openrlhf.config.memory import CONTEXT_GIB, held, ledger, shape_of
    from openrlhf.experience.example import Example
    from openrlhf.methods.intro import Intro, IntroObjective
    from openrlhf.objectives.likelihood import LikelihoodObjective
    from openrlhf.trainer.posterior import OnlinePosterior

    tokens = 256 if TOY else tokens
    objective: Any = IntroObjective(Intro()) if method == "intro" else LikelihoodObjective()
    each = tokens // rows
    prompt = each // 4
    lengths = {"prompt_max_len": prompt, "generate_max_len": each - prompt, "micro_train_batch_size": rows}
    learner, config = learner_of(shape, objective, **lengths, **flags)
    learner.posterior = OnlinePosterior(learner.engine) if method == "intro" else None
    vocabulary = learner.network.config.vocab_size
    generator = torch.Generator().manual_seed(0)
    examples = [
        Example(
            ids=tuple(torch.randint(0, vocabulary, (each,), generator=generator).tolist()),
            scored=tuple(range(prompt, each)),
            weight=1.0 / (rows * (each - prompt)),
            hints=((1, 2, 3),),
            hint_at=prompt,
            seed=row,
        )
        for row in range(rows)
    ]
    loss = float("nan")

    def step() -> None:
        nonlocal loss
        loss = learner.train_step([examples], 1e-6).totals["loss"]

    seconds = seconds_of(step, repetitions=3)
    peak = peak_gib(step)
    holdings = ledger(config, {"actor": shape_of(learner.network.config)}, engines=False)
    plan = max(held(holdings, phase)["actor"] for phase in ("update", "step")) - CONTEXT_GIB
    return {
        "what": f"trainer step, {shape}, {method}, {rows} rows, {tokens} tokens, "
        f"{'packed' if config.model.packing_samples else 'padded'}, {config.model.attn_implementation}",
        "seconds": round(seconds, 3),
        "tokens/s": round(tokens / seconds),
        "peak GiB": round(peak, 2),
        "plan GiB": round(plan, 2),
        "loss": round(loss, 4),
    }


ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    "machine": machine,
    "loss": loss_share,
    # Others publish 11,900 tokens/s and 12.5 GiB for this on one H100 with FlashAttention 3 and recomputation.
    "step-0.6B": lambda: trainer_step("Qwen3-0.6B", 16384, 16),
    "step-0.6B-padded": lambda: trainer_step("Qwen3-0.6B", 16384, 16, packing_samples=False),
    "step-0.6B-intro": lambda: trainer_step("Qwen3-0.6B", 16384, 16, "intro"),
    "step-1.5B": lambda: trainer_step("Qwen2.5-1.5B", 16384, 16, "intro"),
}


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(ROWS))
    if unknown:
        sys.exit(f"no row is called {', '.join(unknown)}: choose from {', '.join(ROWS)}")
    for name in names:
        print(json.dumps({"row": name, **ROWS[name]()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(ROWS))
