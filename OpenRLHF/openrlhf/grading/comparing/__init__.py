"""Whether two answers are equal: as strings, as words, as parsed expressions, by computer algebra.

Imports: reading, knowledge, policy.
Imported by: pool.
"""
