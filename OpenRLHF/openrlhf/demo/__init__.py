"""The quickstart's problem, and methods side by side on it. Nothing of the package knows it."""
