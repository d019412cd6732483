"""Reading pipeline and prompt files: those of the older ilab as they are, our own, and every way to get one wrong."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from textwrap import dedent, indent

import pytest

from ilab_cli.backends.generate.pipeline import Pipeline, load
from ilab_profiles import Finding, InputError
from ilab_profiles.models.generate import Generate

UPSTREAM = Path(__file__).parents[5] / "shared" / "upstream" / "pipelines" / "simple"
PROMPT = """\
system: You are a teacher.
introduction: Ask about {{ domain }}.
examples: |
  {{ icl_document }}
  {{ document }}
generation: Now ask.
start_tags: ["<q>", "<a>"]
end_tags: ["</q>", "</a>"]
"""
PIPELINE = """\
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config:
      config_path: prompt.yaml
      output_cols: [question, response]
"""


def write(folder: Path, pipeline: str = PIPELINE, prompt: str = PROMPT, name: str = "knowledge") -> str:
    (folder / f"{name}.yaml").write_text(dedent(pipeline), encoding="utf-8")
    (folder / "prompt.yaml").write_text(dedent(prompt), encoding="utf-8")
    return str(folder / f"{name}.yaml")


def indented(text: str) -> str:
    return indent(dedent(text), "  ")


def read(folder: Path, pipeline: str = PIPELINE, prompt: str = PROMPT) -> Pipeline:
    return load(write(folder, pipeline, prompt), "simple", Generate())["knowledge"]


def findings(folder: Path, pipeline: str = PIPELINE, prompt: str = PROMPT) -> list[Finding]:
    with pytest.raises(InputError) as refused:
        read(folder, pipeline, prompt)
    return [finding for finding in refused.value.findings if finding.severity == "error"]


def place(finding: Finding) -> str:
    assert finding.position
    return f"{Path(finding.position.source).name}:{finding.position.line}:{finding.position.column}"


@pytest.mark.parametrize("builtin", ["simple", "full"])
def test_our_own_are_without_findings(builtin: str) -> None:
    pipelines = load(None, builtin, Generate())  # type: ignore[arg-type]
    assert set(pipelines) == {"knowledge", "grounded", "freeform"}
    assert not any(pipeline.warnings for pipeline in pipelines.values())


def test_full_filters_what_simple_does_not() -> None:
    simple, full = load(None, "simple", Generate()), load(None, "full", Generate())
    for kind in simple:
        names = [block.name for block in full[kind].blocks]
        assert {"keep_faithful", "keep_relevant", "keep_well_formed"} < set(names)
        assert [block.name for block in simple[kind].blocks] == ["write_pairs"]


@pytest.mark.skipif(not UPSTREAM.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize("path", [UPSTREAM, UPSTREAM / "knowledge.yaml"])
def test_the_files_of_the_older_ilab_are_read_as_they_are(path: Path) -> None:
    pipelines = load(str(path), "full", Generate())
    assert [block.name for block in pipelines["knowledge"].blocks] == ["gen_knowledge"]
    assert pipelines["knowledge"].warnings == ()


def test_other_kinds_keep_the_builtin(tmp_path: Path) -> None:
    pipelines = load(write(tmp_path), "full", Generate())
    assert len(pipelines["knowledge"].blocks) == 1
    assert len(pipelines["freeform"].blocks) > 1


def test_a_file_of_another_name_serves_the_kinds_it_fits(tmp_path: Path) -> None:
    path = write(tmp_path, name="mine")
    pipelines = load(path, "full", Generate())
    assert pipelines["knowledge"].source == path
    assert pipelines["freeform"].source != path


def test_prompts_may_lie_in_a_folder_beside(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "configs" / "p.yaml").write_text(PROMPT, encoding="utf-8")
    text = PIPELINE.replace("prompt.yaml", "../configs/p.yaml")
    assert read(tmp_path / "pipelines", text).blocks[0].name == "ask"


WRONG = [
    ("type: LLMBlock", "type: LLMBlok", "unknown-block", "knowledge.yaml:4:11", "did you mean LLMBlock?"),
    ("config_path:", "config_pth:", "unknown-key", "knowledge.yaml:6:7", "did you mean config_path?"),
    ("prompt.yaml", "promt.yaml", "missing-file", "knowledge.yaml:6:20", ""),
    ("[question, response]", "[question, response, more]", "columns-disagree", "knowledge.yaml:7:20", ""),
    ("[question, response]", "[question, reply]", "no-question", "knowledge.yaml:2:1", ""),
    ("[question, response]", "7", "bad-value", "knowledge.yaml:7:20", ""),
    ("blocks:", "block_configs:", "unknown-key", "knowledge.yaml:2:1", "did you mean blocks?"),
    ('"1.0"', '"2.0"', "wrong-version", "knowledge.yaml:1:10", ""),
    ("name: ask", "nam: ask", "unknown-key", "knowledge.yaml:3:5", "did you mean name?"),
]


@pytest.mark.parametrize(("old", "new", "rule", "where", "hint"), WRONG)
def test_a_wrong_pipeline_is_a_finding_at_its_place(
    tmp_path: Path, old: str, new: str, rule: str, where: str, hint: str
) -> None:
    found = {finding.rule: finding for finding in findings(tmp_path, PIPELINE.replace(old, new))}
    assert rule in found
    assert place(found[rule]) == where
    assert hint in found[rule].hint


WRONG_PROMPT = [
    ("{{ document }}", "{{ documnt }}", "unknown-column", "prompt.yaml:5:6", "did you mean document?"),
    ("{{ domain }}", "{{ domain }", "wrong-template", "prompt.yaml:2:15", ""),
    ("{{ document }}", "{% if %}", "wrong-template", "prompt.yaml:5:3", ""),
    ("{{ document }}", "{% if 1 is defned %}{% endif %}", "wrong-template", "prompt.yaml:5:3", "did you mean defined?"),
    ("{{ document }}", "{{ 1 and 2 | uper }}", "wrong-template", "prompt.yaml:5:3", "did you mean upper?"),
    ("{{ document }}", "{{ 1 | zzz }}", "wrong-template", "prompt.yaml:5:3", "Jinja's own"),
    ("Now ask.", "\"{% include 'a' %}\"", "wrong-template", "prompt.yaml:6:13", "write here"),
    ("Now ask.", "\"{% extends 'a' %}\"", "wrong-template", "prompt.yaml:6:13", "write here"),
    ("{{ document }}", "{% import 'a' as a %}", "wrong-template", "prompt.yaml:5:3", "write here"),
    ("{{ document }}", "{% from 'a' import b %}", "wrong-template", "prompt.yaml:5:3", "write here"),
    ("introduction:", "introdution:", "unknown-key", "prompt.yaml:2:1", "did you mean introduction?"),
    ('end_tags: ["</q>", "</a>"]', 'end_tags: ["</q>"]', "tags-disagree", "prompt.yaml:8:1", ""),
    ("generation: Now ask.", "generation: [1]", "bad-value", "prompt.yaml:6:1", ""),
]


@pytest.mark.parametrize(("old", "new", "rule", "where", "hint"), WRONG_PROMPT)
def test_a_wrong_prompt_is_a_finding_at_its_place(
    tmp_path: Path, old: str, new: str, rule: str, where: str, hint: str
) -> None:
    found = {finding.rule: finding for finding in findings(tmp_path, prompt=PROMPT.replace(old, new))}
    assert rule in found
    assert place(found[rule]) == where
    assert hint in found[rule].hint


def test_every_finding_at_once(tmp_path: Path) -> None:
    text = PIPELINE + indented("""\
      - name: keep
        type: FilterByValueBlock
        config:
          filter_column: scre
          filter_value: abc
          operation: equals
          convert_dtype: float
      - name: rate
        type: LLMBlock
        config:
          config_path: prompt.yaml
          output_cols: [score]
          gen_kwargs: {temprature: 0, n: some}
          parser_kwargs: {parser_name: custom, parsing_pattern: "(("}
    """)
    rules = sorted(finding.rule for finding in findings(tmp_path, text, PROMPT.replace("document", "documnt")))
    assert rules == ["bad-value"] * 3 + ["unknown-column"] * 2 + ["unknown-key"]


def test_a_column_is_there_from_its_block_on(tmp_path: Path) -> None:
    text = PIPELINE + indented("""\
      - name: keep
        type: FilterByValueBlock
        config: {filter_column: scor, filter_value: 1, operation: eq}
      - name: copy
        type: DuplicateColumnsBlock
        config: {columns_map: {question: score}}
    """)
    (finding,) = findings(tmp_path, text)
    assert (finding.rule, place(finding)) == ("unknown-column", "knowledge.yaml:10:29")


def test_single_braces_of_older_prompts_are_columns(tmp_path: Path) -> None:
    pipeline = read(tmp_path, prompt=PROMPT.replace("{{ ", "{").replace(" }}", "}"))
    assert {warning.rule for warning in pipeline.warnings} == {"single-braces"}
    (finding,) = findings(tmp_path, prompt=PROMPT.replace("{{ ", "{").replace(" }}", "}").replace("{domain", "{dmain"))
    assert finding.hint == "did you mean domain?"


def test_what_has_no_effect_is_said(tmp_path: Path) -> None:
    text = PIPELINE + "      client: other\n      batch_kwargs: {batched: true}\ndatamixing: {}\nnotes: mine\n"
    assert sorted(warning.rule for warning in read(tmp_path, text).warnings) == [
        "not-used",
        "not-used",
        "one-teacher",
        "unknown-key",
    ]


def test_a_pipeline_may_import_another(tmp_path: Path) -> None:
    write(tmp_path, name="other")
    text = 'version: "1.0"\nblocks: [{name: all, type: ImportBlock, config: {path: %s}}]\n'
    assert [block.name for block in read(tmp_path, text % "other.yaml").blocks] == ["ask"]
    assert [finding.rule for finding in findings(tmp_path, text % "knowledge.yaml")] == ["imports-itself"]
    assert [finding.rule for finding in findings(tmp_path, text % "none.yaml")] == ["missing-file"]


VALUES = [None, -1, 1.5, "", "{{ a", "x", [], [1], {}, {"a": 1}, [["a"]], True, "../..", "\0", 10**30, "((", [None]]


def test_no_value_anywhere_brings_more_than_findings(tmp_path: Path) -> None:
    text = (
        PIPELINE + "      gen_kwargs: {n: 2}\n      parser_kwargs: {parser_name: custom, parsing_pattern: '(a)(b)'}\n"
    )
    for old in ('"1.0"', "ask", "LLMBlock", "prompt.yaml", "[question, response]", "{n: 2}", "custom", "'(a)(b)'"):
        for value in VALUES:
            path = write(tmp_path, text.replace(old, json.dumps(value), 1))
            with contextlib.suppress(InputError):
                load(path, "simple", Generate())
    for old in ("You are a teacher.", "Now ask.", '["<q>", "<a>"]', '"</q>"'):
        for value in VALUES:
            path = write(tmp_path, prompt=PROMPT.replace(old, json.dumps(value), 1))
            with contextlib.suppress(InputError):
                load(path, "simple", Generate())


@pytest.mark.parametrize("text", ["", "[]", "blocks: 3", "blocks: []", "version: '1.0'\nblocks: [3]", "a: [", "\x00"])
def test_what_is_no_pipeline_is_refused(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, text)


@pytest.mark.parametrize("text", ["", "[]", "system: ''", "start_tags: 3\nsystem: a", "start_tags: [[]]\nsystem: a"])
def test_what_is_no_prompt_is_refused(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, prompt=text)


def test_a_folder_without_pipelines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "knowlege.yaml").write_text(PIPELINE, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load(str(tmp_path), "simple", Generate())
    assert [finding.rule for finding in refused.value.findings] == ["unknown-pipeline-file", "no-pipeline-file"]


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean mixtral"):
        load(None, "simple", Generate(model_family="mixtrl"))
    with pytest.raises(InputError) as refused:
        read(tmp_path, PIPELINE + "      model_family: mixtrl\n")
    assert place(refused.value.findings[0]) == "knowledge.yaml:8:21"
