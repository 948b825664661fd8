"""`check`: everything that can be wrong with a data set, at once, and a page to look at."""

from argparse import Namespace
from collections.abc import Sequence

from fsmd.command_line import check_folders, print_lines
from fsmd.data import source_of
from fsmd.data.checks.check import Finding
from fsmd.data.checks.learnable import check_recipe, refusing
from fsmd.data.checks.tally import count
from fsmd.data.encode import coded
from fsmd.data.progress import told
from fsmd.data.rows.joins import NothingFoundError
from fsmd.data.source import Source
from fsmd.errors import UserError
from fsmd.writing import write
from studies.data.page import LEVELS, Checks, page, summary
from studies.options import DEFAULT_OUT
from studies.planner.design import slug

PAGE = "check.html"


def run(options: Namespace) -> int:
    """Check, print, write the page; 2 where a study would be refused."""
    source = source_of(options.data, options.memory)
    folder = options.out or DEFAULT_OUT / slug(source.recipe.name)
    check_folders("--out", folder)
    checks, findings = look(source)
    for finding in findings:
        print_lines(f"{finding.level + ':':<9}{finding.text}")
    path = folder / PAGE
    write(path, page(source.recipe, checks, findings).encode())
    print(f"{summary(findings)}. The page: {path}")
    return 2 if any(finding.level == "error" for finding in findings) else 0


def look(source: Source) -> tuple[Checks, Sequence[Finding]]:
    """All checks once they have seen all rows, read once; what they found, errors first."""
    recipe = source.recipe
    check_recipe(recipe)
    checks, refusals = Checks.of(recipe), refusing(recipe)
    found = []
    try:
        with told(f"checking {recipe.name}") as advance:
            for part in map(coded, source.parts()):
                for check in (*refusals, *checks):
                    check.see(part)
                advance(len(part.label_NK))
    except NothingFoundError as error:  # whose columns all checks would tell as missing
        found = [Finding("error", str(error))]
    except UserError as error:  # not all rows were seen, so all else might mislead
        found = [Finding("error", f"{error} (no row after it was looked at)")]
    else:
        found = [finding for check in (*refusals, *checks) for finding in check.findings()]
        left = [f"{count(rows)} {why}" for why, rows in source.left_out.items() if rows]
        if left:
            found.append(Finding("note", f"Rows that are left out: {', '.join(left)}."))
    return checks, sorted(found, key=lambda finding: LEVELS.index(finding.level))
