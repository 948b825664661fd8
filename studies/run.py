"""python -m studies.run NAME: run a study or a search, or go on with it, and write its report."""

import studies.start  # noqa: F401  # isort: skip  (first: nothing may shadow what follows)
import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from fsmd.command_line import CommandLine, exit_code, place, print_lines
from fsmd.errors import UserError
from studies import catalog
from studies.changes import changed
from studies.definition import LOOKS, Definition, Search, Study
from studies.options import STOPPED, add_places, duration, looks, margins, memory, replicates
from studies.start import is_command
from studies.workers.local import LocalWorkers

COMMAND = "python -m studies.run"
_EPILOG = """
examples:
  %(prog)s tower_shape                     five paired replicates on planted data
  %(prog)s tower_shape --replicates 10     adds the five that are missing
  %(prog)s tower_shape --replicates auto --budget 2h
                                           more seeds, look by look, where a verdict is open
  %(prog)s gate_depth --data kuairand --workers 8
  %(prog)s gate_depth --resample-train --name gate_depth-halves
                                           the training rows are a source of chance too
  %(prog)s gate_depth --data logs/dataset.toml:metric=user_auc
  %(prog)s tower_shape --base mmoe --set dropout=0.1 --name shapes_of_mmoe
                                                        the same question of another model
  %(prog)s auto --data logs/dataset.toml --budget 30m
                                                        the best model within half an hour
  %(prog)s mine/my_study.py                a study or a search of your own
  %(prog)s pareto --space architecture --trials 100
                                                        search the tasks' front, confirm it
  %(prog)s tower_shape --cluster tcp://head:8786    on the workers of a Dask cluster
  optuna-dashboard sqlite:///studies.db                 look at it while it runs

A study may be stopped in any way (Ctrl-C, kill -9, a power cut) and run again with the same
command: what is done is kept, and a training in progress goes on from its last whole epoch.
Real data is looked for in the folder that FSMD_DATA names, then in a cache folder, and is
downloaded if it is in neither. The epoch of each training is chosen on validation data; test
data is evaluated once, at that epoch. Exit code: 0, 1 if a training failed, 2 for a mistake in
what was asked, 130 after Ctrl-C, 143 and
129 after SIGTERM and SIGHUP.
"""


_OPTIONS = (
    (
        "data",
        str,
        "NAME",
        "data set, or a dataset.toml (default: its own, mostly planted)",
    ),
    (
        "memory",
        memory,
        "SIZE",
        "to encode it in, such as 2g (default: a quarter of the machine's)",
    ),
    ("epochs", int, "N", "epochs at most (default: the data set's, 30)"),
    ("patience", int, "N", "epochs without better validation figures that end a training"),
    ("workers", int, "N", "worker processes (default: one a processor; 1 with a stack)"),
    (
        "cluster",
        str,
        "WHERE",
        "train on a Dask cluster: tcp://HOST:PORT or tls://HOST:PORT of its scheduler, the file "
        "that the scheduler wrote, or local:N for N processes here; --workers is the most at once "
        "then (default: all its workers can do, as they come and go)",
    ),
    ("device", str, "NAME", "auto, cpu, cuda or cuda:N (default: auto)"),
    (
        "precision",
        str,
        "NAME",
        "of the hidden layers' products: float32, bfloat16 or auto (as the study was begun; a new "
        "one in bfloat16 where that is fast, if all of its networks share as FSMD)",
    ),
    (
        "stack",
        int,
        "N",
        "trainings of one shape that are one program (default: the study's; else on a GPU as "
        "many as there are, 32 at most, and 1 on a processor)",
    ),
    (
        "silence",
        duration,
        "TIME",
        "a worker that tells nothing for so long, and for 20 epochs, is ended and its training "
        "tried again (default: 10m)",
    ),
    ("seed", int, "N", "the study's seed, from which the replicates' derive (default: 0)"),
    ("name", str, "NAME", "store under another name, to keep apart what would be refused"),
)
_OF_AUTO = (
    (
        "budget",
        duration,
        "TIME",
        "for everything, such as 30m, 2h or 90s; also of a study with --replicates auto",
    ),
    ("plan", place, "FILE", "the plan.json of a run, to run the same again"),
)
_OF_STUDIES = (
    (
        "replicates",
        replicates,
        "N",
        "seeds each arm is trained with, or auto: look by look, where something is open (default: "
        "those of the first look)",
    ),
    (
        "looks",
        looks,
        "LIST",
        "the numbers of seeds to judge it at, stated before it runs (default: its own, mostly "
        f"{','.join(map(str, LOOKS))})",
    ),
    (
        "margin",
        margins,
        "LIST",
        "the smallest difference that matters, by metric: auc=0.002,log_loss=0.0005 (default: the "
        "study's, else each metric's own)",
    ),
    ("base", str, "MODEL", "another model, of fsmd.MODELS, under what the arms vary"),
    ("have", str, "ARM", "what you have: the report's answer compares with it"),
)
_OF_SEARCHES = (
    ("space", str, "NAME", "what to vary: a space of search_spaces"),
    ("trials", int, "N", "configurations to try"),
    ("sampler", str, "NAME", "gp, tpe, nsga2, nsga3, random or grid"),
    ("pruner", str, "NAME", "halving, topk or none"),
    ("timeout", float, "S", "search no longer than so many seconds; the confirmation follows"),
    ("objectives", lambda text: tuple(text.split(",")), "LIST", "such as tasks, mean or click"),
    (
        "baselines",
        lambda text: () if text in ("", "none") else tuple(text.split(",")),
        "LIST",
        "simple models on the front's fresh seeds, of fsmd.BASELINES, or none",
    ),
    ("max-params", int, "N", "parameters that a model may have at most"),
    ("max-latency", float, "MS", "milliseconds per 1,000 rows scored at most"),
    ("confirm", int, "K", "fresh seeds for the front; 0: none"),
)


