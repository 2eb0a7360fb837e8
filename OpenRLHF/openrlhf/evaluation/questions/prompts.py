"""The prompts of the Qwen2.5-Math harness, byte for byte, with `none` and `chat` beside them.

A style turns a question into a prompt; the whole prompt is stripped at both ends, as the reference does.
Few-shot examples stand before the question, each followed by the style's separator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.errors import UserError
from openrlhf.utils.special_tokens import prompt_ids

_BOX = r"Please reason step by step, and put your final answer within \boxed{}."
_CHATML = "<|im_start|>{role}\n{text}<|im_end|>\n"
_QWEN_USER = "<|im_start|>user\n"
_QWEN_END = "<|im_end|>\n<|im_start|>assistant\n"

# The reference's header is a text of others; this one is the project's own and asks for the same thing.
TOOL_HEADER = (
    "Solve the mathematical problem below by alternating between explanation and Python.\n"
    "- Explain the next step in words, then write the code for it in a block that begins with ```python and "
    "ends with ```.\n"
    "- Print what you need to see; what a block prints appears after it in an output block.\n"
    "- Use sympy for exact results, and correct yourself where an output shows a mistake.\n"
    r"- Finish with the answer in \boxed{}." + "\n\n"
)
_ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.\n\n"
    "### Instruction:\n"
)


@dataclass(frozen=True)
class PromptStyle:
    """How one prompt type is built.

    before, after: what stands around the question. head: once, before everything (system turn, tool header).
    separator: after each example. turns: the prompt brings its own chat turns, so no chat template may go
    around it.
    inside: examples stand inside the user turn as `question\\nanswer`.
    stops: stop strings besides the common ones. runs_code: Python in the response is run (with permission).
    """

    before: str
    after: str
    head: str = ""
    separator: str = "\n\n"
    turns: bool = False
    inside: bool = False
    stops: tuple[str, ...] = ()
    runs_code: bool = False

    def build(self, question: str, examples: Sequence[tuple[str, str]] = ()) -> str:
        """The prompt for `question` after the given (question, answer) examples."""
        if self.inside:
            shots = "".join(f"{q}\n{a}{self.separator}" for q, a in examples)
            return f"{self.head}{self.before}{shots}{question}{self.after}".strip()
        shots = "".join(self._example(q, a) + self.separator for q, a in examples)
        return f"{self.head}{shots}{self.before}{question}{self.after}".strip()

    def _example(self, question: str, answer: str) -> str:
        joint = "" if self.after.endswith("\n") else " "
        return f"{self.before}{question}{self.after}{joint}{answer}"


COMMON_STOPS = ("</s>", "<|im_end|>", "<|endoftext|>")
_OUTPUT_STOPS = ("\n\n---", "```output")
_JIUZHANG_STOPS = ("\n\n## Question",)
_INSTRUCTION_STOPS = ("Instruction", "Response")

STYLES: dict[str, PromptStyle] = {
    "none": PromptStyle("", ""),
    "direct": PromptStyle("Question: ", "\nAnswer:"),
    "cot": PromptStyle("Question: ", "\nAnswer:", separator="\n\n\n", stops=("\n\nQuestion:",)),
    "pal": PromptStyle("Question: ", "\n\n", separator="\n---\n", stops=_OUTPUT_STOPS, runs_code=True),
    "tool-integrated": PromptStyle(
        "Question: ",
        "\n\nSolution:\n",
        head=TOOL_HEADER,
        separator="\n---\n",
        stops=_OUTPUT_STOPS,
        runs_code=True,
    ),
    "self-instruct": PromptStyle("<|user|>\n", "\n<|assistant|>\n", turns=True),
    "tora": PromptStyle("<|user|>\n", "\n<|assistant|>\n", head=TOOL_HEADER, turns=True, runs_code=True),
    "wizard_zs": PromptStyle(
        "### Instruction:\n",
        "\n\n### Response: Let's think step by step.",
        turns=True,
        stops=_INSTRUCTION_STOPS,
    ),
    "platypus_fs": PromptStyle(_ALPACA, "\n\n### Response:\n", turns=True, stops=_INSTRUCTION_STOPS),
    "deepseek-math": PromptStyle("User: ", f"\n{_BOX}\n\nAssistant:", turns=True),
    "kpmath": PromptStyle(
        'User: Please reason step by step and put your final answer at the end with "The answer is: ".\n\n',
        "\n\nAssistant:",
        turns=True,
    ),
    "jiuzhang": PromptStyle("## Question\n", "\n\n## Solution\n", stops=_JIUZHANG_STOPS),
    "jiuzhang_tora": PromptStyle("## Question\n", "\n\n## Code Solution\n", stops=_OUTPUT_STOPS, runs_code=True),
    "jiuzhang_nl": PromptStyle("## Question\n", "\n\n## Natural Language Solution\n", stops=_JIUZHANG_STOPS),
    "mmiqc": PromptStyle(
        'Please solve the following problem and put your answer at the end with "The answer is: ".\n\n',
        "\n\n",
    ),
    "abel": PromptStyle("Question:\n", "\nAnswer:\nLet's think step by step.\n"),
    "shepherd": PromptStyle("", "\n"),
    "qwen-boxed": PromptStyle(
        _QWEN_USER,
        f"\n{_BOX}{_QWEN_END}",
        head=_CHATML.format(role="system", text="You are a helpful assistant."),
        turns=True,
    ),
    "qwen25-math-cot": PromptStyle(
        _QWEN_USER, _QWEN_END, head=_CHATML.format(role="system", text=_BOX), turns=True, inside=True
    ),
    "mathstral": PromptStyle("", f"\n{_BOX}"),
    "internlm-math-fs": PromptStyle("Question:", "\nAnswer:"),
    "internlm-math-chat": PromptStyle(_QWEN_USER, _QWEN_END, turns=True),
    "mistral": PromptStyle("[INST] ", "[/INST]", turns=True),
    "numina": PromptStyle("### Problem: ", "\n### Solution:", stops=("\n### Problem",)),
}
CHAT = "chat"
PROMPT_TYPES: tuple[str, ...] = (*STYLES, CHAT)


def style(prompt_type: str) -> PromptStyle:
    """The style of a prompt type; `chat` has none of its own (the tokenizer's template does everything)."""
    if prompt_type == CHAT:
        return PromptStyle("", "")
    if prompt_type not in STYLES:
        raise UserError(f"unknown --prompt_type {prompt_type}; choose one of {', '.join(PROMPT_TYPES)}")
    return STYLES[prompt_type]


def stop_strings(prompt_type: str) -> tuple[str, ...]:
    return COMMON_STOPS + style(prompt_type).stops


@dataclass(frozen=True)
class Prompter:
    """Builds prompts and their token ids.

    With a chat template (`chat`, or `apply_template` around a plain style) the tokenizer's template writes
    the special tokens, so none are added again; otherwise the tokenizer adds in front what it always adds, as in
    training.
    """

    prompt_type: str
    apply_template: bool = False
    tokenizer: Any = None

    def __post_init__(self) -> None:
        if self.templated and style(self.prompt_type).turns:
            raise UserError(
                f"--apply_chat_template around --prompt_type {self.prompt_type} would template twice: that "
                "prompt brings its own turns. Drop the flag, or use --prompt_type chat"
            )
        if self.templated and not getattr(self.tokenizer, "chat_template", None):
            raise UserError(
                "this model's tokenizer has no chat template; use another --prompt_type (none, cot, …) "
                "or a model folder whose tokenizer has one"
            )

    @property
    def templated(self) -> bool:
        return self.apply_template or self.prompt_type == CHAT

    def text(self, question: str, examples: Sequence[tuple[str, str]] = ()) -> str:
        """The prompt as text, what `--show_prompts` prints."""
        if not self.templated:
            return style(self.prompt_type).build(question, examples)
        turns: list[dict[str, str]] = []
        if self.prompt_type == CHAT:
            for asked, answered in examples:
                turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
            turns.append({"role": "user", "content": question.strip()})
        else:
            turns.append({"role": "user", "content": style(self.prompt_type).build(question, examples)})
        return self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a prompt made by `text`."""
        return tuple(prompt_ids(self.tokenizer, text, special_tokens=not self.templated))
