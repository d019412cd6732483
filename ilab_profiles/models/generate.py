"""Settings of ``ilab data generate`` and ``ilab data mix``: taxonomy, teacher, amounts, and what to mix in."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import SecretStr

from ilab_profiles.models.fields import GpuSelection, Section, StrList, section, setting

__all__ = ["Generate", "Mix"]


class Mix(Section):
    """Every setting of mixing."""

    place = "generate.mix"

    num_util_proc: int = setting(
        1,
        "Processes that read and write data",
        acts="processes that check and shuffle rows",
        unit="processes",
        expertise="advanced",
        ge=1,
        affects_result=False,
    )
    output_dir: str | None = setting(
        None,
        "Folder for the mixed data; unset: mixed, below generate.output_dir",
        acts="where mixed data are written",
        path=True,
        min_length=1,
        affects_result=False,
    )
    knowledge_recipes: StrList = setting(
        (),
        "Recipe files for knowledge: which data sets, and how much of each",
        acts="rows of the mixed knowledge",
        path=True,
    )
    skill_recipes: StrList = setting(
        (),
        "Recipe files for skills: which data sets, and how much of each",
        acts="rows of the mixed skills",
        aliases=["skills_recipes"],
        path=True,
    )


class Generate(Section):
    """Every setting of data generation."""

    place = "generate"

    model_family: str | None = setting(
        None,
        "Model family of the teacher, which sets its prompt format (for example mixtral)",
        acts="messages, or the raw prompt, that the teacher gets",
    )
    raw_prompts: bool = setting(
        False,
        "Send prompts as plain text in the format of model_family, for endpoints without chat",
        acts="the form of each request: a prompt instead of messages",
        expertise="advanced",
    )
    model: str | None = setting(
        None,
        "Name of the teacher model; unset: the one that the endpoint serves",
        acts="the model that each request names",
    )
    model_endpoint_url: str = setting(
        "127.0.0.1:8000",
        "OpenAI-compatible endpoint of the teacher; several, separated by commas, share the work",
        acts="which server gets the requests",
        aliases=["endpoint_url"],
        mistaken=["endpoint", "base_url", "api_base"],
        affects_result=False,
    )
    api_key: SecretStr | None = setting(
        None, "Key for the endpoint", acts="the header of each request", expertise="advanced", affects_result=False
    )
    gpus: GpuSelection = setting(
        None,
        "GPUs for a teacher served on this machine: 0-3, 0:3, 1,3, or -1 for none",
        acts="CUDA_VISIBLE_DEVICES of a teacher that the run starts",
        affects_result=False,
    )
    num_cpus: int = setting(
        4,
        "Leaves to prepare in parallel",
        acts="leaves whose documents are fetched and cut at the same time",
        expertise="advanced",
        ge=1,
        affects_result=False,
    )
    taxonomy_path: str = setting(
        "taxonomy", "Folder of the taxonomy", acts="the leaves that are read", path=True, min_length=1
    )
    taxonomy_base: str = setting(
        "origin/main",
        "Git revision to compare with: leaves changed since then are used; `empty` uses all",
        acts="which leaves count as new",
        expertise="advanced",
    )
    num_instructions: int = setting(
        10,
        "Question-answer pairs to generate in the whole run",
        acts="how many pairs are written",
        unit="pairs",
        mistaken=["num_pairs", "num_questions", "sdg_scale_factor"],
        ge=1,
        affects_result=False,
    )
    allow_fewer: bool = setting(
        False,
        "Succeed with fewer pairs than asked for",
        acts="the exit code where pairs are lacking",
        expertise="advanced",
        affects_result=False,
    )
    num_grounded_questions: int = setting(
        3,
        "Questions per context of a grounded skill",
        acts="pairs that a prompt about a context asks for",
        unit="questions",
        expertise="advanced",
        ge=1,
    )
    num_samples: int = setting(
        5,
        "Pairs, or samples, that each request asks for",
        acts="pairs that a prompt about a document or a skill asks for",
        unit="samples",
        expertise="advanced",
        ge=1,
    )
    chunk_word_count: int = setting(
        1000,
        "Longest piece of a document",
        acts="the pieces that documents are cut into",
        unit="words",
        expertise="advanced",
        ge=1,
    )
    pipeline: Literal["simple", "full"] = setting(
        "simple",
        "Built-in pipeline: full also asks the teacher to judge each pair, and drops what fails",
        acts="which prompts are sent, and what is kept",
    )
    config: str | None = setting(
        None,
        "Pipeline file or folder to use instead of the built-in pipeline",
        acts="which prompts are sent, and what is kept",
        expertise="advanced",
        path=True,
    )
    output_dir: str = setting(
        "generated",
        "Folder for the generated data",
        acts="where answers and data are written",
        path=True,
        min_length=1,
        affects_result=False,
    )
    max_concurrency: int = setting(
        64,
        "Most requests at once",
        acts="requests under way at the same time",
        unit="requests",
        expertise="expert",
        ge=1,
        affects_result=False,
    )
    max_retries: int = setting(
        5,
        "Retries of a failed request",
        acts="how often a failed request is sent again",
        unit="tries",
        expertise="expert",
        ge=0,
        affects_result=False,
    )
    request_timeout: float = setting(
        120.0,
        "Time limit of a request",
        acts="when a request is given up",
        unit="seconds",
        expertise="expert",
        gt=0,
        affects_result=False,
    )
    max_tokens: int = setting(
        2048, "Longest answer", acts="max_tokens of each request", unit="tokens", expertise="advanced", ge=1
    )
    temperature: float = setting(
        0.7,
        "Randomness of the answers",
        acts="temperature of each request that draws",
        expertise="advanced",
        ge=0,
        le=2,
    )
    seed: int = setting(
        42,
        "Seed of all random choices",
        acts="seed of each request; order of rows and of mixed data",
        expertise="advanced",
        ge=0,
        lt=2**32,
    )
    mix: Mix = section(Mix, "Mixing with other data", affects_result=False)

    @property
    def mixed_dir(self) -> str:
        """Folder for the mixed data: ``mix.output_dir``, else ``mixed`` below ``output_dir``."""
        return self.mix.output_dir or os.path.join(self.output_dir, "mixed")
