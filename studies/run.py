"""python -m studies.run NAME: run a study, or go on with it, and write its report."""

import argparse
import sys
from collections.abc import Callable, Sequence

from fsmd.errors import UserError
from studies.options import add_places, exit_code

DEFAULT_REPLICATES = 5

_EPILOG = """
examples:
  python -m studies.run tower_shape                     five paired replicates on planted data
  python -m studies.run tower_shape --replicates 10     adds the five that are missing
  python -m studies.run gate_depth --data kuairand --workers 8
  python -m studies.run pareto --space architecture --trials 100
                                                        search both tasks' front, confirm it
  optuna-dashboard sqlite:///studies.db                 look at it while it runs

A study may be stopped in any way (Ctrl-C, kill -9, a power cut) and run again with the same
command: what is done is kept, and a training in progress goes on from its last whole epoch.
Real data is looked for in the folder that FSMD_DATA names, then in a cache folder, and is
downloaded if it is in neither. The epoch of each training is chosen on validation data; test
data is evaluated once, at that epoch. Exit code: 0, 1 if a training failed, 2 for a mistake in
what was asked, 130 after Ctrl-C.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m studies.run",
        description="Run a study: every level, the same seeds at each, then the report.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("study", nargs="?", help="the study's name (see --list)")
    p.add_argument("--list", action="store_true", help="name every study, one line each")
    p.add_argument("--data", help="data set (default: the study's own, mostly planted)")
    p.add_argument(
        "--replicates",
        type=int,
        metavar="N",
        help=f"seeds each level is trained with (default: {DEFAULT_REPLICATES}; ten for a claim)",
    )
    p.add_argument(
        "--epochs", type=int, metavar="N", help="epochs at most (default: the data set's, 30)"
    )
    p.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="epochs without a better AUC that end a training (default: the data set's)",
    )
    p.add_argument(
        "--workers", type=int, metavar="N", help="worker processes (default: one a core)"
    )
    add_places(p)
    p.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
    p.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="the study's seed, from which the replicates' derive (default: %(default)s)",
    )
    p.add_argument(
        "--retry-failed",
        action="store_true",
        help="try again what failed by itself, such as a loss that is not finite",
    )
    _add_search(p)
    p.add_argument("--name", help="store under another name, to keep apart what would be refused")
    return p


def _add_search(p: argparse.ArgumentParser) -> None:
    """What only the search `pareto` takes; no default here, so that a study can refuse them."""
    group = p.add_argument_group("only for pareto, the search for the front of both tasks")

    def add(name: str, kind: Callable[[str], object], text: str, metavar: str) -> None:
        group.add_argument(f"--{name}", type=kind, default=None, metavar=metavar, help=text)

    add("space", str, "what to vary: paper, architecture or full (default: paper)", "NAME")
    add("trials", int, "configurations to try (default: 60)", "N")
    add("sampler", str, "gp, tpe, nsga2, nsga3, random or grid (default: gp)", "NAME")
    add("pruner", str, "halving, topk or none (default: halving)", "NAME")
    add("timeout", float, "search no longer than so many seconds; the confirmation follows", "S")
    add("objectives", str, "auc,auc or with a third: auc,auc,params or auc,auc,latency", "LIST")
    add("max-params", int, "parameters a model may have at most", "N")
    add("max-latency", float, "milliseconds per 1,000 rows scored at most", "MS")
    add(
        "confirm",
        int,
        "fresh seeds for the front, 20 points at most (default: 5; 0: none)",
        "K",
    )
    group.add_argument(
        "--pick", action="append", metavar="RULE",
        help="pick by weights:A,B in the report too, a weight a task; may be given again",
    )  # fmt: skip


_SEARCH = (
    *("space", "trials", "sampler", "pruner", "timeout"),
    *("objectives", "max_params", "max_latency", "confirm", "pick"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    p = parser()
    options = p.parse_args(arguments)
    if options.list:
        return _list()
    if options.study is None:
        p.error("name a study, or use --list")
    stopped = "Stopped; nothing is lost. The same command goes on from here."
    return exit_code(lambda: _run(options), stopped)


def _run(options: argparse.Namespace) -> int:
    # Imported here: worker processes import this module too, and --help should come at once.
    from studies.job import Job, run
    from studies.pareto import NAME, SearchOptions

    given = {name: value for name in _SEARCH if (value := getattr(options, name)) is not None}
    if given and options.study != NAME:
        named = " ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UserError(f"{named} goes with {NAME} only; {options.study!r} is a fixed design")
    if options.replicates is not None and options.study == NAME:
        raise UserError(
            f"--replicates goes with studies of a fixed design; {NAME} tries each configuration "
            "on one seed, and the front on --confirm fresh ones"
        )
    fields = {k: v for k, v in vars(options).items() if k not in ("list", *_SEARCH)}
    fields["replicates"] = DEFAULT_REPLICATES if options.replicates is None else options.replicates
    picks = tuple(given.pop("pick", ()))
    search = SearchOptions(**given) if options.study == NAME else None
    return run(Job(**fields, search=search, picks=picks))


def _list() -> int:
    from studies import catalog

    for name in catalog.names():
        study = catalog.get(name)
        source = f" ({study.figure})" if study.figure else ""
        print(f"{name:<20}{study.question}{source}")
    from studies.pareto import NAME, QUESTION

    print(f"{NAME:<20}{QUESTION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
