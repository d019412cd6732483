"""Run folders as the program leaves them, made at once: what they hold is drawn, the form is that of real runs."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ilab_profiles.yaml.write import dump

HOSTILE = "</script><img src=x onerror=\"document.title='taken'\"><b>bold</b> \u2028 {{ 7 * 7 }}"
"""An answer that would run, or break the page, wherever it were taken for markup."""


def manifest(folder: Path, section: str, status: str = "complete", **settings: Any) -> Path:
    """``run.yaml`` of a run, with some settings that a flag has set."""
    folder.mkdir(parents=True, exist_ok=True)
    origins = {f"{section}.{name}": f"--{name.replace('_', '-')}" for name in settings}
    data = {
        "section": section,
        "status": status,
        "command": f"ilab {section}",
        "working_folder": "/somewhere",
        "time": "2026-01-02T03:04:05+00:00",
        "settings": {"seed": 42, "output_dir": folder.name, **settings},
        "origins": origins,
        "inputs": {"data_path": "ab" * 32},
        "versions": {"python": "3.11.7"},
        "hardware": {"machine": "x86_64", "cores": 2},
    }
    (folder / "run.yaml").write_text(dump(data))
    return folder


def lines(file: Path, rows: Iterable[Any]) -> None:
    """Write rows as JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


def training(folder: Path, steps: int = 60, spike: int | None = None, seed: int = 1, **settings: Any) -> Path:
    """A training of one phase, with a checkpoint each 20 steps; at ``spike`` the gradient is large."""
    manifest(folder, "train", **{"learning_rate": 0.001, **settings})
    draw = random.Random(seed)

    def row(step: int) -> dict[str, Any]:
        loss = 0.3 + 4 * math.exp(-4 * step / steps) + 0.1 * draw.random()
        found = {"step": step, "epoch": 1, "samples": 8 * step, "tokens": 200 * step, "loss": loss}
        found |= {"learning_rate": 0.001 * step / steps, "grad_norm": 99.0 if step == spike else 1 + draw.random()}
        found |= {"tokens_per_second": 900 + 50 * draw.random(), "memory": 5 * 10**8 + step}
        return found | ({"valid_loss": loss + 0.4} if step % 20 == 0 else {})

    lines(folder / "metrics.jsonl", map(row, range(1, steps + 1)))
    for step in range(20, min(steps, 200) + 1, 20):
        place = folder / "checkpoints" / f"samples_{8 * step:07d}"
        place.mkdir(parents=True)
        about = {"step": step, "samples": 8 * step, "data": "ab", "valid_loss": 5 / step}
        (place / "training.json").write_text(json.dumps(about))
    return folder


def mmlu(
    folder: Path, right: float, seed: int = 1, tasks: int = 3, questions: int = 20, text: str = ""
) -> dict[str, Any]:
    """Answers of which a share is right, and what ``scores.json`` says of them."""
    draw = random.Random(seed)
    scores, total = {}, 0
    for task in range(tasks):
        rows = [_answer(task, number, draw.random() < right, text) for number in range(questions)]
        lines(folder / f"answers_task_{task}.jsonl", rows)
        correct = sum(row["correct"] for row in rows)
        total += correct
        scores[f"task_{task}"] = _share(correct, questions)
    overall = _share(total, tasks * questions)
    about = {"few_shots": 0, "apply_chat_template": True, "versions": {"lm_eval": "0.4"}}
    found = {"score": overall["acc"], "stderr": overall["acc_stderr"], "overall": overall, "tasks": scores}
    return found | {"groups": {"all": overall}, **about}


def _share(right: int, count: int) -> dict[str, Any]:
    share = right / count
    return {"acc": share, "acc_stderr": math.sqrt(share * (1 - share) / (count - 1)), "questions": count}


def _answer(task: int, number: int, correct: bool, text: str) -> dict[str, Any]:
    choices = [f"choice {letter} of {number}" for letter in "abcd"]
    right = choices[number % 4]
    answered = right if correct else choices[(number + 1) % 4]
    asked = {"question": number, "prompt": f"What is the answer to {number} of {task}? {text}", "choices": choices}
    return asked | {"answered": answered, "right": right, "correct": correct, "probability": 0.8 if correct else 0.1}


_CATEGORIES = ("writing", "math", "reasoning", "coding")


