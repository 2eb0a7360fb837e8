"""What flows through training: a prompt becomes rollouts, a rollout an example, examples a micro-batch.

Data without behaviour of its own. Rows on devices come from `models`; objectives, methods and the trainer read these.
"""
