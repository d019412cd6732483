"""The light side of evaluation: what the command line calls. It checks the settings and starts the worker.

Nothing heavy is imported here: the worker, a process of its own, loads the model and asks the questions.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ilab_cli.backends.base import as_arguments, gpus_in_words, interrupted, output_folder, start, stoppable, wait
from ilab_cli.backends.evaluate import keys
from ilab_cli.backends.evaluate.checkpoints import refusals
from ilab_cli.backends.evaluate.mmlu import hub
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.evaluate.prune import disposable
from ilab_cli.backends.evaluate.results import COMPARISON, FILE
from ilab_cli.backends.evaluate.subject import in_words, subject, wanted
from ilab_cli.backends.hardware import device_findings, memory_findings, on_cpu, visible
from ilab_cli.backends.model_folder import is_model, weight_files
from ilab_cli.backends.outcome import Outcome
from ilab_cli.extras import missing_extra
from ilab_profiles import Evaluate, Finding, InputError
from ilab_profiles.diagnostics import Severity

__all__ = [
    "LATEST",
    "SECRETS",
    "benchmark_findings",
    "command",
    "continues",
    "earlier",
    "environment",
    "folder",
    "in_words",
    "in_own_folder",
    "machine",
    "outcome",
    "preflight",
    "results",
    "run",
    "where",
]

LATEST = "latest"
"""Link beside the folders of evaluations that leads to the last one that was finished."""
SECRETS = {"mt": set(keys.NAMES)}
"""What no command line holds."""
_OWN = re.compile(r".+-\d{8}-\d{6}(-\d+)?")
_GENERIC = {"model", "hf_format", "checkpoints"}
_PATIENCE = 10  # seconds that a worker has for ending when it is asked to


def in_own_folder(evaluate: Evaluate) -> Evaluate:
    """The settings with a folder below ``output_dir`` that no other evaluation has, named by model and time."""
    base = Path(evaluate.output_dir) / f"{_name(evaluate)}-{datetime.now():%Y%m%d-%H%M%S}"
    taken = (path for number in itertools.count(2) for path in [base.with_name(f"{base.name}-{number}")])
    own = next(path for path in itertools.chain([base], taken) if not os.path.lexists(path))
    return evaluate.model_copy(update={"output_dir": str(own)})


def _name(evaluate: Evaluate) -> str:
    """What the folder of an evaluation begins with: the model's name."""
    given = evaluate.mmlu.model or evaluate.model or evaluate.input_dir or "model"
    parts = [part for part in Path(given).parts if part not in (".", "..", os.sep)]
    generic = len(parts) > 1 and parts[-1] in _GENERIC
    return re.sub(r"[^\w.-]+", "_", "-".join(parts[-2:] if generic else parts[-1:])) or "model"


def folder(evaluate: Evaluate) -> str:
    """The run folder."""
    return evaluate.output_dir


def machine(evaluate: Evaluate) -> str:
    """None: one machine does it all."""
    return ""


def results(evaluate: Evaluate) -> list[Path]:
    """None that another run could meet: each has a folder of its own."""
    return []


def continues(changes: object, evaluate: Evaluate) -> tuple[Severity | None, str]:
    """Never asked: each run has a folder of its own."""
    return "error", ""


def earlier(evaluate: Evaluate) -> list[Evaluate]:
    """The settings with each folder below ``output_dir`` that an evaluation of this model has, the newest first."""
    name = re.escape(_name(evaluate))
    found = sorted(path for path in Path(evaluate.output_dir).glob("*") if re.fullmatch(rf"{name}-[\d-]+", path.name))
    return [evaluate.model_copy(update={"output_dir": str(path)}) for path in reversed(found)]


def where(evaluate: Evaluate) -> str:
    """Which form the evaluation has, and the processor or the GPUs."""
    cpu = on_cpu(evaluate.device, evaluate.gpus)
    hardware = "on the CPU" if cpu else f"on {gpus_in_words(evaluate.gpus, 1)}"
    return f"{in_words(evaluate)} {hardware}".strip()


def _point_at(folder: Path) -> None:
    """Let ``latest``, beside the folder of a run, lead to it, where the system has symbolic links."""
    link = folder.with_name(LATEST)
    if _OWN.fullmatch(folder.name) and (link.is_symlink() or not os.path.lexists(link)):
        temporary = folder.with_name(f".{LATEST}-{os.getpid()}")
        with suppress(OSError, NotImplementedError):
            temporary.symlink_to(folder.name)
            os.replace(temporary, link)


def outcome(evaluate: Evaluate) -> Outcome:
    """Where scores and answers lie, and the scores; their table was printed already."""
    folder = Path(evaluate.output_dir)
    scores = json.loads((folder / FILE).read_text(encoding="utf-8"))
    made = {"scores and answers": str(folder)}
    if scores["form"] == "checkpoints":
        figures = {name: scores[name] for name in ("metric", "best", "note", "checkpoints")}
        model = made["best checkpoint"] = scores["best_folder"]
    else:
        found = subject(evaluate)
        figures, model = scores["benchmarks"], found.base if isinstance(found, Model) else ""
    if evaluate.against:
        beside = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
        figures = figures | {"against": beside}
    chat: tuple[str, ...] = ("ilab", "model", "chat", "--model", model) if model and is_model(Path(model)) else ()
    if not model and evaluate.mt.endpoint:
        chat = ("ilab", "model", "chat", "--endpoint-url", evaluate.mt.endpoint)
    return Outcome(made, figures, (), chat)


