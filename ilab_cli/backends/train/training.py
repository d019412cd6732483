"""A training in progress: one optimizer step, one checkpoint, the final model.

Every process of a run holds one ``Training`` and calls its methods at the same time as the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ilab_cli.backends.train import checkpoint, engine
from ilab_cli.backends.train.data.dataset import Samples
from ilab_cli.backends.train.files import temporary_name
from ilab_cli.backends.train.loss import Limits, collate
from ilab_cli.backends.train.model import merge
from ilab_cli.backends.train.plan import BatchPlan
from ilab_cli.backends.train.stop import Stop
from ilab_cli.backends.train.validation import Validation
from ilab_profiles import Train

__all__ = ["Training"]


@dataclass(frozen=True, eq=False)
class Training:
    """All that a process needs to train.

    Args:
        train: the settings.
        accelerator: ``accelerate.Accelerator``.
        model: what is saved.
        network: the same model, wrapped by the accelerator: what is run.
        optimizer: its optimizer, wrapped too.
        tokenizer: what is saved beside the model.
        samples: the data.
        plan: what is trained on when.
        validation: what is validated when.
        stop: whether somebody asked for an end.
    """

    train: Train
    accelerator: Any
    model: Any
    network: Any
    optimizer: Any
    tokenizer: Any
    samples: Samples
    plan: BatchPlan
    validation: Validation
    stop: Stop

    def step(self, step: int) -> dict[str, Any]:
        """Do one optimizer step (numbered from 0) and return its row of metrics.

        Raises:
            ArithmeticError: if the loss or the norm of its gradient is no longer a finite number.
        """
        import torch

        began = time.perf_counter()
        torch.manual_seed(self.plan.seed(step, self.accelerator.process_index))
        rate = self.plan.learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, held = self._backward(step)
        norm = engine.clip(self.accelerator, self.network, self.train.max_grad_norm)
        if not math.isfinite(loss) or not (math.isfinite(norm) or self.train.precision == "fp16"):
            raise ArithmeticError(f"at step {step + 1} the loss is {loss} and the norm of its gradient {norm}")
        torch.manual_seed(self.plan.seed(step, self.accelerator.num_processes))  # weights are rounded alike everywhere
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {
            "step": step + 1,
            "epoch": step // self.plan.steps_per_epoch + 1,
            "samples": self.plan.samples_seen(step + 1),
            "tokens": self.plan.tokens_seen(step + 1),
            "loss": loss,
            "learning_rate": rate,
            "grad_norm": norm if math.isfinite(norm) else None,
            "tokens_per_second": (self.plan.tokens_seen(step + 1) - self.plan.tokens_seen(step))
            / (time.perf_counter() - began),
            **{name: max(most, held[name]) for name, most in engine.memory().items()},
        }

    def validate(self) -> float | None:
        """The validation loss; ``None`` if it is not a finite number."""
        return self.validation.loss(self.accelerator, self.network, self._token_loss)

    def _token_loss(self, samples: Samples, numbers: Sequence[int]) -> Any:
        """The sum of the losses of the learned tokens of some samples, a scalar in fp32 on the device."""
        batch = collate(samples, numbers, self.accelerator.device, _limits(samples, self.plan.train))
        return self.network(batch.inputs, batch.positions, batch.targets)

    def _backward(self, step: int) -> tuple[float, dict[str, int]]:
        """Gather the gradients of a global batch.

        Returns:
            the loss: the mean over all learned tokens of the global batch, the same for every number of processes; and
            the most memory that one of them held so far.
        """
        import torch

        device, processes = self.accelerator.device, self.accelerator.num_processes
        learned = sum(int(self.samples[number][1].sum()) for number in self.plan.batch(step))
        share = self.plan.shares(step)[self.accelerator.process_index]
        loss = torch.zeros((), device=device)
        for count, numbers in enumerate(share, start=1):
            with engine.microbatch(self.accelerator, self.network, last=count == len(share)):
                part = self._token_loss(self.samples, numbers) / learned
                engine.backward(self.accelerator, self.network, part * processes)  # they are averaged: this adds them
            loss += part.detach()
        return self._agree(loss)

    def _agree(self, loss: Any) -> tuple[float, dict[str, int]]:
        """The sum of the losses of all processes, and the most memory of one; whether one was to stop goes along."""
        import torch

        memory = engine.memory()
        about = [float(self.stop.asked), *map(float, memory.values())]
        gathered = self.accelerator.gather(torch.stack([loss, *map(loss.new_tensor, about)]))
        losses, asked, *held = zip(*gathered.view(-1, 1 + len(about)).tolist(), strict=True)
        self.stop.agreed = any(asked)
        return sum(losses), {name: int(max(each)) for name, each in zip(memory, held, strict=True)}

    def save(self, steps: int, valid_loss: float | None) -> None:
        """Write a checkpoint after the first ``steps`` steps, with the validation loss if there is one."""
        progress = replace(self._progress(steps), valid_loss=valid_loss)
        target = checkpoint.folder_of(Path(self.train.output_dir), progress.samples)
        main = self.accelerator.is_main_process
        if main:
            checkpoint.begin(target)
        self.accelerator.wait_for_everyone()
        folder = temporary_name(target)
        engine.save_optimizer(self.accelerator, self.network, self.optimizer, folder / checkpoint.OPTIMIZER)
        weights = engine.whole_weights(self.accelerator, self.network)
        if main:
            self.model.save_pretrained(folder, state_dict=weights)
            self.tokenizer.save_pretrained(folder)
        self.accelerator.wait_for_everyone()
        if main:
            checkpoint.complete(target, progress)
            checkpoint.forget_optimizers(target)
            checkpoint.forget_older(target, self.train.keep_checkpoints)
        self.accelerator.wait_for_everyone()

    def export(self) -> None:
        """Make the final model from the checkpoint of the last step."""
        if self.accelerator.is_main_process:
            progress = self._progress(self.plan.steps)
            run = Path(self.train.output_dir)
            last = checkpoint.folder_of(run, progress.samples)
            folder = checkpoint.begin(run / "model")
            if self.train.lora.enabled:
                merge(self.train, last).save_pretrained(folder)
                self.tokenizer.save_pretrained(folder)
            else:
                checkpoint.link_model(last, folder)
            checkpoint.complete(run / "model", progress)
        self.accelerator.wait_for_everyone()

    def _progress(self, steps: int) -> checkpoint.Progress:
        return checkpoint.Progress(steps, self.plan.samples_seen(steps), self.samples.fingerprint)


@lru_cache(maxsize=16)
def _limits(samples: Samples, train: Train) -> Limits:
    return Limits(train.max_batch_len, int(samples.lengths.max()), packed=train.packing != "none")
