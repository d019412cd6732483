"""The whole way on a laptop: from a taxonomy to data, a student trained on them in two phases, and what it learned.

The teacher is ``offline_teacher.py``, which copies from the documents: no model is downloaded. Every step is a command
as a user types it, shown before it runs; on two cores all of them take under six minutes. Run as ``python
examples/demo.py [WORK_DIR]``; without a folder, a temporary one is made, used and kept. Exit code 1 means that a step
failed or that nothing was learned.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHANCE = 0.25
ENOUGH = 0.6
GENERATE = ["--taxonomy-base", "empty", "--num-instructions", "900"]
EVALUATE = shlex.split("--benchmarks mmlu --data-dir generated --few-shots 0 --apply-chat-template")
PROFILE = """\
extends: cpu_only
train:
  model_path: student
  output_dir: trained
  effective_batch_size: 32
  learning_rate: 2.0e-3
  warmup_steps: 10
  max_seq_len: 256
  save_samples: 2000
  phases:
    - {name: knowledge, data_path: generated/train_knowledge.jsonl, num_epochs: 6}
    - {name: all, data_path: generated, num_epochs: 5}
evaluate:
  benchmarks: [mmlu]
  between_phases: true
  checkpoints: last:3
  mmlu: {data_dir: generated, few_shots: 0, apply_chat_template: true}
"""


def main() -> int:
    """Go the whole way, and return the exit code."""
    parser = argparse.ArgumentParser(
        description="Teach a tiny student what a taxonomy holds, and show what it learned."
    )
    parser.add_argument("work", type=Path, nargs="?", metavar="WORK_DIR", help="new or empty folder to work in")
    work: Path = parser.parse_args().work or Path(tempfile.mkdtemp(prefix="ilab-demo-"))
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        parser.error(f"{work} is not empty")
    begun = time.monotonic()
    _ilab(work, "config", "init", "--profile", "cpu_only")
    _example(work, "demo/make_taxonomy.py", "taxonomy")
    _ilab(work, "data", "validate", "taxonomy")
    with _teacher(work) as endpoint:
        _ilab(work, "data", "generate", *GENERATE, "--model-endpoint-url", endpoint)
    _example(work, "tiny_student.py", "student", "generated/train_knowledge.jsonl", "generated/train_skills.jsonl")
    _ilab(work, "model", "evaluate", "--model", "student", "--output-dir", "before", *EVALUATE)
    _profile(work)
    _ilab(work, "model", "train", "--profile", "./phases.yaml")
    _ilab(work, "model", "evaluate", "--model", "trained/model", "--output-dir", "after", *EVALUATE)
    _ilab(work, "model", "compare", "before/latest", "after/latest")
    _ilab(work, "report", "generated", "trained", "before/latest", "after/latest")
    return _verdict(work, time.monotonic() - begun)


def _profile(work: Path) -> None:
    """Write the profile of the training, and show it."""
    print(f"\n$ cat > phases.yaml\n{PROFILE}", end="", flush=True)
    (work / "phases.yaml").write_text(PROFILE, encoding="utf-8")


def _ilab(work: Path, *arguments: str) -> None:
    _run(work, shlex.join(["ilab", *arguments]), [sys.executable, "-m", "ilab_cli", *arguments])


def _example(work: Path, script: str, *arguments: str) -> None:
    command = [str(HERE / script), *arguments]
    _run(work, shlex.join(["python", *command]), [sys.executable, *command])


def _run(work: Path, shown: str, command: list[str]) -> None:
    """Show a command and run it in the folder."""
    print(f"\n$ {shown}", flush=True)
    if code := subprocess.run(command, cwd=work, env=_environment()).returncode:
        print(f"\nthe demo ends here: exit code {code}", file=sys.stderr)
        sys.exit(1)


def _environment() -> dict[str, str]:
    """This repository's packages, and no settings from outside."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
    paths = [str(HERE.parent), *filter(None, [variables.get("PYTHONPATH")])]
    return {**variables, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def _teacher(work: Path) -> Iterator[str]:
    """Run the teacher for the length of a block, which gets its address."""
    command = [str(HERE / "offline_teacher.py"), "--port", "0"]
    print(f"\n$ {shlex.join(['python', *command])} &", flush=True)
    server = [sys.executable, *command]
    with subprocess.Popen(server, cwd=work, env=_environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            endpoint = process.stdout.readline().strip()
            if not endpoint:
                print("\nthe demo ends here: the teacher did not start", file=sys.stderr)
                sys.exit(1)
            print(endpoint, flush=True)
            yield endpoint
        finally:
            process.terminate()


def _verdict(work: Path, seconds: float) -> int:
    found = (json.loads((work / run / "latest" / "scores.json").read_text()) for run in ("before", "after"))
    before, after = (scores["benchmarks"]["mmlu"]["score"] for scores in found)
    pairs = sum(len(file.read_text().splitlines()) for file in (work / "generated").glob("train_*.jsonl"))
    phases = [(work / "trained" / name / "metrics.jsonl").read_text() for name in ("knowledge", "all")]
    rows = [json.loads(line) for text in phases for line in text.splitlines()]
    first, last = rows[0]["loss"], rows[-1]["loss"]
    print(f"\npairs  {pairs} generated")
    print(f"score  {before:.0%} before, {after:.0%} after (chance: {CHANCE:.0%})")
    print(f"loss   {first:.3f} in the first step, {last:.3f} in the last")
    print(f"time   {seconds:.0f} seconds")
    print(f"files  {work}, the page about them is report.html")
    if last < first and after > max(before, ENOUGH):
        return 0
    print("the student did not learn what it was taught", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
