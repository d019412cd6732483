"""A model under lm-eval's interface that answers with the log-likelihoods of ``likelihoods``, or in lm-eval's own way.

lm-eval makes the prompts and their tokens; here is decided how they are run: on which devices, in how many positions a
batch, and, by asking a few requests in both ways, whether the answers are the same.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

import torch
from lm_eval.models import huggingface
from lm_eval.models.huggingface import HFLM

from ilab_cli.backends.evaluate.mmlu.likelihoods import Answer, Runner
from ilab_cli.backends.evaluate.mmlu.progress import bar
from ilab_cli.backends.evaluate.mmlu.sharing import layers_of, replicas, why_not
from ilab_cli.backends.evaluate.mmlu.tree import Tokens, Wanted, grow, reads
from ilab_cli.output import lively

__all__ = ["SharingLM"]

Tokenized = tuple[Any, list[int], list[int]]
"""A request: its texts, the tokens of its context, those of its continuation."""

_TOKENS_CPU = 4096
_TOKENS_GPU = 65536
_PROBES, _PROBE_ANSWERS = 3, 16
"""Questions, and answers to them, that are run in both ways."""
_TOLERANCE = {torch.float32: 1e-4}
_COARSE = 0.25
"""Difference of log-likelihoods for a token, in nats, up to which both ways agree in half precision."""
_SHARES = 4
"""Shares of the work for each of several devices, so that none waits long for the last."""


class SharingLM(HFLM):  # type: ignore[misc]
    """A model of transformers.

    Args:
        batch: most sequences in a batch; ``None`` for as many as fit.
        devices: where copies of the model work side by side; empty for where it is.
        loading: the arguments of ``HFLM``.
    """

    def __init__(self, *, batch: int | None, devices: Sequence[str], **loading: Any) -> None:
        super().__init__(**loading)
        self._batch, self._devices = batch, [torch.device(name) for name in devices]
        self._runners: list[Runner] | None = None
        self._encode = lru_cache(maxsize=64)(super().tok_encode)  # a context comes once for each of its choices
        huggingface.tqdm = bar

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **_: Any
    ) -> list[int]:
        """The tokens of a text."""
        return list(self._encode(string, add_special_tokens, left_truncate_len))

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Answer]:
        """The log-likelihood of each continuation after its context; there is one bar, that of the answers."""
        return list(super().loglikelihood(requests, disable_tqdm=True))

    def _loglikelihood_tokens(
        self, requests: list[Tokenized], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[Answer]:
        if override_bs is not None or not requests:  # a text in windows
            return self._plainly(requests, disable_tqdm=disable_tqdm, override_bs=override_bs)
        if self._runners is None:
            self._runners = self._prepare(requests)
        if not self._runners:
            return self._plainly(requests)
        self._tell_of_long(requests)
        with bar(total=len(requests)) as shown:
            found = self._answers(requests, self._runners, shown.update)
        answers = [found[number] for number in range(len(requests))]
        for (texts, _, _), answer in zip(requests, answers, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def _plainly(self, requests: list[Tokenized], **options: Any) -> list[Answer]:
        """The answers in lm-eval's own way."""
        return list(super()._loglikelihood_tokens(requests, **{"disable_tqdm": not lively(sys.stderr), **options}))

    def _answers(
        self, requests: Sequence[Tokenized], runners: list[Runner], done: Callable[[int], object]
    ) -> dict[int, Answer]:
        """The answers by number; several runners work through shares of the sequences side by side."""
        sequences = self._reads(requests)
        if len(runners) == 1:
            return runners[0].run(grow(sequences), done)
        shares: SimpleQueue[dict[Tokens, list[Wanted]]] = SimpleQueue()
        for share in _shares(sequences, len(runners) * _SHARES):
            shares.put(share)

        def work(runner: Runner) -> dict[int, Answer]:
            found: dict[int, Answer] = {}
            try:
                while True:
                    found |= runner.run(grow(shares.get_nowait()), done)
            except Empty:
                return found

        with ThreadPoolExecutor(len(runners)) as pool:
            return {number: answer for found in pool.map(work, runners) for number, answer in found.items()}

    def _reads(self, requests: Sequence[Tokenized]) -> dict[Tokens, list[Wanted]]:
        return reads(((context, answer) for _, context, answer in requests), self.max_length)

    def _prepare(self, requests: list[Tokenized]) -> list[Runner]:
        """A runner for each device; none, and a line that says why, if the model has to be asked in lm-eval's way."""
        reason = why_not(self.model, self.backend)
        if not reason:
            devices = self._devices or [self.device]
            models = replicas(self.model, devices) if len(devices) > 1 else [self.model]
            tokens = _TOKENS_CPU if self.device.type == "cpu" else _TOKENS_GPU
            layers = layers_of(self.model)
            runners = [
                Runner(model, device, layers, self._batch, tokens)
                for model, device in zip(models, devices, strict=False)
            ]
            if not (reason := self._probe(requests, runners[:1])):
                return runners
        print(f"every question is read from its beginning, as lm-eval does: {reason}", file=sys.stderr)
        return []

    def _probe(self, requests: list[Tokenized], runners: list[Runner]) -> str:
        """How the two ways differ on a few questions; empty if they agree."""
        contexts = sorted({tuple(context) for _, context, _ in requests})[:_PROBES]  # neighbours begin alike
        probes = [request for request in requests if tuple(request[1]) in contexts][:_PROBE_ANSWERS]
        logger = logging.getLogger("lm_eval")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            found = self._answers(probes, runners, lambda _: None)
        except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, NotImplementedError) as error:
            return f"its code takes no keys and values from outside ({type(error).__name__})"
        else:
            expected = self._plainly(probes, disable_tqdm=True, override_bs=1)
        finally:
            logger.setLevel(level)
        allowed = _TOLERANCE.get(self.model.dtype, _COARSE)
        for number, (_, _, continuation) in enumerate(probes):
            if not abs(found[number][0] - expected[number][0]) <= allowed * len(continuation):
                return f"otherwise it answers {found[number][0]:.4f} instead of {expected[number][0]:.4f}"
        return ""

    def _tell_of_long(self, requests: list[Tokenized]) -> None:
        """Warn of requests whose beginning is left out."""
        long = sum(len(context) + len(answer) > self.max_length + 1 for _, context, answer in requests)
        if long:
            text = "%d of %d answers: the text exceeds model's maximum length (%d), its beginning is left out"
            logging.getLogger("lm_eval").warning(text, long, len(requests), self.max_length)


def _shares(sequences: dict[Tokens, list[Wanted]], number: int) -> list[dict[Tokens, list[Wanted]]]:
    """Sequences in shares of about as many; those that begin alike stay together."""
    items = sorted(sequences.items())
    size = max(1, -(-len(items) // number))
    return [dict(items[first : first + size]) for first in range(0, len(items), size)]
