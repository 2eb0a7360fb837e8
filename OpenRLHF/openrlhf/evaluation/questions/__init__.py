"""What a model is asked: the benchmarks and how their rows are read, which problems are taken, and their prompts.

Imports `errors`, `config`, `utils.seeding` and `grading`; no other room.
"""
