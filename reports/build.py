"""python -m reports.build NAME: the report of what is stored, as a page, a PDF and numbers."""

import studies.start  # noqa: F401  # isort: skip  (first: nothing may shadow what follows)
import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from fsmd.command_line import CommandLine, check_folders, exit_code, print_lines
from fsmd.errors import UserError, alternatives
from studies.options import add_places
from studies.reading import of_study, uncollected

if TYPE_CHECKING:
    from types import ModuleType

    from fsmd.tasks import Task
    from reports.page.model import Outline
    from reports.search.analysis import SearchAnalysis
    from reports.study.analysis import StudyAnalysis
    from studies.objectives import Objective
    from studies.store.looks import StoredLook
    from studies.store.means import Means
    from studies.store.records import StudyRecord

# The rest is imported where it is used, so that --help and a user's mistake are answered at once.

COMMAND = "python -m reports.build"
_EPILOG = """
examples:
  %(prog)s tower_shape                   out/tower_shape/report.html and the others
  %(prog)s tower_shape --data kuairand   the same study on another data set
  %(prog)s tower_shape-kuairand          the same, by its stored name
  %(prog)s pareto --pick weights:0.7,0.3  a search's, with a pick of one's own
  %(prog)s --all                         all that is stored, and out/index.html
  %(prog)s --across tower_shape          one study on all the data sets that it ran on
  %(prog)s --across mine-a,mine-b        the same of some stored names

Writes to OUT/NAME, replacing what is there:
  report.html       one page with everything in it; needs no network and no JavaScript
  report.pdf        the same for paper
  results.csv       every measurement, one row each: study, data, arm, replicate, seed, epoch,
                    split, task, metric, value
  summary.json      means with intervals, the verdict on each claim and comparison
  figures/*.svg     each figure of the report by its name, for a page
  figures/*.pdf     the same for a paper; text stays text
  tables/*.csv      each table, its smaller lines as columns of their own
  tables/*.tex      the same for LaTeX with booktabs, to \\input
With --all also to OUT:
  index.html        what each study asked, on which data, and what was found
  all.pdf           that list, and every report behind it

Only reads the database, also while the study runs; the same results give the same bytes.
studies.run builds this report itself when a study ends.
"""


class Built(NamedTuple):
    """A report: its page, and what was found, a line for each claim."""

    page: Path
    lines: tuple[str, ...]
    means: "Means"
    """What the dashboard shows of each arm."""
    figures: tuple[Path, ...] = ()
    """Its figures as SVG files, in the report's order."""


@uncollected()
def build(
    engine: sa.Engine,
    study_name: str,
    out: Path,
    picks: Sequence[str] = (),
    have: str | None = None,
) -> Built:
    """Write the report of a stored study or search to `out`/`study_name`.

    Each file is replaced as a whole. Raises UserError, and writes nothing, for an unknown name or
    where no training has ended. picks: more rules by which a search's report picks. have: the arm
    with which the answer compares, where that is not the reference.
    """
    from reports.page.files import files_of, save
    from reports.results import stored_record

    outline = outline_of(engine, stored_record(engine, study_name), picks, have)
    folder = out / study_name
    save(files_of(outline), folder)
    figures = tuple(folder / "figures" / f"{f.key}.svg" for f in outline.report.figures)
    return Built(folder / "report.html", outline.lines, outline.means, figures)


def build_across(engine: sa.Engine, names: Sequence[str], out: Path) -> Built:
    """Write what one study on several data sets says together, to `out`/across-NAME.

    names: of stored studies, or one of a definition. Raises UserError, and writes nothing, for
    studies that cannot be compared.
    """
    from reports.across import outline
    from reports.across.analysis import read_across
    from reports.page.files import save, standalone_files
    from studies.store.means import Means

    across = read_across(engine, names)
    folder = out / across.name
    check_folders("--out", out, folder, folder / "figures", folder / "tables")
    save(standalone_files(outline.page(across), outline.summary(across)), folder)
    return Built(folder / "report.html", outline.lines(across), Means((), (), "", ()))


