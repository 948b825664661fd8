"""Sessions: `nox` runs lint, types, documentation and tests; all others are for the asking."""

import os
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "docs", "tests"]
nox.options.reuse_venv = "yes"

LOCKED = ("-c", "constraints.txt")
# Wheels of one's own, such as a build of torch for processors, which uv looks for elsewhere.
_FOLDERS = os.environ.get("PIP_FIND_LINKS")
WHEELS = {"UV_FIND_LINKS": _FOLDERS.replace(" ", ",")} if _FOLDERS else {}


def _groups(session: nox.Session, group: str) -> None:
    """Install the project and one of its dependency groups, at the tested versions."""
    needed = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), group)
    session.install(*LOCKED, "-e", ".", *needed)


@nox.session
def lint(session: nox.Session) -> None:
    """Format and lint (ruff)."""
    session.install(*LOCKED, "ruff")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types (mypy, strict)."""
    _groups(session, "types")
    session.run("mypy")
    session.run("mypy", "examples/serve.py")


# A module's tests stay in one process: some go through one study's mishaps in turn.
SPREAD = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")


@nox.session
def tests(session: nox.Session) -> None:
    """The quick tests; `nox -s tests -- -m slow` runs the slow ones."""
    _groups(session, "test")
    # Python keeps what it compiles, whatever the environment says: to do it again costs each
    # process seconds.
    session.run("pytest", *SPREAD, *session.posargs, env={"PYTHONDONTWRITEBYTECODE": ""})


for version in ("3.11", "3.12", "3.13"):  # `nox -s tests-3.12`, where that Python is
    nox.session(tests.func, name=f"tests-{version}", python=version)


@nox.session
def minimums(session: nox.Session) -> None:
    """The tests that take seconds, with the lowest versions that pyproject.toml allows.

    What those need themselves is as new as they let it be, and so may warn of them.
    """
    project = nox.project.load_toml("pyproject.toml")
    lowest = Path(session.create_tmp()) / "lowest.txt"
    session.install("uv")
    extras = [f"--extra={name}" for name in project["project"]["optional-dependencies"]]
    session.run_install(
        *("uv", "pip", "compile", "-q", "--resolution", "lowest-direct", *extras),
        *("--python", f"{session.bin}/python", "pyproject.toml", "-o", str(lowest)),
        env=WHEELS,
    )
    needed = nox.project.dependency_groups(project, "test")
    session.install("-r", str(lowest), "-c", str(lowest), "-e", ".", *needed)
    old = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
    ignored = [word for each in old for word in ("-W", f"ignore::{each}")]
    session.run("pytest", *SPREAD, *ignored, *(session.posargs or ("-m", "quick")))


@nox.session
def audit(session: nox.Session) -> None:
    """Licences and known vulnerabilities of what is needed, and a bill of materials (CycloneDX).

    The bill is left in audit/sbom.json; `nox -s audit -- FOLDER` puts it elsewhere.
    """
    folder = Path(session.posargs[0] if session.posargs else "audit")
    folder.mkdir(parents=True, exist_ok=True)
    session.install(*LOCKED, "uv", "pip-audit", "pip-licenses", "cyclonedx-bom")
    needed = Path(session.create_tmp()).absolute() / "needed"  # what a user has, and nothing else
    own = f"{session.bin}/python"
    session.run("uv", "venv", "-q", "--allow-existing", "--python", own, str(needed))
    programs = (needed / "bin" / "python", needed / "Scripts" / "python.exe")
    python = str(next(program for program in programs if program.exists()))
    extras = ",".join(nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"])
    session.run(
        *("uv", "pip", "install", "-q", "--exact", "--python", python, *LOCKED, f".[{extras}]"),
        env=WHEELS,
    )
    bill, licences, found = (folder / f"{n}.json" for n in ("sbom", "licences", "vulnerabilities"))
    # By the schema it takes a minute; that nothing is left out is looked at below.
    form = ("--no-validate", "--pyproject", "pyproject.toml", "--output-reproducible")
    session.run("cyclonedx-py", "environment", *form, "-o", str(bill), python)
    session.run(
        *("pip-licenses", "--python", python, "--format", "json", "--output-file", str(licences))
    )
    session.run("python", "tests/audit.py", "ask", "constraints.txt", str(found))
    session.run("python", "tests/audit.py", "judge", str(bill), str(licences), str(found))


@nox.session
def demo(session: nox.Session) -> None:
    """The main job from an empty folder: a study on planted data, and its report."""
    session.install(*LOCKED, "-e", ".")
    folder = session.create_tmp()
    storage = f"sqlite:///{folder}/studies.db"
    session.run(
        *("python", "-m", "studies.run", "tower_shape"), "--storage", storage, "--out", folder
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Speed of training, beside others and the bound by matrix products; ends in JSON."""
    _groups(session, "rivals")
    session.run("python", "-m", "tests.bench_training", *session.posargs)


@nox.session
def bench_gpu(session: nox.Session) -> None:
    """Stacks on a GPU beside one training at a time; ends in JSON."""
    _groups(session, "rivals")
    session.run("python", "-m", "tests.bench_gpu", *session.posargs)


@nox.session
def bench_data(session: nox.Session) -> None:
    """Speed and memory on data and tables of millions of rows."""
    _groups(session, "test")
    session.run("python", "-m", "tests.bench_data", *session.posargs)


@nox.session
def bench_precision(session: nox.Session) -> None:
    """Whether training in bfloat16 leaves the figures as they are; takes long, ends in JSON."""
    _groups(session, "test")
    session.run("python", "-m", "tests.bench_precision", *session.posargs)


@nox.session
def bench_looks(session: nox.Session) -> None:
    """The error over all looks at a study, power and seeds, by simulation; ends in JSON."""
    _groups(session, "test")
    session.run("python", "-m", "tests.bench_looks", *session.posargs)


@nox.session
def bench_search(session: nox.Session) -> None:
    """Search strategies, ours and others', replayed on recorded learning curves; ends in JSON."""
    _groups(session, "rivals")
    session.run("python", "-m", "tests.bench_search", *session.posargs)


@nox.session
def bench_scale(session: nox.Session) -> None:
    """What planner, database, report and dashboard carry, by simulated trainings; ends in JSON."""
    _groups(session, "test")
    session.run("python", "-m", "tests.bench_scale", *session.posargs)


@nox.session
def bench_statistics(session: nox.Session) -> None:
    """Coverage, level, power and width of the verdicts, by simulation; ends in JSON."""
    _groups(session, "test")
    session.run("python", "-m", "tests.bench_statistics", *session.posargs)


@nox.session
def bench_front(session: nox.Session) -> None:
    """How true P(front) and what is told of a search's picks are, by simulation; ends in JSON."""
    _groups(session, "test")
    session.run("python", "-m", "tests.bench_front", *session.posargs)


@nox.session
def bench_serving(session: nox.Session) -> None:
    """The load that examples/serve.py carries, over loopback; ends in JSON."""
    _groups(session, "test")
    session.run("python", "-m", "tests.bench_serving", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, in docs/_build; a warning is an error."""
    _groups(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "docs", "docs/_build", *session.posargs)


@nox.session
def bench_scoring(session: nox.Session) -> None:
    """Speed of an exported model, beside onnxruntime's own; ends in JSON."""
    _groups(session, "test")
    session.run("python", "-m", "tests.bench_scoring", *session.posargs)
