"""Opens one engine in this process: vLLM or Hugging Face, whose libraries are imported only then."""

import importlib.util
import inspect
from typing import Any

from openrlhf.errors import UserError
from openrlhf.rollout.engine import RolloutEngine

ENGINES = ("auto", "vllm", "hf")


def choose_engine(engine: str) -> str:
    """Turns "auto" into "vllm" where vLLM is installed, else "hf"."""
    if engine not in ENGINES:
        raise UserError(f"there is no rollout engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if engine != "auto":
        return engine
    return "vllm" if importlib.util.find_spec("vllm") else "hf"


def open_engine(model_path: str, engine: str = "auto", **options: Any) -> RolloutEngine:
    """One engine in this process.

    `options` are those of `VllmEngine`. The Hugging Face engine passes over those that only vLLM has, except
    tensor parallelism, which it refuses.
    """
    if choose_engine(engine) == "vllm":
        from openrlhf.rollout.vllm_engine import VllmEngine

        return VllmEngine(model_path, **options)
    from openrlhf.rollout.hf_engine import HfEngine

    if options.get("tensor_parallel_size", 1) > 1:
        raise UserError("the Hugging Face engine runs on one device; set tensor parallel size 1 or use vLLM")
    known = inspect.signature(HfEngine).parameters
    return HfEngine(model_path, **{name: value for name, value in options.items() if name in known})
