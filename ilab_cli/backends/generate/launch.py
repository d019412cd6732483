"""Launching a generation: what can be known before it, its command, and how it ends. Imports nothing heavy."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys

from ilab_cli.extras import missing_extra
from ilab_cli.interrupts import stoppable
from ilab_profiles import Finding, Generate, InputError, Profile

__all__ = ["command", "environment", "preflight", "read_settings", "run"]

_KEY = "ILAB_GENERATE__API_KEY"


def preflight(generate: Generate) -> list[Finding]:
    """All that can be known to be wrong before a teacher is asked, warnings included. Never writes."""
    from ilab_cli.backends.generate.preflight import preflight

    return missing_extra("generate", "ilab data generate") or preflight(generate)


def command(generate: Generate) -> list[str]:
    """The command that does this generation, complete but for the key, which it takes from the environment."""
    settings = generate.model_dump(mode="json", exclude_defaults=True, exclude={"api_key"})
    text = json.dumps(settings, ensure_ascii=False)
    return [sys.executable, "-m", "ilab_cli.backends.generate.launch", "--settings", text]


def environment(generate: Generate) -> dict[str, str]:
    """Variables that it needs: none that may be shown."""
    return {}


def read_settings(text: str) -> Generate:
    """The settings that a command line carries as JSON, checked by the rules of a profile.

    Raises:
        InputError: with everything that is wrong with them.
    """
    key = {"api_key": os.environ[_KEY]} if _KEY in os.environ else {}
    return Profile.from_dict({"generate": json.loads(text) | key}).generate


def run(generate: Generate) -> int:
    """Generate data and mix them; what was interrupted goes on where it was.

    Returns:
        0 if there are data, 1 if the run failed or no pair was accepted, 2 if an input was refused, 130 if it was
        interrupted; stderr says why.
    """
    from ilab_cli.backends.client.requests import Stopped
    from ilab_cli.backends.generate.mixing import mix
    from ilab_cli.backends.generate.run import generate_all, start
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
        hint = advice(generate)
        print(f"generation failed: {error}" + (f"\n    hint: {hint}" if hint else ""), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the answers so far", file=sys.stderr)
        return 130


def main() -> int:
    """Do the generation that ``--settings`` describes, see :func:`command`."""
    parser = argparse.ArgumentParser(description="Generate data from a taxonomy.")
    parser.add_argument("--settings", required=True, help="the generate section of a profile, as JSON")
    try:
        generate = read_settings(parser.parse_args().settings)
        findings = preflight(generate)
        if any(finding.severity == "error" for finding in findings):
            raise InputError(findings)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return run(generate)


if __name__ == "__main__":
    sys.exit(main())
