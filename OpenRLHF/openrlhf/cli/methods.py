"""Lists the methods with what they need and log, as Markdown: python3 -m openrlhf.cli.methods [--method FILE]"""

import sys
from collections.abc import Iterator, Sequence

from openrlhf.cli.parser import Parser
from openrlhf.config.method import MethodConfig, PosteriorSettings, RLMethodConfig
from openrlhf.config.settings import flags_of
from openrlhf.errors import UserError
from openrlhf.methods.registry import METHODS, load_method


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 a method that cannot be used."""
    parser = Parser(prog="python3 -m openrlhf.cli.methods", description=__doc__)
    parser.add_argument("--method", help="A method of your own, to be listed too: a .py file, or module:Class.")
    args = parser.parse_args(argv)
    try:
        methods = (*METHODS, load_method(args.method)) if args.method else METHODS
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(listing(methods)))
    return 0


def listing(methods: Sequence[type[MethodConfig]]) -> Iterator[str]:
    """A table of the methods, then one of what each logs."""
    yield "| method | what it is | command | needs | KL term | settings |"
    yield "|---|---|---|---|---|---|"
    for method in methods:
        commands = ", ".join(f"`{name}`" for name in method.commands)
        settings = ", ".join(f"`--{flag.name}`" for _, flag in flags_of(method))
        places = method.kl_places if issubclass(method, RLMethodConfig) else ()
        kl = " or ".join(f"in the {place}" for place in places) or "none"
        yield f"| `{method.name}` | {summary(method)} | {commands} | {needs(method)} | {kl} | {settings} |"
    yield ""
    yield "| metric | what it is | logged by |"
    yield "|---|---|---|"
    owners: dict[tuple[str, str], list[str]] = {}
    for method in methods:
        for metric in method.metrics.items():
            owners.setdefault(metric, []).append(f"`{method.name}`")
    for (name, meaning), having in owners.items():
        yield f"| train/{name} | {meaning} | {', '.join(having)} |"


def summary(method: type[MethodConfig]) -> str:
    """The first sentence of its module's documentation."""
    text = (sys.modules[method.__module__].__doc__ or method.title).strip().split("\n\n")[0]
    return " ".join(text.split()).rstrip(".")


def needs(method: type[MethodConfig]) -> str:
    found = []
    if issubclass(method, RLMethodConfig):
        wanted = {
            "a critic": method.needs_critic,
            "several responses a prompt": method.needs_groups,
            "old log-probabilities": method.needs_old_logprobs,
            "a posterior": issubclass(method, PosteriorSettings),
        }
        found = [what for what, there in wanted.items() if there]
    return ", ".join(found) or "nothing else"


if __name__ == "__main__":
    sys.exit(main())
