"""Answers extracted from responses, compared with gold answers, safely.

A room per stage, in the order in which an answer goes through them: `extraction` (where the answer is), `reading`
(what it says), `comparing` (whether it equals the gold), `pool` (in processes that can be killed). `knowledge` (units,
words, dates) and `policy` (conventions) lie below. A room imports itself and earlier rooms, as its first lines say,
never a later one. Of the rest of openrlhf grading knows `errors` and `utils.worker_pool` alone; no torch; SymPy and
mpmath are imported in the workers.
"""

from openrlhf.grading.extraction.extract import extract_answer
from openrlhf.grading.policy import POLICIES, GradingPolicy, Verdict, named_policy
from openrlhf.grading.pool.grading_pool import Graded, GradingPool, grade, grade_responses

__all__ = [
    "POLICIES",
    "Graded",
    "GradingPolicy",
    "GradingPool",
    "Verdict",
    "extract_answer",
    "grade",
    "grade_responses",
    "named_policy",
]
