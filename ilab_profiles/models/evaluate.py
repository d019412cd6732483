"""Settings of ``ilab model evaluate``: which benchmarks, on which model, judged by whom."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema

from ilab_profiles.models.fields import GpuSelection, Section, StrList, section, setting, split_names

__all__ = ["BENCHMARK_NAMES", "Benchmark", "Evaluate", "Mmlu", "MtBench"]

Benchmark = Literal["mmlu", "mt_bench", "mmlu_branch", "mt_bench_branch"]
BENCHMARK_NAMES = {
    **{name: name for name in get_args(Benchmark)},
    **{name.replace("_", "-"): name for name in get_args(Benchmark)},
    "mt": "mt_bench",
}
_ONE = f"({'|'.join(BENCHMARK_NAMES)})"


def _benchmark_names(value: object) -> object:
    names = split_names(value)
    if isinstance(names, tuple):
        known = [BENCHMARK_NAMES.get(name, name) if isinstance(name, str) else name for name in names]
        return tuple(name for number, name in enumerate(known) if name not in known[:number])
    return names


Benchmarks = Annotated[
    tuple[Benchmark, ...],
    BeforeValidator(_benchmark_names),
    PlainSerializer(list),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"enum": list(BENCHMARK_NAMES)}},
                {"type": "string", "pattern": f"^[\\s,]*({_ONE}\\s*(,[\\s,]*{_ONE}\\s*)*[,\\s]*)?$"},
            ]
        }
    ),
]
"""Names of benchmarks; one name, or several with commas between them, may stand for the list."""


class Mmlu(Section):
    """MMLU: multiple-choice questions, scored by lm-eval."""

    place = "evaluate.mmlu"

    model: str | None = setting(
        None,
        "Model for this benchmark, instead of evaluate.model; with `endpoint` its name there",
        acts="the model that answers MMLU",
        path="or name",
    )
    endpoint: str | None = setting(
        None,
        "OpenAI-compatible endpoint of the model under test; it must give log probabilities of prompts",
        acts="which server is asked for log probabilities",
        expertise="advanced",
        affects_result=False,
    )
    tasks: StrList = setting(("mmlu_pr",), "Tasks or groups of tasks to run", acts="the tasks that are asked")
    few_shots: int = setting(
        5, "Solved examples before each question", acts="solved examples in each prompt", unit="examples", ge=0
    )
    data_dir: str | None = setting(
        None,
        "Folder of task files (YAML and JSONL); unset: the tasks of lm-eval",
        acts="the questions that are asked",
        aliases=["tasks_dir"],
        path=True,
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = setting(
        "auto",
        "Most questions answered at once; auto finds how many fit",
        acts="sequences that the model reads at once",
        unit="questions",
        affects_result=False,
    )
    apply_chat_template: bool | None = setting(
        None,
        "Ask in turns of the chat template; unset: with data_dir, where the model has a template",
        acts="the text of each prompt",
        expertise="advanced",
    )


class MtBench(Section):
    """MT-Bench: conversations of two turns, scored by a judge model."""

    place = "evaluate.mt"

    model: str | None = setting(
        None,
        "Model for this benchmark, instead of evaluate.model; with `endpoint` its name there",
        acts="the model that each request names, or that is served",
        path="or name",
    )
    endpoint: str | None = setting(
        None,
        "OpenAI-compatible endpoint of the model under test; unset: the model is served for the run",
        acts="which server is asked for answers",
        expertise="advanced",
        affects_result=False,
    )
    api_key: SecretStr | None = setting(
        None,
        "Key for the endpoint of the model under test",
        acts="the header of each request for an answer",
        expertise="advanced",
        affects_result=False,
    )
    judge_model: str = setting(
        "prometheus-eval/prometheus-8x7b-v2.0",
        "Model that scores the answers",
        acts="the model that requests for judgements name",
        min_length=1,
    )
    judge_endpoint: str | None = setting(
        None,
        "Endpoint of the judge; unset: the same as `endpoint`",
        acts="which server is asked for judgements",
        expertise="advanced",
        affects_result=False,
    )
    judge_api_key: SecretStr | None = setting(
        None,
        "Key for the endpoint of the judge; unset: `api_key`, if the endpoint is the same",
        acts="the header of each request for a judgement",
        expertise="advanced",
        affects_result=False,
    )
    data_dir: str | None = setting(
        None,
        "Folder with question.jsonl, judge_prompts.jsonl and reference_answer",
        acts="the questions, and how they are judged",
        path=True,
    )
    taxonomy_path: str = setting(
        "taxonomy",
        "Folder of the taxonomy that mt_bench_branch makes questions of",
        acts="the leaves that mt_bench_branch asks about",
        path=True,
        min_length=1,
    )
    taxonomy_base: str = setting(
        "origin/main",
        "Git revision to compare with: leaves changed since then are asked about; `empty` takes all",
        acts="which leaves count as new",
        expertise="advanced",
    )
    max_tokens: int = setting(
        1024,
        "Longest answer of the model",
        acts="max_tokens of each request for an answer",
        unit="tokens",
        expertise="advanced",
        ge=1,
    )
    judge_max_tokens: int = setting(
        2048,
        "Longest judgement",
        acts="max_tokens of each request for a judgement",
        unit="tokens",
        expertise="expert",
        ge=1,
    )
    max_concurrency: int = setting(
        8,
        "Most requests at once, to the model and to the judge",
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
        600.0,
        "Time limit of a request",
        acts="when a request is given up",
        unit="seconds",
        expertise="expert",
        gt=0,
        affects_result=False,
    )


class Evaluate(Section):
    """Every setting of evaluation."""

    place = "evaluate"

    benchmarks: Benchmarks = setting(
        (),
        f"Benchmarks to run: {', '.join(get_args(Benchmark))}; without any, evaluation is off",
        acts="what is asked, and the scores that are written",
    )
    model: str | None = setting(
        None, "Model to evaluate: a folder, or a name on the hub", acts="the model that answers", path="or name"
    )
    base_model: str | None = setting(
        None,
        "Model before training, which mmlu_branch and mt_bench_branch compare with",
        acts="the model that the branch benchmarks ask first",
        path="or name",
    )
    input_dir: str | None = setting(
        None,
        "Folder of the model or of checkpoints to evaluate",
        acts="the model, or the checkpoints, that answer",
        path=True,
    )
    output_dir: str = setting(
        "runs/evaluate",
        "Folder for scores and answers",
        acts="where scores and answers are written",
        path=True,
        min_length=1,
        affects_result=False,
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto",
        "Hardware to evaluate on; auto uses CUDA if available",
        acts="whether the worker sees a GPU",
        affects_result=False,
    )
    gpus: GpuSelection = setting(
        None,
        "GPUs to evaluate on: 0-3, 0:3, 1,3, or -1 for none",
        acts="CUDA_VISIBLE_DEVICES of the worker, and where copies of the model lie",
        affects_result=False,
    )
    checkpoints: str | None = setting(
        None,
        "Checkpoints of input_dir to evaluate: all, last:N, or every:N; unset: all, unless a model is there",
        acts="which checkpoints answer",
        pattern=r"^(all|(last|every):[1-9][0-9]{0,5})$",
    )
    metric: Literal["mean", "mmlu", "mt_bench"] = setting(
        "mean",
        "What the best checkpoint is best at: one benchmark, or the mean of all",
        acts="which checkpoint is put into best",
        expertise="advanced",
    )
    against: str | None = setting(
        None,
        "Folder of an earlier evaluation to compare with",
        acts="comparison.json, and the table of differences",
        path=True,
        affects_result=False,
    )
    prune: bool = setting(
        False,
        "Delete all checkpoints except the best",
        acts="which checkpoints are deleted at the end",
        expertise="advanced",
        affects_result=False,
    )
    between_phases: bool = setting(
        False,
        "After each phase of a training, evaluate its checkpoints and go on from the best",
        acts="the program of a training in phases, and what each phase starts from",
        expertise="advanced",
    )
    trust_remote_code: bool = setting(
        False,
        "Run Python code that comes with the model",
        acts="how model and tokenizer are loaded, here or by a server of the run",
        expertise="expert",
    )
    mmlu: Mmlu = section(Mmlu, "MMLU")
    mt: MtBench = section(MtBench, "MT-Bench", aliases=["mt_bench"])
