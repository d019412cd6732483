"""What can be known to be wrong before MT-Bench begins: questions, addresses, keys, the judge. Never writes.

Endpoints are asked, once, which models they serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ilab_cli.backends.base import is_full
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.evaluate.mt_bench import endpoints, questions
from ilab_cli.backends.evaluate.subject import subject, wanted
from ilab_cli.extras import missing_extra
from ilab_profiles import Evaluate, Finding, InputError

__all__ = ["of_benchmark", "of_model"]


def of_benchmark(evaluate: Evaluate) -> list[Finding]:
    """What is wrong with questions, judge and folder, whatever the model is; warnings included."""
    if missing := missing_extra("evaluate", "ilab model evaluate"):
        return missing
    findings = [*(_data(evaluate) if "mt_bench" in evaluate.benchmarks else ()), *_judge(evaluate)]
    if is_full(Path(evaluate.output_dir)):
        findings.append(Finding("disk-full", f"the disk of {evaluate.output_dir} is full", "evaluate.output_dir"))
    return findings


def of_model(evaluate: Evaluate) -> list[Finding]:
    """What is wrong with the model under test, and whether it is its own judge."""
    from ilab_cli.backends.client.look import look

    if missing := missing_extra("evaluate", "ilab model evaluate"):
        return missing
    try:
        if evaluate.mt.endpoint:
            endpoints.check_subject(evaluate)
            asked = endpoints.model_at_endpoint(evaluate)
            seen = look(asked)
            names, findings = {asked.model or next(iter(seen.models), "")}, list(seen.findings)
        else:
            model = _to_serve(evaluate)
            names, findings = {model.name, Path(model.base).name}, _server(evaluate, model)
    except InputError as error:
        return list(error.findings)
    judge = evaluate.mt.judge_model
    if not names.isdisjoint((judge, judge.rpartition("/")[2])):
        message, why = f"{judge} judges its own answers", "models rate what they wrote themselves too well"
        finding = Finding("judge-is-the-model", message, "evaluate.mt.judge_model", why=why, severity="warning")
        findings.append(finding)
    return findings


def _data(evaluate: Evaluate) -> Iterator[Finding]:
    try:
        questions.read(Path(evaluate.mt.data_dir or ""), evaluate.mt.judge_model)
    except InputError as error:
        yield from error.findings


def _judge(evaluate: Evaluate) -> Iterator[Finding]:
    """What is wrong with the judge; of an endpoint that both share, only that it does not serve the judge."""
    from ilab_cli.backends.client.look import look

    mt, judge = evaluate.mt, endpoints.judge(evaluate)
    shared = bool(mt.endpoint) and endpoints.same_place(judge.address, mt.endpoint or "")
    yield from (each for each in look(judge).findings if not shared or each.rule == "model-not-served")


def _to_serve(evaluate: Evaluate) -> Model:
    """The model, or the first of the checkpoints."""
    if own := endpoints.own_model(evaluate):
        return own
    found = subject(evaluate.model_copy(update={"mmlu": evaluate.mmlu.model_copy(update={"model": None})}))
    return found if isinstance(found, Model) else wanted(evaluate, found)[0].model()


def _server(evaluate: Evaluate, model: Model) -> list[Finding]:
    from ilab_cli.backends.serve import launch

    return [
        replace(finding, path="evaluate.model") for finding in launch.preflight(*endpoints.to_serve(evaluate, model))
    ]
