"""The whole way on a laptop: make a student, ask it, train it, ask it again; under two minutes on two cores.

Every step is a command as a user types it, shown before it runs. Run as ``python examples/demo.py [WORK_DIR]``; without
a folder, a temporary one is made, used and kept. Exit code 1 means that a step failed or that nothing was learned.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHANCE = 0.25
ENOUGH = 0.70
EVALUATE = [
    "--benchmarks",
    "mmlu",
    "--data-dir",
    str(HERE / "demo" / "mmlu"),
    "--few-shots",
    "0",
    "--apply-chat-template",
]
TRAIN = ["--data-path", str(HERE / "demo" / "train.jsonl"), "--num-epochs", "15", "--learning-rate", "2e-3"]
SIZES = ["--effective-batch-size", "32", "--warmup-steps", "10", "--max-seq-len", "128", "--save-samples", "0"]


def main() -> int:
    """Go the whole way, and return the exit code."""
    parser = argparse.ArgumentParser(description="Train a tiny student and show what it learned.")
    parser.add_argument("work", type=Path, nargs="?", metavar="WORK_DIR", help="new or empty folder to work in")
    work: Path = parser.parse_args().work or Path(tempfile.mkdtemp(prefix="ilab-demo-"))
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        parser.error(f"{work} is not empty")
    shown = shlex.join(["python", str(HERE / "tiny_student.py"), "student"])
    _run(work, shown, [sys.executable, str(HERE / "tiny_student.py"), "student"])
    _ilab(work, "config", "init", "--profile", "cpu_only")
    _ilab(work, "model", "evaluate", "--model", "student", "--output-dir", "before", *EVALUATE)
    _ilab(work, "model", "train", "--model-path", "student", "--output-dir", "trained", *TRAIN, *SIZES)
    _ilab(work, "model", "evaluate", "--model", "trained/model", "--output-dir", "after", *EVALUATE)
    return _verdict(work)


def _ilab(work: Path, *arguments: str) -> None:
    _run(work, shlex.join(["ilab", *arguments]), [sys.executable, "-m", "ilab_cli", *arguments])


def _run(work: Path, shown: str, command: list[str]) -> None:
    """Show a command and run it in the folder, with this repository's packages and no settings from outside."""
    print(f"\n$ {shown}", flush=True)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
    paths = [str(HERE.parent), *filter(None, [variables.get("PYTHONPATH")])]
    code = subprocess.run(command, cwd=work, env={**variables, "PYTHONPATH": os.pathsep.join(paths)}).returncode
    if code:
        print(f"\nthe demo ends here: exit code {code}", file=sys.stderr)
        sys.exit(1)


def _verdict(work: Path) -> int:
    before, after = (
        json.loads((work / run / "scores.json").read_text())["overall"]["acc"] for run in ("before", "after")
    )
    rows = [json.loads(line) for line in (work / "trained" / "metrics.jsonl").read_text().splitlines()]
    first, last = rows[0]["loss"], rows[-1]["loss"]
    print(f"\nscore  {before:.0%} before, {after:.0%} after (chance: {CHANCE:.0%})")
    print(f"loss   {first:.3f} in the first step, {last:.3f} in the last")
    print(f"files  {work}")
    if last < first and after > max(before, ENOUGH):
        return 0
    print("the student did not learn what it was taught", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
