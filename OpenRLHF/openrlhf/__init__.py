"""An independent implementation of OpenRLHF 0.6.2's interface, with answer-conditioned training."""

from openrlhf.version import __version__

__all__ = ["__version__"]
