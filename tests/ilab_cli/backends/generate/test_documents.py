"""Documents come from a repository at a commit, once, and from nowhere else."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ilab_cli.backends.generate.documents import fetch
from ilab_cli.backends.generate.qna import Leaf, read_taxonomy
from ilab_profiles import Finding, InputError
from tests.ilab_cli.backends.generate.taxonomies import SKILL, commit, git, knowledge, put

FILES: dict[str, str | bytes] = {
    "wren.md": "# Wren\r\n\r\nSmall.\r\n",
    "docs/lark.md": "\ufeffA lark sings.",
    "docs/deep/crow.TXT": "A crow caws.".encode("utf-16"),
    "docs/.hidden.md": "Nobody sees me.",
    ".github/README.md": "Nor me.",
    "image.png": b"\x89PNG\0",
    "bad/latin.md": "caf\xe9".encode("latin-1"),
    "bad/binary.txt": "a\0b",
    "bad/empty.md": " \n",
    "bad/large.md": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository whose second commit changed everything."""
    folder = tmp_path / "documents"
    commit(folder, FILES)
    (folder / "link.md").symlink_to("/etc/passwd")
    (folder / "linked").symlink_to("docs")
    commit(folder, {})
    commit(folder, {"wren.md": "Changed."})
    return folder


def leaf(root: Path, repo: str | Path, revision: str, *patterns: str) -> Leaf:
    listed = "[" + ", ".join(f"'{pattern}'" for pattern in patterns or ("*.md",)) + "]"
    folder = put(root / "taxonomy", {"knowledge/birds/qna.yaml": knowledge(str(repo), revision, listed)})
    return read_taxonomy(folder, "empty")[0]


def first(repo: Path) -> str:
    return git(repo, "rev-parse", "HEAD~1")


def refused(leaf: Leaf, cache: Path) -> list[Finding]:
    with pytest.raises(InputError) as caught:
        fetch(leaf, cache)
    assert all(finding.position and finding.position.column for finding in caught.value.findings)
    assert not list(cache.glob(".*"))
    return list(caught.value.findings)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["*.md"], ["wren.md"]),
        (["./wren.md"], ["wren.md"]),
        (["docs/*.md"], ["docs/lark.md"]),
        (["docs/lar?.md", "docs/[k-m]*", "wren.md"], ["docs/lark.md", "wren.md"]),
        (["docs/**"], ["docs/deep/crow.TXT", "docs/lark.md"]),
        (["**/crow.*"], ["docs/deep/crow.TXT"]),
        (["**/[lw]*r[ek]*.md"], ["docs/lark.md", "wren.md"]),
        (["docs/.*.md"], ["docs/.hidden.md"]),
        ([".github/*"], [".github/README.md"]),
    ],
)
def test_patterns(tmp_path: Path, repo: Path, patterns: list[str], names: list[str]) -> None:
    assert [text.name for text in fetch(leaf(tmp_path, repo, first(repo), *patterns), tmp_path / "cache")] == names


def test_texts_are_those_of_the_commit(tmp_path: Path, repo: Path) -> None:
    texts = fetch(leaf(tmp_path, repo, first(repo), "*.md", "docs/**"), tmp_path / "cache")
    assert {text.name: text.text for text in texts} == {
        "wren.md": "# Wren\n\nSmall.\n",
        "docs/lark.md": "A lark sings.",
        "docs/deep/crow.TXT": "A crow caws.",
    }
    (now,) = fetch(leaf(tmp_path, repo, git(repo, "rev-parse", "HEAD")), tmp_path / "cache")
    assert now.text == "Changed."


