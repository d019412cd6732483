"""Questions of a taxonomy for ``mt_bench_branch``: what the authors of each leaf asked, with their answers beside.

An answer of the model is judged against the author's. Of a grounded skill the context is part of the question; a piece
of a document is not, as a model that was trained on the document should know it by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ilab_cli.backends.evaluate.mt_bench.questions import Bench, Question, prompt_name, read_prompts
from ilab_cli.backends.generate.qna import Leaf, read_taxonomy
from ilab_profiles import Evaluate, Finding, InputError, Position

__all__ = ["read"]


def read(evaluate: Evaluate) -> Bench:
    """The questions of the leaves that are new, and the judge prompts of ``mt.data_dir``.

    Raises:
        InputError: with all that is wrong with either.
    """
    mt = evaluate.mt
    findings: list[Finding] = []
    questions: tuple[Question, ...] = ()
    prompts = {}
    try:
        prompts = dict(read_prompts(Path(mt.data_dir or "")))
        if (name := prompt_name(1, referenced=True)) not in prompts:
            place = Position(str(Path(mt.data_dir or "", "judge_prompts.jsonl")))
            findings.append(Finding("no-judge-prompt", f"the prompt {name} is missing", position=place))
    except InputError as error:
        findings += error.findings
    try:
        leaves = read_taxonomy(Path(mt.taxonomy_path), mt.taxonomy_base)
        questions = tuple(question for leaf in leaves for question in _questions(leaf))
        if not leaves:
            message = f"no leaf of {mt.taxonomy_path} is new against {mt.taxonomy_base}"
            hint = "take every leaf with --taxonomy-base empty"
            findings.append(Finding("nothing-new", message, "evaluate.mt.taxonomy_base", hint=hint))
    except InputError as error:
        findings += (replace(each, path=each.path.replace("generate.", "evaluate.mt.", 1)) for each in error.findings)
    if findings:
        raise InputError(findings)
    return Bench(questions, prompts, {})


def _questions(leaf: Leaf) -> Iterator[Question]:
    number = 0
    for example in leaf.examples:
        before = f"{example.context}\n\n" if leaf.kind == "grounded" and example.context else ""
        for asked, answer in example.questions:
            number += 1
            yield Question(f"{leaf.path}#{number}", leaf.path, 0.0, (before + asked,), (answer,))
