"""Sharing what is computed changes no answer: against lm-eval's own way, on small models of several architectures."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ilab_cli.backends.evaluate.mmlu.models import KINDS, UNSHARED, make_kind

torch = pytest.importorskip("torch", reason="needs the extra `evaluate`")
pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")

Instances = list[Any]


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Engines warn of what is not theirs to judge here, and lm-eval's bar is replaced."""
    import warnings

    from lm_eval.models import huggingface

    monkeypatch.setattr(huggingface, "tqdm", huggingface.tqdm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def requests() -> Instances:
    """Two tasks with solved examples, answers of one token and of several, and one answer that goes on another."""
    draw = random.Random(0)
    words = "tide harbour lamp crane quarter music river stone bread market".split()

    def text(count: int) -> str:
        return " ".join(draw.choices(words, k=count))

    pairs = []
    for task in range(2):
        examples = text(60 + 20 * task)
        for number in range(6):
            context = f"{examples}\n\n{text(draw.randint(5, 30))}\nAnswer:"
            answers = [" A", " B", " C", " D"] if number % 2 else [f" {text(draw.randint(1, 5))}" for _ in range(4)]
            pairs += [(context, answer) for answer in answers]
    pairs += [(pairs[0][0], " A B"), (pairs[0][0], " A B C"), ("", "harbour"), (text(600), " A")]
    return [SimpleNamespace(args=pair) for pair in pairs]


def lm(folder: Path, *, batch: int | None = None, devices: tuple[str, ...] = (), **loading: Any) -> Any:
    from ilab_cli.backends.evaluate.mmlu.lm import SharingLM

    options = {"pretrained": str(folder), "device": "cpu", "batch_size": 4, **loading}
    return SharingLM(batch=batch, devices=devices, **options)


def plain(folder: Path, requests: Instances, **loading: Any) -> list[tuple[float, bool]]:
    from lm_eval.models.huggingface import HFLM

    options = {"pretrained": str(folder), "device": "cpu", "batch_size": 4, **loading}
    return list(HFLM(**options).loglikelihood(requests, disable_tqdm=True))


def assert_same(found: list[tuple[float, bool]], expected: list[tuple[float, bool]]) -> None:
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


@pytest.mark.parametrize("kind", KINDS)
def test_the_answers_are_those_of_lm_eval(
    kind: str, student: Path, requests: Instances, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_kind(kind, student, tmp_path / "model")
    shared = lm(folder)
    tokens: list[int] = []
    shared.model.register_forward_pre_hook(
        lambda _, args, options: tokens.append((args[0] if args else options["input_ids"]).numel()), with_kwargs=True
    )
    found = shared.loglikelihood(requests)
    assert "lm-eval does" not in capsys.readouterr().err
    assert_same(found, plain(folder, requests))
    alone = [
        min(len(shared.tok_encode(context + answer)), shared.max_length) for context, answer in map(pair, requests)
    ]
    assert sum(tokens) < 0.5 * sum(alone)


def pair(instance: Any) -> tuple[str, str]:
    context, answer = instance.args
    return context, answer


@pytest.mark.parametrize(("kind", "reason"), UNSHARED.items())
def test_models_that_cannot_share_are_asked_in_lm_evals_way(
    kind: str, reason: str, student: Path, requests: Instances, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_kind(kind, student, tmp_path / "model")
    some = requests[:6]
    found = lm(folder).loglikelihood(some)
    said = [line for line in capsys.readouterr().err.splitlines() if "lm-eval does" in line]
    assert said == [f"every question is read from its beginning, as lm-eval does: {reason}"]
    assert_same(found, plain(folder, some))


def test_another_answer_in_the_probe_leads_back_to_lm_evals_way(
    student: Path, requests: Instances, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ilab_cli.backends.evaluate.mmlu.likelihoods import Runner

    add = Runner._add

    def wrong(self: Runner, batch: Any, places: Any, logits: Any) -> None:
        add(self, batch, places, 1.01 * logits)

    monkeypatch.setattr(Runner, "_add", wrong)
    found = lm(student).loglikelihood(requests[:8])
    assert "otherwise it answers" in capsys.readouterr().err
    assert_same(found, plain(student, requests[:8]))


@pytest.mark.parametrize("batch", [1, 3])
def test_the_batch_size_is_an_upper_bound(
    student: Path, requests: Instances, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ilab_cli.backends.evaluate.mmlu.likelihoods import Runner

    model, rows = lm(student, batch=batch), []
    forward = Runner._forward

    def note(self: Runner, batch: Any, past: Any, *, keep: bool) -> Any:
        rows.append(len(batch))
        return forward(self, batch, past, keep=keep)

    monkeypatch.setattr(Runner, "_forward", note)
    assert_same(model.loglikelihood(requests), plain(student, requests))
    assert max(rows) == batch


def test_a_batch_that_does_not_fit_is_halved(student: Path, requests: Instances) -> None:
    model = lm(student)
    (runner,) = model._prepare([(None, *model._encode_pair(*pair(one))) for one in requests[:4]])
    tried: list[int] = []
    forward: Callable[..., Any] = runner._forward

    def with_little_memory(batch: Any, past: Any, *, keep: bool) -> Any:
        tried.append(runner._positions(batch, past))
        if tried[-1] > 1200:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return forward(batch, past, keep=keep)

    runner._forward = with_little_memory
    model._runners = [runner]
    assert_same(model.loglikelihood(requests), plain(student, requests))
    too_much = [size for size in tried if size > 1200]
    assert too_much
    assert max(tried[tried.index(too_much[-1]) + 1 :]) <= 1200


def test_copies_work_side_by_side(student: Path, requests: Instances) -> None:
    model = lm(student, devices=("cpu", "cpu"))
    assert_same(model.loglikelihood(requests), plain(student, requests))
    first, second = model._runners
    assert first._model is not second._model
    assert first._sums
    assert second._sums


def test_in_half_precision_log_probabilities_are_exact_to_its_steps(student: Path, requests: Instances) -> None:
    found = lm(student, dtype="bfloat16").loglikelihood(requests)
    exact = plain(student, requests)
    for instance, (value, _), (expected, _) in zip(requests, found, exact, strict=True):
        assert value == pytest.approx(expected, abs=0.05 * len(instance.args[1]))


@pytest.mark.parametrize(("memory", "fits"), [(2_000_000, True), (1_000_000, False)])
def test_whether_a_model_fits_one_gpu(student: Path, memory: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from ilab_cli.backends.evaluate.mmlu.sharing import fits_one_gpu

    (weights,) = student.glob("*.safetensors")
    share = weights.stat().st_size / 1_100_000
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    gpu = SimpleNamespace(total_memory=int(memory * share))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    assert fits_one_gpu(str(student), trust_remote_code=False) is fits
