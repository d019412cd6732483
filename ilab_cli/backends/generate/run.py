"""The whole of a generation: leaves to rows, rows through their pipelines, and accepted pairs to files.

Every row goes its own way from the first question to its pairs; :mod:`ilab_cli.backends.generate.plan` says which row
is next and which pairs count. Nothing but answers is kept on the way: whoever starts again gets them from the journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import ilab_cli
from ilab_cli.backends.client import stream
from ilab_cli.backends.client.client import Client
from ilab_cli.backends.generate import output, seeds, tasks
from ilab_cli.backends.generate.documents import Text
from ilab_cli.backends.generate.output import Pair
from ilab_cli.backends.generate.pipeline import Pipeline, load
from ilab_cli.backends.generate.pipeline.losses import Losses
from ilab_cli.backends.generate.plan import LeafPlan, Row, RunPlan, asked
from ilab_cli.backends.generate.prepare import prepare
from ilab_cli.backends.generate.qna import Leaf, read_taxonomy
from ilab_cli.backends.generate.taxonomy import printable
from ilab_cli.backends.generate.teacher import endpoint_settings
from ilab_cli.backends.generate.view import View, metrics, summary
from ilab_cli.backends.train.data.formats import problems_of
from ilab_cli.output import say, warn
from ilab_profiles import Generate
from ilab_profiles.yaml.files import write_atomically

__all__ = ["DOCUMENTS", "JOURNAL", "METRICS", "Job", "ask", "finish", "generate_all", "start"]

JOURNAL = "journal.jsonl"
"""File in the run folder with every answer of the teacher."""
METRICS = "metrics.jsonl"
"""File in the run folder that says what became of each leaf, and on its last line of the whole run."""
DOCUMENTS = "documents"
"""Folder in the run folder with the documents that were fetched."""

_ROWS_A_CALL = 2
"""Rows in work for each call that may be under way: enough to keep the endpoint busy to the end."""

Progress = Callable[[LeafPlan], None]
"""Is told of each leaf of which a row is finished."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a generation works with: the leaves, their pipelines by kind, the plan, and the documents of each leaf."""

    leaves: list[Leaf]
    pipelines: Mapping[str, Pipeline]
    plan: RunPlan
    documents: Mapping[str, list[Text]] = field(default_factory=dict)


def start(generate: Generate) -> Job:
    """Read taxonomy, pipelines and documents; the latter are kept in the run folder.

    Raises:
        InputError: with all that is wrong with them.
    """
    leaves = read_taxonomy(Path(generate.taxonomy_path), generate.taxonomy_base)
    config = generate.config
    pipelines = load(config, generate.pipeline, generate)
    cache = Path(generate.output_dir) / DOCUMENTS
    chunks = prepare(leaves, cache, words=generate.chunk_word_count, at_once=generate.num_cpus)
    seeds_asked = frozenset(asked(pair) for leaf in leaves for pair in output.seed_pairs(leaf))
    plans = [LeafPlan(leaf.path, _rounds(leaf, chunks, generate), generate.num_samples, seeds_asked) for leaf in leaves]
    return Job(leaves, pipelines, RunPlan(generate.num_instructions, plans), chunks)


def _rounds(leaf: Leaf, chunks: Mapping[str, list[Text]], generate: Generate) -> Callable[[int], Iterator[Row]]:
    """The rows of a leaf, round after round; the key of a row differs in each, and with it the seed of its requests."""

    def rows(number: int) -> Iterator[Row]:
        for place, row in enumerate(seeds.rows(leaf, chunks.get(leaf.path), generate)):
            yield {**row, "row_key": f"{leaf.path}#{number}.{place}"}

    return rows


