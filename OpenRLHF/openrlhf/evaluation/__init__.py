"""Scores a model on mathematical benchmarks, in rooms by stage: questions → generation → figures → pages.

A room imports only those before it. The files beside them are the command's modes (`cli/math_eval.py` chooses one):
they may use every room, and no room knows them. From the rest of the package evaluation imports `errors`, `config`,
`utils`, `grading` and `rollout`; nothing of `trainer`.
"""
