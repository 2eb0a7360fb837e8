"""Installs the package in OpenRLHF/ from the root of the repository; the metadata live there."""

import runpy
from pathlib import Path

from setuptools import setup

metadata = runpy.run_path(str(Path(__file__).resolve().parent / "OpenRLHF/setup.py"))["metadata"]

if __name__ == "__main__":
    setup(**metadata("OpenRLHF"))
