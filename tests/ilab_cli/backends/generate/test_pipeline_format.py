"""The rarer things that files of the older format hold: they mean here what they meant there, or are findings."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ilab_cli.backends.generate.pipeline import load
from ilab_profiles import Finding, InputError
from ilab_profiles.models.generate import Generate
from tests.ilab_cli.backends.generate.test_pipeline_run import ALL, KNOWLEDGE, TAGS, Teacher, ask, column_block, run

PAIR = "<q>1?</q><a>one</a>"


def user(teacher: Teacher, number: int = 0) -> str:
    """The last message of a request."""
    return str(teacher.requests[number][0].body["messages"][-1]["content"])


def findings(folder: Path, blocks: str, prompt: str = ALL, **settings: object) -> list[Finding]:
    (folder / "knowledge.yaml").write_text(f'version: "1.0"\nblocks:\n{blocks}', encoding="utf-8")
    (folder / "p.yaml").write_text(prompt, encoding="utf-8")
    try:
        given = Generate.model_validate(settings)
        return list(load(str(folder / "knowledge.yaml"), "simple", given)["knowledge"].warnings)
    except InputError as error:
        return list(error.findings)


def test_num_samples_of_a_block_is_a_column_from_there_on(tmp_path: Path) -> None:
    prompt = "generation: 'Write {{ num_samples }}'\n"
    blocks = ask(more="batch_kwargs: {num_samples: 5}") + ask("more", name="again")
    blocks += column_block("CombineColumns", "{columns: [num_samples, output], output_col: output}")
    teacher = Teacher(ask=["Why? So."], again=["Yes."])
    rows, _ = run(tmp_path, blocks, teacher, prompt=prompt)
    assert [user(teacher, number) for number in (0, 1)] == ["Write 5", "Write 5"]
    assert rows[0]["question"].startswith("5")
    dropped = ask(more="batch_kwargs: {num_samples: 5}") + "  drop_columns: [num_samples]\n" + ask("more", name="again")
    run(tmp_path, dropped, teacher, prompt=prompt, settings=Generate(num_samples=8))
    assert user(teacher, 3) == "Write 8"


ACROSS = [
    ("{% set who = 'Ann' %}I am {{ who }}.", "{{ who }} asks.", "I am Ann.", "Ann asks."),
    ("{% if domain %}Hello", "Go on.{% endif %}", "Hello", "Go on."),
    ("Hello{# begins", "and ends #} there", "", "Hello there"),
]


@pytest.mark.parametrize(("system", "generation", "first", "second"), ACROSS)
def test_templates_go_across_the_sections(
    tmp_path: Path, system: str, generation: str, first: str, second: str
) -> None:
    teacher = Teacher(ask=["Why? So."])
    prompt = f'system: "{system}"\ngeneration: "{generation}"\n'
    run(tmp_path, ask(), teacher, settings=Generate(model_family="llama"), prompt=prompt)
    contents = [message["content"] for message in teacher.requests[0][0].body["messages"]]
    assert contents == ([first] if first else []) + [second]


def test_two_braces_are_one_where_columns_have_one(tmp_path: Path) -> None:
    teacher = Teacher(ask=["Why? So."])
    prompt = 'generation: |\n  Answer as {{"birds": [1]}} or {}.\n  {document}\n'
    run(tmp_path, ask(), teacher, prompt=prompt)
    assert user(teacher) == 'Answer as {"birds": [1]} or {}.\nTits are small birds.'


PATTERNS = [
    ("Q(.*?)A(.*?)(X|$)", "question, response", "Q1?A one", [{"question": "1?", "response": "one"}], {}),
    ("(?:W(.*?))?Q(.*?)A(.*)", "why, question, response", "Q1?A one", [{"why": "", "question": "1?"}], {}),
    ("(.*)", "output", "1? one", [{"question": "1?", "response": "one"}], {}),
    ("Q(.*?)A(.*?)(?=Q|$)", "question, response", "Q1?A one Q2?A two and…", [{"question": "1?"}], {"long": 1}),
    ("Q(.*?)A(.*?)(?=Q|$)", "question, response", "Q1?A", [], {"missing": 1}),
]


@pytest.mark.parametrize(("pattern", "columns", "said", "expected", "counted"), PATTERNS)
def test_a_pattern_gives_what_its_groups_hold(
    tmp_path: Path, pattern: str, columns: str, said: str, expected: list[dict[str, str]], counted: dict[str, int]
) -> None:
    more = f"parser_kwargs: {{parser_name: custom, parsing_pattern: '{pattern}'}}"
    rows, rejected = run(tmp_path, ask(columns, more), Teacher(ask=[said]))
    assert [wanted | row for row, wanted in zip(rows, expected, strict=True)] == rows
    reasons = {"long": "ask: the answer is longer than max_tokens", "missing": "ask: part of an answer is missing"}
    assert rejected == {reasons[name]: number for name, number in counted.items()}


def test_an_open_tag_of_an_answer_that_is_cut_off_gives_nothing(tmp_path: Path) -> None:
    prompt = ALL + "start_tags: ['Q:', 'A:']\nend_tags: ['A', '']\n"
    rows, rejected = run(tmp_path, ask("question, response"), Teacher(ask=["Q:1?A: on…", "Q:2?A: two"]), prompt=prompt)
    assert rejected["ask: part of an answer is missing"] == len(rows) == 1


def test_an_import_drops_columns_and_duplicates(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(f'version: "1.0"\nblocks:\n{ask("question, response")}', encoding="utf-8")
    blocks = "- name: other\n  type: ImportBlock\n  config: {path: other.yaml}\n"
    blocks += "  drop_duplicates: [question]\n  drop_columns: [domain]\n"
    rows, rejected = run(tmp_path, blocks, Teacher(ask=[PAIR + "<q>1?</q><a>two</a>"]), prompt=TAGS)
    assert [row["response"] for row in rows] == ["one"]
    assert rejected == {"other: duplicate question": 1}
    assert "domain" not in rows[0]
    (finding,) = findings(tmp_path, blocks + column_block("DuplicateColumns", "{columns_map: {domain: d}}"), TAGS)
    assert finding.rule == "unknown-column"


def test_a_row_keeps_its_key(tmp_path: Path) -> None:
    blocks = ask("question, response") + "  drop_columns: [row_key, leaf, kind]\n" + ask("judge", name="again")
    teacher = Teacher(ask=[PAIR + "<q>2?</q><a>two</a>"], again=["<q>x</q>"])
    rows, _ = run(tmp_path, blocks, teacher, prompt=TAGS)
    assert len({row["row_key"] for row in rows}) == 2


def test_choices_may_be_numbers(tmp_path: Path) -> None:
    config = "{config_paths: [[p.yaml, 1], [p.yaml, 2]], selector_column_name: domain, output_cols: [output]}"
    teacher = Teacher(ask=["Why? So."])
    run(tmp_path, f"- name: ask\n  type: ConditionalLLMBlock\n  config: {config}\n", teacher, KNOWLEDGE | {"domain": 2})
    select = "{choice_map: {1: document, 2: icl_document}, choice_col: domain, output_col: question}"
    blocks = column_block("Selector", select) + ask("response")
    rows, _ = run(tmp_path, blocks, teacher, KNOWLEDGE | {"domain": 2})
    assert rows[0]["question"] == "Crows are black."
    assert len(teacher.requests) == 2


def test_a_text_is_one_message(tmp_path: Path) -> None:
    blocks = "- name: ask\n  type: LLMMessagesBlock\n  config: {input_col: document, output_col: output}\n"
    run(tmp_path, blocks, (teacher := Teacher(ask=["A? B."])))
    assert teacher.requests[0][0].body["messages"] == [{"role": "user", "content": "Tits are small birds."}]


def test_several_answers_in_one_column_are_no_pair(tmp_path: Path) -> None:
    config = "{input_col: document, output_col: output, gen_kwargs: {n: 2}}"
    blocks = f"- name: ask\n  type: LLMMessagesBlock\n  config: {config}\n"
    rows, rejected = run(tmp_path, blocks, Teacher(ask=["A? B.", "C? D."]))
    assert (rows, rejected) == ([], {"no question and answer found": 1})


def test_a_majority_may_be_one_of_lists(tmp_path: Path) -> None:
    config = "{input_col: document, output_col: several, gen_kwargs: {n: 2}}"
    blocks = ask("question, response") + f"- name: more\n  type: LLMMessagesBlock\n  config: {config}\n"
    blocks += column_block("SetToMajorityValue", "{col_name: several}")
    rows, _ = run(tmp_path, blocks, Teacher(ask=[PAIR + "<q>2?</q><a>two</a>"], more=["A", "B"]), prompt=TAGS)
    assert [row["several"] for row in rows] == [["A", "B"]] * 2


@pytest.mark.parametrize("nothing", ["", " false", " null", " []"])
def test_nothing_to_drop_may_be_said(tmp_path: Path, nothing: str) -> None:
    blocks = ask() + f"  drop_duplicates:{nothing}\n  drop_columns:{nothing}\n"
    rows, _ = run(tmp_path, blocks, Teacher(ask=["A? B."]))
    assert len(rows) == 1


ITER = "- name: it\n  type: IterBlock\n  config: {num_iters: 2, block_type: %s}\n"
NUMBER = "- name: f\n  type: FilterByValueBlock\n  config: {filter_column: output, filter_value: 2, operation: eq}\n"
CHOICES = """\
- name: ask
  type: ConditionalLLMBlock
  config: {config_paths: [[p.yaml, a]], selector_column_name: domain, output_cols: [output]}