async def generate_all(job: Job, generate: Generate) -> int:
    """Do a generation up to the files it writes; a table on stderr says how it went.

    Returns:
        0, or 1 if no pair was accepted, or fewer than asked for and that is not allowed.

    Raises:
        InputError: if the endpoint's address or the journal cannot be used, or a file cannot be written.
        Stopped: if the run cannot go on.
    """
    begun = monotonic()
    folder = Path(generate.output_dir)
    journal = folder / JOURNAL
    (folder / METRICS).unlink(missing_ok=True)
    async with Client(endpoint_settings(generate), journal) as client:
        try:
            async with View(job.plan, client) as view:
                await ask(job, generate, client, view.progress)
        finally:
            seconds = monotonic() - begun
            write_atomically(folder / METRICS, metrics(job.plan, client, seconds))
    say("\n".join(summary(job.plan, client, seconds)))
    finish(job, generate)
    if not job.plan.accepted:
        hint = f"\n    hint: see what the teacher answered in {journal}" if journal.stat().st_size else ""
        warn([f"generation failed: no pair was accepted{hint}"])
        return 1
    if job.plan.accepted < job.plan.total:
        missing = f"{job.plan.accepted:,} of {job.plan.total:,} pairs: no new pairs could be generated"
        if not generate.allow_fewer:
            hint = f"they are in {folder}; --allow-fewer goes on with them, more leaves or examples give more"
            warn([f"generation failed: {missing}\n    hint: {hint}"])
            return 1
        warn([missing])
    return 0


async def ask(job: Job, generate: Generate, client: Client, progress: Progress) -> None:
    """Ask the teacher until the plan has its pairs or no leaf can give more.

    Raises:
        Stopped: if the run cannot go on.
    """

    def work(taken: tuple[LeafPlan, int, Row]) -> Awaitable[tuple[list[Pair], Losses]]:
        return _pairs(job.pipelines[taken[2]["kind"]], taken[2], client)

    rows = stream.run(job.plan.take, work, _ROWS_A_CALL * generate.max_concurrency)
    async with aclosing(rows):
        async for (leaf, number, _), outcome in rows:
            job.plan.finish(leaf, number, *outcome)
            progress(leaf)
            if job.plan.over:
                return


async def _pairs(pipeline: Pipeline, row: Row, client: Client) -> tuple[list[Pair], Losses]:
    """What a row brings that a student could read; which of it other rows brought before is for the plan to say."""
    rows, rejected = await pipeline.run(row, client.ask)
    name = _name(pipeline)
    pairs = [
        Pair(
            question=str(found["question"]),
            response=str(found["response"]),
            leaf=str(row["leaf"]),
            kind=str(row["kind"]),
            pipeline=name,
            context=str(found.get("context") or "") if row["kind"] == "grounded" else "",
            document=str(row.get("document_name") or ""),
        )
        for found in rows
    ]
    wrong = [next(problems_of(pair.conversation()), "") for pair in pairs]
    for pair, problem in zip(pairs, wrong, strict=True):
        if problem:
            rejected.add(problem, pair.columns())
    return [pair for pair, problem in zip(pairs, wrong, strict=True) if not problem], rejected


def _name(pipeline: Pipeline) -> str:
    """How data tell which pipeline made them: ``simple/knowledge`` for a built-in one, else its file."""
    built_in = Path(ilab_cli.__path__[0], "pipelines")
    path = Path(pipeline.source)
    return path.relative_to(built_in).with_suffix("").as_posix() if path.is_relative_to(built_in) else printable(path)


def finish(job: Job, generate: Generate) -> int:
    """Write what was accepted: conversations, recipes and tasks.

    Returns:
        the number of questions in the tasks.

    Raises:
        InputError: if a file cannot be written.
    """
    folder = Path(generate.output_dir)
    pairs = job.plan.pairs
    tests = [pair for leaf in job.leaves for pair in output.seed_pairs(leaf)]
    output.write(folder, pairs, tests)
    output.write_beside(folder, job.documents, {leaf.name: leaf.rejected for leaf in job.plan.leaves})
    return tasks.write(folder, tests, pairs, generate.seed)
