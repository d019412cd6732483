"""The page: what was read of the runs, put into the template with its style, its scripts and its data, as one text.

Whatever stands in a file of a run is text that is shown, never markup: the template escapes it, data stand in blocks
that no browser runs, and the page itself allows no script but the one that it was made with.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from ilab_cli.backends.report import compare
from ilab_cli.backends.report.answers import read_choices, read_judgements
from ilab_cli.backends.report.charts import of_checkpoints, of_trainings
from ilab_cli.backends.report.embed import as_json
from ilab_cli.backends.report.folders import KINDS, RunFolder
from ilab_cli.backends.report.generated import read_generation
from ilab_cli.backends.report.scoreboard import boards
from ilab_cli.backends.report.scores import read_evaluation
from ilab_cli.backends.report.tables import tables
from ilab_cli.backends.report.training import read_training
from ilab_cli.extras import versions
from ilab_profiles.diagnostics import counted

__all__ = ["GENERATOR", "page"]

GENERATOR = "ilab report"
"""What the page says it was made by; a file that does not say so is not replaced."""
_HERE = Path(__file__).parent / "page"
_SCRIPTS = ("theme.js", "charts.js", "browse.js")


def page(runs: Sequence[RunFolder]) -> tuple[str, list[str]]:
    """The page about runs; what could not be read is told in it, and joins the findings of each run.

    Returns:
        its text, and a sentence for each table of which not all had room.
    """
    generations = [read_generation(run) for run in runs if run.section == "generate"]
    trainings = [read_training(run) for run in runs if run.section == "train"]
    evaluations = [read_evaluation(run) for run in runs if run.section == "evaluate"]
    choices, judged = read_choices(evaluations), read_judgements(evaluations)
    of_training, of_scores = of_trainings(trainings), of_checkpoints(evaluations)
    packed, script = tables(choices, judged, generations), _script()
    about: dict[str, Any] = {
        "generator": GENERATOR,
        "version": versions()["ilab-profiles"] or "",
        "made": datetime.now(UTC),
        "runs": runs,
        "settings": {
            section: (of_kind, compare.settings(of_kind))
            for section in KINDS
            if (of_kind := [run for run in runs if run.section == section])
        },
        "generations": generations,
        "trainings": trainings,
        "evaluations": evaluations,
        "boards": boards(
            evaluations, {"mmlu": choices, "mmlu_branch": choices, "mt_bench": judged, "mt_bench_branch": judged}
        ),
        "charts_of_training": of_training,
        "charts_of_checkpoints": of_scores,
        "tables": packed,
        "data": as_json({"runs": [_brief(run) for run in runs], "charts": [*of_training, *of_scores]}),
        "style": _file("vendor/uPlot.css") + _file("style.css"),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    left_out = [f"{name}: {table.note}" for name, table in packed.items() if table.note]
    text = _template().render(about) + "\n"
    return text.encode("utf-8", "replace").decode(), left_out


def _brief(run: RunFolder) -> dict[str, Any]:
    return {"key": run.key, "name": run.name}


@cache
def _script() -> str:
    licence = f"/*\n{_file('vendor/LICENSE').strip()}\n*/"
    own = "\n".join(map(_file, _SCRIPTS))
    return "\n".join([licence, _file("vendor/uPlot.js"), f'"use strict";\n(() => {{\n{own}\n}})();'])


@cache
def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "signed": _signed, "plain": _plain, "counted": counted}
    environment.filters["breakable"] = _breakable
    return environment.get_template("page.html.j2")


def _figure(value: float, share: bool) -> str:
    """A score: a share in percent, or points."""
    return f"{100 * value:.1f}%" if share else f"{value:.2f}"


def _signed(value: float, share: bool) -> str:
    """A difference of scores, with a true minus sign."""
    told = f"{100 * value:+.1f}" if share else f"{value:+.2f}"
    return told.replace("-", "\N{MINUS SIGN}")


def _breakable(name: str) -> Any:
    """A name, escaped, that may go on in the next line after each of its parts."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=[_/.-])(?=\w)", "<wbr>", str(escape(name)))) if name else ""


def _plain(value: float | None, digits: int = 4) -> str:
    """A number with so many digits that count, nothing for none."""
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.{digits}g}"
