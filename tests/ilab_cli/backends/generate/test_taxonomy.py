"""Leaves that are new against a revision, and paths that a taxonomy may not have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ilab_cli.backends.generate.qna import check, read_taxonomy
from ilab_cli.backends.generate.taxonomy import NAME, leaf_path, misplaced, new_files
from ilab_profiles import InputError
from tests.ilab_cli.backends.generate.taxonomies import SKILL, commit, git, put

A, B, C, D = (f"compositional_skills/{name}/qna.yaml" for name in ("a", "b", "c", "d"))


def new(root: Path, base: str) -> list[str]:
    files = (file for file in new_files(root, base) if file.name == NAME and not misplaced(file, root))
    return [file.relative_to(root).as_posix() for file in files]


def refused(root: Path, base: str) -> str:
    with pytest.raises(InputError) as caught:
        new_files(root, base)
    (finding,) = caught.value.findings
    assert finding.position
    return str(finding)


def skill(number: int) -> str:
    return SKILL.replace("a bird", f"bird {number}")


def test_empty_takes_every_leaf_and_needs_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    put(tmp_path, {B: SKILL, A: SKILL, "knowledge/x/y/qna.yaml": "", ".hidden/qna.yaml": "", "docs/other.yaml": ""})
    assert new(tmp_path, "empty") == [A, B, "knowledge/x/y/qna.yaml"]


def test_changed_added_and_unknown_leaves_are_new(tmp_path: Path) -> None:
    first = commit(
        tmp_path, {A: skill(1), B: skill(2), C: skill(3), "knowledge/old/qna.yaml": "", ".gitignore": "ignored"}
    )
    second = commit(tmp_path, {A: skill(4), "knowledge/wörds and spaces/qna.yaml": ""})
    put(tmp_path, {B: skill(5), D: skill(6), "knowledge/ignored/qna.yaml": ""})  # in the working tree only
    (tmp_path / C).unlink()
    git(tmp_path, "mv", "knowledge/old", "knowledge/moved")
    assert new(tmp_path, second) == [B, D, "knowledge/moved/qna.yaml"]
    assert new(tmp_path, first) == [A, B, D, "knowledge/moved/qna.yaml", "knowledge/wörds and spaces/qna.yaml"]
    assert new(tmp_path, "HEAD~1") == new(tmp_path, first)
    assert new(tmp_path / "knowledge", second) == ["moved/qna.yaml"]


def test_what_only_the_base_has_is_not_new(tmp_path: Path) -> None:
    commit(tmp_path, {A: skill(1)})
    git(tmp_path, "checkout", "--quiet", "-b", "mine")
    commit(tmp_path, {B: skill(2)})
    git(tmp_path, "checkout", "--quiet", "main")
    commit(tmp_path, {A: skill(3), C: skill(4)})
    git(tmp_path, "checkout", "--quiet", "mine")
    assert new(tmp_path, "main") == [B]
    git(tmp_path, "update-ref", "refs/remotes/origin/main", "main")
    assert new(tmp_path, "origin/main") == [B]


def test_nothing_new_is_no_error(tmp_path: Path) -> None:
    commit(tmp_path, {A: SKILL})
    assert read_taxonomy(tmp_path, "HEAD") == []


def test_leaves_that_are_not_checked_out_are_not_new(tmp_path: Path) -> None:
    first = commit(tmp_path, {A: skill(1)})
    commit(tmp_path, {B: skill(2), C: skill(3)})
    git(tmp_path, "sparse-checkout", "set", "--no-cone", f"/{B}")
    assert [leaf.path for leaf in read_taxonomy(tmp_path, first)] == ["compositional_skills/b"]


def test_a_taxonomy_below_the_top_of_a_repository(tmp_path: Path) -> None:
    base = commit(tmp_path, {f"taxonomy/{A}": SKILL})
    put(tmp_path, {f"taxonomy/{B}": SKILL, f"other/{C}": SKILL})
    assert new(tmp_path / "taxonomy", base) == [B]


def test_leaves_in_a_repository_that_git_does_not_know(tmp_path: Path) -> None:
    base = commit(tmp_path, {A: skill(1)})
    commit(tmp_path / "compositional_skills/nested", {"b/qna.yaml": skill(2), "c/notes.txt": ""})
    assert new(tmp_path, base) == ["compositional_skills/nested/b/qna.yaml"]


def test_a_hook_that_runs_us_does_not_lend_us_its_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = commit(tmp_path / "mine", {A: SKILL})
    put(tmp_path / "mine", {B: SKILL})
    commit(tmp_path / "other", {C: SKILL})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert new(tmp_path / "mine", base) == [B]


@pytest.mark.parametrize(
    "base", ["gone", "0123456789", "", "a\0b", "--output=x", "HEAD:knowledge", "a b", "HEAD..HEAD"]
)
def test_no_such_revision(tmp_path: Path, base: str) -> None:
    commit(tmp_path, {A: SKILL})
    before = sorted(tmp_path.iterdir())
    message = refused(tmp_path, base)
    assert "taxonomy-base" in message
    assert "error[taxonomy-base]" in message
    assert repr(base) in message
    assert "`empty` takes every leaf" in message
    assert sorted(tmp_path.iterdir()) == before


def test_the_nearest_revision_is_named(tmp_path: Path) -> None:
    commit(tmp_path, {A: SKILL})
    assert "did you mean 'main'?" in refused(tmp_path, "origin/main")


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, {A: SKILL})
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "git cannot tell what is new: not a git repository" in refused(tmp_path, "origin/main")
    git(tmp_path, "init", "--quiet")
    assert "error[taxonomy-base]" in refused(tmp_path, "HEAD")  # nothing is committed yet
    monkeypatch.setenv("PATH", "")
    assert "git is not installed" in refused(tmp_path, "HEAD")


def test_unrelated_history(tmp_path: Path) -> None:
    commit(tmp_path, {A: SKILL})
    git(tmp_path, "checkout", "--quiet", "--orphan", "other")
    commit(tmp_path, {A: skill(2)})
    assert "shares no commit" in refused(tmp_path, "main")


def test_programs_named_in_the_repository_are_not_run(tmp_path: Path) -> None:
    trap = put(tmp_path / "trap", {"run": "#!/bin/sh\necho > sprung\n"}) / "run"
    trap.chmod(0o755)
    root = tmp_path / "taxonomy"
    base = commit(root, {A: skill(1), ".gitattributes": "* diff=trap\n"})
    for name in ("core.fsmonitor", "diff.external", "diff.trap.command", "diff.trap.textconv", "core.pager"):
        git(root, "config", name, str(trap))
    put(root, {A: skill(2)})
    assert new(root, base) == [A]
    assert not list(tmp_path.rglob("sprung"))


def test_no_such_folder(tmp_path: Path) -> None:
    put(tmp_path, {"file": ""})
    assert "folder not found" in refused(tmp_path / "gone", "empty")
    assert "is not a folder" in refused(tmp_path / "file", "HEAD")
    assert "folder not found" in refused(tmp_path / "a\0b", "HEAD")
    (finding,) = check([tmp_path / "gone"])
    assert (finding.rule, finding.path) == ("no-taxonomy", "")
    assert "knowledge" in finding.hint
    assert "File name too long" in refused(tmp_path / ("a" * 300), "HEAD")
    assert [found.rule for found in check([tmp_path / ("a" * 300)])] == ["no-taxonomy"]
    with pytest.raises(InputError, match="holds no leaf"):
        read_taxonomy(tmp_path, "empty")


@pytest.mark.parametrize("base", ["empty", "HEAD"])
def test_links_that_lead_out_are_refused(tmp_path: Path, base: str) -> None:
    put(tmp_path, {"secret/qna.yaml": "password: 1\n", "out.yaml": SKILL})
    root = tmp_path / "taxonomy"
    commit(root, {A: SKILL})
    (root / "knowledge").symlink_to("../secret")
    (root / "compositional_skills/inside").symlink_to("a")
    (root / "compositional_skills/b").mkdir()
    (root / B).symlink_to("../../../out.yaml")
    assert B not in new(root, base)
    with pytest.raises(InputError) as caught:
        read_taxonomy(root, base)
    assert {(f.rule, f.position.source) for f in caught.value.findings if f.position} == {
        ("outside-taxonomy", str(root / B)),
        ("outside-taxonomy", str(root / "knowledge")),
    }


def test_a_link_inside_the_taxonomy_is_no_second_leaf(tmp_path: Path) -> None:
    put(tmp_path, {A: SKILL})
    (tmp_path / "compositional_skills/b").symlink_to("a")
    assert [leaf.path for leaf in read_taxonomy(tmp_path, "empty")] == ["compositional_skills/a"]


def test_odd_files_are_findings(tmp_path: Path) -> None:
    put(tmp_path, {A: SKILL})
    (tmp_path / "knowledge/pipe").mkdir(parents=True)
    os.mkfifo(tmp_path / "knowledge/pipe/qna.yaml")
    (tmp_path / "knowledge/folder/qna.yaml").mkdir(parents=True)
    (tmp_path / "knowledge/gone").mkdir()
    (tmp_path / "knowledge/gone/qna.yaml").symlink_to("nothing")
    os.mkdir(os.fsencode(tmp_path / "knowledge") + b"/caf\xe9")
    Path(os.fsdecode(os.fsencode(tmp_path / "knowledge") + b"/caf\xe9/qna.yaml")).write_text(SKILL)
    found = {f.rule for f in check([tmp_path])}
    assert found == {"unreadable-file", "bad-name"}
    "\n".join(map(str, check([tmp_path]))).encode()


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "bell\x07", "c1\x9b"])
def test_names_cannot_break_what_is_shown(tmp_path: Path, name: str) -> None:
    put(tmp_path, {f"compositional_skills/{name}/qna.yaml": SKILL})
    (finding,) = check([tmp_path])
    assert finding.rule == "bad-name"
    assert all(line.isprintable() for line in str(finding).split("\n    hint: "))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_every_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    put(tmp_path, {A: SKILL, B: SKILL, C: SKILL})
    for file in (A, B):
        (tmp_path / file).parent.chmod(0)
    assert {found.rule for found in check([tmp_path / A])} == {"no-taxonomy"}
    assert [found.rule for found in check([tmp_path])] == ["unreadable-folder"] * 2
    for file in (A, B):
        (tmp_path / file).parent.chmod(0o700)


def test_paths_of_leaves_start_at_the_whole_taxonomy(tmp_path: Path) -> None:
    put(tmp_path, {A: SKILL, "knowledge/deep/er/qna.yaml": ""})
    file = tmp_path / "knowledge/deep/er/qna.yaml"
    for root in (tmp_path, tmp_path / "knowledge", file.parent):
        assert leaf_path(file, root) == "knowledge/deep/er"
    assert leaf_path(put(tmp_path / "x", {"qna.yaml": ""}) / "qna.yaml", tmp_path / "x") == "x"
