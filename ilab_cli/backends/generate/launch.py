"""Launching a generation: what can be known before it, its command, and how it ends. Imports nothing heavy."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from ilab_cli.backends.base import as_arguments, interrupted, main, stoppable
from ilab_cli.backends.outcome import Outcome
from ilab_cli.extras import missing_extra
from ilab_profiles import Finding, Generate, InputError
from ilab_profiles.diagnostics import Severity, counted

__all__ = [
    "command",
    "continues",
    "environment",
    "folder",
    "machine",
    "outcome",
    "preflight",
    "results",
    "run",
    "where",
]

_KEY = "ILAB_GENERATE__API_KEY"


def folder(generate: Generate) -> str:
    """The run folder."""
    return generate.output_dir


def machine(generate: Generate) -> str:
    """None: one machine does it all."""
    return ""


def results(generate: Generate) -> list[Path]:
    """The teacher's answers and what was made of them, as far as it is there."""
    told = ("journal.jsonl", "metrics.jsonl", "documents.jsonl", "rejected.jsonl")
    patterns = (*told, "train_*.jsonl", "test_*.jsonl", "recipe_*.yaml", "mmlu")
    return [path for pattern in patterns for path in sorted(Path(generate.output_dir).glob(pattern))]


def continues(changes: object, generate: Generate) -> tuple[Severity | None, str]:
    """Whatever changed, the files are made again; answers to what is asked again are taken from the journal."""
    return "warning", ""


def where(generate: Generate) -> str:
    """The teacher."""
    return f"teacher {generate.model or ''} at {generate.model_endpoint_url}".replace("  ", " ")


def outcome(generate: Generate) -> Outcome:
    """How many pairs there are, and the mixed data that training takes."""
    from ilab_cli.backends.mix.launch import outcome

    folder = Path(generate.output_dir)
    rows = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    whole = json.loads(rows[-1])
    figures = {name: whole[name] for name in ("accepted", "wanted", "rejected", "calls", "seconds")}
    mixed = outcome(generate)
    lines = (f"{counted(format(whole['accepted'], ','), 'pairs')} of {whole['wanted']:,}",)
    return Outcome({"generated data": str(folder), **mixed.made}, figures | mixed.figures, lines, mixed.next)


def preflight(generate: Generate) -> list[Finding]:
    """All that can be known to be wrong before a teacher is asked, warnings included. Never writes."""
    from ilab_cli.backends.generate.preflight import preflight

    return missing_extra("generate", "ilab data generate") or preflight(generate)


def command(generate: Generate) -> list[str]:
    """The command that does this generation, complete but for the key, which it takes from the environment."""
    return [sys.executable, *as_arguments("ilab_cli.backends.generate.launch", generate, exclude={"api_key"})]


def environment(generate: Generate) -> dict[str, str]:
    """Variables that it needs: none that may be shown."""
    return {}


def run(generate: Generate) -> int:
    """Generate data and mix them; what was interrupted goes on where it was.

    Returns:
        0 if there are data, 1 if the run failed or brought too few pairs, 2 if an input was refused, 130 or 143 if it
        was interrupted; stderr says why.
    """
    from ilab_cli.backends.client.requests import Stopped
    from ilab_cli.backends.generate.mixing import mix
    from ilab_cli.backends.generate.run import JOURNAL, generate_all, start
    from ilab_cli.backends.generate.teacher import advice, served
    from ilab_cli.backends.serve.launch import ServerFailed

    try:
        with stoppable():
            job = start(generate)
            with served(generate) as settings:
                code = asyncio.run(generate_all(job, settings))
            return code or mix(generate)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except (Stopped, ServerFailed) as error:
        answers = Path(generate.output_dir) / JOURNAL
        kept = "the same command continues from the answers so far" if _has_content(answers) else ""
        hints = "".join(f"\n    hint: {hint}" for hint in (advice(generate), kept) if hint)
        print(f"generation failed: {error}{hints}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command continues from the answers so far", file=sys.stderr)
        return interrupted()


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _checked(generate: Generate) -> int:
    """Run what was typed by hand, which nobody has looked at yet."""
    findings = preflight(generate)
    if any(finding.severity == "error" for finding in findings):
        raise InputError(findings)
    return run(generate)


if __name__ == "__main__":
    sys.exit(main("generate", _checked, {"api_key": os.environ[_KEY]} if _KEY in os.environ else {}))
