"""How good the answers are: grading, statistics, the files of a finished set, the comparison of two runs.

Imports `questions` and `generation`, and `errors` and `grading`. `metrics` imports nothing, so that training and the
demonstration measure with the same functions.
"""