def mt_bench(folder: Path, level: float, seed: int = 1, text: str = "") -> dict[str, Any]:
    """Judgements around a level, one of them an error, and what ``scores.json`` says of them."""
    draw, rows = random.Random(seed), []
    for at, category in enumerate(_CATEGORIES):
        for number in range(3):
            for turn in (1, 2):
                score = min(10, max(1, round(draw.gauss(level, 1.5))))
                row = {"question_id": 81 + 3 * at + number, "category": category, "turn": turn}
                row |= {
                    "question": f"Question {number} on {category}, turn {turn}.\nPlease explain.",
                    "answer": f"It is so. {text}",
                }
                row |= {"reference": "42" if category == "math" else None, "judgement": f"Good. Rating: [[{score}]]"}
                rows.append({**row, "score": score, "error": None})
    rows[5] |= {"score": None, "error": "no rating was found", "judgement": "I cannot say."}
    lines(folder / "judgements.jsonl", rows)
    figures = {category: _points(row for row in rows if row["category"] == category) for category in _CATEGORIES}
    turns = {str(turn): _points(row for row in rows if row["turn"] == turn) for turn in (1, 2)}
    about = {"errors": 1, "error_share": 1 / len(rows), "trusted": True, "judge_model": "judge", "questions": 12}
    return _points(rows) | {"turns": turns, "categories": figures, **about, "versions": {"aiohttp": "3"}}


def _points(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    scores = [row["score"] for row in rows if row["score"] is not None]
    mean = sum(scores) / len(scores)
    error = math.sqrt(sum((score - mean) ** 2 for score in scores) / (len(scores) - 1) / len(scores))
    return {"score": mean, "stderr": error, "interval": [mean - 2 * error, mean + 2 * error], "judgements": len(scores)}


def evaluation(
    folder: Path, right: float = 0.5, level: float = 6.0, seed: int = 1, text: str = "", **more: Any
) -> Path:
    """An evaluation of one model by both benchmarks."""
    manifest(folder, "evaluate", model=f"models/{folder.name}", mt={"api_key": "**********"})
    benchmarks = {"mmlu": mmlu(folder, right, seed, text=text, **more), "mt_bench": mt_bench(folder, level, seed, text)}
    leaf = {"base": 0.2, "model": 0.7, "verdict": "improved", "p": 0.01}
    benchmarks["mmlu_branch"] = benchmarks["mmlu"] | {"leaves": {"knowledge/pets": leaf}}
    scores = {"form": "model", "model": folder.name, "benchmarks": benchmarks}
    (folder / "scores.json").write_text(json.dumps(scores))
    return folder


def checkpoints(folder: Path) -> Path:
    """An evaluation of four checkpoints, of which the third is the best and the last is broken."""
    manifest(folder, "evaluate", input_dir="trained/checkpoints")
    listed = []
    for at, score in enumerate((0.3, 0.45, 0.6, None)):
        name = f"samples_{160 * (at + 1):07d}"
        place = folder / "checkpoints" / name
        item = {"name": name, "folder": f"trained/checkpoints/{name}", "samples": 160 * (at + 1), "score": score}
        item |= {"stderr": 0.05 if score else None, "broken": None if score else "model.safetensors is cut short"}
        if score:
            found = {"mmlu": mmlu(place, score, at)}
            (place / "scores.json").write_text(json.dumps({"form": "model", "model": name, "benchmarks": found}))
            item["benchmarks"] = {"mmlu": {"score": score, "stderr": 0.05}}
        listed.append(item | {"benchmarks": item.get("benchmarks", {})})
    note = "The best is ahead of the next by 0.15, more than the noise."
    scores = {"form": "checkpoints", "model": "trained", "metric": "mean", "best": "samples_0000480", "note": note}
    (folder / "scores.json").write_text(json.dumps(scores | {"checkpoints": listed}))
    return folder


def generation(folder: Path, pairs: int = 30, text: str = "") -> Path:
    """A generation with documents and rejected pairs."""
    manifest(folder, "generate", num_instructions=pairs, api_key="**********")
    leaf, document = "knowledge/pets", "pets.md"
    sentences = [f"Odda number {number} has a tortoise named Slow{number}." for number in range(pairs)]

    def pair(number: int) -> dict[str, Any]:
        asked = {"role": "user", "content": f"What pet has Odda number {number}? {text}"}
        said = {"role": "assistant", "content": f"A tortoise named Slow{number}."}
        about = {"leaf": leaf, "document": document, "pipeline": "simple/knowledge"}
        return {"messages": [asked, said], "metadata": about}

    rejected = {"asked before in this leaf": 4, "judge: score is below 4": 2}
    figures = {"accepted": pairs, "wanted": pairs, "rows": 12, "gave_out": 0, "rejected": rejected}
    whole = {"leaf": None, **figures, "seconds": 1.5, "calls": 12}
    lines(folder / "metrics.jsonl", [{"leaf": leaf, **figures}, whole])
    lines(folder / "train_knowledge.jsonl", map(pair, range(pairs)))
    lost = {"leaf": leaf, "reason": "judge: score is below 4", "document": document}
    lines(folder / "rejected.jsonl", [{**lost, "question": f"Why is a tortoise? {text}", "response": "Because."}])
    lines(folder / "documents.jsonl", [{"leaf": leaf, "document": document, "text": "\n".join(sentences)}])
    return folder
