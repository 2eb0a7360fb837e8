"""Methods, one file each: settings, needs, what is trained on and with what numbers, the loss, a sentence for the plan.

`registry` lists them; the trainer, the commands, the plan and the documentation know them through `base` alone. Modules
here import torch in functions only, so that a command can show its flags without it.
"""
