"""The recipe of a training run, one process of several: started by torchrun, reads from top to bottom.

    python -m torch.distributed.run … -m ilab_cli.backends.train.worker --settings JSON

How each piece works is told in its own file; here stands only in what order they are used, and how a process ends.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from pathlib import Path

from ilab_cli.backends.base import is_full, read_settings
from ilab_cli.backends.train import checkpoint, dataset, engine, report, trackers
from ilab_cli.backends.train.launch import FAILURE, LAUNCHED, environment
from ilab_cli.backends.train.model import build
from ilab_cli.backends.train.plan import BatchPlan
from ilab_cli.backends.train.preflight import check_settings
from ilab_cli.backends.train.tokens import load_tokenizer
from ilab_cli.backends.train.training import Training
from ilab_profiles import InputError, Train

__all__ = ["main", "train_model"]


def train_model(train: Train) -> None:
    """Train as the settings say, on from the newest checkpoint in the run folder, to the final model.

    Raises:
        InputError: if settings, model or data cannot be used.
        ArithmeticError: if the loss is no longer a number.
        RuntimeError: if not all processes come together.
    """
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    check_settings(train)
    accelerator = engine.start(train)
    run = Path(train.output_dir)

    with accelerator.main_process_first():
        samples = dataset.load(dataset.prepare(train))
    plan = BatchPlan(train, samples.lengths)
    if checkpoint.finished(run, plan.steps, samples.fingerprint):
        return
    resumed, done = checkpoint.to_resume(train, samples.fingerprint)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        checkpoint.clean(run)
        report.rewind(run / "metrics.jsonl", done.step)
        report.begin(len(samples), samples.left_out, plan.steps, done.step)

    model = build(train, accelerator.device, resumed)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=train.learning_rate, betas=(0.9, 0.95), weight_decay=train.weight_decay)
    network, optimizer = accelerator.prepare(model, optimizer)
    if resumed:
        engine.load_optimizer(accelerator, network, optimizer, resumed / checkpoint.OPTIMIZER)
    training = Training(train, accelerator, model, network, optimizer, load_tokenizer(train), samples, plan)

    trackers.start(train, accelerator, done.step)

    saved = done.samples
    with report.Progress(plan.steps, done.step, shown=accelerator.is_main_process) as progress:
        for step in range(done.step, plan.steps):
            row = training.step(step)
            accelerator.log(trackers.values(row), step=row["step"])
            if accelerator.is_main_process:
                report.append(run / "metrics.jsonl", row)
                progress.show(row)
            if step + 1 == plan.steps or 0 < train.save_samples <= row["samples"] - saved:
                training.save(step + 1)
                saved = row["samples"]
    training.export()
    accelerator.end_training()


def main() -> None:
    """Run one worker process: read the settings from the command line, train, and tell how it failed if it did."""
    try:
        train: Train = read_settings("train")
    except InputError as error:
        sys.exit(str(error))
    os.environ.update(environment(train))
    for name in [name for name in os.environ if name.startswith("ACCELERATE_")]:
        del os.environ[name]  # the settings alone say how to train
    sys.stdout = sys.stderr  # what libraries print is no result
    threading.Thread(target=_end_with_parents, daemon=True).start()
    try:
        train_model(train)
    except InputError as error:
        _fail(train, str(error))
    except Exception as error:
        traceback.print_exc()
        _fail(train, _explain(error, Path(train.output_dir)))


def _explain(error: Exception, folder: Path) -> str:
    if is_full(folder) or "No space left" in str(error):
        return f"no space is left in {folder}; the same command continues from the last checkpoint"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = f"{type(error).__name__}: {str(error).strip().partition(os.linesep)[0]}"
    if "out of memory" in text or isinstance(error, MemoryError):
        text += "\n    fix: lower train.max_batch_len, or set train.gradient_checkpointing or train.lora.enabled"
    if isinstance(error, ArithmeticError):
        text += "\n    fix: lower train.learning_rate, or raise train.warmup_steps"
    return text


def _fail(train: Train, reason: str) -> None:
    """Leave the reason in the run folder, unless another process failed first, and end this process."""
    try:
        with (Path(train.output_dir) / FAILURE).open("x", encoding="utf-8") as file:
            file.write(reason)
    except OSError:  # another process failed before, most likely the cause of this failure; or there is no folder
        pass
    print(reason, file=sys.stderr, flush=True)
    os._exit(1)  # an orderly end would wait for processes that wait for this one


def _end_with_parents() -> None:
    """End this process when the launcher or torchrun is gone: an orphan would go on writing to the run folder."""
    if LAUNCHED in os.environ:
        os.read(0, 1)  # the launcher holds the other end and writes nothing: this waits until it is gone
    else:
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.2)
    os._exit(1)


if __name__ == "__main__":
    main()
