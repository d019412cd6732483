"""Rows through pipelines: what is sent, what is made of the answers, and what is counted as rejected."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.client.requests import Answer, EndpointFailed, Refused, Request
from ilab_cli.backends.generate.pipeline import Row, load
from ilab_cli.backends.generate.pipeline.families import FAMILIES, PLAIN, family_of
from ilab_profiles import InputError
from ilab_profiles.models.generate import Generate

KNOWLEDGE: Row = {
    "leaf": "knowledge/birds",
    "kind": "knowledge",
    "domain": "birds",
    "document_outline": "On tits",
    "document": "Tits are small birds.",
    "icl_document": "Crows are black.",
    **{f"icl_{part}_{number}": f"{part} {number}" for part in ("query", "response") for number in (1, 2, 3)},
}
SKILL: Row = {
    "leaf": "skills/rhymes",
    "kind": "grounded",
    "task_description": "Make rhymes",
    "seed_context": "A cat.",
    "seed_question": "What rhymes?",
    "seed_response": "A hat.",
}
ALL = "system: Hello\ngeneration: '{{ document }}'\n"


class Teacher:
    """Answers with what it is given, one list for each block, and remembers what it was asked."""

    def __init__(self, **answers: Sequence[str | Refused] | Exception | Callable[[Request], str]) -> None:
        self.answers = answers
        self.requests: list[tuple[Request, int]] = []

    async def __call__(self, request: Request, samples: int) -> list[Answer | Refused]:
        self.requests.append((request, samples))
        await asyncio.sleep(0)
        given = self.answers[request.block]
        if isinstance(given, Exception):
            raise given
        texts = [given(request)] if callable(given) else given
        return [
            text
            if isinstance(text, Refused)
            else Answer(text.removesuffix("…"), "length" if text[-1:] == "…" else "stop")
            for text in texts
        ]


def run(
    folder: Path,
    blocks: str,
    teacher: Teacher,
    row: Row = KNOWLEDGE,
    settings: Generate | None = None,
    prompt: str = ALL,
) -> tuple[list[Row], Counter[str]]:
    (folder / "knowledge.yaml").write_text(f'version: "1.0"\nblocks:\n{blocks}', encoding="utf-8")
    (folder / "p.yaml").write_text(prompt, encoding="utf-8")
    pipeline = load(str(folder / "knowledge.yaml"), "simple", settings or Generate())["knowledge"]
    return asyncio.run(pipeline.run(row, teacher))


def ask(columns: str = "output", more: str = "", name: str = "ask", kind: str = "LLMBlock") -> str:
    head = f"- name: {name}\n  type: {kind}\n  config: {{config_path: p.yaml, output_cols: [{columns}]"
    return f"{head}{', ' + more if more else ''}}}\n"


def column_block(kind: str, config: str, more: str = "") -> str:
    return f"- name: step\n  type: {kind}Block\n  config: {config}\n{more}"


def test_a_request_holds_messages_and_settings(tmp_path: Path) -> None:
    teacher = Teacher(ask=["Why? So."])
    more = "gen_kwargs: {max_tokens: 7, temperature: 0.3, top_p: 0.9, user: me, extra_body: {top_k: 5}}"
    run(tmp_path, ask(more=more), teacher, settings=Generate(model_family="llama"))
    ((request, samples),) = teacher.requests
    assert samples == 1
    assert request.body["messages"] == [
        {"role": "system", "content": "Hello"},
        {"role": "user", "content": "Tits are small birds."},
    ]
    sent = {key: request.body[key] for key in ("max_tokens", "temperature", "top_p", "user", "top_k")}
    assert sent == {"max_tokens": 7, "temperature": 0.3, "top_p": 0.9, "user": "me", "top_k": 5}


def test_settings_of_the_profile_are_sent(tmp_path: Path) -> None:
    settings = Generate(num_samples=7, temperature=0.4, max_tokens=99, seed=3)
    teacher = Teacher(ask=["Why? So."])
    run(tmp_path, ask(more="gen_kwargs: {n: scaled, temperature: profile}"), teacher, settings=settings)
    run(tmp_path, ask(more="gen_kwargs: {n: scaled}"), teacher, settings=settings)
    run(tmp_path, ask(), teacher, settings=Generate(seed=4))
    (first, several), (_, _), (third, one) = teacher.requests
    assert (several, first.body["max_tokens"], first.body["temperature"]) == (7, 99, 0.4)
    assert teacher.requests[1][0].body["temperature"] == 0.4  # seven samples at temperature 0 would be the same one
    assert (one, third.body["temperature"]) == (1, 0)
    assert first.body["seed"] != third.body["seed"]


@pytest.mark.parametrize(("builtin", "kind"), [("simple", "knowledge"), ("simple", "freeform"), ("full", "freeform")])
def test_num_samples_changes_what_our_prompts_ask_for(builtin: Any, kind: str) -> None:
    pipeline = load(None, builtin, Generate(num_samples=17))[kind]
    teacher = Teacher(write_pairs=["none"], write_questions=["none"])
    asyncio.run(pipeline.run(KNOWLEDGE | SKILL, teacher))
    assert "write 17 new" in teacher.requests[0][0].body["messages"][-1]["content"]


def test_num_grounded_questions_changes_what_our_prompts_ask_for() -> None:
    for builtin, number in (("simple", 0), ("full", 1)):
        pipeline = load(None, builtin, Generate(num_grounded_questions=9))["grounded"]  # type: ignore[arg-type]
        teacher = Teacher(
            write_pairs=[""], write_contexts=["<context>\nA dog.\n</context>"], write_questions=["nothing"]
        )
        asyncio.run(pipeline.run(SKILL, teacher))
        assert "write 9 " in teacher.requests[number][0].body["messages"][-1]["content"]


def test_the_family_decides_the_raw_prompt_and_the_system_role(tmp_path: Path) -> None:
    teacher = Teacher(ask=["Why? So."])
    for family in ("mixtral", "llama", "granite", "qwen"):
        run(tmp_path, ask(), teacher, settings=Generate(model_family=family, raw_prompts=True))
    prompts = [request.body["prompt"] for request, _ in teacher.requests]
    assert prompts[0] == "[INST] Hello\n\nTits are small birds. [/INST]"
    assert prompts[1].startswith("<|start_header_id|>system<|end_header_id|>\n\nHello<|eot_id|>")
    assert prompts[2] == "<|system|>\nHello\n<|user|>\nTits are small birds.\n<|assistant|>\n"
    assert prompts[3].endswith("<|im_start|>assistant\n")
    assert teacher.requests[3][0].body["stop"] == ["<|im_end|>"]
    run(tmp_path, ask(), teacher, settings=Generate(model_family="mixtral"))
    assert teacher.requests[-1][0].body["messages"] == [{"role": "user", "content": "Hello\n\nTits are small birds."}]
    run(tmp_path, ask(), teacher, settings=Generate(model="Qwen2.5-7B-Instruct", raw_prompts=True))
    assert teacher.requests[-1][0].body["prompt"] == prompts[3]


RAW = [
    ("<s> {prompt} </s>", "<s> Hello\nTits are small birds. </s>"),
    ("<s> {{ prompt }} </s>", "<s> Hello\nTits are small birds. </s>"),
    ("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", "<user>Hello\nTits are small birds."),
    ("", "Hello\nTits are small birds."),
]


NAMES = [
    ("Qwen2.5-7B-Instruct", "qwen"),
    ("models/granite-7b-lab", "granite"),
    ("ibm/granite-3.1-8b-instruct", "granite3"),
    ("Meta-Llama-3-8B", "llama"),
    ("Llama-2-7b", "llama2"),
    ("dolphin", None),
    (None, None),
]


@pytest.mark.parametrize(("model", "family"), NAMES)
def test_the_name_of_the_teacher_may_tell_its_family(model: str | None, family: str | None) -> None:
    assert family_of(None, model) is (FAMILIES[family] if family else PLAIN)


@pytest.mark.parametrize("name", [*FAMILIES])
def test_every_family_keeps_the_text_and_needs_no_system(name: str) -> None:
    family = FAMILIES[name]
    braces = "{system} {user} {text}"
    assert family.prompt("", braces).count(braces) == 1
    assert family.prompt(braces, "Hi").count(braces) == 1
    assert "Hello" in str(family.messages("Hello", "Hi"))
    assert family.messages("", "Hi") == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(("given", "sent"), RAW)
def test_a_block_may_bring_its_own_raw_prompt(tmp_path: Path, given: str, sent: str) -> None:
    teacher = Teacher(ask=["Why? So."])
    run(tmp_path, ask(more=f'model_prompt: "{given}"'), teacher, settings=Generate(raw_prompts=True))
    assert teacher.requests[0][0].body["prompt"] == sent


def test_reasoning_before_the_answer_is_no_part_of_it(tmp_path: Path) -> None:
    thoughts = "First <q>no</q><a>no</a>."
    said = [f"<think>{thoughts}</think>\n<q>1</q><a>one</a>", f"{thoughts}</think> So: </think><q>2</q><a>two</a>"]
    unfinished = [f"\n<think>{thoughts}", f"<think>{thoughts}…"]
    rows, rejected = run(tmp_path, ask("question, response"), Teacher(ask=[*said, *unfinished]), prompt=TAGS)
    assert [row["question"] for row in rows] == ["1", "2"]
    reasons = {"ask: the answer has not the form asked for": 1, "ask: the answer is longer than max_tokens": 1}
    assert rejected == reasons
    said = ["So, what? Hm.</think>A? B.", *unfinished, "A? B…", " "]
    blocks = "- name: ask\n  type: LLMMessagesBlock\n  config: {input_col: document, output_col: said}\n"
    blocks += column_block("DuplicateColumns", "{columns_map: {domain: question, document: response}}")
    rows, rejected = run(tmp_path, blocks, Teacher(ask=said))
    assert [row["said"] for row in rows] == [["A? B."]]
    assert rejected == reasons | {"ask: the answer is longer than max_tokens": 2, "ask: the answer is empty": 1}


PARTED = [
    ("What are tits? Small birds.", "What are tits?", "Small birds."),
    ("Question: Name them.\nAnswer: Tits.", "Name them.", "Tits."),
    ("**Question 2:** What?\n**Answer:** That.", "What?", "That."),
    ("Sure, here is a pair:\n\nQuestion: Which?\n\nAnswer: 1. One\n2. Two", "Which?", "1. One\n2. Two"),
    ("Here you are:\n\n1. What is it?\n* a\n* b", "What is it?", "* a\n* b"),
    ("Q: Which is red?\nA. sky\nB. rose\nA: B", "Which is red?\nA. sky\nB. rose", "B"),
    ("Describe tits.\nThey are small.\n\nVery small.", "Describe tits.", "They are small.\n\nVery small."),
    ("What is it?\n**Bold** words", "What is it?", "**Bold** words"),
    ("What is it?\nAnswer: It is.", "What is it?", "It is."),
    ("Question: What is it? Answer: It is.", "What is it?", "It is."),
    ("### Question\nWhat is it?\n### Answer\nIt is", "What is it?", "It is"),
    ("**Question 1**\nName it.\n\n**Answer 1**\n* It\n* is", "Name it.", "* It\n* is"),
    ("[Question]\nWhat is it?\n[Answer]\nIt is.\n[END]\nDone!", "What is it?", "It is."),
    ("Q: a?\nA: b\n\nQ: c?\nA: d", "a?", "b"),
    ("1. Question: a?\nAnswer: b\nQuery: x\n\n2. Question: c?\nAnswer: d", "a?", "b\nQuery: x"),
    ("Question: Which?\nA\nred\nB\nblue\nAnswer: B", "Which?\nA\nred\nB\nblue", "B"),
    ('{"question": "a?", "answer": "b"}', "a?", "b"),
    ('Sure!\n```json\n{"question": "a?", "answer": "b"}\n``` Anything else?', "a?", "b"),
    ("How does one print?\n```python\nprint()\n```", "How does one print?", "```python\nprint()\n```"),
    ('Here:\n```json\n[{"Instruction": "Do it", "output": 3}, {"Instruction": "c", "output": "d"}]\n```', "Do it", "3"),
]


NO_PAIR = ['{"question": "a?", "answer": "b', '{"question": "a?", "score": 1}', '{"answer": [1], "question": "a?"}']
NOT_PARTED = [
    *('["What is X?", "Y"]', "{'question': 'What is X?', 'answer': 'Y'}", "<question>What is X?</question><answer>Y"),
    *("Answer: Y\nQuestion: What is X?", "Question 1: X?\nQuestion 2: Y?\nQuestion 3: Z?", "[Start]\nWhat?\n[End]"),
    *("...\n...", "---\n---", "?\n?", "```\nWhat is it?\n```"),
]


def test_question_and_response_are_parted(tmp_path: Path) -> None:
    said = [text for text, _, _ in PARTED]
    said += ["Only this.", "", "What is cut off? This…", *NO_PAIR, *NOT_PARTED]
    rows, rejected = run(tmp_path, ask(), Teacher(ask=said))
    for row, (_, question, response) in zip(rows, PARTED, strict=True):
        assert (row["question"], row["response"]) == (question, response)
    assert rejected == {
        "no question and answer found": 2 + len(NOT_PARTED),
        "part of an answer is missing": 2,
        "ask: the answer is empty": 1,
        "ask: the answer is longer than max_tokens": 1,
    }


TAGS = ALL + 'start_tags: ["<q>", "<a>"]\nend_tags: ["</q>", "</a>"]\n'


def test_a_value_goes_over_no_tag(tmp_path: Path) -> None:
    said = ["<q>1</q><a>one <q>2</q><a>two</a>", "<q>1<a>x</a><q>2</q><a>y</a>", "<q>3</q><a>a < b</a>"]
    rows, rejected = run(tmp_path, ask("question, response"), Teacher(ask=said), prompt=TAGS)
    assert [(row["question"], row["response"]) for row in rows] == [("3", "a < b")]
    assert rejected.keys() == {"ask: part of an answer is missing"}


def test_each_group_of_tags_is_a_row_and_half_a_group_is_rejected(tmp_path: Path) -> None:
    said = ["<q>1</q><a>one</a> <q>2</q> <q>3</q><a>three</a>", "no tags", "<q>4</q><a></a>", "<a>5</a>", "<q>6…"]
    rows, rejected = run(tmp_path, ask("question, response"), Teacher(ask=said), prompt=TAGS)
    assert [(row["question"], row["response"]) for row in rows] == [("1", "one"), ("3", "three")]
    assert rejected == {
        "ask: part of an answer is missing": 2,
        "ask: the answer has not the form asked for": 2,
        "ask: the answer is longer than max_tokens": 1,
    }
    assert len({row["row_key"] for row in rows}) == 2


def test_without_an_end_tag_a_value_ends_at_the_next_tag(tmp_path: Path) -> None:
    prompt = ALL + 'start_tags: ["Q:", "A:"]\nend_tags: ["", ""]\n'
    said = ["Q: q1\nA: a1\nQ: q2\nA: a2", "Q: q3\nA: a3\nQ: q4\nA: cut…"]
    rows, rejected = run(tmp_path, ask("question, response"), Teacher(ask=said), prompt=prompt)
    assert [(row["question"], row["response"]) for row in rows] == [("q1", "a1"), ("q2", "a2"), ("q3", "a3")]
    assert rejected == {"ask: part of an answer is missing": 1}


def test_empty_tags_take_the_whole_answer_beside_others(tmp_path: Path) -> None:
    prompt = ALL + 'start_tags: ["<q>", ""]\nend_tags: ["</q>", ""]\n'
    rows, _ = run(tmp_path, ask("question, response"), Teacher(ask=["All: <q>1</q>"]), prompt=prompt)
    assert [(row["question"], row["response"]) for row in rows] == [("1", "All: <q>1</q>")]


def test_a_pattern_reads_answers(tmp_path: Path) -> None:
    more = r"parser_kwargs: {parser_name: custom, parsing_pattern: '\[Q\](.*?)\[A\](.*?)(?=\[Q\]|$)'"
    more += ", parser_cleanup_tags: ['[END]']}"
    said = ["[Q] 1 [A] one [END]\n[Q] 2 [A] two", "nothing"]
    rows, rejected = run(tmp_path, ask("question, response", more), Teacher(ask=said))
    assert [(row["question"], row["response"]) for row in rows] == [("1", "one"), ("2", "two")]
    assert rejected == {"ask: the answer has not the form asked for": 1}


def test_refused_requests_are_counted_and_failures_stop_the_run(tmp_path: Path) -> None:
    rows, rejected = run(tmp_path, ask(), Teacher(ask=[Refused("the prompt is too long")]))
    assert (rows, rejected) == ([], {"ask: the prompt is too long": 1})
    with pytest.raises(EndpointFailed):
        run(tmp_path, ask(), Teacher(ask=EndpointFailed("gone")))
    two = ask("question, response") + ask("response", name="again")
    teacher = Teacher(ask=["<q>1</q><a>1</a><q>2</q><a>2</a>"], again=EndpointFailed("gone"))
    with pytest.raises(EndpointFailed):
        run(tmp_path, two, teacher, prompt=TAGS)


def test_templates_run_in_a_sandbox(tmp_path: Path) -> None:
    prompt = 'generation: "{{ document.__class__.__mro__ }}"\n'
    rows, rejected = run(tmp_path, ask(), Teacher(), prompt=prompt)
    assert rows == []
    assert sum(rejected.values()) == 1
    _, rejected = run(tmp_path, ask(), Teacher(), prompt="generation: '{{ 1 / (document | length - 21) }}'\n")
    assert rejected == {"ask: no prompt: ZeroDivisionError in the template": 1}


def test_text_of_a_row_is_never_a_template(tmp_path: Path) -> None:
    teacher = Teacher(ask=["Why? So."])
    run(tmp_path, ask(), teacher, KNOWLEDGE | {"document": "{{ domain }} {% raw %}"})
    assert teacher.requests[0][0].body["messages"][-1]["content"] == "Hello\n\n{{ domain }} {% raw %}"


VALUES = [
    ("{filter_column: output, filter_value: 'A? YES', operation: eq}", 1),
    ("{filter_column: output, filter_value: ['no', 'A? YES'], operation: eq}", 1),
    ("{filter_column: output, filter_value: YE, operation: contains}", 1),
    ("{filter_column: output, filter_value: 'A? YES', operation: ne}", 0),
    ("{filter_column: score, filter_value: 2, operation: ge, convert_dtype: float}", 1),
    ("{filter_column: score, filter_value: 2.5, operation: ge, convert_dtype: float}", 0),
    ("{filter_column: score, filter_value: 2, operation: ge}", 0),
    ("{filter_column: output, filter_value: 0, operation: eq, convert_dtype: int}", 1),
    ("{filter_column: output, filter_value: 5, operation: eq, convert_dtype: int, default_value: '5'}", 1),
    ("{filter_column: score, filter_value: true, operation: eq, convert_dtype: bool}", 1),
]


@pytest.mark.parametrize(("config", "kept"), VALUES)
def test_filter_by_value(tmp_path: Path, config: str, kept: int) -> None:
    blocks = ask() + column_block("CombineColumns", "{columns: [icl_response_2], output_col: score}")
    blocks += ask("output").replace("ask", "again") + column_block("FilterByValue", config)
    row = KNOWLEDGE | {"icl_response_2": "2.0"}
    teacher = Teacher(ask=["A? YES"], again=["A? YES"])
    blocks = blocks.replace("convert_dtype: int", "convert_dtype: int")
    rows, rejected = run(tmp_path, blocks, teacher, row)
    # an output that became a number has no question in it any more
    assert len(rows) + rejected["no question and answer found"] == kept
    assert len(rows) + sum(rejected.values()) == 1


def test_columns_are_rearranged(tmp_path: Path) -> None:
    blocks = (
        column_block("DuplicateColumns", "{columns_map: {document: base}}")
        + column_block("FlattenColumns", "{var_cols: [base, icl_document], value_name: text, var_name: origin}")
        + column_block("RenameColumns", "{columns_map: {document: raw, text: document}}")
        + column_block("Selector", "{choice_map: {base: raw, icl_document: domain}, choice_col: origin, output_col: s}")
        + column_block("CombineColumns", "{columns: [s, document], output_col: question, separator: ' / '}")
        + column_block("DuplicateColumns", "{columns_map: {domain: response}}", "  drop_columns: [s, not_there]\n")
    )
    rows, rejected = run(tmp_path, blocks, Teacher())
    assert [row["question"] for row in rows] == [
        "Tits are small birds. / Tits are small birds.",
        "birds / Crows are black.",
    ]
    assert not rejected
    assert "s" not in rows[0]
    assert rows[0]["raw"] == rows[1]["raw"] == "Tits are small birds."


def test_sample_populator_adds_the_keys_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "birds_long.yaml").write_text("question: What sings?\nresponse: Birds.\n", encoding="utf-8")
    config = "{config_paths: [birds.yaml], column_name: domain, post_fix: long}"
    rows, _ = run(tmp_path, column_block("SamplePopulator", config), Teacher())
    assert rows[0]["response"] == "Birds."
    rows, rejected = run(tmp_path, column_block("SamplePopulator", config), Teacher(), KNOWLEDGE | {"domain": "fish"})
    assert (rows, rejected) == ([], {"step: domain names none of its files": 1})


def test_conditional_blocks_choose_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "fish.yaml").write_text("generation: About fish\n", encoding="utf-8")
    config = "{config_paths: [[p.yaml, birds], [fish.yaml, fish]], selector_column_name: domain, output_cols: [output]}"
    blocks = f"- name: ask\n  type: ConditionalLLMBlock\n  config: {config}\n"
    teacher = Teacher(ask=["A? B."])
    run(tmp_path, blocks, teacher)
    run(tmp_path, blocks, teacher, KNOWLEDGE | {"domain": "fish"})
    _, rejected = run(tmp_path, blocks, teacher, KNOWLEDGE | {"domain": "stones"})
    assert [request.body["messages"][-1]["content"] for request, _ in teacher.requests] == [
        "Hello\n\nTits are small birds.",
        "About fish",
    ]
    assert rejected == {"ask: no prompt for this domain": 1}


def test_messages_blocks_send_a_column(tmp_path: Path) -> None:
    blocks = "- name: ask\n  type: LLMMessagesBlock\n  config: {input_col: document, output_col: output}\n"
    said = [{"role": "user", "content": "Hello"}]
    rows, _ = run(tmp_path, blocks, (teacher := Teacher(ask=["A? B."])), KNOWLEDGE | {"document": said})
    assert teacher.requests[0][0].body["messages"] == said
    assert rows[0]["response"] == "B."


def test_iterated_blocks_ask_for_answers_of_their_own(tmp_path: Path) -> None:
    config = "{num_iters: 3, block_type: LLMBlock, config_path: p.yaml, output_cols: [output]}"
    teacher = Teacher(ask=["A? B."])
    rows, _ = run(tmp_path, f"- name: ask\n  type: IterBlock\n  config: {config}\n", teacher)
    assert len(rows) == len({row["row_key"] for row in rows}) == 3
    assert len({(request.row, request.body["seed"]) for request, _ in teacher.requests}) == 3


def test_the_majority_counts_among_the_rows_of_a_seed_row(tmp_path: Path) -> None:
    blocks = ask("question, response") + column_block("SetToMajorityValue", "{col_name: response}")
    said = ["<q>1</q><a>yes</a><q>2</q><a>no</a><q>3</q><a>no</a>"]
    rows, _ = run(tmp_path, blocks, Teacher(ask=said), prompt=TAGS)
    assert [(row["question"], row["response"]) for row in rows] == [("1", "no"), ("2", "no"), ("3", "no")]


def test_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    rows, rejected = run(tmp_path, ask() + "  drop_duplicates: [output]\n", Teacher(ask=["A? B.", "a?  B.", "C? D."]))
    assert [row["question"] for row in rows] == ["A?", "C?"]
    assert rejected == {"ask: duplicate output": 1}


@pytest.mark.parametrize("slow", ["1", "2", "3"])
def test_which_duplicate_stays_does_not_depend_on_which_is_faster(tmp_path: Path, slow: str) -> None:
    class Slow(Teacher):
        async def __call__(self, request: Request, samples: int) -> list[Answer | Refused]:
            if request.block == "again" and request.body["messages"][-1]["content"].endswith(slow):
                await asyncio.sleep(0.02)
            return await super().__call__(request, samples)

    blocks = ask("domain, text").replace("p.yaml", "pairs.yaml") + ask("question", name="again")
    blocks += "  drop_duplicates: [question]\n" + ask("response", name="answer")
    (tmp_path / "pairs.yaml").write_text(TAGS, encoding="utf-8")
    said = ["".join(f"<q>{number}</q><a>text</a>" for number in range(1, 5))]
    teacher = Slow(
        ask=said, again=lambda request: "How?" if "4" in str(request.body["messages"]) else "Why?", answer=["Yes."]
    )
    rows, rejected = run(tmp_path, blocks, teacher, prompt="generation: '{{ domain }}'\n")
    assert [(row["domain"], row["question"]) for row in rows] == [("1", "Why?"), ("4", "How?")]
    assert rejected == {"again: duplicate question": 2}


def test_duplicates_are_told_before_their_columns_are_dropped(tmp_path: Path) -> None:
    blocks = ask("response, question") + "  drop_duplicates: [response]\n  drop_columns: [response]\n"
    blocks += column_block("DuplicateColumns", "{columns_map: {question: response}}")
    said = ["<q>1</q><a>one</a><q>2</q><a>two</a>"]
    rows, _ = run(tmp_path, blocks, Teacher(ask=said), prompt=TAGS)
    assert [row["question"] for row in rows] == ["one", "two"]


def test_each_row_goes_on_without_waiting_for_the_others(tmp_path: Path) -> None:
    blocks = ask("question, response") + ask("verdict", name="judge")
    order: list[str] = []

    class Slow(Teacher):
        async def __call__(self, request: Request, samples: int) -> list[Answer | Refused]:
            if request.block == "judge":
                order.append("begun")
                await asyncio.sleep(0.02 * len(order))
                order.append("done")
            return await super().__call__(request, samples)

    said = ["".join(f"<q>{n}</q><a>{n}</a>" for n in range(3))]
    rows, _ = run(tmp_path, blocks, Slow(ask=said, judge=["<q>ok</q>"]), prompt=TAGS)
    assert order[:3] == ["begun"] * 3
    assert [row["question"] for row in rows] == ["0", "1", "2"]


def test_full_keeps_what_the_teacher_finds_good() -> None:
    def judge(request: Request) -> str:
        text = request.body["messages"][-1]["content"]
        faithful = "no" if "Tits are large." in text else "yes"
        said = {"reason": "So.", "faithful": faithful, "relevant": "yes", "wellformed": "yes"}
        return "odd" if "Odd" in text else "".join(f"<{key}>{value}</{key}>" for key, value in said.items())

    pairs = [("What are tits?", "Small birds."), ("How large?", "Tits are large."), ("Odd?", "Yes.")]
    text = "".join(f"<question>{question}</question><answer>{reply}</answer>" for question, reply in pairs)
    pipeline = load(None, "full", Generate())["knowledge"]
    rows, rejected = asyncio.run(pipeline.run(KNOWLEDGE, Teacher(write_pairs=[text], judge=judge)))
    assert [row["question"] for row in rows] == ["What are tits?"]
    assert rejected == {"keep_faithful: faithful is not yes": 1, "judge: the answer has not the form asked for": 1}


def test_requests_about_a_document_begin_alike() -> None:
    pair = "<question>What are tits?</question><answer>Birds.</answer>"
    teacher = Teacher(write_pairs=[pair], judge=[""])
    document = "Tits are small birds. " * 100
    asyncio.run(load(None, "full", Generate())["knowledge"].run(KNOWLEDGE | {"document": document}, teacher))
    texts = ["".join(message["content"] for message in request.body["messages"]) for request, _ in teacher.requests]
    first, second = (text.split(document.strip())[0] for text in texts)
    assert first == second


def test_keys_are_the_same_in_every_run(tmp_path: Path) -> None:
    teacher = Teacher(ask=["A? B.", "C? D."])
    first, _ = run(tmp_path, ask(), teacher)
    second, _ = run(tmp_path, ask(), teacher)
    assert first == second
    assert teacher.requests[0] == teacher.requests[1]
    named, _ = run(tmp_path, ask(), teacher, KNOWLEDGE | {"row_key": "mine"})
    assert [row["row_key"] for row in named] == ["mine.0.0", "mine.1.0"]


def test_what_became_of_other_samples_changes_no_key(tmp_path: Path) -> None:
    blocks = ask("question, response") + ask("verdict", name="judge")
    pairs = ["<q>1</q><a>one</a>", "<q>2</q><a>two</a><q>3</q><a>three</a>", "<q>4</q><a>four</a>"]
    asked = []
    later: list[str | Refused] = [Refused("HTTP 500"), pairs[1], "no pair"]
    for said in (pairs, later):
        teacher = Teacher(ask=said, judge=["<q>ok</q>"])
        rows, _ = run(tmp_path, blocks, teacher, prompt=TAGS)
        judged = [request.row for request, _ in teacher.requests if request.block == "judge"]
        asked.append(dict(zip([row["question"] for row in rows], judged, strict=True)))
    assert {question: asked[0][question] for question in ("2", "3")} == asked[1]
    assert len(set(asked[0].values())) == 4


COLUMNS = [
    ask("row_key"),
    column_block("DuplicateColumns", "{columns_map: {document: row_key}}") + ask(),
]


@pytest.mark.parametrize("blocks", COLUMNS)
def test_no_column_takes_the_place_of_the_key(tmp_path: Path, blocks: str) -> None:
    with pytest.raises(InputError) as refused:
        run(tmp_path, blocks, Teacher())
    assert "kept-column" in [finding.rule for finding in refused.value.findings]