def preflight(evaluate: Evaluate) -> list[Finding]:
    """Everything that can be known to be wrong before the model is loaded. Writes nothing."""
    from ilab_cli.backends.evaluate.branch import preflight as branch
    from ilab_cli.backends.evaluate.mt_bench import preflight as mt_bench

    served = evaluate.mt.endpoint and not _asks(evaluate, "mmlu")
    findings = [] if served else _check_subject(evaluate)
    findings += benchmark_findings(evaluate)
    findings += branch.of_base(evaluate)
    if _asks(evaluate, "mt_bench"):
        findings += [finding for finding in mt_bench.of_model(evaluate) if finding not in findings]
    return [*findings, *_check_against(evaluate), *output_folder(evaluate.output_dir, "evaluate.output_dir")]


def _check_against(evaluate: Evaluate) -> list[Finding]:
    from ilab_cli.backends.evaluate.compare import read

    try:
        if evaluate.against:
            read(evaluate.against)
    except InputError as error:
        return [replace(finding, path="evaluate.against") for finding in error.findings]
    return []


def benchmark_findings(evaluate: Evaluate) -> list[Finding]:
    """What is wrong with what the benchmarks ask and where they run, whatever the model is."""
    from ilab_cli.backends.evaluate.branch import preflight as branch
    from ilab_cli.backends.evaluate.mt_bench import preflight as mt_bench

    missing = missing_extra("evaluate", "ilab model evaluate")
    findings = (missing or _check_tasks(evaluate)) if _asks(evaluate, "mmlu") else []
    if not missing and _loads_a_model(evaluate):
        findings += device_findings("evaluate", evaluate.device, evaluate.gpus)
    if _asks(evaluate, "mt_bench"):
        findings += [finding for finding in mt_bench.of_benchmark(evaluate) if finding not in findings]
    return findings + branch.of_questions(evaluate)


def _asks(evaluate: Evaluate, benchmark: str) -> bool:
    """Whether a benchmark or that of its kind for branches is to be run."""
    return not {benchmark, f"{benchmark}_branch"}.isdisjoint(evaluate.benchmarks)


def _loads_a_model(evaluate: Evaluate) -> bool:
    """Whether a model is loaded or served here: not every benchmark asks an endpoint."""
    endpoints = {"mmlu": evaluate.mmlu.endpoint, "mt_bench": evaluate.mt.endpoint}
    return any(_asks(evaluate, name) and not endpoint for name, endpoint in endpoints.items())


def command(evaluate: Evaluate) -> list[str]:
    """The worker's command line. It holds every setting that differs from its default, but no key."""
    return [sys.executable, *as_arguments("ilab_cli.backends.evaluate.worker", evaluate, exclude=SECRETS)]


def environment(evaluate: Evaluate) -> dict[str, str]:
    """The environment variables that the worker gets on top of this process's own."""
    variables = {"TOKENIZERS_PARALLELISM": "false"}
    variables |= {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # there is one bar, which is ours
    if evaluate.gpus is not None or evaluate.device == "cpu":
        variables |= visible(() if evaluate.device == "cpu" else evaluate.gpus or ())
    if hub.is_offline() if hub.needed(evaluate) else _is_local(evaluate):
        variables |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return variables


def run(evaluate: Evaluate) -> int:
    """Evaluate in a process of its own; its table of scores goes to this process's stdout.

    SIGTERM ends a run as Ctrl-C does.

    Returns:
        The exit code: 0 for success, 1 for a failed run, 2 for refused input, 130 or 143 if it was interrupted.
    """
    with stoppable():
        try:
            code = wait(start(command(evaluate), environment(evaluate) | keys.as_variables(evaluate)), _PATIENCE)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on where it was", file=sys.stderr)
            return interrupted()
    if code == 0:
        _point_at(Path(evaluate.output_dir))
    if code < 0:
        reason = "; perhaps there was not enough memory" if code == -signal.SIGKILL else ""
        print(f"error: evaluation was ended by signal {-code}{reason}", file=sys.stderr)
    return code if code in (0, 2) else 1


def _check_subject(evaluate: Evaluate) -> list[Finding]:
    try:
        found = subject(evaluate)
    except InputError as error:
        return list(error.findings)
    if isinstance(found, Model):
        return list(memory_findings(weight_files(Path(found.base)), "evaluate.model")) if found.local else []
    chosen = wanted(evaluate, found)
    findings = list(refusals(chosen))
    if evaluate.mmlu.endpoint:
        why = "it serves one model, which is none of the checkpoints"
        message = "checkpoints are not asked at an endpoint"
        findings.append(Finding("endpoint-is-no-checkpoint", message, "evaluate.mmlu.endpoint", why=why))
    if evaluate.prune and (findings or len(chosen) < len(found)):
        message = "nothing is pruned, as not every checkpoint gets a score"
        findings.append(Finding("prunes-nothing", message, "evaluate.prune", severity="warning"))
    elif evaluate.prune and (may_go := disposable(found)):
        message = f"of these all are deleted but the best: {', '.join(each.name for each in may_go)}"
        why = "a checkpoint that an unfinished training would go on from stays"
        findings.append(Finding("prunes", message, "evaluate.prune", why=why, severity="warning"))
    return findings


def _check_tasks(evaluate: Evaluate) -> list[Finding]:
    from ilab_cli.backends.client.addresses import base_urls
    from ilab_cli.backends.evaluate.mmlu.selection import prepare

    try:
        if hub.needed(evaluate):
            hub.check(evaluate.mmlu)
        else:
            prepare(evaluate.mmlu)
        if evaluate.mmlu.endpoint:
            base_urls(evaluate.mmlu.endpoint, "evaluate.mmlu.endpoint")
    except InputError as error:
        return list(error.findings)
    return []


def _is_local(evaluate: Evaluate) -> bool:
    try:
        found = subject(evaluate)
    except InputError:
        return False
    return not isinstance(found, Model) or found.local
