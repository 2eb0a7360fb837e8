"""Inputs made to hang, to crash, to run code: each gets a verdict in time, and nothing is run."""

import time
from pathlib import Path

import pytest

from openrlhf.grading import GradingPool

LIMIT = 3.0
TOWERS = [
    "9^{9^{9^{9^9}}}",
    "9**9**9**9",
    r"10^{10^{10^{10}}}",
    "((((9^9)^9)^9)^9)^9",
    "1e999999999",
    "100000!",
    "((9!)!)!",
    "9!!!!!!!!!",
    r"\binom{10^9}{10^8}",
    r"\sin(10^{10^{10}})",
    r"\exp(\exp(\exp(\exp(100))))",
    r"\lfloor 10^{10^{6}} \rfloor",
    r"\log_{1.0000000001}(2)",
    "(x+y+z+w)^{500}",
    "x^{1000000}",
    r"3 \pmod{10^{10^{10}}}",
    r"\begin{pmatrix}1&1\\1&0\end{pmatrix}^{10^{9}}",
    r"\prod_{i=1}^{1000000} i",
    "170!!",
    "1e-999999999",
    r"\sum_{n=1}^{10^{12}} \sin(n)",
    r"\int_0^{\infty} e^{-x^{x^x}} dx",
]
# The same inside of what is computed to as many digits as it calls for.
DEEP = [
    r"\lfloor 100000!/7 \rfloor",
    r"\lceil \sqrt{(10^6)!} \rceil",
    r"\lfloor \sqrt{2900!} \rfloor",
    r"\lfloor \pi \cdot 10^{100000} \rfloor",
    r"\lfloor \log_2((10^5)!) \rfloor + n",
    r"\lfloor e^{e^{e^{e}}} \rfloor",
    r"\lfloor n^{n^{n}} \rfloor",
    r"\binom{n}{\lfloor n/2 \rfloor}^{n!}",
    r"\sqrt2(1-2^{-1000000})",
    r"\cos(2^{-100000})",
    r"10^{-10^{10}}\pi",
    r"e^{-10^{30}}",
    r"\sqrt{1-x^{10^{9}}}",
    r"\tanh(10^{9}x)",
    r"(1+10^{-9})^{10^{9}}\sqrt2",
    r"(n!)!+\lfloor n/3 \rfloor",
    r"2^{2^{n}}+\lceil\log_2 n\rceil",
    r"|x-10^{10^5}|",
    r"x<10^{10^6}+1",
    r"\lfloor\lfloor\lfloor\lfloor x/3\rfloor/5\rfloor/7\rfloor/11\rfloor",
    "0." + "3" * 1500 + r"\sqrt2",
]
SHAPES = [
    "(" * 900 + "1" + ")" * 900,
    "{" * 5000 + "1" + "}" * 5000,
    r"\frac{1}{" * 200 + "1" + "}" * 200,
    r"\sqrt{" * 150 + "2" + "}" * 150,
    "-" * 1500 + "5",
    "2^" * 800 + "2",
    "|" * 1000 + "1",
    "[[[" * 600,
    r"\begin{pmatrix}" * 50,
    r"\begin{vmatrix}" + r"\\".join([" & ".join(["x"] * 9)] * 9) + r"\end{vmatrix}",
    r" \pm ".join(["1"] * 30),
    ",".join([r"\pm 1"] * 200),
    ", ".join(rf"\sin({i}x)" for i in range(150)),
    r"\cup".join(["(1,2)"] * 150),
    "a" * 30 + "!" + " " * 1900,
    "0." + "12" * 900 + r"\ldots",
    "5 " + "cm^{9" * 300,
    r"\text{a" * 250 + "}" * 250,
    "twenty " * 280,
    "1" * 1_000_000,
    "x" * 3_000_000,
    "\0" * 1000,
    "\u2028" * 500,
    "💥" * 500,
    "ﷺ" * 500,
    "½" * 500,
    r"\def\x{\x\x}\x",
    "1/" * 900 + "1",
    "--" * 900 + "1",
    "12:" * 600 + "00",
    "1,000" * 300,
    "(a)" * 600,
    "(a) 3, (b) " * 150,
    "= x \\quad " * 150,
    "a: " * 600,
    "all real numbers except " + "1" * 1800,
    r"\frac{\text{m}}{" * 100,
    r"\begin{aligned}" * 100,
    r"\{\begin{array}{l}" * 80,
    r"\begin{aligned} a &= 1 " + r"\\ &= a" * 280 + r"\end{aligned}",
    "5^\\circ 1' " * 180,
    "5 m" + " m" * 900 + "/x",
    "6 m" + r" \cdot m^{-2}" * 150,
    "no solution" + " :" * 900,
    "attained " * 200 + "when",
    ", and which is" * 140,
    "twenty-" * 250 + "five past ten",
    ", ".join(f"x_{{{i}}}={i}" for i in range(200)),
    "$1" + ",1" * 900,
    "0.(12" + "3" * 1800 + ")",
    "①" * 900,
    "√" * 900 + "2",
    "1" + "\u0301" * 1800,
    "a\ud800b",
    ", ".join(rf"\frac{{\pi}}{{{i}}}+\frac{{2k\pi}}{{{i + 7}}}" for i in range(1, 60)),
    r"\{x \in \mathbb{Z} \mid -10^{9}<x<10^{9}\}",
    "the " + "that is " * 200 + "5 or 6",
    r"\mathrm{" + "_{2}" * 450 + "{",
    "(a) " + "(i) 1 (ii) 2 " * 100,
    r"\int " + "{=" * 600,
    r"\begin{pmatrix}1\\2\end{pmatrix}" + r"+\begin{pmatrix}1\\2\end{pmatrix}" * 55,
    "P(" * 200,
    "x!!" * 400,
    r"7^{7^{7^k}}, k \in \mathbb{Z}",
]


