"""What is known about the world and not about notation: units, number words and other words, dates.

Imports: nothing.
Imported by: reading, comparing.
"""