def build_all(
    engine: sa.Engine, out: Path, tell: Callable[[str], object] = lambda line: None
) -> Path:
    """Write every stored report, and a list of them; the path of the list.

    Where no training has ended there is no report, but an entry with the reason. So it is where
    what is stored cannot be; raises UserError, when all else is written, that says so of each.
    tell: is given, in a line, what is begun.
    """
    from reports.index import index_of, without_report
    from reports.page.files import files_of, save
    from reports.page.html import index_html
    from reports.page.pdf import pdf
    from reports.results import NothingYet, stored_record
    from studies.store.faults import DatabaseBusy
    from studies.store.studies import study_names

    reports, entries, faults = [], [], list[str]()
    names = study_names(engine)
    for i, name in enumerate(names, start=1):
        tell(f"report {i} of {len(names)}: {name}")
        try:
            record = stored_record(engine, name)
            outline = outline_of(engine, record)
            files = files_of(outline)
        except NothingYet as error:
            entries.append(without_report(name, str(error), record))
            continue
        except DatabaseBusy:
            raise
        except Exception as error:
            faults.append(_told(name, error))
            entries.append(without_report(name, faults[-1]))
            continue
        save(files, out / name)
        reports.append(outline.report)
        entries.append(outline.entry)
    tell("the list of all, and one PDF of all")
    index = index_of(entries)
    page = ("index.html", index_html(index).encode())
    save((("all.pdf", pdf(reports, index)), page), out)
    if faults:
        raise UserError(f"{'; '.join(faults)}; all others are built, see {out / 'index.html'}")
    return out / "index.html"


def _told(name: str, error: Exception) -> str:
    """Why there is no report of a study; for a fault of ours its traceback goes to stderr."""
    if isinstance(error, UserError):
        return str(error)
    traceback.print_exception(error)
    return f"study {name!r}: {type(error).__name__}: {error}; this is a fault of fsmd, report it"


def outline_of(
    engine: sa.Engine, record: "StudyRecord", picks: Sequence[str] = (), have: str | None = None
) -> "Outline":
    """All that a report writes, as a value; UserError where no training has ended."""
    from reports.page.model import Outline

    if picks and not record.is_search:
        raise UserError(f"--pick goes with a search only; {record.name!r} is a study")
    parts = _parts(record)
    with of_study(record.name), uncollected():
        analysis = parts.analyse(engine, record, *([picks] if picks else []))
        if have is not None:
            if have not in (arms := analysis.results.arms):
                raise UserError(f"--have {have!r} is no arm here{alternatives(have, arms)}")
            analysis = replace(analysis, have=have)
        outline = Outline(
            report=parts.page(analysis),
            measurements=analysis.results.measurements,
            summary=parts.summary(analysis),
            lines=parts.lines(analysis),
            means=parts.means(analysis),
            entry=parts.entry(analysis),
        )
        analysis.results.computed.clear()  # it holds the results that hold it: a circle stays
        return outline


def load(record: "StudyRecord") -> None:
    """Load what its report is made with, which takes a second, while something is waited for."""
    from reports.page import files  # noqa: F401

    _parts(record)


def _parts(record: "StudyRecord") -> "ModuleType":
    """What makes the report of a study, or of a search."""
    return import_module(f"reports.{'search' if record.is_search else 'study'}.outline")


def look_at(engine: sa.Engine, record: "StudyRecord", seeds: int) -> "StoredLook":
    """Judge a study at its first so many seeds, after the looks at it that are stored."""
    from reports.results import load_results
    from reports.study import looks
    from studies.store.looks import read_looks

    results = load_results(engine, record, record.plan.arms)
    return looks.look_at(results, seeds, read_looks(engine, record.name))


