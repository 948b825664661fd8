"""python tests/audit.py ask|judge ...: known vulnerabilities, what `nox -s audit` found, judged.

`ask VERSIONS ANSWER` has the index asked for known vulnerabilities, within a bound of time. `judge
BILL LICENCES ANSWER` reads the bill of materials, what pip-licenses says of all that the toolkit
needs, and that answer. It ends with code 1 for a licence of a refused kind, for a known
vulnerability and for what the bill leaves out.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REFUSED = re.compile(
    r"\bA?GPL|General Public License|Affero|SSPL|BUSL|Business Source|Commercial|Proprietary"
    r"|\bNC\b|^(UNKNOWN)?$",
    re.I,
)
"""Copyleft that would reach those who use the toolkit, what is not free, and what says nothing."""
LESSER = re.compile(
    r"\bLGPL[\w.-]*|(GNU )?Lesser General Public License[^;]*|Library General.*", re.I
)
"""Of a library that is called as it comes."""
ASKED_SECONDS = 240.0
"""For all packages; an index that answers is done in a minute."""
OF_THE_DEVICE = "nvidia-", "cuda-"
"""How packages of a GPU's maker begin, which come with torch on some systems."""


def is_refused(licence: str) -> bool:
    """Whether none of the licences that may be chosen is of a kind that may be used.

    >>> is_refused("GPL-3.0"), is_refused("MIT AND GPL-3.0"), is_refused("BSD OR GPL-3.0")
    (True, True, False)
    >>> is_refused("LGPL-2.1-or-later"), is_refused("UNKNOWN"), is_refused("MIT; Proprietary")
    (False, True, False)
    """
    choices = re.split(r"\s+OR\s+|;", licence)
    return all(REFUSED.search(LESSER.sub("lesser", choice).strip()) for choice in choices)


def faulty(packages: Sequence[Mapping[str, str]]) -> list[str]:
    """A line for each package whose licence is of a refused kind."""
    return [
        f"{each['Name']} {each['Version']}: the licence {each['License']!r} is of a refused kind"
        for each in packages
        if is_refused(each["License"]) and not each["Name"].startswith(OF_THE_DEVICE)
    ]


def table(packages: Sequence[Mapping[str, str]]) -> list[str]:
    """Licence and who has it, the most frequent first."""
    names = defaultdict(list)
    for each in packages:
        names[each["License"][:60]].append(each["Name"])
    order = sorted(names, key=lambda licence: (-len(names[licence]), licence))
    return [f"{len(names[each]):>4}  {each}: {', '.join(sorted(names[each]))}" for each in order]


def vulnerable(found: Mapping[str, Any]) -> tuple[list[str], str]:
    """A line for each known vulnerability, and what is to be said of the rest."""
    packages = found["dependencies"]
    lines = [
        f"{each['name']} {each['version']}: {fault['id']}, mended in "
        f"{', '.join(fault['fix_versions']) or 'no version yet'}"
        for each in packages
        for fault in each.get("vulns", ())
    ]
    left = [each["name"] for each in packages if "skip_reason" in each]
    if len(left) == len(packages):
        return lines, "the index tells of no vulnerabilities here: none was looked up"
    told = f"{len(packages) - len(left)} packages looked up for known vulnerabilities"
    return lines, told + (f"; not known to the index: {', '.join(left)}" if left else "")


def missing(bill: Mapping[str, Any], packages: Sequence[Mapping[str, str]]) -> list[str]:
    """A line for each package that is installed and not in the bill of materials."""
    listed = {_key(each["name"]) for each in (bill["metadata"]["component"], *bill["components"])}
    return [
        f"{each['Name']} {each['Version']}: the bill of materials leaves it out"
        for each in packages
        if _key(each["Name"]) not in listed
    ]


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def ask(versions: str, answer: str) -> int:
    """Leave pip-audit's answer, or no file where the index gives none in time."""
    Path(answer).unlink(missing_ok=True)
    pinned = ("-r", versions, "--no-deps", "--disable-pip", "--progress-spinner", "off")
    command = ["pip-audit", *pinned, "--timeout", "10", "-f", "json", "-o", answer]
    try:
        subprocess.run(command, capture_output=True, timeout=ASKED_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        Path(answer).unlink(missing_ok=True)
    return 0


def judge(materials: str, licences: str, vulnerabilities: str) -> int:
    """Print what was found; the exit code."""
    packages = json.loads(Path(licences).read_text("utf-8"))
    print(*table(packages), sep="\n")
    bill = json.loads(Path(materials).read_text("utf-8"))
    answer = Path(vulnerabilities)
    found: list[str] = []
    told = "the index does not answer: no vulnerability was looked up"
    if answer.is_file() and answer.stat().st_size:
        found, told = vulnerable(json.loads(answer.read_text("utf-8")))
    wrong = [*faulty(packages), *missing(bill, packages), *found]
    print(f"{len(bill['components'])} components in the bill of materials", told, *wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(ask(*sys.argv[2:]) if sys.argv[1] == "ask" else judge(*sys.argv[2:]))
