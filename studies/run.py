"""python -m studies.run NAME: run a study or a search, or go on with it, and write its report."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fsmd.errors import UserError
from studies.options import STOPPED, add_places, exit_code

if TYPE_CHECKING:
    from studies.definition import Definition

_EPILOG = """
examples:
  python -m studies.run tower_shape                     five paired replicates on planted data
  python -m studies.run tower_shape --replicates 10     adds the five that are missing
  python -m studies.run gate_depth --data kuairand --workers 8
  python -m studies.run tower_shape --base mmoe --set dropout=0.1 --name shapes_of_mmoe
                                                        the same question of another model
  python -m studies.run mine/my_study.py                a study or a search of your own
  python -m studies.run pareto --space architecture --trials 100
                                                        search the tasks' front, confirm it
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
        description="Run a study (every arm, from the same seeds) or a search, then the report.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("study", nargs="?", help="a name (see --list), or the path of a .py file")
    p.add_argument("--list", action="store_true", help="name all of them, one line each")
    p.add_argument("--data", help="data set (default: its own, mostly planted)")
    p.add_argument(
        "--epochs", type=int, metavar="N", help="epochs at most (default: the data set's, 30)"
    )
    p.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="epochs without better validation figures that end a training (default: the data's)",
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
    p.add_argument("--name", help="store under another name, to keep apart what would be refused")
    _add_of_studies(p)
    _add_of_searches(p)
    return p


def _add_of_studies(p: argparse.ArgumentParser) -> None:
    """No default here, so that a search can refuse them."""
    group = p.add_argument_group("of a study")
    group.add_argument(
        "--replicates",
        type=int,
        metavar="N",
        help="seeds each arm is trained with (default: 5; ten for a claim)",
    )
    group.add_argument(
        "--base", metavar="MODEL", help="another model, of fsmd.MODELS, under what the arms vary"
    )
    group.add_argument(
        "--set",
        action="append",
        metavar="FIELD=VALUE",
        help="a field of the base, such as dropout=0.1 or layers=64,32; open leaves it to the "
        "data set's settings; may be given again",
    )


def _add_of_searches(p: argparse.ArgumentParser) -> None:
    """No default here, so that a study can refuse them."""
    group = p.add_argument_group("of a search (defaults: as its file has it)")
    for name, kind, metavar, text in (
        ("space", str, "NAME", "what to vary: a space of search_spaces"),
        ("trials", int, "N", "configurations to try"),
        ("sampler", str, "NAME", "gp, tpe, nsga2, nsga3, random or grid"),
        ("pruner", str, "NAME", "halving, topk or none"),
        ("timeout", float, "S", "search no longer than so many seconds; the confirmation follows"),
        ("objectives", _listed, "LIST", "such as tasks, mean, click or tasks,params"),
        ("max-params", int, "N", "parameters that a model may have at most"),
        ("max-latency", float, "MS", "milliseconds per 1,000 rows scored at most"),
        ("confirm", int, "K", "fresh seeds for the front; 0: none"),
    ):
        group.add_argument(f"--{name}", type=kind, metavar=metavar, help=text)
    group.add_argument(
        "--pick",
        action="append",
        metavar="RULE",
        help="pick by weights:A,B in the report too, a weight a task; may be given again",
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


_OF_STUDIES = ("replicates", "base", "set")
_IN_SEARCHES = (
    *("space", "trials", "sampler", "pruner", "timeout"),
    *("objectives", "max_params", "max_latency", "confirm"),
)
_OF_SEARCHES = (*_IN_SEARCHES, "pick")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    p = parser()
    options = p.parse_args(arguments)
    if options.list:
        return _list()
    if options.study is None:
        p.error("name a study, or use --list")
    return exit_code(lambda: _run(options), STOPPED)


def _run(options: argparse.Namespace) -> int:
    # Imported here: worker processes import this module too, and --help should come at once.
    from studies import catalog

    default = catalog.get(options.study)
    definition = _asked(options, default)

    from studies.session import DEFAULT_REPLICATES, Request, run

    finished = run(
        Request(
            definition=definition,
            default=default,
            data=options.data,
            replicates=(DEFAULT_REPLICATES if options.replicates is None else options.replicates),
            epochs=options.epochs,
            patience=options.patience,
            workers=options.workers,
            storage=options.storage,
            out=options.out,
            device=options.device,
            seed=options.seed,
            name=options.name,
            retry_failed=options.retry_failed,
            picks=tuple(options.pick or ()),
        )
    )
    return 1 if finished.failed else 0


def _asked(options: argparse.Namespace, default: "Definition") -> "Definition":
    """The definition with what the options change of it."""
    from studies.changes import changed
    from studies.definition import Study

    if isinstance(default, Study):
        _refuse(options, _OF_SEARCHES, f"with a search only; {default.name!r} is a study")
        return changed(default, options.base, options.set or ())
    _refuse(
        options,
        _OF_STUDIES,
        f"with a study only; {default.name!r} is a search: it tries each configuration of its "
        "space on one seed, and the front on --confirm fresh ones",
    )
    given = {name: getattr(options, name) for name in _IN_SEARCHES}
    return replace(default, **{n: value for n, value in given.items() if value is not None})


def _refuse(options: argparse.Namespace, names: Sequence[str], reason: str) -> None:
    given = [f"--{n.replace('_', '-')}" for n in names if getattr(options, n) is not None]
    if given:
        verb = "goes" if len(given) == 1 else "go"
        raise UserError(f"{' '.join(given)} {verb} {reason}")


def _list() -> int:
    from studies import catalog

    for name in catalog.names():
        print(f"{name:<20}{_line(name)}")
    return 0


def _line(name: str) -> str:
    """What it asks, or what is wrong with its file."""
    from studies import catalog
    from studies.definition import Study

    try:
        definition = catalog.get(name)
    except UserError as error:
        return f"({error})"
    figure = definition.figure if isinstance(definition, Study) else ""
    return definition.question + (f" ({figure})" if figure else "")


if __name__ == "__main__":
    sys.exit(main())
