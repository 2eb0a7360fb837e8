"""Version of this implementation: OpenRLHF's interface version, then our own."""

__version__ = "0.6.2+intro.0.1.0"