def analyse(engine: sa.Engine, study_name: str) -> "StudyAnalysis | SearchAnalysis":
    """What the report of a stored study or search says, as numbers; for notebooks.

    Raises UserError for an unknown name, or where no training has ended.
    """
    from reports.results import stored_record

    record = stored_record(engine, study_name)
    with of_study(record.name):
        analysis: SearchAnalysis | StudyAnalysis = _parts(record).analyse(engine, record)
    return analysis


def check_picks(
    picks: Sequence[str], tasks: "Sequence[Task]", objectives: "Sequence[Objective]"
) -> None:
    """UserError for a rule by which no report of such a search can pick."""
    from reports.search.picks import pick_rule

    for name in picks:
        pick_rule(name, tasks, objectives)


# The command line


def parser(prog: str = COMMAND) -> argparse.ArgumentParser:
    """The command line."""
    about = "Build the report of a study or a search from the database of results."
    p = CommandLine(prog, about, _EPILOG)
    p.add_argument("study", nargs="?", help="its name, or its stored name")
    p.add_argument("--all", action="store_true", help="all that is stored, and a list of it")
    p.add_argument(
        "--across",
        type=lambda text: tuple(filter(None, text.split(","))),
        metavar="NAME[,NAME...]",
        help="one study on several data sets: all that a definition's name has, or stored names",
    )
    p.add_argument("--data", help="data set it ran on, as it was given (default: its own)")
    p.add_argument(
        "--pick",
        action="append",
        metavar="RULE",
        help="of a search: pick by weights:A,B too, one weight a task; may be given again",
    )
    p.add_argument("--have", metavar="ARM", help="what you have: the answer compares with it")
    add_places(p)
    return p


def main(arguments: Sequence[str] | None = None, prog: str = COMMAND) -> int:
    """Run the command line, which is told as `prog`; the exit code."""
    stopped = "Stopped; the same command builds it again."
    return exit_code(lambda: _run(parser(prog).parse_args(arguments)), stopped)


def _run(options: argparse.Namespace) -> int:
    from studies.store.database import opened

    if (options.study is not None) + options.all + (options.across is not None) != 1:
        raise UserError("name a study, or use --all or --across; one of them")
    if options.across == ():
        raise UserError("--across needs the name of a study; it has none")
    for option in ("data", "pick", "have"):
        if options.across is not None and getattr(options, option):
            raise UserError(f"--{option} goes with a study's name; --across compares as it is")
    if options.all and options.data is not None:
        raise UserError("--data goes with a study's name; --all builds what is stored")
    if options.all and options.pick:
        raise UserError("--pick goes with a search's name; --all builds what is stored")
    if options.all and options.have:
        raise UserError("--have goes with a name; --all builds what is stored")
    check_folders("--out", options.out)
    with opened(options.storage) as engine:
        if options.all:
            page = build_all(engine, options.out, lambda line: print(line, file=sys.stderr))
            print_lines(f"Reports: {page}")
        elif options.across is not None:
            built = build_across(engine, options.across, options.out)
            print_lines(*built.lines, f"Report: {built.page}")
        else:
            name = _stored_name(engine, options.study, options.data)
            built = build(engine, name, options.out, options.pick or (), options.have)
            print_lines(*built.lines, f"Report: {built.page}")
    return 0


def _stored_name(engine: sa.Engine, name: str, data: str | None) -> str:
    """The stored name: on other data than the definition's, the data set's name is added."""
    from fsmd.data import DESCRIPTION, names
    from studies.planner.design import name_on
    from studies.store.studies import find_study, study_names

    if data is None:
        return name
    for known in study_names(engine):
        record = find_study(engine, known)
        if record is None:
            continue
        facts = record.plan.data
        meant = facts.name if data == facts.asked else data
        if known == name_on(name, meant, record.definition.data):
            return known
    if data.partition(":")[0] not in names() and DESCRIPTION not in data:
        raise UserError(f"no data set {data!r}{alternatives(data, names())}")
    return name_on(name, data, default="")  # which nothing is stored under


if __name__ == "__main__":
    sys.exit(main())
