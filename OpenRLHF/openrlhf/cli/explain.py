"""Colours a rationale by what the answer says of each token: python3 -m openrlhf.cli.explain --model M --prompt …"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openrlhf.errors import UserError
from openrlhf.methods.intro import Intro
from openrlhf.models.model_folder import check_model_folder
from openrlhf.utils.terminal import has_colours

if TYPE_CHECKING:
    from openrlhf.models.actor import Actor
    from openrlhf.view.token_picture import Case, Picture


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    args = parser().parse_args(argv)
    try:
        _check(args)
        _run(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python3 -m openrlhf.cli.explain",
        description="Colours each token of a response by log w: how much likelier it becomes once the answer is known.",
    )
    model = made.add_argument_group("Model")
    model.add_argument("--model", required=True, metavar="PATH", help="The policy: a Hugging Face folder or hub name.")
    model.add_argument("--after", metavar="PATH", help="Another one beside it, such as the same model after training.")
    model.add_argument("--posterior", metavar="PATH", help="Who reads the answer; without it the policy itself.")
    model.add_argument("--bf16", action="store_true", help="Compute in bfloat16 instead of float32.")
    one = made.add_argument_group("A problem")
    one.add_argument("--prompt", metavar="TEXT", help="The prompt.")
    one.add_argument("--answer", metavar="TEXT", help="The gold answer.")
    one.add_argument("--response", metavar="TEXT", help="The response; without it the model writes one.")
    one.add_argument("--wrong_answer", metavar="TEXT", help="Another answer, for contrast.")
    many = made.add_argument_group("Problems of a file")
    many.add_argument("--data", metavar="FILE", help="json, jsonl, csv, parquet, a folder or hub name.")
    many.add_argument("--input_key", default="input", help="Field of the prompt (default: input).")
    many.add_argument("--label_key", default="answer", help="Field of the gold answer (default: answer).")
    many.add_argument("--response_key", help="Field of the response; without it the model writes them.")
    kept = made.add_argument_group("Rollouts of a run (--save_rollouts)")
    kept.add_argument("--rollouts", metavar="FOLDER", help="The run's folder.")
    kept.add_argument("--step", type=int, nargs="+", metavar="N", help="Only of these steps.")
    kept.add_argument("--prompt_index", type=int, nargs="+", metavar="N", help="Only of these prompts.")
    kept.add_argument("--right", action="store_true", help="Only right ones.")
    kept.add_argument("--wrong", action="store_true", help="Only wrong ones.")
    shape = made.add_argument_group("Prompts")
    shape.add_argument("--input_template", metavar="TEXT", help="Text around the prompt, {} where it goes.")
    shape.add_argument("--apply_chat_template", action="store_true", help="Write prompts with the chat template.")
    shape.add_argument("--limit", type=int, default=8, help="At most so many responses (default: 8).")
    shape.add_argument("--max_new_tokens", type=int, default=512, help="Of a response that is written (default: 512).")
    shape.add_argument("--sampling_temperature", type=float, default=0.0, help="Likewise; 0 is greedy (default: 0).")
    shape.add_argument("--seed", type=int, default=0, help="Of samples and candidates (default: 0).")
    defaults = Intro()
    loss = made.add_argument_group("As in InTRO's loss")
    loss.add_argument("--answer_template", default=defaults.answer_template, metavar="TEXT",
                      help=f"The hint (default: {defaults.answer_template!r}).")  # fmt: skip
    loss.add_argument("--num_candidates", type=int, default=defaults.num_candidates, help="Drawn at each token.")
    loss.add_argument("--top_k", type=int, default=defaults.top_k, help="Drawn from so many; 0: all.")
    loss.add_argument("--clip_max", type=float, default=defaults.clip_max, help="Upper clip of w.")
    loss.add_argument("--temperature", type=float, default=defaults.temperature, help="Of p and q.")
    out = made.add_argument_group("Output")
    out.add_argument("-o", "--output", type=Path, metavar="FILE", help="One HTML page that loads nothing.")
    out.add_argument("--json", action="store_true", help="All numbers as JSON, in place of text.")
    return made


def _check(args: argparse.Namespace) -> None:
    sources = [name for name in ("prompt", "data", "rollouts") if getattr(args, name)]
    if len(sources) != 1:
        given = " and ".join(f"--{name}" for name in sources) or "none"
        raise UserError(f"give one of --prompt, --data and --rollouts, found {given}")
    if args.prompt and args.answer is None:
        raise UserError("--prompt needs --answer, which the hint tells the posterior")
    if "{answer}" not in args.answer_template:
        raise UserError(
            f"--answer_template {args.answer_template!r} has no {{answer}}: put it where the answer belongs"
        )
    for name, low in (("limit", 1), ("num_candidates", 1), ("top_k", 0), ("max_new_tokens", 1)):
        if getattr(args, name) < low:
            raise UserError(f"--{name} {getattr(args, name)} is out of range: give at least {low}")
    for name in ("temperature", "clip_max"):
        if not getattr(args, name) > 0:
            raise UserError(f"--{name} {getattr(args, name):g} is out of range: give more than 0")
    for flag in ("model", "after", "posterior"):
        if getattr(args, flag):
            check_model_folder(getattr(args, flag), flag, tokenizer=True)


def _run(args: argparse.Namespace) -> None:
    from transformers.utils.logging import disable_progress_bar

    from openrlhf.models.loader import check_same_vocabulary, load_tokenizer

    disable_progress_bar()
    tokenizer = load_tokenizer(args.model)
    for flag in ("after", "posterior"):
        if getattr(args, flag):
            check_same_vocabulary(tokenizer, getattr(args, flag), f"--{flag}")
    cases = _cases(args, tokenizer)
    pictures = [_paint(args, tokenizer, cases, path) for path in (args.model, args.after) if path]
    sides = list(zip(*pictures, strict=True))
    if args.output:
        from openrlhf.view.picture_page import write_pictures

        write_pictures(args.output, "What the answer says of each token", sides)
    if args.json:
        print(json.dumps([[picture.as_json() for picture in side] for side in sides], ensure_ascii=False))
    else:
        from openrlhf.view.picture_text import as_text

        for side in sides:
            print(as_text(side, has_colours(sys.stdout)))
    if args.output:
        print(f"picture: {args.output}", file=sys.stderr if args.json else sys.stdout)


def _paint(args: argparse.Namespace, tokenizer: Any, cases: Sequence["Case"], path: str) -> list["Picture"]:
    from openrlhf.view.token_picture import paint

    settings = replace(
        Intro(),
        num_candidates=args.num_candidates,
        top_k=args.top_k,
        clip_max=args.clip_max,
        temperature=args.temperature,
    )
    model = _load(path, args)
    posterior = _load(args.posterior, args) if args.posterior else None
    name = Path(path).name or path
    return [
        paint(case, model, tokenizer, settings, name=name, seed=args.seed + number, posterior=posterior)
        for number, case in enumerate(cases)
    ]


def _load(path: str, args: argparse.Namespace) -> "Actor":
    from openrlhf.config.model import ModelConfig
    from openrlhf.models.loader import load_actor
    from openrlhf.trainer.deepspeed_setup import local_device

    config = ModelConfig(bf16=args.bf16, attn_implementation="sdpa")
    return load_actor(path, config, trainable=False).to(local_device()).eval()


def _cases(args: argparse.Namespace, tokenizer: Any) -> list["Case"]:
    """UserError: nothing to look at."""
    from openrlhf.view.cases import Hints, PromptStyle, of_prompts, of_rollouts, prompts_of

    hints = Hints(tokenizer, args.answer_template, args.wrong_answer or "")
    if args.rollouts:
        wanted = True if args.right else False if args.wrong else None
        cases = of_rollouts(Path(args.rollouts), hints, args.step, args.prompt_index, wanted, args.limit)
    else:
        style = PromptStyle(
            args.input_key, args.label_key, args.response_key, args.input_template, args.apply_chat_template
        )
        if args.prompt:
            own = {args.input_key: args.prompt, args.label_key: args.answer, "response": args.response}
            style = replace(style, response_key=None if args.response is None else "response")
            prompts, responses = prompts_of([own], tokenizer, style)
        else:
            prompts, responses = prompts_of(args.data, tokenizer, style, args.limit)
        if responses is None:
            from openrlhf.view.cases import write

            precision = "bfloat16" if args.bf16 else "float32"
            responses = write(args.model, prompts, precision, args.sampling_temperature, args.max_new_tokens, args.seed)
        cases = of_prompts(prompts, responses, hints)
    cases = [case for case in cases if case.response_ids]
    if not cases:
        raise UserError("there is no response with a token to look at")
    return cases


if __name__ == "__main__":
    sys.exit(main())