"""
OLD = "- block_type: LLMBlock\n  block_config: {block_name: a}\n"
FOUND = [
    (ask(more="model_prompt: '{{ promt }}'"), "bad-value", "'promt' is undefined", ""),
    (ask(more="model_prompt: '[INST] {promt}'"), "bad-value", "must contain the prompt", ""),
    (ask().replace("p.yaml", "q.yaml"), "missing-file", "q.yaml", "did you mean p.yaml?"),
    (ask().replace("p.yaml", "x/q.yaml"), "missing-file", "q.yaml", "beside the pipeline file"),
    (ask().replace("[output]", "output"), "bad-value", "output_cols", "write a list"),
    (
        ask().replace(", output_cols: [output]", ""),
        "missing-key",
        "output_cols",
        "needed keys: output_cols, config_path",
    ),
    (ask() + "  drop_duplicates: [outptu]\n", "unknown-column", "outptu", "did you mean output?"),
    (ask(more="parser_kwargs: {parsing_pattern: '(a)'}"), "not-used", "read by tags", "parser_name: custom"),
    (ITER % "ImportBlock", "unknown-block", "ImportBlock cannot be repeated", "known types: LLMBlock"),
    (ITER % "SetToMajorityValueBlock", "unknown-block", "cannot be repeated", "known types: LLMBlock"),
    (ask() + NUMBER, "text-and-number", "no text is equal", "convert_dtype: float"),
    (NUMBER.replace("2,", ".inf, convert_dtype: int,"), "bad-value", "inf", "convert_dtype"),
    (CHOICES.replace("{", "{config_path: q.yaml, "), "unknown-key", "config_path", "did you mean config_paths?"),
    (
        ask(more="gen_kwargs: {top_k: 5}"),
        "unknown-key",
        "top_k",
        "extra_body",
    ),
    (ask(more="gen_kwargs: {repetition_penalty: 1.1}"), "unknown-key", "repetition_penalty", "extra_body"),
    (ask(more="gen_kwargs: {best_of: 3}"), "unknown-key", "best_of", "extra_body"),
    (ask(more="gen_kwargs: {timeout: 3}"), "unknown-key", "timeout", "known keys: n, "),
    (ask(more="gen_kwargs: {extra_body: {seed: abc}}"), "bad-value", "gen_kwargs.extra_body.seed", ""),
    (OLD, "unknown-key", "block_type", "did you mean type?"),
    (OLD, "unknown-key", "block_config", "did you mean config?"),
]


@pytest.mark.parametrize(("blocks", "rule", "message", "hint"), FOUND)
def test_what_cannot_work_is_found_with_a_hint(tmp_path: Path, blocks: str, rule: str, message: str, hint: str) -> None:
    every = findings(tmp_path, blocks, raw_prompts=True)
    matching = [finding for finding in every if finding.rule == rule and message in str(finding)]
    assert [hint in finding.hint for finding in matching] == [True]
    assert all(finding.position and finding.position.column for finding in every)


def test_a_pipeline_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        load(str(tmp_path / "simple"), "simple", Generate())
    (finding,) = refused.value.findings
    assert (finding.rule, finding.path) == ("missing-file", "generate.config")
    assert "generate.pipeline" in finding.hint


def test_gen_kwargs_may_stand_beside_the_config(tmp_path: Path) -> None:
    teacher = Teacher(ask=["A? B."])
    run(tmp_path, ask(more="gen_kwargs: {max_tokens: 7}") + "  gen_kwargs: {max_tokens: 9, top_p: 0.5}\n", teacher)
    assert (teacher.requests[0][0].body["max_tokens"], teacher.requests[0][0].body["top_p"]) == (7, 0.5)
    for own in ("3", "{n: 1}"):
        wrong = ask(more=f"gen_kwargs: {own}") + "  gen_kwargs: {max_tokens: lots, temprature: 1}\n"
        rules = {finding.rule: finding for finding in findings(tmp_path, wrong)}
        assert {"bad-value", "unknown-key"} <= set(rules)
        position = rules["unknown-key"].position
        assert position
        assert (position.line, position.column) == (6, 34)
        assert rules["unknown-key"].hint == "did you mean temperature?"


def test_a_reason_tells_the_value_as_it_is_written(tmp_path: Path) -> None:
    config = "{filter_column: output, filter_value: ['YES', 'Yes', 'Sure'], operation: eq}"
    _, rejected = run(tmp_path, ask() + column_block("FilterByValue", config), Teacher(ask=["yes"]))
    assert rejected == {"step: output is not YES or Sure": 1}


def test_an_answer_of_nothing_but_lines_takes_no_time(tmp_path: Path) -> None:
    pattern = r"\[Q\]\s*(.*?)\s*\[A\]\s*(.*?)\s*(?=\[Q\]|$)"
    more = f"parser_kwargs: {{parser_name: custom, parsing_pattern: '{pattern}'}}"
    begun = time.process_time()
    rows, _ = run(
        tmp_path, ask("question, response", more), Teacher(ask=["[Q] 1? [A] one [Q] 2" + "\n" * 20_000 + "x"])
    )
    assert [row["response"] for row in rows] == ["one"]
    assert time.process_time() - begun < 5


def test_a_file_that_is_not_there_hides_no_columns(tmp_path: Path) -> None:
    blocks = column_block("SamplePopulator", "{config_paths: [birds.yaml], column_name: domain}")
    blocks += column_block("CombineColumns", "{columns: [note, document], output_col: output}")
    assert [finding.rule for finding in findings(tmp_path, blocks)] == ["missing-file"]
