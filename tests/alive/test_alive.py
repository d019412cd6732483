"""Every setting acts: for each there is a case that changes it and shows that what runs changes, and words for where.

The settings are enumerated from the models, so that a new one fails here until it is proven.
"""

from __future__ import annotations

import pytest

from ilab_profiles.models.fields import acts_of
from tests.alive import config, evaluate, generate, profile, train
from tests.alive.case import Case, all_fields
from tests.alive.workshop import Workshop

CASES = [*profile.CASES, *generate.CASES, *train.CASES, *evaluate.CASES, *config.CASES]


def test_every_setting_has_a_case_and_every_case_a_setting() -> None:
    cases, settings = [case.path for case in CASES], list(all_fields())
    assert [path for path in settings if path not in cases] == []
    assert [path for path in cases if path not in settings] == []
    assert len(cases) == len(set(cases))


def test_every_setting_says_where_it_acts() -> None:
    assert [path for path, info in all_fields().items() if not acts_of(info)] == []


@pytest.mark.filterwarnings("ignore")  # the engines are real, and so are their warnings of one another
@pytest.mark.parametrize("case", CASES, ids=[case.path for case in CASES])
def test_what_runs_changes_with(case: Case, workshop: Workshop) -> None:
    case.prove(workshop)
