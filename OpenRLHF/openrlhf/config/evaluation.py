"""Scoring a model on mathematical benchmarks: the flags of `math_eval.py`, and the rules between them.

Names and defaults are those of the Qwen2.5-Math harness where it has the flag.
"""

from dataclasses import dataclass
from pathlib import Path

from openrlhf.config.rules import check_ranges
from openrlhf.config.settings import flags_of, section, setting, switch, values_of, with_flags
from openrlhf.errors import UserError

DEFAULT_SETS = "gsm8k,math"
AUTO = "auto"


def shots(text: str) -> int | str:
    """Converts a number from 0 on, or "auto". Raises UserError."""
    if text == AUTO:
        return AUTO
    if not text.isdigit():
        raise UserError(f"{text!r} is neither a number from 0 on nor {AUTO}")
    return int(text)


@dataclass(frozen=True)
class QuestionsConfig:
    data_names: str = setting(DEFAULT_SETS, "Sets to run, separated by commas.")
    data_dir: Path = setting(Path("./data"), "Folder with {set}/{split}.jsonl or {set}.jsonl(.gz).", kind=Path)
    split: str = setting("test", "Which split of the data.")
    num_test_sample: int = setting(-1, "Only the first N problems; -1 for all.")
    start: int = setting(0, "First problem, counted after --num_test_sample.")
    end: int = setting(-1, "Problem behind the last one; -1 for all.")
    shuffle: bool = switch("Shuffle the problems with --seed first.")

    @property
    def names(self) -> list[str]:
        """The sets, each once."""
        return list(dict.fromkeys(name.strip() for name in self.data_names.split(",") if name.strip()))

    @property
    def is_default(self) -> bool:
        """Whether no sets were chosen: modes without a model then take all that are at hand."""
        return self.data_names == DEFAULT_SETS


@dataclass(frozen=True)
class PromptConfig:
    prompt_type: str = setting("tool-integrated", "What stands around a question.")
    apply_chat_template: bool = switch("Put the tokenizer's chat template around a plain prompt.")
    num_shots: int | str = setting(
        0,
        "Worked examples before each question; auto: as many as the reference's eval.sh gives each set.",
        kind=shots,
    )
    adapt_few_shot: bool = switch("Examples only before multiple-choice questions.")


@dataclass(frozen=True)
class EngineConfig:
    """What generates. After the rules `rollout_engine` includes what --use_vllm asks for."""

    model_name_or_path: str | None = setting(None, "Model folder, or a name on the hub.")
    rollout_engine: str = setting(AUTO, "What generates.", choices=(AUTO, "vllm", "hf"))
    use_vllm: bool = switch("The same as --rollout_engine vllm.")
    tensor_parallel_size: int = setting(1, "GPUs for one copy of the model.", at_least=1)
    pipeline_parallel_size: int = setting(1, "Only 1; see --tensor_parallel_size.")
    num_engines: int | None = setting(None, "Copies of the model; without it one per GPU.", at_least=1)
    dtype: str = setting(AUTO, "Type of the weights.", choices=(AUTO, "float32", "bfloat16", "float16"))
    max_model_len: int | None = setting(None, "Prompt and response together, in tokens.")
    use_safetensors: bool = switch(
        "No effect: used wherever the model has them.",
        without_effect="safetensors are used wherever the model has them",
    )


@dataclass(frozen=True)
class SamplingConfig:
    """temperature and top_p are whole by default: the temperature is part of file names, as in the reference."""

    temperature: float = setting(0, "0 is greedy.", at_least=0)
    top_p: float = setting(1, "Nucleus sampling; 1 cuts nothing.", more_than=0, at_most=1)
    n_sampling: int = setting(1, "Samples per problem; above 1 needs a temperature.", at_least=1)
    max_tokens_per_call: int = setting(2048, "Longest response, in tokens.", at_least=1)
    seed: int = setting(0, "Of sampling, shuffling and drawn examples.")
    allow_code_execution: bool = switch(
        "Run, confined, the Python that the model writes (pal, tool-integrated, tora, jiuzhang_tora)."
    )


@dataclass(frozen=True)
class GradingConfig:
    grading_workers: int = setting(2, "Processes that compare answers.")
    grading_timeout: float = setting(5.0, "Seconds for one comparison.")


@dataclass(frozen=True)
class OutputConfig:
    output_dir: Path = setting(Path("./output"), "Results go to {output_dir}/{set}/.", kind=Path)
    overwrite: bool = switch("Drop stored samples and start anew.")
    save_outputs: bool = switch("No effect: outputs are always saved.", without_effect="outputs are always saved")


@dataclass(frozen=True)
class ModeConfig:
    """What to do instead of scoring a model; the first that is given."""

    compare: tuple[Path, ...] | None = setting(
        None, "Two output folders: what changed from the first to the second.", kind=Path, nargs=2
    )
    report: tuple[Path, ...] | None = setting(
        None, "Write an HTML report: its file, then the output folders.", kind=Path, nargs="+"
    )
    check_golds: bool = switch("Read every gold and grade it against itself.")
    regrade: bool = switch("Grade what is stored under --output_dir again.")
    show_prompts: bool = switch("Print the first prompt of every set.")


@dataclass(frozen=True)
class BenchmarkConfig:
    """math_eval."""

    questions: QuestionsConfig = section(QuestionsConfig, "Questions")
    prompt: PromptConfig = section(PromptConfig, "Prompts")
    engine: EngineConfig = section(EngineConfig, "Model and engine")
    sampling: SamplingConfig = section(SamplingConfig, "Generation")
    grading: GradingConfig = section(GradingConfig, "Grading")
    output: OutputConfig = section(OutputConfig, "Output")
    mode: ModeConfig = section(ModeConfig, "Without a model")


def benchmark_rules(config: BenchmarkConfig) -> tuple[BenchmarkConfig, list[str]]:
    """Afterwards `rollout_engine` and `top_p` are decided. UserError: the settings contradict each other."""
    engine, sampling, values = config.engine, config.sampling, values_of(config)
    notes = [
        f"--{flag.name} has no effect here: {flag.without_effect}"
        for _, flag in flags_of(BenchmarkConfig)
        if flag.without_effect and values[flag.name]
    ]
    if engine.pipeline_parallel_size != 1:
        raise UserError(
            f"--pipeline_parallel_size {engine.pipeline_parallel_size} is not supported: a model that "
            "needs several GPUs is split with --tensor_parallel_size"
        )
    if engine.use_vllm and engine.rollout_engine == "hf":
        raise UserError("--use_vllm and --rollout_engine hf contradict each other; give one of them")
    if engine.use_vllm:
        config = with_flags(config, rollout_engine="vllm")
    if sampling.temperature == 0 and sampling.top_p != 1:
        notes.append(f"--top_p {sampling.top_p} has no effect at temperature 0 and is taken as 1")
        config = with_flags(config, top_p=1)
    _refuse_impossible(config)
    return config, notes


def _refuse_impossible(config: BenchmarkConfig) -> None:
    sampling = config.sampling
    check_ranges(config)
    if config.prompt.prompt_type == "none" and config.prompt.num_shots not in (0, AUTO):
        raise UserError("--prompt_type none is the question and nothing else; leave --num_shots out")
    if sampling.n_sampling > 1 and sampling.temperature == 0:
        raise UserError(
            f"--n_sampling {sampling.n_sampling} at temperature 0 gives the same response "
            f"{sampling.n_sampling} times; set --temperature (0.6 to 1.0 is usual) or leave --n_sampling at 1"
        )
    if not config.questions.names:
        raise UserError("--data_names names no set")
