"""The recipe of a training run, one process of several: started by torchrun, reads from top to bottom.

    python -m torch.distributed.run … -m ilab_cli.backends.train.worker --settings JSON

How each piece works is told in its own file; here stands only in what order they are used, and how a process ends.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from ilab_cli.backends.base import end_with_parent, is_full, read_settings
from ilab_cli.backends.train import checkpoint, disk, engine, forecast, memory, report, trackers, validation
from ilab_cli.backends.train.architecture import configuration, fitted, unpacked
from ilab_cli.backends.train.data import dataset
from ilab_cli.backends.train.data.tokens import load_tokenizer
from ilab_cli.backends.train.launch import FAILURE, LAUNCHED, environment
from ilab_cli.backends.train.loss import keeps_apart
from ilab_cli.backends.train.model import build
from ilab_cli.backends.train.plan import BatchPlan
from ilab_cli.backends.train.preflight import check_settings
from ilab_cli.backends.train.remaining import Remaining, beside
from ilab_cli.backends.train.stop import Stop, note, read_note
from ilab_cli.backends.train.training import Training
from ilab_cli.output import UNFINISHED
from ilab_profiles import InputError, Train

__all__ = ["main", "train_model"]


_NO_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "ALLOC_FAILED")
"""What torch, CUDA, its libraries and the system say when there is no memory left."""


def train_model(train: Train, stop: Stop) -> bool:
    """Train as the settings say, on from the newest checkpoint in the run folder, to the final model.

    Args:
        train: the settings.
        stop: whether somebody asks for a checkpoint and an end before that.

    Returns:
        whether it came to the final model.

    Raises:
        InputError: if settings, model or data cannot be used.
        ArithmeticError: if the loss is no longer a number.
        RuntimeError: if not all processes come together.
    """
    import transformers

    transformers.logging.disable_progress_bar()
    check_settings(train)
    accelerator = engine.start(train)
    run = Path(train.output_dir)

    with accelerator.main_process_first():
        samples = dataset.load(dataset.prepare(train))
        held_out = validation.load(train)
    config = configuration(train)
    plan = BatchPlan(fitted(train, config), samples.lengths, config.hidden_size)
    if checkpoint.finished(run, plan.steps, samples.fingerprint):
        return True
    resumed, done = checkpoint.to_resume(train, samples.fingerprint)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        checkpoint.clean(run)
        report.rewind(run / "metrics.jsonl", done.step)
        rooms = disk.room_of(train, [plan])
        takes = memory.estimate(train, int(samples.lengths.max()))
        left = sum(room.at_end for room in rooms) or None
        forecast.begin(run, memory.as_data(takes) if takes else None, left)
        report.begin(len(samples), samples.left_out, samples.truncated, plan, done.step)

    model = build(plan.train, accelerator.device, resumed)
    network, optimizer = engine.prepare(train, accelerator, model)
    if plan.train.packing != "none" and not keeps_apart(network, config.vocab_size, accelerator.device):
        plan = replace(plan, train=unpacked(train))
        if accelerator.is_main_process:
            report.unpacked()
    if resumed:
        engine.load_optimizer(accelerator, network, optimizer, resumed / checkpoint.OPTIMIZER)
    held = validation.Validation(plan, held_out)
    training = Training(train, accelerator, model, network, optimizer, load_tokenizer(train), samples, plan, held, stop)

    trackers.start(train, accelerator, done.step)
    watch = report.Watch(Remaining(plan, beside(plan, held, disk.room_of(train, [plan]))))
    stopped = False
    with report.Progress(plan.steps, done.step, shown=accelerator.is_main_process) as progress:
        for step in range(done.step, plan.steps):
            row = training.step(step)
            watch.stepped(step)
            last = step + 1 == plan.steps
            stopped = stop.agreed and not last
            saved = last or plan.due(step, train.save_samples)
            if held.due(step, saved=saved):  # not before a stop, for which there may be little time
                row["valid_loss"] = training.validate()
                watch.validated()
            row |= watch.row(step)
            accelerator.log(trackers.values(row), step=row["step"])
            if accelerator.is_main_process:
                report.append(run / "metrics.jsonl", row)
                progress.show(row)
            if saved or stopped:
                training.save(step + 1, row.get("valid_loss"))
                watch.saved()
            if stopped:
                break
    if not stopped:
        training.export()
        if accelerator.is_main_process:
            forecast.end(run, watch.since_row())
    elif accelerator.is_local_main_process:
        note(run, f"step {row['step']} of {plan.steps}")
    accelerator.end_training()
    return not stopped


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
    launched = LAUNCHED in os.environ
    stop = Stop(None if launched else train.max_hours)
    stop.listen(Path(train.output_dir) / FAILURE)
    threading.Thread(target=_end_with_parents, args=(stop,), daemon=True).start()
    try:
        if not train_model(train, stop) and not launched:
            _tell_stop(train)
    except InputError as error:
        _fail(train, str(error))
    except Exception as error:
        traceback.print_exc()
        _fail(train, _explain(error, Path(train.output_dir)))


def _explain(error: Exception, folder: Path) -> str:
    if is_full(folder) or "No space left" in str(error):
        return f"no space is left in {folder}; the same command continues from the last checkpoint"
    if isinstance(error, OSError) and error.filename and error.errno != errno.ENOMEM:
        return f"{error.filename}: {error.strerror}"
    text = f"{type(error).__name__}: {str(error).strip().partition(os.linesep)[0]}".removesuffix(": ")
    if any(sign in text for sign in _NO_MEMORY) or isinstance(error, MemoryError):
        text += memory.compared(folder, engine.memory_now())
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


def _tell_stop(train: Train) -> NoReturn:
    """End a run that was started by hand and stopped; otherwise the launcher tells of that."""
    if text := read_note(Path(train.output_dir)):
        print(f"stopped at {text}; the same command goes on", file=sys.stderr)
    sys.exit(UNFINISHED)


def _end_with_parents(stop: Stop) -> None:
    """End this process when the launcher or torchrun is gone: an orphan would go on writing to the run folder."""
    if LAUNCHED in os.environ:
        while os.read(0, 1):  # what the launcher writes asks for a stop; when it is gone, this reads nothing
            stop.ask()
        os._exit(1)
    end_with_parent()


if __name__ == "__main__":
    main()
