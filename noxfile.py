"""Every job of the project: ``nox -l`` lists them, ``nox -s NAME`` runs one in an environment of its own."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False
nox.needs_version = ">=2024.4.15"

PINNED = ("-c", "constraints.txt")


def install(session: nox.Session, extras: str = "", *groups: str) -> None:
    """Install the project with pinned versions; torch first, because what depends on it may ask for another build."""
    if extras:
        session.install(*PINNED, "torch")
    session.install(*PINNED, "-e", f".[{extras}]" if extras else ".")
    if groups:
        session.install(*PINNED, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), *groups))


@nox.session(python="3.11")
def tests(session: nox.Session) -> None:
    """All tests, with every engine."""
    install(session, "all", "test")
    session.run("pytest", *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13"])
def light(session: nox.Session) -> None:
    """The tests of the library and the program where no engine is installed."""
    install(session, "", "test")
    session.run("pytest", "tests/library", "tests/cli", *session.posargs)


@nox.session(python="3.11")
def demo(session: nox.Session) -> None:
    """Train and evaluate a small student, with the commands a user types."""
    install(session, "train,evaluate")
    session.run("python", "examples/demo.py", *session.posargs)


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Style and the import contract."""
    install(session, "", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    """Types, strictly."""
    install(session, "", "types")
    session.run("mypy")


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """Speed, as ratios to a floor measured in the same run."""
    install(session)
    session.run("python", "tests/benchmarks/library.py", *session.posargs)


@nox.session(python="3.11")
def build(session: nox.Session) -> None:
    """Build the wheel, and load a profile from it in an empty environment."""
    session.install(*PINNED, "build")
    session.run("python", "-m", "build", "--wheel", "--outdir", "dist", silent=True)
    fresh = session.create_tmp()
    session.install(*PINNED, "--force-reinstall", "--find-links", "dist", "--no-index", "--no-deps", "ilab-profiles")
    session.install(*PINNED, "ilab-profiles", "--find-links", "dist")
    session.chdir(fresh)
    session.run("python", "-c", "import ilab_profiles; print(ilab_profiles.load('multi_gpu/l40s_x4').description)")
    session.run("ilab", "profile", "list")
