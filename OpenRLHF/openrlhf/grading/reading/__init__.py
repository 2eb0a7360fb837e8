"""Reads an answer: tidied text, one spelling, tokens, and the expression that they write down.

Imports: extraction, knowledge.
Imported by: comparing.
"""
