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
        ("Twelve pens at 2 dollars.\n\n∴ There are 24 dollars to pay.", "24 dollars to pay"),
        ("We solve it.\n\n**So n = 13.**", "13"),
        ("Rent takes $300.\n\nAda has **$645.00** left to spend. 💵", "$645.00"),
        ("两边相等。\n\n**正确选项：C**", "C"),
        ("The answer is $5000 - $1800 = $3200.", "$5000 - $1800 = $3200"),
        ("Answer: 5 × 3 = $15 per day", "5 × 3 = $15 per day"),
        ("Sumamos.\n\n**Respuesta:** 26 manzanas", "26 manzanas"),
        ("They need **14 tents**.\n\nReasoning: the ratio of tents to ropes is 1 : 3.", "14 tents"),
        ("There are **24** ways.\n\n**Why?** There are 4! orders.\n\n4! = 24.", "24"),
        ("All others fail. Hence (D).", "(D)"),
        ("He has 5. That means he needs 12 more apples.", "12"),
        ("We cancel. So this gives us a total of $85$.", "$85$"),
        ("We cancel. So it is not $85$.", "not $85$"),
        ("Answer:\n\n- x = 3\n- y = 4", "x = 3, y = 4"),
        ("Final answer\n=====\n12", "12"),
        ("\\textbf{Answer: } 12", "12"),
        (r"\\boxed{\\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"$$\boxed{\frac{3}{8}}$$ so $m+n$ is asked for, and the answer is $11$.", r"\frac{3}{8}"),
        (r"$x=\boxed{9}$. $y=\boxed{-5}$. The product is therefore $9\cdot(-5)=-45$.", "-5"),
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
        "The answer is $5$ or $6",
        "There are **5** boys.\n\nWe add 6 girls and get 11.",
        "We have **5** boys and **6** girls.\n\nBecause of that, there are 11 in all.",
        "Then 4 + 4 = 8. 🎉",
        "It costs $5 and he has $20, which is more.",
        "| Site | Articles |\n|---|---|\n| News | 560 |\n| **Total** | **790** |",
        "```output\n377\n```",
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
        "$1 " * 300_000,
        "answer:\n" + "- x = 1\n" * 120_000,
        "\\\\" * 250_000 + "boxed{1}",
        "**1** " * 160_000 + ".\nWhy",
    ],
    ids=lambda text: repr(text[:12]),
)
@pytest.mark.parametrize("policy", [ANY, {**CHOICE, **LAST}], ids=["any", "everything"])
def test_a_megabyte_of_anything_is_searched_in_linear_time(hostile, policy):
    started = time.process_time()
    extract_answer(hostile, GradingPolicy(**policy))
    assert time.process_time() - started < 3
