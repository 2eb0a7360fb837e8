"""Speed of `math_eval.py --regrade` on 4,000 stored responses: MATH-500, eight each, answers as in MATH-500.

INTRO_DATA_DIR=… python3 benchmarks/regrade.py
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from openrlhf.evaluation.questions import sources

COMMAND = Path(__file__).parents[1] / "code/eval/Qwen2.5-Math/evaluation/math_eval.py"


def responses_to(problem, rng):
    """Eight responses: the right answer in several spellings, near misses, other problems' answers, none."""
    texts = []
    for _ in range(8):
        answer = problem.gold
        kind = rng.random()
        if kind < 0.2:
            answer = answer.replace(r"\frac", r"\dfrac").replace(" ", "")
        elif kind < 0.4:
            answer = f"{answer}1"
        elif kind < 0.5:
            answer = rf"\frac{{{rng.randint(1, 9)}}}{{{rng.randint(2, 9)}}}"
        elif kind < 0.6:
            answer = str(rng.randint(0, 50))
        ending = "I do not know." if kind > 0.95 else rf"The answer is $\boxed{{{answer}}}$."
        texts.append(f"{problem.solution.replace('boxed', 'mathbf')}\n{ending}")
    return texts


def main() -> None:
    rng = random.Random(0)
    problems = sources.find("math500", Path(os.environ["INTRO_DATA_DIR"]), "test").problems
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "math500" / "test_none_-1_seed0_t1.0_s0_e-1.jsonl"
        stored.parent.mkdir()
        with stored.open("w", encoding="utf-8") as out:
            for p in problems:
                row = {
                    "idx": p.index,
                    "question": p.question,
                    "gt": p.gold,
                    "code": responses_to(p, rng),
                    "level": p.level,
                }
                out.write(json.dumps(row) + "\n")
        subprocess.run([sys.executable, str(COMMAND), "--regrade", "--output_dir", folder], check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures = json.loads(next(stored.parent.glob("*_metrics.json")).read_text(encoding="utf-8"))
    seconds = used.ru_utime + used.ru_stime
    count = figures["num_scores"]
    print(f"{count} responses in {seconds:.2f} s of CPU time, start-up included: {count / seconds:.0f} a second")
    print(f"avg@8 {figures['avg@k']:.3f}, grader time-outs {figures['grader_timeouts']}")


if __name__ == "__main__":
    main()
