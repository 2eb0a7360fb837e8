"""The command line of `math_eval.py`: the reference's flags and defaults, then ours."""

import argparse
from pathlib import Path

from openrlhf.errors import UserError
from openrlhf.evaluation.questions.prompts import PROMPT_TYPES

AUTO = "auto"
_WITHOUT_EFFECT = {
    "save_outputs": "outputs are always saved",
    "use_safetensors": "safetensors are used wherever the model has them",
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="math_eval.py",
        description="Scores a model on mathematical benchmarks: generates, grades, measures, reports.",
    )
    _add_reference_flags(parser)
    _add_generation(parser)
    _add_other_modes(parser)
    return parser


def _add_reference_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("as in the Qwen2.5-Math harness")
    group.add_argument("--data_names", default="gsm8k,math", help="sets to run, separated by commas")
    group.add_argument("--data_dir", default="./data", help="folder with {set}/{split}.jsonl or {set}.jsonl(.gz)")
    group.add_argument("--model_name_or_path", help="model folder, or a name on the hub")
    group.add_argument("--output_dir", default="./output", help="results go to {output_dir}/{set}/")
    group.add_argument(
        "--prompt_type", default="tool-integrated", metavar="TYPE", help=f"one of {', '.join(PROMPT_TYPES)}"
    )
    group.add_argument("--split", default="test", help="which split of the data")
    group.add_argument("--num_test_sample", type=int, default=-1, help="only the first N problems; -1 for all")
    group.add_argument("--seed", type=int, default=0, help="of sampling, shuffling and drawn examples")
    group.add_argument("--start", type=int, default=0, help="first problem, counted after --num_test_sample")
    group.add_argument("--end", type=int, default=-1, help="problem behind the last one; -1 for all")
    group.add_argument("--temperature", type=float, default=0, help="0 is greedy")
    group.add_argument("--n_sampling", type=int, default=1, help="samples per problem; above 1 needs a temperature")
    group.add_argument("--top_p", type=float, default=1, help="nucleus sampling; 1 cuts nothing")
    group.add_argument("--max_tokens_per_call", type=int, default=2048, help="longest response, in tokens")
    group.add_argument(
        "--num_shots",
        type=_shots,
        default=0,
        help="worked examples before each question; auto: as many as the reference's eval.sh gives each set",
    )
    group.add_argument("--pipeline_parallel_size", type=int, default=1, help="only 1; see --tensor_parallel_size")
    group.add_argument("--shuffle", action="store_true", help="shuffle the problems with --seed first")
    group.add_argument("--use_vllm", action="store_true", help="the same as --rollout_engine vllm")
    group.add_argument("--save_outputs", action="store_true", help="no effect: outputs are always saved")
    group.add_argument("--overwrite", action="store_true", help="drop stored samples and start anew")
    group.add_argument("--use_safetensors", action="store_true", help="no effect: used wherever the model has them")
    group.add_argument(
        "--apply_chat_template",
        action="store_true",
        help="put the tokenizer's chat template around a plain prompt",
    )
    group.add_argument("--adapt_few_shot", action="store_true", help="examples only before multiple-choice questions")


def _shots(text: str) -> int | str:
    """A number from 0 on, or "auto"."""
    if text == AUTO:
        return AUTO
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number from 0 on nor {AUTO}")
    return int(text)


def _add_generation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("generation and grading")
    group.add_argument("--rollout_engine", choices=("auto", "vllm", "hf"), default="auto", help="what generates")
    group.add_argument("--tensor_parallel_size", type=int, default=1, help="GPUs for one copy of the model")
    group.add_argument("--num_engines", type=int, default=None, help="copies of the model (default: one per GPU)")
    group.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    group.add_argument("--max_model_len", type=int, default=None, help="prompt and response together, in tokens")
    group.add_argument(
        "--allow_code_execution",
        action="store_true",
        help="run, confined, the Python that the model writes (pal, tool-integrated, tora, jiuzhang_tora)",
    )
    group.add_argument("--grading_workers", type=int, default=2, help="processes that compare answers")
    group.add_argument("--grading_timeout", type=float, default=5.0, help="seconds for one comparison")


def _add_other_modes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("without a model")
    group.add_argument("--show_prompts", action="store_true", help="print the first prompt of every set")
    group.add_argument("--check_golds", action="store_true", help="read every gold and grade it against itself")
    group.add_argument("--regrade", action="store_true", help="grade what is stored under --output_dir again")
    group.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two output folders: what changed from A to B")
    group.add_argument(
        "--report", nargs="+", metavar="PATH", help="write an HTML report: its file, then the output folders"
    )


def parse(argv: list[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and remarks on those without effect. Raises UserError for what cannot work together."""
    args = build_parser().parse_args(argv)
    remarks = [f"--{name} has no effect here: {why}" for name, why in _WITHOUT_EFFECT.items() if getattr(args, name)]
    args.data_dir = Path(args.data_dir)
    args.output_dir = Path(args.output_dir)
    args.names = list(dict.fromkeys(name.strip() for name in args.data_names.split(",") if name.strip()))
    args.all_names = args.data_names == build_parser().get_default("data_names")
    if args.pipeline_parallel_size != 1:
        raise UserError(
            f"--pipeline_parallel_size {args.pipeline_parallel_size} is not supported: a model that "
            "needs several GPUs is split with --tensor_parallel_size"
        )
    if args.use_vllm and args.rollout_engine == "hf":
        raise UserError("--use_vllm and --rollout_engine hf contradict each other; give one of them")
    if args.use_vllm:
        args.rollout_engine = "vllm"
    if args.temperature == 0 and args.top_p != 1:
        remarks.append(f"--top_p {args.top_p} has no effect at temperature 0 and is taken as 1")
        args.top_p = 1
    _refuse_impossible(args)
    return args, remarks


def _refuse_impossible(args: argparse.Namespace) -> None:
    if args.prompt_type not in PROMPT_TYPES:
        raise UserError(f"unknown --prompt_type {args.prompt_type}; choose one of {', '.join(PROMPT_TYPES)}")
    if args.n_sampling < 1 or args.max_tokens_per_call < 1:
        raise UserError("--n_sampling and --max_tokens_per_call must be at least 1")
    if args.prompt_type == "none" and args.num_shots not in (0, AUTO):
        raise UserError("--prompt_type none is the question and nothing else; leave --num_shots out")
    if args.n_sampling > 1 and args.temperature == 0:
        raise UserError(
            f"--n_sampling {args.n_sampling} at temperature 0 gives the same response "
            f"{args.n_sampling} times; set --temperature (0.6 to 1.0 is usual) or leave --n_sampling at 1"
        )
    if args.temperature < 0 or not 0 < args.top_p <= 1:
        raise UserError(f"--temperature {args.temperature} --top_p {args.top_p}: at least 0, and above 0 up to 1")
    if args.tensor_parallel_size < 1 or (args.num_engines is not None and args.num_engines < 1):
        raise UserError("--tensor_parallel_size and --num_engines must be at least 1")
    if not args.names:
        raise UserError("--data_names names no set")
