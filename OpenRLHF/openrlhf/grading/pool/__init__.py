"""Grades in processes that can be killed. Nothing else in grading knows about processes.

Imports: comparing, extraction, policy.
Imported by: whoever grades, through `openrlhf.grading`.
"""