@pytest.mark.parametrize("form", ["{}", "file://{}", "{}/.git"])
@pytest.mark.parametrize("digits", [8, 40])
def test_what_was_fetched_once_is_read_without_its_repository(
    tmp_path: Path, repo: Path, form: str, digits: int
) -> None:
    known = leaf(tmp_path, form.format(repo), first(repo)[:digits])
    texts = fetch(known, tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    shutil.rmtree(repo)
    assert fetch(known, tmp_path / "cache") == texts
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == before


@pytest.mark.parametrize("part", ["objects", "objects/pack/*.pack", "HEAD", "refs", "packed-refs"])
def test_a_damaged_cache_is_fetched_again(tmp_path: Path, repo: Path, part: str) -> None:
    known = leaf(tmp_path, repo, first(repo))
    texts = fetch(known, tmp_path / "cache")
    (store,) = (tmp_path / "cache").iterdir()
    for path in store.glob(part):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert fetch(known, tmp_path / "cache") == texts


def test_a_cache_without_one_file_is_fetched_again(tmp_path: Path, repo: Path) -> None:
    known = leaf(tmp_path, repo, first(repo))
    texts = fetch(known, tmp_path / "cache")
    (store,) = (tmp_path / "cache").iterdir()
    blob = git(store, "rev-parse", f"{first(repo)}:wren.md")
    (store / "objects" / blob[:2] / blob[2:]).unlink()
    assert fetch(known, tmp_path / "cache") == texts


def test_history_is_not_fetched_where_it_is_not_needed(tmp_path: Path, repo: Path) -> None:
    fetch(leaf(tmp_path, repo, git(repo, "rev-parse", "HEAD")), tmp_path / "cache")
    (store,) = (tmp_path / "cache").iterdir()
    assert git(store, "rev-list", "--all", "--count") == "1"


def test_a_commit_that_is_not_handed_out_alone(tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")  # as an old server, which knows tips of branches only
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.version")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "0")
    (text,) = fetch(leaf(tmp_path, repo, first(repo)), tmp_path / "cache")
    assert text.text.startswith("# Wren")


def test_a_repository_with_long_hashes(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    git(folder, "init", "--quiet", "--object-format=sha256")
    revision = commit(folder, {"wren.md": "Small."})
    assert len(revision) == 64
    (text,) = fetch(leaf(tmp_path, folder, revision), tmp_path / "cache")
    assert text.text == "Small."


def test_a_shortened_commit_of_a_shallow_clone(tmp_path: Path, repo: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repo}", "shallow")
    (text,) = fetch(leaf(tmp_path, tmp_path / "shallow", git(repo, "rev-parse", "HEAD")[:10]), tmp_path / "cache")
    assert text.text == "Changed."


def test_a_branch_whose_name_looks_like_a_commit_is_none(tmp_path: Path, repo: Path) -> None:
    git(repo, "branch", "deadbeef")
    git(repo, "tag", "facade1")
    for name in ("deadbeef", "facade1"):
        assert [f.rule for f in refused(leaf(tmp_path, repo, name), tmp_path / "cache")] == ["no-such-commit"]


def test_relative_paths_stay_in_the_taxonomy(tmp_path: Path) -> None:
    revision = commit(tmp_path / "taxonomy/knowledge/sources", {"a.md": "A."})
    (text,) = fetch(leaf(tmp_path, "../sources", revision), tmp_path / "cache")
    assert text.text == "A."
    outside = commit(tmp_path / "outside", {"a.md": "A."})
    assert [f.rule for f in refused(leaf(tmp_path, "../../../outside", outside), tmp_path / "cache")] == [
        "outside-taxonomy"
    ]


def test_every_wrong_pattern_and_file_is_named(tmp_path: Path, repo: Path) -> None:
    wrong = leaf(
        tmp_path, repo, first(repo), "image.png", "bad/*", "wrens.md", "docs", "link.md", "linked/*", "wren.md"
    )
    findings = refused(wrong, tmp_path / "cache")
    shown = "\n".join(map(str, findings))
    assert len(findings) == 9
    assert all(finding.hint for finding in findings)
    assert shown.count("document.patterns[1]") == 4
    for message in (
        "image.png is neither Markdown nor text",
        "bad/latin.md is not UTF-8 text",
        "bad/binary.txt is not text",
        "bad/empty.md is empty",
        "bad/large.md is kept in Git LFS",
        "did you mean 'wren.md'?",
    ):
        assert message in shown
    assert {finding.position.line for finding in findings if finding.position} == {8}


@pytest.mark.parametrize(
    "address",
    [
        "/nowhere/at/all",
        "nowhere",
        "https://127.0.0.1:9/birds.git",
        "http://user:pass-word@127.0.0.1:9/x",
        "git://127.0.0.1:9/x",
    ],
)
def test_a_repository_out_of_reach(tmp_path: Path, address: str) -> None:
    (finding,) = refused(leaf(tmp_path, address, "0" * 40), tmp_path / "cache")
    assert (finding.rule, finding.path) == ("fetch-failed", "document.repo")
    assert "pass-word" not in finding.message
    assert "\n" not in finding.message


def test_what_ssh_says_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "echo 'git@example.org: Permission denied (publickey).' >&2; false")
    (finding,) = refused(leaf(tmp_path, "git@example.org:birds.git", "0" * 40), tmp_path / "cache")
    assert "Permission denied (publickey)" in finding.message


def test_other_files_that_a_pattern_fits_are_one_finding(tmp_path: Path) -> None:
    revision = commit(tmp_path / "documents", {f"{number}.png": "" for number in range(30)} | {"a.md": "A."})
    (finding,) = refused(leaf(tmp_path, tmp_path / "documents", revision, "*"), tmp_path / "cache")
    assert "0.png and 29 more are neither Markdown nor text" in finding.message


@pytest.mark.parametrize("revision", ["0" * 40, "1" * 7, "2" * 64])
def test_no_such_commit(tmp_path: Path, repo: Path, revision: str) -> None:
    (finding,) = refused(leaf(tmp_path, repo, revision), tmp_path / "cache")
    assert finding.rule in ("no-such-commit", "fetch-failed")
    assert not list((tmp_path / "cache").iterdir())


def test_no_git_and_no_place(tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = leaf(tmp_path, repo, first(repo))
    assert [f.rule for f in refused(known, put(tmp_path, {"file": ""}) / "file")] == ["unwritable-file"]
    monkeypatch.setenv("PATH", "")
    (finding,) = refused(known, tmp_path / "cache")
    assert "git is not installed" in finding.message


def test_programs_of_the_repository_are_not_run(tmp_path: Path, repo: Path) -> None:
    trap = put(tmp_path / "trap", {"run": "#!/bin/sh\necho > sprung\ncat\n"}) / "run"
    trap.chmod(0o755)
    for name in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc"):
        shutil.copy(trap, repo / ".git/hooks" / name)
    for name in ("filter.trap.smudge", "core.fsmonitor", "uploadpack.packObjectsHook"):
        git(repo, "config", name, str(trap))
    revision = commit(repo, {".gitattributes": "*.md filter=trap\n"})
    for path in tmp_path.rglob("sprung"):
        path.unlink()
    fetch(leaf(tmp_path, repo, revision), tmp_path / "cache")
    assert not list(tmp_path.rglob("sprung"))


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("whole_group", [True, False])
def test_an_interrupted_fetch_ends_at_once_and_leaves_nothing(tmp_path: Path, at_once: int, whole_group: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as connections:
        for name in ("birds", "crows", "wrens"):
            text = knowledge(f"http://127.0.0.1:{silent.getsockname()[1]}/{name}", "0" * 40)
            put(tmp_path / "taxonomy", {f"knowledge/{name}/qna.yaml": text})
        code = "\n".join(
            [
                "from pathlib import Path",
                "from ilab_cli.backends.generate.prepare import prepare",
                "from ilab_cli.backends.generate.qna import read_taxonomy",
                "leaves = read_taxonomy(Path('taxonomy'), 'empty')",
                f"prepare(leaves, Path('cache'), words=100, at_once={at_once})",
            ]
        )
        command = [sys.executable, "-c", code]
        path = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
        running = subprocess.Popen(command, cwd=tmp_path, env=path, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            for _ in range(at_once):
                connections.enter_context(silent.accept()[0])
            assert list((tmp_path / "cache").glob(".fetch-*"))
            (os.killpg if whole_group else os.kill)(running.pid, signal.SIGINT)
            running.wait(timeout=20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
    assert not list((tmp_path / "cache").iterdir())


def test_a_skill_has_no_documents(tmp_path: Path) -> None:
    (skill,) = read_taxonomy(put(tmp_path, {"compositional_skills/a/qna.yaml": SKILL}), "empty")
    assert fetch(skill, tmp_path / "cache") == []
    assert not (tmp_path / "cache").exists()
