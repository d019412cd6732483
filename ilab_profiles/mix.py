"""Settings of ``ilab data mix``: how generated data are blended with other data before training."""

from __future__ import annotations

from ilab_profiles.fields import Section, StrList, setting

__all__ = ["Mix"]


class Mix(Section):
    """Every setting of mixing."""

    num_util_proc: int = setting(1, "Processes that read and write data", unit="processes", expertise="advanced", ge=1)
    output_dir: str = setting("generated/mixed", "Folder for the mixed data", path=True, min_length=1)
    knowledge_recipes: StrList = setting(
        (), "Recipe files for knowledge: which data sets, and how much of each", path=True
    )
    skill_recipes: StrList = setting(
        (), "Recipe files for skills: which data sets, and how much of each", aliases=["skills_recipes"], path=True
    )
