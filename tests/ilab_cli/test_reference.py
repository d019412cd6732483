from __future__ import annotations

from pathlib import Path

from ilab_cli.reference import reference
from ilab_profiles.models.config import Config
from ilab_profiles.models.paths import fields
from ilab_profiles.models.phase import Phase
from ilab_profiles.rules.table import RULES


def test_the_reference_is_fresh() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference.md"
    assert page.read_text(encoding="utf-8") == reference(), "run: nox -s generate"


def test_the_reference_tells_every_setting_and_rule() -> None:
    page = reference()
    paths = [*fields(), *fields(Config), *fields(Phase)]
    assert [path for path in paths if f"`{path.rpartition('.')[2]}`" not in page] == []
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in page] == []
    assert "`--lora-rank`" in page
    assert "`--no-deepspeed`" in page


def test_the_reference_has_every_section_once_and_every_phase_of_the_profiles() -> None:
    page = reference()
    titles = [line for line in page.splitlines() if line.startswith("### ")]
    assert len(titles) == len(set(titles))
    assert {"### each of train.phases", "### chat", "### general", "### serve"} <= set(titles)
    assert "| `train.phases.1.effective_batch_size` |  | 3840 | " in page
    assert "[{" not in page
