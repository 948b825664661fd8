"""python -m reports.build NAME: the report of a stored study, as a page, a PDF and numbers."""

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from fsmd.errors import UserError
from studies.options import add_places, exit_code

if TYPE_CHECKING:
    import pandas as pd

    from reports.assemble import Analysis
    from reports.contrasts import Contrast
    from reports.model import IndexEntry, ReportModel
    from studies.storage import StudyRecord

    Files = tuple[tuple[str, bytes], ...]

# The rest is imported where it is used, so that --help and a user's mistake are answered at once.

_EPILOG = """
examples:
  python -m reports.build tower_shape                   out/tower_shape/report.html and the others
  python -m reports.build tower_shape --data kuairand   the same study on another data set
  python -m reports.build tower_shape-kuairand          the same, by its stored name
  python -m reports.build pareto --pick weights:0.7,0.3  a search's, with a pick of one's own
  python -m reports.build --all                         every stored study, and out/index.html

Writes to OUT/NAME, replacing what is there:
  report.html       one page with everything in it; needs no network and no JavaScript
  report.pdf        the same for paper
  results.csv       every measurement, one row each: study, data, level, replicate, seed, epoch,
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
    figures: tuple[Path, ...] = ()
    """Its figures as SVG files, in the report's order."""


class _Report(NamedTuple):
    """All that is written of a study or a search."""

    model: "ReportModel"
    measurements: "pd.DataFrame"
    summary: dict[str, Any]
    lines: tuple[str, ...]
    entry: "IndexEntry"


def build(engine: sa.Engine, study_name: str, out: Path, picks: Sequence[str] = ()) -> Built:
    """Write the report of a stored study to `out`/`study_name`.

    Each file is replaced as a whole. Raises UserError, and writes nothing, for an unknown study
    or one without any training that ended. picks: more rules by which a search's report picks.
    """
    report = _report(engine, study_name, picks)
    folder = out / study_name
    _save(_files(report), folder)
    figures = tuple(folder / "figures" / f"{f.key}.svg" for f in report.model.figures)
    return Built(folder / "report.html", report.lines, figures)


def build_all(engine: sa.Engine, out: Path) -> Path:
    """Write every stored study's report, and a list of them; the path of the list.

    A study without any training that ended is in the list, with the reason.
    """
    from reports import index, render
    from studies.storage import study_names

    models, entries = [], []
    for name in study_names(engine):
        try:
            report = _report(engine, name)
        except UserError as error:
            entries.append(index.unfinished(engine, name, str(error)))
            continue
        _save(_files(report), out / name)
        models.append(report.model)
        entries.append(report.entry)
    listed = index.model(tuple(entries))
    _save((("all.pdf", render.pdf(models, listed)),
           ("index.html", render.index_html(listed).encode())), out)  # fmt: skip
    return out / "index.html"


def summary(analysis: "Analysis") -> dict[str, Any]:
    """The content of summary.json; low and high are null where there is no interval."""
    from reports.estimates import mean_interval

    scores, record = analysis.scores, analysis.results.record
    levels = [
        {"level": level, "task": target, "mean": e.mean, "low": e.low, "high": e.high}
        for level in scores.trained
        for target in scores.targets
        for e in [mean_interval(scores.of(level, target))]
    ]
    claims = [
        {
            "id": j.claim.id,
            "text": j.claim.text,
            "verdict": j.verdict,
            "found": j.found,
            "p_holds": j.p_holds,
            "p_fails": j.p_fails,
        }
        for j in analysis.judged
    ]
    return {
        "study": record.name,
        "data": record.data,
        "replicates": len(scores.paired),
        "levels": levels,
        "claims": claims,
        "comparisons": [_comparison(contrast) for contrast in analysis.contrasts],
        "pairs": [pair._asdict() for pair in analysis.pairs],
    }


