"""Prompts, byte for byte as the specification (EVAL.md) gives them."""

import pytest

from openrlhf.errors import UserError
from openrlhf.evaluation.questions.few_shot_examples import EXAMPLES
from openrlhf.evaluation.questions.prompts import PROMPT_TYPES, STYLES, TOOL_HEADER, Prompter, stop_strings, style

QUESTION = "What is $1 + 1$?"
BOX = "Please reason step by step, and put your final answer within \\boxed{}."
# Written out from the specification's table, each stripped at both ends as it says.
EXPECTED = {
    "none": "What is $1 + 1$?",
    "direct": "Question: What is $1 + 1$?\nAnswer:",
    "cot": "Question: What is $1 + 1$?\nAnswer:",
    "pal": "Question: What is $1 + 1$?",
    "tool-integrated": TOOL_HEADER + "Question: What is $1 + 1$?\n\nSolution:",
    "self-instruct": "<|user|>\nWhat is $1 + 1$?\n<|assistant|>",
    "tora": TOOL_HEADER + "<|user|>\nWhat is $1 + 1$?\n<|assistant|>",
    "wizard_zs": "### Instruction:\nWhat is $1 + 1$?\n\n### Response: Let's think step by step.",
    "deepseek-math": "User: What is $1 + 1$?\nPlease reason step by step, and put your final answer within "
    "\\boxed{}.\n\nAssistant:",
    "kpmath": "User: Please reason step by step and put your final answer at the end with "
    '"The answer is: ".\n\nWhat is $1 + 1$?\n\nAssistant:',
    "jiuzhang": "## Question\nWhat is $1 + 1$?\n\n## Solution",
    "jiuzhang_tora": "## Question\nWhat is $1 + 1$?\n\n## Code Solution",
    "jiuzhang_nl": "## Question\nWhat is $1 + 1$?\n\n## Natural Language Solution",
    "mmiqc": 'Please solve the following problem and put your answer at the end with "The answer is: ".\n\n'
    "What is $1 + 1$?",
    "abel": "Question:\nWhat is $1 + 1$?\nAnswer:\nLet's think step by step.",
    "shepherd": "What is $1 + 1$?",
    "qwen-boxed": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nWhat is $1 "
    "+ 1$?\n"
    "Please reason step by step, and put your final answer within "
    "\\boxed{}.<|im_end|>\n<|im_start|>assistant",
    "qwen25-math-cot": "<|im_start|>system\nPlease reason step by step, and put your final answer within "
    "\\boxed{}."
    "<|im_end|>\n<|im_start|>user\nWhat is $1 + 1$?<|im_end|>\n<|im_start|>assistant",
    "mathstral": "What is $1 + 1$?\nPlease reason step by step, and put your final answer within \\boxed{}.",
    "internlm-math-fs": "Question:What is $1 + 1$?\nAnswer:",
    "internlm-math-chat": "<|im_start|>user\nWhat is $1 + 1$?<|im_end|>\n<|im_start|>assistant",
    "mistral": "[INST] What is $1 + 1$?[/INST]",
    "numina": "### Problem: What is $1 + 1$?\n### Solution:",
    "platypus_fs": "Below is an instruction that describes a task. Write a response that appropriately "
    "completes "
    "the request.\n\n### Instruction:\nWhat is $1 + 1$?\n\n### Response:",
}


@pytest.mark.parametrize("prompt_type", sorted(STYLES))
def test_zero_shot_prompt_is_byte_for_byte_the_specified_one(prompt_type):
    assert style(prompt_type).build(QUESTION) == EXPECTED[prompt_type]


def test_every_type_of_the_specification_exists_beside_none_and_chat():
    assert {*EXPECTED, "chat"} == set(PROMPT_TYPES)


