"""argparse whose errors are one line, as all others: with hundreds of flags the usage hides what is wrong."""

import argparse
import difflib
import sys
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Ends the process with status 2 and one line; for a flag that does not exist it names the nearest one."""

    def error(self, message: str) -> NoReturn:
        _, unknown, words = message.partition("unrecognized arguments: ")
        if unknown:
            first = words.split()[0].split("=")[0]
            known = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(first, known, n=1)
            message += f": did you mean {near[0]}?" if near else ": --help lists the flags"
        print(f"error: {message}", file=sys.stderr, flush=True)
        self.exit(2)
