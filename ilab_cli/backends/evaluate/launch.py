"""The light side of evaluation: what the command line calls. It checks the settings and starts the worker.

Nothing heavy is imported here: the worker, a process of its own, loads the model and asks the questions.
"""

from __future__ import annotations

import signal
import sys

from ilab_cli.backends.base import as_arguments, output_folder, start, stoppable, wait
from ilab_cli.extras import missing_extra
from ilab_cli.output import lively
from ilab_profiles import Evaluate, Finding, InputError

__all__ = ["command", "environment", "preflight", "run"]

_PATIENCE = 10  # seconds that a worker has for ending when it is asked to


def preflight(evaluate: Evaluate) -> list[Finding]:
    """Everything that can be known to be wrong before the model is loaded. Writes nothing."""
    findings = _not_supported(evaluate)
    if "mmlu" in evaluate.benchmarks:
        missing = missing_extra("evaluate", "ilab model evaluate")
        findings += missing + _check_model(evaluate) + ([] if missing else _check_tasks(evaluate))
    return [*findings, *output_folder(evaluate.output_dir, "evaluate.output_dir")]


def command(evaluate: Evaluate) -> list[str]:
    """The worker's command line. It holds every setting that differs from its default, but no key."""
    return [sys.executable, *as_arguments("ilab_cli.backends.evaluate.worker", evaluate, exclude={"mt": {"api_key"}})]


def environment(evaluate: Evaluate) -> dict[str, str]:
    """The environment variables that the worker gets on top of this process's own."""
    variables = {"TOKENIZERS_PARALLELISM": "false"}
    if evaluate.gpus is not None or evaluate.device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, evaluate.gpus or ()))
    if not lively(sys.stderr):
        variables |= {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if _is_local(evaluate):
        variables |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return variables


def run(evaluate: Evaluate) -> int:
    """Evaluate in a process of its own; its table of scores goes to this process's stdout.

    SIGTERM ends a run as Ctrl-C does.

    Returns:
        The exit code: 0 for success, 1 for a failed run, 2 for refused input, 130 for an interruption.
    """
    with stoppable():
        try:
            code = wait(start(command(evaluate), environment(evaluate)), _PATIENCE)
        except KeyboardInterrupt:
            print("interrupted: no result was written", file=sys.stderr)
            return 130
    if code < 0:
        reason = "; perhaps there was not enough memory" if code == -signal.SIGKILL else ""
        print(f"error: evaluation was ended by signal {-code}{reason}", file=sys.stderr)
    return code if code in (0, 2) else 1


def _not_supported(evaluate: Evaluate) -> list[Finding]:
    findings = []
    if "mt_bench" in evaluate.benchmarks:
        hint = "remove mt_bench from evaluate.benchmarks"
        findings.append(
            Finding("not-supported-yet", "MT-Bench is not implemented yet", "evaluate.benchmarks", hint=hint)
        )
    if evaluate.prune:
        message, hint = "comparing and deleting checkpoints is not implemented yet", "set evaluate.prune to false"
        findings.append(Finding("not-supported-yet", message, "evaluate.prune", hint=hint))
    return findings


def _check_model(evaluate: Evaluate) -> list[Finding]:
    from ilab_cli.backends.evaluate.model import find_model

    try:
        find_model(evaluate)
    except InputError as error:
        return list(error.findings)
    return []


def _check_tasks(evaluate: Evaluate) -> list[Finding]:
    from ilab_cli.backends.evaluate.mmlu import prepare

    try:
        prepare(evaluate.mmlu)
    except InputError as error:
        return list(error.findings)
    return []


def _is_local(evaluate: Evaluate) -> bool:
    from ilab_cli.backends.evaluate.model import find_model

    try:
        return find_model(evaluate).local
    except InputError:
        return False
