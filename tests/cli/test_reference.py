from __future__ import annotations

from pathlib import Path

from ilab_cli.reference import reference
from ilab_profiles.paths import fields
from ilab_profiles.rules import RULES


def test_the_reference_is_fresh() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference.md"
    assert page.read_text(encoding="utf-8") == reference(), "run: nox -s generate"


def test_the_reference_tells_every_setting_and_rule() -> None:
    page = reference()
    assert [path for path in fields() if f"`{path.rpartition('.')[2]}`" not in page] == []
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in page] == []
    assert "`--lora-rank`" in page
    assert "`--no-deepspeed`" in page
