"""What a model answers: where it is, sampling, programs in responses and their sandbox, the journal of a running set.

Imports `questions`, and `errors`, `utils.seeding` and `rollout`; what it generates with is opened by the mode.
"""
