"""Where the answer is: boxes, phrases that announce it, conclusions. Text in, text out; nothing is read yet.

Imports: policy.
Imported by: reading (its boxes alone), pool, and everything outside that looks for an answer.
"""
