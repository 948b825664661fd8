"""Sessions: `nox` runs lint, types, documentation and tests; demo and bench are for the asking."""

import nox

nox.options.sessions = ["lint", "types", "docs", "tests"]
nox.options.reuse_venv = "yes"

LOCKED = ("-c", "constraints.txt")


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


@nox.session
def tests(session: nox.Session) -> None:
    """The quick tests; `nox -s tests -- -m slow` runs the slow ones."""
    _groups(session, "test")
    # A module's tests stay in one process: some go through one study's mishaps in turn.
    spread = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
    session.run("pytest", *spread, *session.posargs)


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
def bench_search(session: nox.Session) -> None:
    """Search strategies, ours and others', replayed on recorded learning curves; ends in JSON."""
    _groups(session, "rivals")
    session.run("python", "-m", "tests.bench_search", *session.posargs)


@nox.session
def bench_statistics(session: nox.Session) -> None:
    """Coverage, level, power and width of the verdicts, by simulation; ends in JSON."""
    _groups(session, "test")
    session.run("python", "-m", "tests.bench_statistics", *session.posargs)


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
