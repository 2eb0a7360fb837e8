"""Where an answer is found in a response, and where none is."""

import time

import pytest

from openrlhf.grading import GradingPolicy, extract_answer

ANY = {}
CHOICE = {"answer_kind": "choice"}
NUMBER = {"answer_kind": "number", "last_number": True}
LAST = {"last_number": True}


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"So the answer is $\boxed{5}$.", "5"),
        (r"First \boxed{3}. Later we see that it is \boxed{7}.", "7"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\left\{1, \frac{2}{3}\right\}}", r"\left\{1, \frac{2}{3}\right\}"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\fbox{12}", "12"),
        (r"\boxed 17", "17"),
        (r"\boxed  {3}", "3"),
        ("\\boxed{\n 42 \n}", "42"),
        (r"It is $x=\boxed{2}$ or $x=\boxed{3}$.", "2 or 3"),
        (r"The solutions are $\boxed{1}$, $\boxed{2}$ and $\boxed{4}$.", "1, 2, 4"),
        ("\\[\\boxed{2}\\]\nand\n\\[\\boxed{3}\\]", "2, 3"),
        ("\\[\\boxed{2}\\]\nSo it is\n\\[\\boxed{3}\\]", "3"),
        (r"$g(x)=\boxed{2x}$ or $g(x)=\boxed{-2x}$", "2x or -2x"),
        (r"$\boxed{5}$ and again $\boxed{5}$", "5"),
        (r"We get $\boxed{12} + \boxed{3} = \boxed{15}$.", "15"),
        (r"\boxed{3} is wrong, so it must be \boxed{4}", "4"),
        (r"\boxed{3} and then the answer is 5", "3"),
        (r"\boxed{7} but if we go on \boxed{8", "7"),
        (r"I box it: \boxed{}. \boxed{6}", "6"),
        (r"\boxed{6}. (The box \boxed{} was empty.)", "6"),
        (r"<think>Maybe \boxed{1}?</think> It is \boxed{2}.", "2"),
        (r"It is \boxed{2}.<|im_end|> user: \boxed{9}", "2"),
        ("The answer is 5.", "5"),
        ("It costs 1,234 dollars. The answer is $1,234.", "$1,234"),
        ("The answer is $18.50 per hour.", "$18.50 per hour"),
        ("The answer is: $\\frac{1}{2}$.", r"$\frac{1}{2}$"),
        ("the final answer is 3.5.", "3.5"),
        ("Final Answer: 12 apples", "12 apples"),
        ("**Answer:** 42", "42"),
        ("**Final Answer**: $x = 3$", "$x = 3$"),
        ("The answer is therefore 17.", "17"),
        ("The answer is 5 because 2 + 3 = 5.", "5"),
        ("The answer is $3.$", "$3.$"),
        ("The answer is $2$ or $3$.", "$2$ or $3$"),
        ("The correct answer is (B).", "(B)"),
        ("The answer is 4. No, wait. The answer is 6.", "6"),
        ("She makes 18 dollars.\n#### 18", "18"),
        ("所以答案是 12。", "12"),
        ("答案：3", "3"),
        ("故选：C", "C"),
        ("The answer is\n\n$$\\frac{3}{4}$$", r"$$\frac{3}{4}$$"),
        (r"The answer is \(7\).", r"\(7\)"),
        ("The answer to the problem is 8.", "8"),
        ("The final answer is **9**.", "9"),
        ("Answer = 10", "10"),
    ],
)
def test_the_answer_is_found(response, answer):
    assert extract_answer(response) == answer


@pytest.mark.parametrize(
    "response",
    [
        "",
        "   \n",
        "We compute 2 + 3 and get 5.",
        r"It is \boxed{5",
        r"It is \boxed{\frac{1}{2}",
        r"\boxed{}",
        r"The answer is \boxed{12",
        r"The answer is $\frac{1}{",
        "The answer is",
        "What was the answer again? I do not know",
        r"\boxedfoo{5}",
    ],
)
def test_a_response_without_a_complete_answer_has_none(response):
    assert extract_answer(response) is None


@pytest.mark.parametrize(
    ("response", "policy", "answer"),
    [
        ("We get 3, then 1,250 in all", LAST, "1,250"),
        ("It is -4.5 degrees", LAST, "-4.5"),
        ("That is 3/4 of it", LAST, "3/4"),
        ("No digits here", LAST, None),
        ("The answer is 5, not 6", LAST, "5"),
        ("The answer is about 18 dollars a day", NUMBER, "18"),
        ("I would choose B", CHOICE, "B"),
        ("Option (C) fits; A good answer", CHOICE, "A"),
        ("The answer is (D) 12", CHOICE, "D"),
        ("Neither", CHOICE, None),
    ],
)
def test_a_policy_widens_the_search(response, policy, answer):
    assert extract_answer(response, GradingPolicy(**policy)) == answer


@pytest.mark.parametrize(
    "hostile",
    [
        "\\boxed{" * 200_000,
        "\\boxed{" * 100_000 + "}" * 100_000,
        "\\boxed{1} and " * 50_000,
        "the answer is " * 100_000,
        "answer" + " " * 1_000_000 + "x",
        "answer: (" * 100_000,
        "$" * 1_000_000,
        "{" * 1_000_000,
        "1," * 500_000,
        "*" * 1_000_000,
        "\0" * 1_000_000,
        "So " * 300_000,
        "is the answer " * 70_000,
        "the" + " " * 1_000_000 + "answer",
        "**" * 500_000,
        "$x$ is the " * 90_000,
        "answer\n" * 140_000,
    ],
    ids=lambda text: repr(text[:12]),
)
@pytest.mark.parametrize("policy", [ANY, {**CHOICE, **LAST}], ids=["any", "everything"])
def test_a_megabyte_of_anything_is_searched_in_linear_time(hostile, policy):
    started = time.process_time()
    extract_answer(hostile, GradingPolicy(**policy))
    assert time.process_time() - started < 3
