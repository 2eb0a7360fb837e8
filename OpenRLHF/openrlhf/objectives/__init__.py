"""Losses that several methods share. They read scores and micro-batches, and know neither the trainer nor a method.

Modules here import torch in functions only, so that a method can be declared, and its flags shown, without it.
"""
