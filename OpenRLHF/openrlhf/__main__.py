"""python3 -m openrlhf COMMAND …: the same as the console command `openrlhf`."""

from runpy import run_module

if __name__ == "__main__":
    run_module("openrlhf.cli.main", run_name="__main__")