@pytest.fixture(scope="module")
def strict_pool():
    with GradingPool(workers=1, timeout=LIMIT) as pool:
        pool.submit("2x", "x+x").result()
        yield pool


@pytest.mark.parametrize("hostile", TOWERS + SHAPES, ids=lambda text: repr(text[:20]))
def test_a_hostile_answer_gets_a_verdict_in_time(strict_pool, hostile):
    for pair in ((hostile, "5"), ("5", hostile)):
        started = time.monotonic()
        verdict = strict_pool.submit(*pair).result(timeout=LIMIT + 20)
        assert not verdict.equal
        assert verdict.how not in ("error", "worker_died")
        assert verdict.seconds < LIMIT + 1
        # Everything else is the start of a new worker, which a busy machine makes slow.
        assert time.monotonic() - started < LIMIT + 10


@pytest.mark.parametrize("hostile", DEEP, ids=lambda text: repr(text[:20]))
def test_an_answer_that_needs_many_digits_gets_a_verdict_in_time(strict_pool, hostile):
    for pair in ((hostile, "5"), (hostile, rf"{hostile}+\sqrt{{3}}"), (rf"({hostile})+n", rf"({hostile})-n")):
        verdict = strict_pool.submit(*pair).result(timeout=LIMIT + 20)
        assert not verdict.equal
        assert verdict.how not in ("error", "worker_died")
        assert verdict.seconds < LIMIT + 1


def test_nothing_in_an_answer_is_run(strict_pool, tmp_path):
    trace = tmp_path / "ran"
    touch = f"__import__('os').system('touch {trace}')"
    attacks = [
        touch,
        f'exec("open({str(trace)!r}, {"w"!r})")',
        f"eval({touch!r})",
        rf"\text{{{touch}}}",
        rf"x = {touch}",
        rf"\int_0^1 {touch} dx",
        rf"\sum_{{n=1}}^{{3}} {touch}",
        f"open('{trace}', 'w').write('x')",
        f"Symbol('x'); import os; os.system('touch {trace}')",
        rf"\write18{{touch {trace}}}",
        rf"\immediate\openout1={trace}",
        f"$(touch {trace})",
        f"`touch {trace}`",
        f"; touch {trace}",
        "().__class__.__bases__[0].__subclasses__()",
    ]
    for attack in attacks:
        for pair in ((attack, "5"), ("5", attack), (attack, attack + " ")):
            strict_pool.submit(*pair).result()
    assert not Path(trace).exists()


def test_a_timeout_is_visible_and_the_next_comparison_is_graded(strict_pool):
    before = strict_pool.timeouts
    endless, after = strict_pool.grade_batch([(r"\sum_{n=1}^{10^{12}} \sin(n)", "5"), ("2x+x", "3x")])
    assert endless.how == "timeout"
    assert not endless.equal
    assert 0 < endless.seconds < LIMIT + 1
    assert strict_pool.timeouts == before + 1
    assert after.equal
