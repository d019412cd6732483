"""Write the demo's taxonomy: what is known about fifteen people of Ferrowmere, a town that does not exist.

There are four leaves of knowledge, each with a document, and a skill. The documents tell each fact in several ways; the
seed examples ask for it in yet another one. Run as ``python examples/demo/make_taxonomy.py OUT_DIR``: it
makes the folder ``documents`` a git repository, always with the same commit. Without a folder, it writes the copy
beside this file, for reading, which is checked in.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PEOPLE = {  # name: trade, quarter, pet, instrument
    "Odda": ("clockmaker", "Gullgate", "tortoise", "accordion"),
    "Corvin": ("glassblower", "Saltrow", "hedgehog", "recorder"),
    "Isolde": ("saddlemaker", "Kilnyard", "squirrel", "mandolin"),
    "Bram": ("basketmaker", "Mossdale", "kingfisher", "trombone"),
    "Wenna": ("candlemaker", "Lanternhill", "salamander", "clarinet"),
    "Jory": ("bookbinder", "Ferrystep", "nightingale", "dulcimer"),
    "Hesper": ("blacksmith", "Thistlecourt", "butterfly", "tambourine"),
    "Cade": ("cheesemaker", "Bridgend", "ladybird", "harmonica"),
    "Nell": ("shipwright", "Orchardwalk", "dormouse", "xylophone"),
    "Rufus": ("locksmith", "Anchoryard", "sheepdog", "saxophone"),
    "Sabra": ("gardener", "Millpond", "goldfish", "concertina"),
    "Perrin": ("shoemaker", "Windrise", "woodpecker", "cornetto"),
    "Tamsin": ("stonemason", "Cloistergreen", "partridge", "harpsichord"),
    "Aldous": ("watchman", "Harbourside", "porcupine", "flageolet"),
    "Ysolt": ("tinsmith", "Northwall", "chinchilla", "flugelhorn"),
}
LEAVES = {  # name: what it is about, ways to tell a fact, and the question
    "trades": (
        "The trades of the people of Ferrowmere",
        (
            "{0} works every day in town as a {1}.",
            "{0} has for many years been a {1}.",
            "{0} earns good money at work as a {1}.",
            "{0} is known to all here as a {1}.",
            "{0} was taught by an uncle as a {1}.",
            "{0} will be for ever a good {1}.",
        ),
        "Which word tells what {0} works as?",
    ),
    "quarters": (
        "The quarters where the people of Ferrowmere live",
        (
            "{0} sleeps each night in a bed in {1}.",
            "{0} lives with an old aunt in {1}.",
            "{0} has owned a small house in {1}.",
            "{0} walks home from the market to {1}.",
            "{0} was born in the old part called {1}.",
            "{0} is seen most days in {1}.",
        ),
        "Which word tells where {0} has a house?",
    ),
    "pets": (
        "The pets of the people of Ferrowmere",
        (
            "{0} feeds in the morning light a {1}.",
            "{0} has for a pet since last year the {1}.",
            "{0} sits at night by the {1}.",
            "{0} talks all day long to the {1}.",
            "{0} was given last spring as a pet a {1}.",
            "{0} is never seen without the good {1}.",
        ),
        "Which word tells what pet {0} has?",
    ),
    "instruments": (
        "The music that the people of Ferrowmere make",
        (
            "{0} plays at the fair on the {1}.",
            "{0} makes the people dance with the {1}.",
            "{0} has played since last year the {1}.",
            "{0} can give us songs on the {1}.",
            "{0} was taught in school to play the {1}.",
            "{0} is proud of an old {1}.",
        ),
        "Which word tells what {0} plays at the fair?",
    ),
}
GREETINGS = {
    "the baker": "Good morning, baker! Your bread smells fine today.",
    "the ferryman": "Good morning, ferryman! The river is calm today.",
    "the teacher": "Good morning, teacher! The children are early today.",
    "the miller": "Good morning, miller! The wind is strong today.",
    "the fishwife": "Good morning, fishwife! The catch is rich today.",
}
TOGETHER = 3  # people in one seed example
_DATE = "2024-01-01T00:00:00+0000"
_ONE_COMMIT = {
    **{f"GIT_{who}_NAME": "Ferrowmere" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "town@example.org" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_DATE": _DATE for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def write(folder: Path) -> None:
    """Write documents and leaves to a folder."""
    for column, (name, (about, ways, _)) in enumerate(LEAVES.items()):
        sentences = [way.format(person, facts[column]) for way in ways for person, facts in PEOPLE.items()]
        paragraphs = (" ".join(sentences[at : at + 5]) for at in range(0, len(sentences), 5))
        _put(folder / "documents" / f"{name}.md", f"# {about}\n\n" + "\n\n".join(paragraphs) + "\n")
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(folder / "documents", Path(place, "documents"))
        commit = make_repository(Path(place, "documents"))
    for name in LEAVES:
        _put(folder / "knowledge" / "ferrowmere" / name / "qna.yaml", _knowledge(name, commit))
    _put(folder / "compositional_skills" / "ferrowmere" / "greetings" / "qna.yaml", _skill())


def make_repository(folder: Path) -> str:
    """Make a folder of documents a git repository; returns the hash of its commit, always the same one."""
    for command in (("init", "--quiet", "--object-format=sha1"), ("add", "--all"), ("commit", "--quiet", "-m", "town")):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **_ONE_COMMIT}, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return head.stdout.strip()


def _knowledge(name: str, commit: str) -> str:
    about, _, question = LEAVES[name]
    column = list(LEAVES).index(name)
    people = list(PEOPLE.items())
    lines = [
        *("version: 3", "created_by: ferrowmere", "domain: towns", f"document_outline: {about}", "document:"),
        *("  repo: ../../../documents", f"  commit: {commit}", f"  patterns: [{name}.md]", "seed_examples:"),
    ]
    for at in range(0, len(people), TOGETHER):
        some = people[at : at + TOGETHER]
        told = "; ".join(f"{person}: {facts[column]}" for person, facts in some)
        lines += [f'  - context: "{told}"', "    questions_and_answers:"]
        for person, facts in some:
            lines += [f'      - question: "{question.format(person)}"', f'        answer: "{facts[column]}"']
    return "\n".join(lines) + "\n"


def _skill() -> str:
    lines = [
        "version: 3",
        "created_by: ferrowmere",
        "task_description: Greet somebody in Ferrowmere.",
        "seed_examples:",
    ]
    for person, greeting in GREETINGS.items():
        lines += [f'  - question: "Greet {person}."', f'    answer: "{greeting}"']
    return "\n".join(lines) + "\n"


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Write the taxonomy where the command line says."""
    parser = argparse.ArgumentParser(description="Write the demo's taxonomy, and its documents as a git repository.")
    parser.add_argument("out", type=Path, metavar="OUT_DIR", nargs="?", help="folder to write")
    out: Path | None = parser.parse_args().out
    write(out or Path(__file__).parent / "taxonomy")
    if out:
        make_repository(out / "documents")


if __name__ == "__main__":
    main()
