"""The commands, one module each: `python3 -m openrlhf.cli.<command>`."""
