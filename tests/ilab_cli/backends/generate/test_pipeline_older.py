"""A pipeline that uses the older format as its own full pipelines do, from first to last, with the offline teacher."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest

from ilab_cli.backends.client.requests import Answer, Request
from ilab_cli.backends.generate.pipeline import Row, load
from ilab_profiles.models.generate import Generate

TEACHER = Path(__file__).parents[4] / "examples" / "offline_teacher.py"

PIPELINE = r"""
version: "1.0"
blocks:
  - name: duplicate_document_col
    type: DuplicateColumnsBlock
    config:
      columns_map:
        document: base_document
  - name: gen_spellcheck
    type: LLMBlock
    config:
      config_path: ../../configs/knowledge/spellcheck.yaml
      output_cols:
        - spellcheck
      gen_kwargs:
        max_tokens: 2048
  - name: flatten_auxiliary_columns
    type: FlattenColumnsBlock
    config:
      var_cols:
        - spellcheck
        - base_document
      value_name: corrected_document
      var_name: dataset_type
  - name: rename_to_document_column
    type: RenameColumnsBlock
    config:
      columns_map:
        document: raw_document
        corrected_document: document
  - name: gen_knowledge
    type: LLMBlock
    config:
      config_path: ../../configs/knowledge/pairs.yaml
      output_cols:
        - question
        - response
      batch_kwargs:
        num_samples: 5
        batched: true
      parser_kwargs:
        parser_name: custom
        parsing_pattern: '\[(?:Question|Query)\]\s*(.*?)\s*\[(?:Answer)\]\s*(.*?)\s*(?=\[(?:Question|Query)\]|$)'
        parser_cleanup_tags:
          - "[END]"
      gen_kwargs:
        max_tokens: 2048
        temperature: 0.7
        n: scaled
    drop_duplicates:
      - question
  - name: eval_faithfulness_qa_pair
    type: LLMBlock
    config:
      config_path: ../../configs/knowledge/faithfulness.yaml
      output_cols:
        - explanation
        - judgment
      gen_kwargs:
        max_tokens: 2048
  - name: filter_faithfulness
    type: FilterByValueBlock
    config:
      filter_column: judgment
      filter_value: "YES"
      operation: eq
    drop_columns:
      - judgment
      - explanation
  - name: eval_relevancy_qa_pair
    type: LLMBlock
    config:
      config_path: ../../configs/knowledge/relevancy.yaml
      output_cols:
        - feedback
        - score
      gen_kwargs:
        max_tokens: 2048
  - name: filter_relevancy
    type: FilterByValueBlock
    config:
      filter_column: score
      filter_value: 2.0
      operation: eq
      convert_dtype: float
    drop_columns:
      - feedback
      - score
      - __index_level_0__
datamixing:
  auxiliary_instructions:
    spellcheck:
      - Correct the spelling.
"""
PROMPTS = {
    "spellcheck": """\
system: You correct texts.
introduction: Correct the spelling.
principles: Keep everything else.
examples: ""
generation: |
  Document:
  {{document_outline}}
  {{document}}
start_tags: [""]
end_tags: [""]
""",
    "pairs": """\
system: You write questions.
introduction: Write {{num_samples}} questions on {{domain}}.
principles: |
  * Short ones.
examples: |
  [Question]
  {{icl_query_1}}
  [Answer]
  {{icl_response_1}}
  [END]
generation: |
  Here is the document:
  {{document}}
""",
    "faithfulness": """\
system: You check.
introduction: Is the information in the context?
principles: Answer YES or NO.
examples:
generation: |
  * Return the explanation within the [Start of Explanation] and [End of Explanation] tags.
  * Return the answer between [Start of Answer] and [End of Answer] tags.

  [Start of Context]
  {{document}}
  [End of Context]
  [Start of Response]
  {{response}}
  [End of Response]
start_tags: ["[Start of Explanation]", "[Start of Answer]"]
end_tags: ["[End of Explanation]", "[End of Answer]"]
""",
    "relevancy": """\
system: You check.
introduction: Is the answer about the question?
principles: Give points, with a maximum possible score of 2 points.
examples: ""
generation: |
  [Start of Question]
  {question}
  [End of Question]
  [Start of Response]
  {response}
  [End of Response]

  * Return the feedback within the [Start of Feedback] and [End of Feedback] tags.
  * Return the final score between [Start of Score] and [End of Score] tags.
start_tags: ["[Start of Feedback]", "[Start of Score]"]
end_tags: ["[End of Feedback]", "[End of Score]"]
""",
}
DOCUMENT = """\
The Brind is a river of 48 kilometres. It rises in the Hallow hills and flows south. Two bridges cross the Brind.
The older bridge was built in 1742 by masons from Aldmoor. Otters live along the upper river.
"""
ROW: Row = {
    "leaf": "knowledge/rivers",
    "kind": "knowledge",
    "domain": "geography",
    "document_outline": "On the river Brind",
    "document": DOCUMENT,
    "icl_document": "A brook.",
    **{f"icl_query_{number}": f"How long is brook {number}?" for number in (1, 2, 3)},
    **{f"icl_response_{number}": "It is 4 kilometres long." for number in (1, 2, 3)},
}


@pytest.mark.parametrize("raw", [False, True])
def test_it_runs_from_first_to_last(tmp_path: Path, raw: bool) -> None:
    spec = importlib.util.spec_from_file_location("offline_teacher", TEACHER)
    assert spec
    assert spec.loader
    teacher = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(teacher)
    asked: list[tuple[Request, int]] = []

    async def ask(request: Request, samples: int) -> list[Answer]:
        asked.append((request, samples))
        body = request.body
        text = body.get("prompt") or "\n".join(message["content"] for message in body["messages"])
        return [Answer(teacher.answer(text, body["seed"] + sample), "stop") for sample in range(samples)]

    pipelines, configs = tmp_path / "pipelines" / "mine", tmp_path / "configs" / "knowledge"
    pipelines.mkdir(parents=True)
    configs.mkdir(parents=True)
    (pipelines / "knowledge.yaml").write_text(PIPELINE, encoding="utf-8")
    for name, text in PROMPTS.items():
        (configs / f"{name}.yaml").write_text(text, encoding="utf-8")
    settings = Generate(num_samples=3, raw_prompts=raw, model_family="mixtral")
    pipeline = load(str(pipelines), "simple", settings)["knowledge"]
    assert sorted(warning.rule for warning in pipeline.warnings) == ["not-used", "not-used", "single-braces"]

    rows, rejected = asyncio.run(pipeline.run(ROW, ask))
    assert len(rows) >= 5, rejected
    assert {row["dataset_type"] for row in rows} == {"spellcheck", "base_document"}
    assert all(row["raw_document"] == DOCUMENT for row in rows)
    assert not {"judgment", "explanation", "score", "feedback"} & set(rows[0])
    assert {samples for request, samples in asked if request.block == "gen_knowledge"} == {3}
    assert {samples for request, samples in asked if request.block != "gen_knowledge"} == {1}
    generated = next(request for request, _ in asked if request.block == "gen_knowledge")
    text = generated.body["prompt"] if raw else generated.body["messages"][-1]["content"]
    assert "Write 5 questions on geography." in text
