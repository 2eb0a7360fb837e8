"""Configuration: typed, frozen, and known before any model is loaded.

Everything may read these types; they know nothing but `errors` and `utils`. Flags become configurations in `cli`.
"""
