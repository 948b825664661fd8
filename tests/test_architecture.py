"""Imports point one way, and what must start fast loads no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ("fsmd", "search_spaces", "studies", "reports")
# The composition root calls the report at the end of a run.
ALLOWED = {("studies/job.py", "reports")}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(str(node.module).partition(".")[0])
    return found


SOURCES = [path for package in ORDER for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_from_reports_to_fsmd_and_never_back(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    own = ORDER.index(name.partition("/")[0])
    upward = {p for p in ORDER[own + 1 :] if p in imported(path)}
    assert {(name, p) for p in upward} <= ALLOWED


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_only_studies_and_axes_know_optuna_and_only_fsmd_knows_torch(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    libraries = imported(path)
    if package in ("fsmd", "reports"):
        assert "optuna" not in libraries
    if package in ("search_spaces", "reports"):
        assert not libraries & {"torch", "lightning"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("fsmd.config", ("torch", "pandas", "optuna")),
        ("fsmd.task", ("torch", "pandas", "optuna")),
        ("fsmd.data", ("torch", "optuna")),
        ("studies.run", ("torch", "optuna", "pandas")),
        ("studies.job", ("torch", "lightning")),
        ("reports.build", ("torch", "lightning", "optuna")),
    ],
)
def test_importing_loads_nothing_heavy_before_it_is_needed(
    module: str, unwanted: tuple[str, ...]
) -> None:
    code = f"import sys, {module}; print(*[m for m in {unwanted!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
