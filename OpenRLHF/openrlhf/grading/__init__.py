"""Answers extracted from responses, compared with gold answers, safely."""

from openrlhf.grading.extract import extract_answer
from openrlhf.grading.policy import GradingPolicy, Verdict
from openrlhf.grading.pool import Graded, GradingPool, grade, grade_responses

__all__ = [
    "Graded",
    "GradingPolicy",
    "GradingPool",
    "Verdict",
    "extract_answer",
    "grade",
    "grade_responses",
]
