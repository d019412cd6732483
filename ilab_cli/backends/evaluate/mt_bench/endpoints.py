"""Whom MT-Bench asks: the model under test, at its endpoint or served for the run, and the judge."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ilab_cli.backends.client.addresses import base_urls
from ilab_cli.backends.client.settings import Asked, EndpointSettings
from ilab_cli.backends.evaluate.model import Model, find_model
from ilab_cli.backends.evaluate.subject import subject
from ilab_cli.backends.hardware import free_memory
from ilab_cli.backends.model_folder import weight_files
from ilab_cli.backends.serve import launch, ready, servers
from ilab_profiles import Evaluate, Finding, Generate, InputError
from ilab_profiles.models.config import Serve

__all__ = [
    "check_subject",
    "fingerprint",
    "judge",
    "model_at_endpoint",
    "own_model",
    "same_place",
    "served",
    "to_serve",
]


def model_at_endpoint(evaluate: Evaluate) -> EndpointSettings:
    """The model under test at ``mt.endpoint``."""
    mt = evaluate.mt
    asked = Asked("evaluate.mt.endpoint", "evaluate.mt.api_key", "evaluate.mt.model", "evaluate.mt.request_timeout")
    key = mt.api_key.get_secret_value() if mt.api_key else ""
    return _settings(evaluate, mt.endpoint or "", asked, mt.model or "", key)


def judge(evaluate: Evaluate, beside: str = "") -> EndpointSettings:
    """The judge, at ``mt.judge_endpoint`` or where the model under test is.

    Args:
        evaluate: the settings.
        beside: the endpoint of the model under test; ``mt.endpoint`` if not given.
    """
    mt = evaluate.mt
    beside = beside or mt.endpoint or ""
    address = mt.judge_endpoint or beside
    key = mt.judge_api_key or (mt.api_key if same_place(address, beside) else None)
    where = "judge_endpoint" if mt.judge_endpoint else "endpoint"
    key_setting = "judge_api_key" if mt.judge_api_key or not same_place(address, beside) else "api_key"
    asked = Asked(*(f"evaluate.mt.{name}" for name in (where, key_setting, "judge_model", "request_timeout")))
    return _settings(evaluate, address, asked, mt.judge_model, key.get_secret_value() if key else "")


def _settings(evaluate: Evaluate, address: str, asked: Asked, model: str, key: str) -> EndpointSettings:
    mt = evaluate.mt
    return EndpointSettings(address, asked, model, key, mt.max_concurrency, mt.max_retries, mt.request_timeout)


def same_place(one: str, other: str) -> bool:
    """Whether two addresses are those of the same endpoints."""
    try:
        return set(base_urls(one, "")) == set(base_urls(other, ""))
    except InputError:
        return False


@contextmanager
def served(evaluate: Evaluate, model: Model) -> Iterator[EndpointSettings]:
    """The model under test for the length of a block: at its endpoint, or served for the run if there is none.

    Raises:
        InputError: if it cannot be served.
        ServerFailed: if its server does not answer.
    """
    if evaluate.mt.endpoint:
        check_subject(evaluate)
        yield model_at_endpoint(evaluate)
        return
    free_memory()
    model = own_model(evaluate) or model
    serve, gpus = to_serve(evaluate, model)
    try:
        with launch.running(serve, gpus, trust_remote_code=evaluate.trust_remote_code) as endpoint:
            settings = model_at_endpoint(evaluate)
            name = "" if ready.names_models(endpoint) else str(servers.model_path(serve))
            yield replace(settings, address=endpoint, model=name, key="")
    except InputError as error:
        raise InputError(replace(finding, path="evaluate.model") for finding in error.findings) from None


def check_subject(evaluate: Evaluate) -> None:
    """Refuse to ask an endpoint where checkpoints are evaluated.

    Raises:
        InputError: if that is what the settings ask for.
    """
    try:
        found = subject(evaluate)
    except InputError:  # no model here, and none is needed
        return
    if isinstance(found, list):
        why, hint = "it serves one model, which is none of the checkpoints", "leave it out: each is served for the run"
        message = "checkpoints are not asked at an endpoint"
        raise InputError(Finding("endpoint-is-no-checkpoint", message, "evaluate.mt.endpoint", why=why, hint=hint))


def own_model(evaluate: Evaluate) -> Model | None:
    """The model of this benchmark alone, where it or MMLU has one of its own; none if both are about the same.

    Raises:
        InputError: with everything that is wrong with it.
    """
    alone = evaluate.model_copy(update={"benchmarks": ("mt_bench",)})
    return find_model(alone) if evaluate.mt.model or evaluate.mmlu.model else None


def fingerprint(model: Model) -> str:
    """A text that is another one where the weights of a folder are others; empty for a model that is elsewhere."""
    if not model.local:
        return ""
    looks = [(file.name, (at := file.stat()).st_size, at.st_mtime_ns) for file in weight_files(Path(model.base))]
    return hashlib.sha256(repr(sorted(looks)).encode()).hexdigest()[:12] + "/"


def to_serve(evaluate: Evaluate, model: Model, setting: str = "evaluate.model") -> tuple[Serve, Generate]:
    """What ``ilab model serve`` would be told: the model at a free port, and the GPUs.

    Args:
        evaluate: the settings.
        model: what is served.
        setting: dotted path of the setting that names it.

    Raises:
        InputError: if the model is no folder with whole weights in it.
    """
    if model.adapter or not model.local:
        what = "an adapter" if model.adapter else "a model on a hub"
        hint = "name a folder with a whole model in it, or the endpoint of one that is served: --mt-endpoint"
        raise InputError(Finding("cannot-be-served", f"{model.name} is {what}", setting, hint=hint))
    gpus = () if evaluate.device == "cpu" else evaluate.gpus and tuple(range(len(evaluate.gpus)))  # as the worker sees
    serve = Serve(model_path=str(Path(model.base).absolute()), host_port=f"127.0.0.1:{_free_port()}")
    return serve, Generate().model_copy(update={"gpus": gpus})


def _free_port() -> int:
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        port: int = attempt.getsockname()[1]
        return port
