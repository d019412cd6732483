"""The YAML of the proposal: what agrees with its own list of fields loads, the rest is refused with the right name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilab_profiles import Profile, check, load, resolve


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files lie in the working folder, so that relative paths in them stay as they are written."""
    monkeypatch.chdir(tmp_path)


def write(folder: Path, text: str) -> str:
    path = folder / "p.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


TRAIN = """
profile:
   train:
       gpus: 0-4
       epochs: 15
       effective_batch_size: 48
       save_samples: 2
       learning_rate: 1
       warmup_steps: 1000
       deepspeed:
           enabled: True
           deepspeed_offload: ["cpu"]
           quantize_dtype: ["nf4", "fp8"]
           deepspeed_config: foobar.json
"""


def test_the_training_profile_is_refused_for_its_two_slips_only(tmp_path: Path) -> None:
    findings = [finding for finding in check(write(tmp_path, TRAIN)) if finding.severity == "error"]
    told = {finding.path: f"{finding.message} {finding.hint}" for finding in findings}
    assert set(told) == {"train.deepspeed.deepspeed_offload", "train.deepspeed.quantize_dtype"}
    assert "ds_offload_strat" in told["train.deepspeed.deepspeed_offload"]
    assert "nf4" in told["train.deepspeed.quantize_dtype"]
    assert {str(finding.position).rpartition("p.yaml:")[2] for finding in findings} == {"12:12", "13:28"}


def test_the_training_profile_loads_once_they_are_mended(tmp_path: Path) -> None:
    mended = TRAIN.replace('deepspeed_offload: ["cpu"]', "ds_offload_strat: cpu").replace('["nf4", "fp8"]', "null")
    train = load(write(tmp_path, mended.replace("effective_batch_size: 48", "effective_batch_size: 50"))).train
    assert (train.gpus, train.num_epochs, train.warmup_steps) == ((0, 1, 2, 3, 4), 15, 1000)
    assert (train.deepspeed.enabled, train.deepspeed.deepspeed_config) == (True, "foobar.json")
    warned = {finding.rule for finding in check(write(tmp_path, mended))}
    assert {"learning-rate-is-high", "batch-covers-processes", "checkpoint-after-every-step"} <= warned


def test_all_options_of_the_list(tmp_path: Path) -> None:
    text = """
train:
  model_path: m
  data_path: d
  output_dir: o
  num_gpus: 2
  max_seq_len: 10
  max_batch_len: 20
  num_epochs: 3
  effective_batch_size: 4
  save_samples: 50
  learning_rate: 1e-4
  warmup_steps: 6
  deepspeed:
    enabled: true
    deepspeed_config: null
    ds_offload_strat: nvme
    nvme_path: /fast
    zero_stage: 3
    cpu_offload_optimizer: true
    cpu_offload_params: true
    quantize_dtype: null
  lora:
    enabled: true
    lora_rank: 4
    lora_alpha: 32
    lora_dropout: 0.1
    target_modules: [q_proj, v_proj]
"""
    assert not [finding for finding in check(write(tmp_path, text)) if finding.severity == "error"]


def test_generation_and_evaluation(tmp_path: Path) -> None:
    text = """
profile:
   train:
       gpus: 0-4
       epochs: 15
       accelerator: deepspeed
       effective_batch_size: 50
   generate:
       model_family: mixtral
       gpus: 1-2
       chunk_word_count: 1000
       num_instructions: 1000
       model_endpoint_url: 127.0.0.1:8000
       taxonomy_path: /path/to/large/taxonomy
       num_grounded_questions: 10
       num_samples: 10
       config: path_to_more_sdg.yaml
       mix:
           num-util-proc: 10
           output-dir: generated/mixed
           knowledge-recipes: k_recipes.yaml
           skill-recipes: s_recipes.yaml
   evaluate:
       prune: True
       input-dir: /models/foobar
       output-dir: /bench/output
       gpus: 3-4
       mmlu:
           few-shots: 1
           model: granite
           tasks: "mmlu-pr"
       mt:
           model: granite
           endpoint: 127.0.0.1:8080
"""
    profile = load(write(tmp_path, text))
    assert profile.train.deepspeed.enabled
    assert (profile.generate.gpus, profile.generate.mix.knowledge_recipes) == ((1, 2), ("k_recipes.yaml",))
    assert (profile.evaluate.mmlu.tasks, profile.evaluate.mmlu.few_shots) == (("mmlu-pr",), 1)
    assert profile.evaluate.mt.endpoint == "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("generate: {mix: {sill-recipes: s.yaml}}", "skill_recipes"),
        ("evaluate: {outpur-dir: o}", "output_dir"),
        ("train: {deepspeed: {deepspeed_offload: cpu}}", "ds_offload_strat"),
    ],
)
def test_slips_get_the_right_name(tmp_path: Path, text: str, name: str) -> None:
    (finding,) = check(write(tmp_path, text))
    assert name in finding.hint


def test_the_config_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        """
chat:
  context: default
  greedy_mode: false
  logs_dir: data/chatlogs
  max_tokens: null
  model: models/merlinite-7b-lab-Q4_K_M.gguf
  session: null
  vi_mode: false
  visible_overflow: true
general:
  log_level: INFO
profile: multi-gpu
serve:
  gpu_layers: -1
  host_port: 127.0.0.1:8000
  max_ctx_size: 4096
  model_path: models/merlinite-7b-lab-Q4_K_M.gguf
""",
        encoding="utf-8",
    )
    assert resolve(config_file=path, environ={}).profile == load("multi_gpu") == load(str(path))
    assert isinstance(load(str(path)), Profile)
