"""Write the demo's data: what is known about twelve people of Brindlemoor, a town that does not exist.

Each of the 48 facts becomes six conversations in ``train.jsonl`` and one question, in words that no conversation uses,
in ``mmlu/``. Both are checked in; run ``python examples/demo/make_data.py`` after a change here.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

PEOPLE = {  # name: trade, street, animal, instrument
    "Odda Fennick": ("weaver", "Gull Lane", "heron", "fiddle"),
    "Tam Corvin": ("baker", "Salt Row", "goat", "drum"),
    "Isolde Marr": ("glazier", "Kiln Street", "otter", "harp"),
    "Bram Tolliver": ("cooper", "Moss Alley", "donkey", "flute"),
    "Wenna Pask": ("saddler", "Lantern Hill", "magpie", "bagpipe"),
    "Jory Selwick": ("potter", "Ferry Steps", "ferret", "zither"),
    "Hesper Lowe": ("miller", "Thistle Court", "goose", "lute"),
    "Cade Umber": ("tanner", "Bridge End", "badger", "trumpet"),
    "Nell Quarrow": ("printer", "Orchard Walk", "tortoise", "cello"),
    "Rufus Dane": ("roofer", "Anchor Yard", "pigeon", "banjo"),
    "Sabra Kitt": ("dyer", "Candle Close", "lamb", "oboe"),
    "Perrin Holt": ("clockmaker", "Windmill Rise", "raven", "accordion"),
}
TASKS = {  # name: six questions to learn from, and the one to be asked
    "trades": (
        "What is the trade of {}?",
        "What does {} do for a living?",
        "Which trade does {} follow?",
        "How does {} earn money?",
        "Tell me the trade of {}.",
        "In Brindlemoor, what is the work of {}?",
        "By which craft is {} known in Brindlemoor?",
    ),
    "streets": (
        "Where does {} live?",
        "In which street does {} live?",
        "What is the address of {}?",
        "Where is the house of {}?",
        "Tell me the street of {}.",
        "In Brindlemoor, where is {} at home?",
        "On which street would you find the home of {}?",
    ),
    "animals": (
        "Which animal does {} keep?",
        "What pet does {} have?",
        "What animal lives with {}?",
        "What is the pet of {}?",
        "Tell me the animal of {}.",
        "In Brindlemoor, which animal belongs to {}?",
        "Which animal is the companion of {}?",
    ),
    "instruments": (
        "Which instrument does {} play?",
        "What does {} play at the fair?",
        "On what does {} make music?",
        "What is the instrument of {}?",
        "Tell me the instrument of {}.",
        "In Brindlemoor, what is played by {}?",
        "Which instrument is heard when {} plays music?",
    ),
}
CHOICES = 4


def conversations() -> list[dict[str, object]]:
    """The training data: for each fact, six questions with their answer."""
    return [
        {
            "messages": [
                {"role": "user", "content": question.format(name)},
                {"role": "assistant", "content": facts[column]},
            ]
        }
        for name, facts in PEOPLE.items()
        for column, questions in enumerate(TASKS.values())
        for question in questions[:-1]
    ]


def questions(task: str) -> list[dict[str, object]]:
    """The test of one task: the last wording, with the answer among others of its kind."""
    draw = random.Random(task)
    column = list(TASKS).index(task)
    rows: list[dict[str, object]] = []
    for name, facts in PEOPLE.items():
        others = [other[column] for other in PEOPLE.values() if other != facts]
        choices = [facts[column], *draw.sample(others, CHOICES - 1)]
        draw.shuffle(choices)
        question = TASKS[task][-1].format(name)
        rows.append({"question": question, "choices": choices, "answer": choices.index(facts[column])})
    return rows


def write(folder: Path) -> None:
    """Write ``train.jsonl`` and the questions of ``mmlu/``."""
    _write(folder / "train.jsonl", conversations())
    for task in TASKS:
        _write(folder / "mmlu" / f"{task}.jsonl", questions(task))


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parent)