@pytest.mark.parametrize(
    ("prompt_type", "expected"),
    [
        ("direct", "Question: q\nAnswer: a\n\nQuestion: Q\nAnswer:"),
        ("cot", "Question: q\nAnswer: a\n\n\nQuestion: Q\nAnswer:"),
        ("pal", "Question: q\n\na\n---\nQuestion: Q"),
        ("tool-integrated", TOOL_HEADER + "Question: q\n\nSolution:\na\n---\nQuestion: Q\n\nSolution:"),
        (
            "qwen25-math-cot",
            f"<|im_start|>system\n{BOX}<|im_end|>\n<|im_start|>user\nq\na\n\nQ<|im_end|>\n<|im_start|>assistant",
        ),
    ],
)
def test_examples_stand_before_the_question_with_the_styles_separator(prompt_type, expected):
    assert style(prompt_type).build("Q", [("q", "a")]) == expected


def test_the_alpaca_instruction_is_wrapped_once():
    assert style("platypus_fs").build(QUESTION).count("Below is an instruction") == 1


@pytest.mark.parametrize(
    ("prompt_type", "added"),
    [
        ("none", ()),
        ("qwen25-math-cot", ()),
        ("cot", ("\n\nQuestion:",)),
        ("pal", ("\n\n---", "```output")),
        ("tool-integrated", ("\n\n---", "```output")),
        ("jiuzhang_tora", ("\n\n---", "```output")),
        ("wizard_zs", ("Instruction", "Response")),
        ("platypus_fs", ("Instruction", "Response")),
        ("jiuzhang", ("\n\n## Question",)),
        ("jiuzhang_nl", ("\n\n## Question",)),
        ("numina", ("\n### Problem",)),
    ],
)
def test_stop_strings_are_the_common_ones_and_the_styles_own(prompt_type, added):
    assert stop_strings(prompt_type) == ("</s>", "<|im_end|>", "<|endoftext|>", *added)


class TemplatingTokenizer:
    """A tokenizer whose template marks turns; it adds a BOS (id 1) where special tokens are asked for."""

    chat_template = "there is one"

    def apply_chat_template(self, turns, tokenize, add_generation_prompt):
        assert not tokenize
        return "<s>" + "".join(f"[{t['role']}]{t['content']}" for t in turns) + "[assistant]" * add_generation_prompt

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": [1] * add_special_tokens + [ord(c) for c in text]}


def test_chat_asks_in_the_tokenizers_own_turns_and_adds_no_second_bos():
    prompter = Prompter("chat", tokenizer=TemplatingTokenizer())
    text = prompter.text("Q", [("q", "a")])
    assert text == "<s>[user]q[assistant]a[user]Q[assistant]"
    assert prompter.ids(text) == tuple(map(ord, text))


def test_plain_prompts_are_tokenised_with_the_tokenizers_defaults_as_in_training():
    prompter = Prompter("none", tokenizer=TemplatingTokenizer())
    assert prompter.ids(prompter.text("Q")) == (1, ord("Q"))


def test_a_template_can_go_around_a_plain_prompt_but_not_around_one_with_turns():
    around = Prompter("mathstral", apply_template=True, tokenizer=TemplatingTokenizer())
    assert around.text("Q") == f"<s>[user]Q\n{BOX}[assistant]"
    with pytest.raises(UserError, match="template twice"):
        Prompter("qwen-boxed", apply_template=True, tokenizer=TemplatingTokenizer())


def test_chat_without_a_template_says_what_to_do():
    class Plain:
        chat_template = None

    with pytest.raises(UserError, match="has no chat template"):
        Prompter("chat", tokenizer=Plain())


def test_an_unknown_prompt_type_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match="qwen25-math-cot"):
        style("qwen")


def test_there_are_as_many_examples_as_the_reference_uses():
    wanted = {"gsm8k": 8, "math": 5, "minerva_math": 4, "carp_en": 8, "aqua": 4, "mmlu_stem": 5, "gaokao": 5}
    assert all(len(EXAMPLES[name]) >= count for name, count in wanted.items())