def parser(prog: str = COMMAND) -> argparse.ArgumentParser:
    """The command line; what is not given is None, so that it can be told from what is."""
    about = "Run a study (every arm, from the same seeds) or a search, then the report."
    p = CommandLine(prog, about, _EPILOG)
    p.add_argument("study", nargs="?", help="a name (see --list), or the path of a .py file")
    p.add_argument("--list", action="store_true", help="name all of them, one line each")
    p.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be trained and how long it would take; train and store nothing",
    )
    add_places(p)
    p.add_argument(
        "--retry-failed",
        action="store_true",
        help="try again what failed by itself, such as a loss that is not finite",
    )
    studies = p.add_argument_group("of a study")
    searches = p.add_argument_group("of a search (defaults: as its file has it)")
    automatic = p.add_argument_group("of an automatic search, such as auto")
    groups = (
        *((p, _OPTIONS), (studies, _OF_STUDIES)),
        *((searches, _OF_SEARCHES), (automatic, _OF_AUTO)),
    )
    for group, options in groups:
        for name, kind, metavar, text in options:
            group.add_argument(f"--{name}", type=kind, metavar=metavar, help=text)
    studies.add_argument(
        "--resample-train",
        action="store_true",
        default=None,
        help="each replicate trains on another half of the training rows, the same for every arm: "
        "differences then scatter over them too (validation and test stay whole)",
    )
    studies.add_argument(
        "--set",
        action="append",
        metavar="FIELD=VALUE",
        help="a field of the base, such as dropout=0.1 or layers=64,32; open leaves it to the "
        "data set's settings; may be given again",
    )
    searches.add_argument(
        "--pick",
        action="append",
        metavar="RULE",
        help="pick by weights:A,B in the report too, a weight a task; may be given again",
    )
    return p


def main(arguments: Sequence[str] | None = None, prog: str = COMMAND) -> int:
    """Run the command line, which is told as `prog`; the exit code."""
    return exit_code(lambda: _run(parser(prog).parse_args(arguments)), STOPPED)


def _run(options: argparse.Namespace) -> int:
    if options.list:
        return _list()
    if options.study is None:
        raise UserError("name a study, or use --list")
    default = catalog.get(options.study)
    definition = _asked(options, default)

    with LocalWorkers(0) as workers:
        if is_command() and not options.dry_run and options.cluster is None:
            workers.prepare()  # what trains is loaded while the following is
        # Loads Optuna, which a mistake need not wait for.
        from studies.request import Request
        from studies.session import dry_run, run

        of_all = (name for name, *_ in (*_OPTIONS, *_OF_AUTO))
        own = ("replicates", "looks", "resample_train", "margin", "have")
        names = ("storage", "out", "retry_failed", *own, *of_all)
        given = {name: getattr(options, name) for name in names}
        request = Request(
            definition,
            default,
            picks=tuple(options.pick or ()),
            **{name: value for name, value in given.items() if value is not None},
        )
        if options.dry_run:
            print_lines(*dry_run(request))
            return 0
        return 1 if run(request).failed else 0


def _asked(options: argparse.Namespace, default: Definition) -> Definition:
    """The definition with what the options change of it."""
    sought = (*Search.SOUGHT, *Search.METHOD)
    if isinstance(default, Study):
        searching = (*sought, "pick", "plan")
        _refuse(options, searching, f"with a search only; {default.name!r} is a study")
        return changed(default, options.base, options.set or ())
    _refuse(
        options,
        ("replicates", "looks", "resample_train", "margin", "base", "set", "have"),
        f"with a study only; {default.name!r} is a search: it tries each configuration of its "
        "space on one seed, and the front on --confirm fresh ones",
    )
    if default.auto is not None:
        planned = ("max_latency", *(name for name in Search.METHOD if name != "baselines"))
        _refuse(options, planned, f"with a search only that has no plan; {default.name!r} has one")
    elif options.budget is not None or options.plan is not None:
        _refuse(options, ("budget", "plan"), "with an automatic search only, such as auto")
    if options.plan is not None:
        fixed = ("epochs", "patience", "seed", *Search.SOUGHT, "baselines")
        _refuse(options, fixed, "with no --plan, which has them all")
    given = {name: getattr(options, name) for name in sought}
    return replace(default, **{n: value for n, value in given.items() if value is not None})


def _refuse(options: argparse.Namespace, names: Sequence[str], reason: str) -> None:
    given = [f"--{n.replace('_', '-')}" for n in names if getattr(options, n) is not None]
    if given:
        raise UserError(f"{' '.join(given)} {'goes' if len(given) == 1 else 'go'} {reason}")


def _list() -> int:
    """Print what each of them asks, or what is wrong with its file."""
    for name in catalog.names():
        try:
            definition = catalog.get(name)
        except UserError as error:
            print(f"{name:<20}({error})")
            continue
        figure = definition.figure if isinstance(definition, Study) else ""
        print(f"{name:<20}{definition.question}{f' ({figure})' if figure else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
