"""Every finding of every file at its place, and leaves as plain data where there is none."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilab_cli.backends.generate.qna import Example, check, read_taxonomy
from ilab_cli.backends.generate.seeds import rows as rows_of
from ilab_profiles import Generate, InputError
from tests.ilab_cli.backends.generate.taxonomies import GROUNDED, SKILL, knowledge, put
from tests.programs import ilab_in

WRONG = Path(__file__).parent / "data" / "wrong"
SHARED = Path(__file__).parents[5] / "shared" / "taxonomy"
SKILL_FILE = "compositional_skills/birds/qna.yaml"
KNOWLEDGE_FILE = "knowledge/birds/qna.yaml"
SOUND = knowledge()


def found(root: Path) -> list[str]:
    """The findings of a taxonomy, one a line."""
    lines = []
    for finding in check([root]):
        assert finding.position
        place = f"{os.path.relpath(finding.position.source, root)}:{finding.position.line}:{finding.position.column}"
        lines.append(f"{place} {finding.severity} {finding.rule} {finding.path}".strip())
    return lines


def rules(folder: Path, name: str, text: str) -> list[str]:
    return [finding.rule for finding in check([put(folder, {name: text})])]


def test_every_finding_of_every_file_is_shown_at_its_place() -> None:
    expected = (WRONG.parent / "wrong.txt").read_text().splitlines()
    assert found(WRONG) == expected
    with pytest.raises(InputError) as caught:
        read_taxonomy(WRONG, "empty")
    assert list(caught.value.findings) == check([WRONG])


def test_hints_name_what_was_meant() -> None:
    shown = "\n".join(map(str, check([WRONG])))
    for hint in (
        "did you mean domain?",
        "did you mean answer?",
        "put it in quotes",
        "rename it to qna.yaml",
        "git rev-parse",
    ):
        assert hint in shown
    assert "first in line" not in shown
    assert "\n    domian: animals\n    ^" in shown


def test_a_knowledge_leaf(tmp_path: Path) -> None:
    (leaf,) = read_taxonomy(put(tmp_path, {KNOWLEDGE_FILE: SOUND}), "empty")
    assert (leaf.path, leaf.kind, leaf.domain, leaf.created_by) == ("knowledge/birds", "knowledge", "birds", "someone")
    assert leaf.document
    assert (leaf.document.commit, leaf.document.patterns) == ("0123abcdef", ("*.md",))
    assert leaf.document.places["repo"].line == 6
    pairs = tuple((f"Which wren? {letter}", "Wren 0") for letter in "abc")
    assert leaf.examples[0] == Example("Wren number 0.", pairs)
    assert pickle.loads(pickle.dumps(leaf)) == leaf


def test_skills_and_their_kinds(tmp_path: Path) -> None:
    put(tmp_path, {SKILL_FILE: SKILL, "foundational_skills/x/y/qna.yaml": GROUNDED})
    free, grounded = read_taxonomy(tmp_path, "empty")
    assert (free.kind, free.task_description, free.document) == ("freeform", "Name a bird.", None)
    assert free.examples[1] == Example("", (("Which bird is number 1?", "1"),))
    assert (grounded.kind, grounded.examples[0].context) == ("grounded", "All birds have numbers.")


@pytest.mark.parametrize("version", ["version: 1\n", "version: 2\n", "version: 3\n", ""])
@pytest.mark.parametrize("examples", [0, 1, 5])
def test_older_versions_of_skills(tmp_path: Path, version: str, examples: int) -> None:
    head, *rest = SKILL.replace("version: 3\n", version).split("  - ")
    text = "  - ".join([head, *rest[:examples]])
    if not examples:
        text = text.rstrip() + " []\n"
    findings = check([put(tmp_path, {SKILL_FILE: text})])
    few_will_do = "1" in version or not version
    expected = [] if examples == 5 else ["warning" if few_will_do and examples else "error"]
    assert [finding.severity for finding in findings] == expected


@pytest.mark.parametrize("version", ["version: 1\n", "version: 2\n", ""])
def test_older_versions_of_knowledge_are_refused_with_the_way_to_the_newest(tmp_path: Path, version: str) -> None:
    text = SOUND.replace("version: 3\n", f"{version}task_description: Teach about birds.\n")
    (finding,) = check([put(tmp_path, {KNOWLEDGE_FILE: text})])
    assert (finding.rule, finding.severity, "version: 3" in finding.hint) == ("old-version", "error", True)


@pytest.mark.parametrize("empty", ["''", "'  '", ""])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_skill_without_a_description_goes_by_the_names_of_its_folders(
    tmp_path: Path, version: int, empty: str
) -> None:
    text = SKILL.replace("version: 3", f"version: {version}").replace("Name a bird.", empty)
    root = put(tmp_path, {"compositional_skills/naming/a_bird/qna.yaml": text})
    (finding,) = check([root])
    assert (finding.rule, finding.severity) == ("no-description", "warning")
    (leaf,) = read_taxonomy(root, "empty")
    assert {row["task_description"] for row in rows_of(leaf, None, Generate())} == {"naming, a bird"}
    missing = text.replace(f"task_description: {empty}\n", "")
    assert rules(tmp_path / "other", SKILL_FILE, missing) == ["missing-key"]


def test_a_seed_example_that_is_written_twice_counts_once(tmp_path: Path) -> None:
    again = '  - question: Which bird is number 3?\n    answer: "3"\n'
    root = put(tmp_path, {SKILL_FILE: SKILL + again})
    (finding,) = check([root])
    assert (finding.rule, finding.severity) == ("repeated-example", "warning")
    assert len(read_taxonomy(root, "empty")[0].examples) == 5


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [(SKILL_FILE, SOUND, "move it below knowledge"), (KNOWLEDGE_FILE, SKILL, "move it below compositional_skills")],
)
def test_a_leaf_in_the_folder_of_another_kind(tmp_path: Path, name: str, text: str, hint: str) -> None:
    (finding,) = check([put(tmp_path, {name: text})])
    assert (finding.rule, finding.hint) == ("wrong-folder", hint)
    assert rules(tmp_path, name, f"{text}more: x\n") == ["wrong-folder", "unknown-key"]


@pytest.mark.parametrize("version", ["0", "4", "-1", "33"])
def test_versions_that_there_are_not(tmp_path: Path, version: str) -> None:
    assert rules(tmp_path, SKILL_FILE, SKILL.replace("version: 3", f"version: {version}")) == ["unknown-version"]


@pytest.mark.parametrize("version", ["'3'", "3.0", "true", "[3]", "three", "2024-01-01"])
def test_versions_that_are_no_numbers(tmp_path: Path, version: str) -> None:
    assert "bad-value" in rules(tmp_path, SKILL_FILE, SKILL.replace("version: 3", f"version: {version}"))


@pytest.mark.parametrize(
    ("line", "instead", "rule"),
    [
        ("  repo: https://example.org/birds.git\n", "", "missing-key"),
        ('  commit: "0123ABCDEF"\n', "", "missing-key"),
        ('commit: "0123ABCDEF"', "commit: 1234567", "bad-value"),
        ('commit: "0123ABCDEF"', "commit: abc", "bad-commit"),
        ('commit: "0123ABCDEF"', "commit: v1.0", "bad-commit"),
        ('patterns: ["*.md"]', "patterns: []", "bad-value"),
        ('patterns: ["*.md"]', 'patterns: "*.md"', "bad-value"),
        ('patterns: ["*.md"]', "patterns: [/etc/passwd]", "outside-repository"),
        ('patterns: ["*.md"]', "patterns: [a/../../b.md]", "outside-repository"),
        ('patterns: ["*.md"]', "patterns: ['a\\..\\b.md']", "outside-repository"),
        ('patterns: ["*.md"]', "pattern: ['*.md']", "unknown-key"),
        ("repo: https://example.org/birds.git", "repo: ftp://example.org/birds", "bad-repository"),
        ("repo: https://example.org/birds.git", "repo: HTTPS://example.org/birds", "bad-repository"),
        ("repo: https://example.org/birds.git", 'repo: "/birds\\0"', "bad-repository"),
        ("repo: https://example.org/birds.git", "repo: --upload-pack=touch", "bad-repository"),
        ("document_outline: All about wrens.\n", "", "missing-key"),
        ("domain: birds", "domain:", "bad-value"),
        ("domain: birds", "domain: [birds]", "bad-value"),
        ("domain: birds", "domain: birds\ndomain: birds", "duplicate-key"),
        ("context: Wren number 3.", "context: '   '", "bad-value"),
        ("context: Wren number 3.", "text: Wren", "unknown-key"),
        ("answer: Wren 3", "answer: 3", "bad-value"),
    ],
)
def test_what_is_wrong_with_knowledge(tmp_path: Path, line: str, instead: str, rule: str) -> None:
    assert line in SOUND
    findings = check([put(tmp_path, {KNOWLEDGE_FILE: SOUND.replace(line, instead)})])
    assert rule in {finding.rule for finding in findings}
    assert all(finding.position and finding.position.line and finding.severity == "error" for finding in findings)


@pytest.mark.parametrize("commit", ["0123456", "123e4567", "true"])
def test_a_commit_without_quotes_may_be_no_text(tmp_path: Path, commit: str) -> None:
    (finding,) = check([put(tmp_path, {KNOWLEDGE_FILE: SOUND.replace('"0123ABCDEF"', commit)})])
    assert finding.message == f"must be text, not {'true or false' if commit == 'true' else 'a number'}"
    assert finding.hint == "put it in quotes"
    assert commit in finding.line_text


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "- a list\n", "just text", "\tx: 1\n", "a: 'open\n", "\0", "a: [" * 200]
)
def test_what_is_no_leaf_at_all(tmp_path: Path, text: str) -> None:
    (finding,) = check([put(tmp_path, {SKILL_FILE: text})])
    assert finding.severity == "error"


KEYS = ["version", "created_by", "domain", "document", "repo", "commit", "patterns", "document_outline", "x"]
KEYS += ["task_description", "seed_examples", "context", "questions_and_answers", "question", "answer"]
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["a", "../a"])
    ),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.sampled_from([SKILL_FILE, KNOWLEDGE_FILE, "x/y/qna.yaml"]))
def test_no_data_break_the_check(data: dict[str, Any], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        findings = check([put(Path(folder), {name: json.dumps(data)})])
    assert all(finding.position and finding.position.line for finding in findings)
    assert findings


def test_other_encodings(tmp_path: Path) -> None:
    skill = SKILL.replace("Name a bird", "Name a bird: für Vögel".replace(": ", ", "))
    for text in (skill.encode(), skill.encode("utf-8-sig"), skill.encode("utf-16")):
        (leaf,) = read_taxonomy(put(tmp_path, {SKILL_FILE: text}), "empty")
        assert leaf.task_description == "Name a bird, für Vögel."
    put(tmp_path, {SKILL_FILE: skill.encode("latin-1")})
    assert found(tmp_path) == [f"{SKILL_FILE}:3:1 error not-text"]


def test_a_skill_need_not_have_three_questions_for_a_context(tmp_path: Path) -> None:
    mistaken = "  - question: q\n    answer: a\n    questions_and_answers: []\n"
    assert rules(tmp_path, SKILL_FILE, SKILL + mistaken) == ["unknown-key"]


def test_the_same_leaf_twice(tmp_path: Path) -> None:
    put(
        tmp_path,
        {SKILL_FILE: SKILL, "compositional_skills/birds/qna.yml": SKILL, "compositional_skills/copy/qna.yaml": SKILL},
    )
    assert [(f.rule, f.severity) for f in check([tmp_path])] == [
        ("misnamed-leaf", "error"),
        ("duplicate-leaf", "error"),
        ("duplicate-leaf", "warning"),
    ]


@pytest.mark.skipif(os.path.exists(__file__.upper()), reason="names differ by more than case here")
def test_leaves_that_only_case_tells_apart(tmp_path: Path) -> None:
    put(tmp_path, {"knowledge/Birds/qna.yaml": SOUND, "knowledge/birds/qna.yaml": SOUND + "\n"})
    (finding,) = check([tmp_path])
    assert (finding.rule, finding.severity) == ("duplicate-leaf", "error")


def test_single_files_and_parts_of_a_taxonomy(tmp_path: Path) -> None:
    put(tmp_path, {SKILL_FILE: SKILL, KNOWLEDGE_FILE: "", "compositional_skills/birds/README.md": ""})
    assert check([tmp_path / SKILL_FILE, tmp_path / "compositional_skills"]) == []
    assert [f.rule for f in check([tmp_path / "knowledge", tmp_path / KNOWLEDGE_FILE])] == ["empty-file"]
    assert "misnamed-leaf" in {f.rule for f in check([tmp_path / "compositional_skills/birds/README.md"])}
    assert [f.rule for f in check([put(tmp_path / "nothing", {"x.txt": ""})])] == ["no-leaf"]


def test_outside_of_the_known_folders_the_content_tells(tmp_path: Path) -> None:
    put(tmp_path, {"mine/a/qna.yaml": SOUND, "mine/b/qna.yaml": GROUNDED, "mine/pipeline.yaml": "x: 1\n"})
    assert [(leaf.path, leaf.kind) for leaf in read_taxonomy(tmp_path, "empty")] == [
        ("mine/a", "knowledge"),
        ("mine/b", "grounded"),
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real taxonomy is not here")
def test_a_real_taxonomy() -> None:
    kinds = [leaf.kind for leaf in read_taxonomy(SHARED, "empty")]
    assert [kinds.count(kind) for kind in ("knowledge", "grounded", "freeform")] == [1, 1, 9]
    assert {(f.rule, f.severity) for f in check([SHARED])} == {("few-examples", "warning")}


def test_other_programs_read_the_findings_in_their_own_form(tmp_path: Path) -> None:
    ilab = ilab_in(tmp_path)
    put(tmp_path, {SKILL_FILE: SKILL.replace("task_description", "task_descripton")})
    done = ilab("data", "validate", ".", "--format", "json")
    (finding,) = json.loads(done.stdout)
    assert (done.returncode, finding["rule"], finding["position"]["line"]) == (2, "unknown-key", 3)
    assert ilab("data", "validate", ".", "--format", "github").stdout.startswith("::error file=")
    put(tmp_path, {SKILL_FILE: SKILL})
    sound = ilab("data", "validate", ".", "--format", "json")
    assert (sound.returncode, json.loads(sound.stdout)) == (0, [])
