"""Every job of the project: ``nox -l`` lists them, ``nox -s NAME`` runs one in an environment of its own."""

from __future__ import annotations

import os
import random
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False
nox.needs_version = ">=2024.4.15"

PINNED = ("-c", "constraints.txt")
_DATA = (
    "import ilab_cli, pathlib; here = pathlib.Path(ilab_cli.__file__).parent; "
    "assert [*here.glob('pipelines/*/*.yaml')] and [*here.glob('backends/report/page/vendor/*.js')]"
)


def install(session: nox.Session, extras: str = "", *groups: str) -> None:
    """Install the project with pinned versions; torch first, because what depends on it may ask for another build."""
    if set(extras.split(",")) - {"", "generate", "chat"}:
        session.install(*PINNED, "torch")
    session.install(*PINNED, "-e", f".[{extras}]" if extras else ".")
    if groups:
        session.install(*PINNED, *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), *groups))


@nox.session(python="3.11")
def tests(session: nox.Session) -> None:
    """All tests, with every engine, on up to four cores: each engine gets one, as two that share theirs crawl."""
    install(session, "all", "test")
    spread = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")
    session.run("pytest", *spread, *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(python="3.11")
def search(session: nox.Session) -> None:
    """The property tests with many more examples, at random: ``nox -s search [-- SEED]`` repeats what a seed found."""
    install(session, "all", "test")
    seed = session.posargs[0] if session.posargs else str(random.randrange(10**6))
    session.log(f"seed {seed}: repeat it with `nox -s search -- {seed}`")
    session.run("pytest", "-m", "hypothesis", f"--hypothesis-seed={seed}", env={"ILAB_TEST_SEARCH": "20"})


def interpreter(version: str) -> str:
    """A Python of this version: pyenv's where it has one, which need not be on the path; else by name."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = sorted(root.glob(f"versions/{version}.*/bin/python"))
    return str(found[-1]) if found else version


@nox.session
@nox.parametrize("python", [nox.param(interpreter(version), id=version) for version in ("3.11", "3.12", "3.13")])
def light(session: nox.Session) -> None:
    """The tests of the library and the program where no engine is installed."""
    install(session, "", "test")
    session.run("pytest", "tests/ilab_profiles", "tests/ilab_cli", "--ignore=tests/ilab_cli/backends", *session.posargs)


@nox.session(python="3.11")
def demo(session: nox.Session) -> None:
    """Generate data, train a small student on them and evaluate it, with the commands a user types."""
    install(session, "generate,train,evaluate")
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
    install(session, "generate,chat", "types")
    session.run("mypy")


@nox.session(python="3.11")
def generate(session: nox.Session) -> None:
    """Make the generated files anew; the tests check that they are fresh."""
    install(session)
    session.run("python", "-m", "ilab_profiles.views.schema")
    session.run("python", "-m", "ilab_cli.flags.table")
    with open("docs/reference.md", "w", encoding="utf-8") as page:
        session.run("python", "-m", "ilab_cli.reference", stdout=page)


@nox.session(python="3.11")
def agreement(session: nox.Session) -> None:
    """Our validation against a stock JSON Schema validator, over 12,000 documents."""
    install(session, "", "test")
    session.run(
        "pytest", "tests/ilab_profiles/views/test_schema.py", *session.posargs, env={"ILAB_TEST_DOCUMENTS": "12000"}
    )


@nox.session(python="3.11")
def editor(session: nox.Session) -> None:
    """What an editor shows for a bad profile, by the real yaml-language-server (needs npm)."""
    install(session)
    folder = session.create_tmp()
    session.run("npm", "install", "--silent", "--prefix", folder, "yaml-language-server", external=True)
    server = Path(folder, "node_modules", ".bin", "yaml-language-server")
    session.run("python", "examples/editor_check.py", "--server", str(server))


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """Speed, as ratios to a floor or a peer in the same run: ``nox -s bench [-- NAME [its options]]``."""
    name, *options = session.posargs or [""]
    extras = {"": "generate,train,evaluate", "mmlu": "generate,evaluate"}
    extras |= dict.fromkeys(("data", "packing", "training"), "generate,train")
    install(session, extras.get(name, "generate"), "bench")
    if name in ("", "training"):
        session.install(*PINNED, "trl")
    for benchmark in ("startup", "library", "generation", "mixing", "packing", "training", "data", "mmlu"):
        if name in ("", benchmark):
            session.run("python", "-m", f"tests.benchmarks.{benchmark}", *options)


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
    session.run("python", "-c", _DATA)