def _comparison(contrast: "Contrast") -> dict[str, Any]:
    """One entry of "comparisons"; p and p_equivalent are after Holm, null where untested."""
    e, needed = contrast.difference, contrast.needed
    return {
        "level": contrast.level,
        "other": contrast.other,
        "task": contrast.target,
        "mean": e.mean,
        "low": e.low,
        "high": e.high,
        "replicates": e.n,
        "se_seeds": e.se_seeds,
        "se_test": e.se_test,
        "p": contrast.differs.p,
        "p_unadjusted": contrast.differs.raw,
        "p_equivalent": contrast.equal.p,
        "p_equivalent_unadjusted": contrast.equal.raw,
        "verdict": contrast.word,
        "replicates_needed": needed.seeds,
        "or_more": needed.at_least,
        "reason": needed.reason,
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m reports.build",
        description="Build the report of a study from the database of results.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("study", nargs="?", help="the study's name, or its stored name")
    p.add_argument("--all", action="store_true", help="every stored study, and a list of them")
    p.add_argument("--data", help="data set it ran on (default: the study's own)")
    p.add_argument(
        "--pick",
        action="append",
        default=[],
        metavar="RULE",
        help="of a search: pick by weights:A,B too, one weight a task; may be given again",
    )
    add_places(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: _run(options), "Stopped; the same command builds it again.")


def _run(options: argparse.Namespace) -> int:
    from studies.storage import open_engine

    if options.all == (options.study is not None):
        raise UserError("name a study, or use --all; not both")
    if options.all and options.data is not None:
        raise UserError("--data goes with a study's name; --all builds what is stored")
    if options.all and options.pick:
        raise UserError("--pick goes with a search's name; --all builds what is stored")
    engine = open_engine(options.storage)
    try:
        if options.all:
            tell(f"Reports: {build_all(engine, options.out)}")
        else:
            built = build(engine, _stored(options.study, options.data), options.out, options.pick)
            tell(*built.lines, f"Report: {built.page}")
    finally:
        engine.dispose()
    return 0


def tell(*lines: str) -> None:
    """Print lines, wrapped between words in a terminal and whole elsewhere."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in lines:
        print(textwrap.fill(line, width, subsequent_indent=" " * 10) if width else line)


def _stored(name: str, data: str | None) -> str:
    """The stored name: on other data than the definition's, the data set's name is added."""
    from fsmd.data import names
    from studies import catalog
    from studies.planning import name_on, study_name

    if data is None:
        return name
    if data.partition(":")[0] not in names():
        raise UserError(f"no data set {data!r}; there are {', '.join(names())}")
    if name not in catalog.names() and name.split("-")[0] == "pareto":
        return name_on(name, data, "planted")
    return study_name(catalog.get(name), data)


def _report(engine: sa.Engine, name: str, picks: Sequence[str] = ()) -> "_Report":
    """Of a study or, where it has no definition among the studies, of a search."""
    from studies import catalog
    from studies.storage import find_study

    record = find_study(engine, name)
    if record is not None and record.definition not in catalog.names():
        from studies import pareto

        if record.definition == pareto.NAME:
            return _search_report(engine, record, picks)
    if picks:
        raise UserError(f"--pick goes with a search only; {name!r} is a fixed design")
    return _study_report(engine, name)


def _study_report(engine: sa.Engine, name: str) -> "_Report":
    from reports import index
    from reports.assemble import analyse, assemble
    from reports.results import read

    analysis = analyse(read(engine, name))
    return _Report(
        assemble(analysis), analysis.results.measurements, summary(analysis), _lines(analysis),
        index.entry(analysis),
    )  # fmt: skip


def _search_report(engine: sa.Engine, record: "StudyRecord", picks: Sequence[str]) -> "_Report":
    from reports import search_report
    from reports.search_analysis import analyse_search
    from reports.search_results import read_search

    analysis = analyse_search(read_search(engine, record), picks)
    return _Report(
        search_report.assemble_search(analysis), analysis.found.results.measurements,
        search_report.summary(analysis), search_report.lines(analysis),
        search_report.entry(analysis),
    )  # fmt: skip


def _lines(analysis: "Analysis") -> tuple[str, ...]:
    from reports.facts import headline

    claims = (f"{j.verdict.upper():<10}{j.claim.text} {j.found}" for j in analysis.judged)
    return (headline(analysis.results, analysis.scores), *claims)


def _save(files: "Files", folder: Path) -> None:
    """Write all files; figures and tables of an earlier report that this one lacks are removed."""
    try:
        for name, content in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _replace(folder / name, content)
        for old in (*folder.glob("figures/*"), *folder.glob("tables/*")):
            if f"{old.parent.name}/{old.name}" not in dict(files):
                old.unlink()
    except OSError as error:
        raise UserError(f"--out must be a folder that can be written; {error}") from error


def _files(report: "_Report") -> "Files":
    """Name and content; the page last, so that it never describes numbers that are not there."""
    from reports import export, render

    table = report.measurements.to_csv(index=False, lineterminator="\n")
    return (
        ("results.csv", table.encode()),
        ("summary.json", (json.dumps(report.summary, indent=2) + "\n").encode()),
        *export.files(report.model),
        ("report.pdf", render.pdf([report.model])),
        ("report.html", render.html(report.model).encode()),
    )


def _replace(path: Path, content: bytes) -> None:
    """Write so that a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
