"""Taxonomies and repositories made on the spot, for tests."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

SKILL = "version: 3\ncreated_by: someone\ntask_description: Name a bird.\nseed_examples:\n" + "".join(
    f'  - question: Which bird is number {number}?\n    answer: "{number}"\n' for number in range(5)
)
GROUNDED = SKILL.replace("\n    answer", "\n    context: All birds have numbers.\n    answer")


def knowledge(
    repo: str = "https://example.org/birds.git", commit: str = "0123ABCDEF", patterns: str = '["*.md"]'
) -> str:
    """The ``qna.yaml`` of a knowledge leaf without any fault."""
    head = "version: 3\ncreated_by: someone\ndomain: birds\ndocument_outline: All about wrens.\n"
    source = f'document:\n  repo: {repo}\n  commit: "{commit}"\n  patterns: {patterns}\n'
    examples = "".join(
        f"  - context: Wren number {number}.\n    questions_and_answers:\n"
        + "".join(f"      - {{question: 'Which wren? {letter}', answer: Wren {number}}}\n" for letter in "abc")
        for number in range(5)
    )
    return f"{head}{source}seed_examples:\n{examples}"


def put(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files into a folder, which is returned."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Run git as some author, whatever the user's own settings are."""
    settings = (
        "user.name=someone",
        "user.email=someone@example.org",
        "commit.gpgsign=false",
        "init.defaultBranch=main",
    )
    command = ["git", *(part for setting in settings for part in ("-c", setting)), *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, files: Mapping[str, str | bytes]) -> str:
    """Add files to a repository, made if there is none yet, and return the hash of the commit."""
    put(folder, files)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "more")
    return git(folder, "rev-parse", "HEAD")
