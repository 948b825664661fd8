"""What keeps the house in order: one-way imports, one word for one thing, one owner for a fact."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ("fsmd", "search_spaces", "studies", "reports")
# The composition root calls the report at the end of a run.
# So does the export: the arm is picked by the rule of the report's answer, with its figures.
UPWARD = {
    ("studies/session.py", "reports.build"),
    ("studies/export/command.py", "reports.chosen"),
}
NUMBERS_ALONE = ("fsmd/stats", "fsmd/metrics")
"""Packages that import nothing else of ours, but for how a folder is read."""
UNFORMATTED = 12
"""`# fmt: skip` outside of tests, at most: for tables and matrices of literals."""

SOURCES = {
    path.relative_to(ROOT).as_posix(): path
    for package in ORDER
    for path in sorted((ROOT / package).rglob("*.py"))
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


def imported(path: Path) -> Iterator[str]:
    """Whole names of the modules that a file imports anywhere in it."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield str(node.module)


def libraries(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imported(path)}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, value) of every text of a file but the docstrings."""
    told = {
        id(node.value)
        for node in nodes(path)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value


def with_text(*unwanted: str, but: tuple[str, ...] = ()) -> list[str]:
    """`file:line` of each text that is one of `unwanted`, outside the files or folders `but`."""
    return [
        f"{name}:{line}"
        for name, path in SOURCES.items()
        if not name.startswith(but)
        for line, text in texts(path)
        if text in unwanted
    ]


# Imports


def test_imports_point_from_reports_to_fsmd_and_never_back() -> None:
    upward = {
        (name, module)
        for name, path in SOURCES.items()
        for module in imported(path)
        if module.partition(".")[0] in ORDER[ORDER.index(name.partition("/")[0]) + 1 :]
    }
    assert upward <= UPWARD


def test_what_all_reports_share_imports_no_report_of_one_kind() -> None:
    kinds = ("reports/study/", "reports/search/")
    apart = (*kinds, "reports/across/")  # which is of studies
    shared = [n for n in SOURCES if n.startswith("reports/") and not n.startswith(apart)]
    shared.remove("reports/build.py")  # which builds both
    shared.remove("reports/chosen.py")  # which picks from both
    wrong = [
        (n, m)
        for n in shared
        for m in imported(SOURCES[n])
        if f"{m}/".replace(".", "/").startswith(kinds)
    ]
    assert wrong == []


def test_only_studies_and_axes_know_optuna_and_only_fsmd_knows_torch() -> None:
    forbidden = {
        "fsmd": {"optuna"},
        "search_spaces": {"torch", "lightning"},
        "studies": {"lightning"},
        "reports": {"optuna", "torch", "lightning"},
    }
    wrong = {
        name: unwanted
        for name, path in SOURCES.items()
        if (unwanted := libraries(path) & forbidden[name.partition("/")[0]])
    }
    assert wrong == {}


@pytest.mark.parametrize("folder", NUMBERS_ALONE)
def test_statistics_and_metrics_import_nothing_else_of_ours(folder: str) -> None:
    own = folder.replace("/", ".")
    for path in (ROOT / folder).rglob("*.py"):
        ours = {m for m in imported(path) if m.partition(".")[0] in ORDER}
        allowed = (own, "fsmd.folder")
        assert {m for m in ours if m not in allowed and not m.startswith(f"{own}.")} == set(), path


HEAVY = ("torch", "lightning", "optuna", "pandas")
STARTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("fsmd.config", "fsmd.training", "studies.catalog", "studies.run"), HEAVY),
    (("fsmd.data",), ("torch", "lightning", "optuna")),
    (
        ("reports.build", "reports.index", "reports.study.outline", "reports.page.files"),
        ("torch", "lightning", "optuna"),
    ),
    (
        ("search_spaces.spaces", "studies.search", "studies.search.attempt", "studies.session"),
        ("torch", "lightning"),
    ),
)
"""Modules in the order of their weight, and what importing them must not load."""


def test_importing_loads_nothing_heavy_before_it_is_needed() -> None:
    lines = ["import sys"]
    for modules, unwanted in STARTS:
        for module in modules:
            lines.append(f"import {module}")
            lines.append(f"print(*[f'{module}: {{m}}' for m in {unwanted!r} if m in sys.modules])")
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n") == [""] * (len(lines) // 2 + 1)


# One word for one thing


def test_no_two_public_classes_have_one_name() -> None:
    places = defaultdict(list)
    for name, path in SOURCES.items():
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_every_file_says_what_it_is_for() -> None:
    assert [name for name, path in SOURCES.items() if not ast.get_docstring(tree(path))] == []


# One owner for a fact


def test_a_metric_is_named_by_its_file_and_by_the_default_of_a_task_alone() -> None:
    """Everything else asks the task or `METRICS`.

    The others are an AUC whatever metric judges a task: what a field alone says of the label, and
    the paper's numbers.
    """
    owners = ("fsmd/metrics/", "fsmd/tasks.py", "fsmd/data/checks/", "reports/study/paper.py")
    assert with_text("auc", "AUC", but=owners) == []


def test_a_search_is_named_by_its_definition_alone() -> None:
    named = [
        f"{name}:{line}"
        for name, path in SOURCES.items()
        if not name.startswith("studies/catalog/")
        for line, text in texts(path)
        if text == "pareto" or text.startswith(("pareto-", "pareto:"))
    ]
    assert named == []


def test_tasks_have_no_rank() -> None:
    assert with_text("first", "second") == []


def test_libraries_that_draw_belong_to_reports() -> None:
    """The page of `check`, whose bars its template draws, needs none."""
    drawing = {
        name
        for name in SOURCES
        if libraries(SOURCES[name]) & {"matplotlib", "typst"} and not name.startswith("reports/")
    }
    assert drawing == set()


def test_broken_pools_are_known_to_the_workers_alone() -> None:
    assert [
        name
        for name, path in SOURCES.items()
        if "BrokenProcessPool" in path.read_text("utf-8")
        and not name.startswith("studies/workers/")
    ] == []


OPENERS = tuple(f"studies/store/{name}.py" for name in ("database", "engines", "faults"))


def test_only_the_database_and_the_mirror_open_engines() -> None:
    """So that whatever a database raises is told in one line, or is waited for."""
    for called, owner in (("create_engine", "database"), ("RDBStorage(", "mirror")):
        named = [name for name, path in SOURCES.items() if called in path.read_text("utf-8")]
        assert [name for name in named if name not in OPENERS] == (
            [f"studies/store/{owner}.py"] if owner == "mirror" else []
        )


def test_what_opens_a_database_closes_it() -> None:
    """By `with opened(...)`; a notebook alone has an engine to keep."""
    kept = [
        name
        for name, path in SOURCES.items()
        if name != "studies/store/database.py"
        for node in nodes(path)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("open_engine")
    ]
    assert kept == []


def connects(node: ast.AST) -> bool:
    """Whether it is `engine.begin()` or `engine.connect()`."""
    called = node.func if isinstance(node, ast.Call) and not node.args else None
    return (
        isinstance(called, ast.Attribute)
        and called.attr in ("begin", "connect")
        and ast.unparse(called.value).endswith("engine")
    )


def test_whatever_connects_waits_for_a_database_that_is_locked_or_restarts() -> None:
    impatient = [
        f"{name}:{node.name}"
        for name, path in SOURCES.items()
        if name not in OPENERS
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef)
        and any(map(connects, ast.walk(node)))
        and "patient" not in map(ast.unparse, node.decorator_list)
    ]
    assert impatient == []


def test_the_formatter_is_overruled_for_tables_of_literals_alone() -> None:
    overruled = {
        name: count
        for name, path in SOURCES.items()
        if (count := path.read_text("utf-8").count("# fmt: skip"))
    }
    assert sum(overruled.values()) <= UNFORMATTED, overruled
