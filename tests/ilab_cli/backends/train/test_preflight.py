"""What is refused before a training starts: every thing at once, each at its place, and nothing written."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.hardware import memory_findings
from ilab_cli.backends.train import launch
from ilab_cli.backends.train.launch import command, environment, preflight, run
from ilab_cli.runs.job import Job, placed
from ilab_profiles import InputError, Position, Profile, Train, resolve
from ilab_profiles.hardware.cores import cores
from ilab_profiles.loading.sources import effective_of
from tests.ilab_cli.backends.train.conftest import ROOT, conversation, write_jsonl

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


def rules(train: Train) -> list[str]:
    return [finding.rule for finding in preflight(train)]


def test_sound_settings_have_no_findings(settings: Settings, tmp_path: Path) -> None:
    assert preflight(settings()) == []
    assert list(tmp_path.iterdir()) == []


def test_every_bad_line_is_reported_at_its_place(settings: Settings, tmp_path: Path) -> None:
    good = json.dumps(conversation(1))
    lines = [
        good,
        '{"messages": [}',
        "[]",
        "",
        '{"text": "x"}',
        '{"messages": []}',
        '{"messages": [{"role": "user"}, 3]}',
        '{"messages": [{"role": "user", "content": "x"}]}',
        '{"messages": [{"role": "assistant", "content": null}]}',
    ]
    file = tmp_path / "train.jsonl"
    file.write_bytes("\n".join(lines).encode() + b'\n{"messages": "\xff"}\n')
    findings = preflight(settings(data_path=str(file)))
    texts = [str(finding).partition("\n")[0].removeprefix(str(file)) for finding in findings]
    start = " error[data-line] train.data_path:"
    assert texts == [
        f":2:15:{start} not valid JSON: Expecting value",
        f":3:{start} not a JSON object",
        f":5:{start} `messages` is missing",
        f":6:{start} `messages` is empty",
        f":7:{start} messages[0].content is missing",
        f":7:{start} messages[1] is not an object with role and content",
        f":7:{start} no assistant turn: nothing to learn",
        f":8:{start} no assistant turn: nothing to learn",
        f":9:{start} messages[0].content is not text",
        f":10:{start} not UTF-8 text",
    ]
    assert all(finding.hint for finding in findings)
    assert list(tmp_path.iterdir()) == [file]


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_not(settings: Settings, tmp_path: Path) -> None:
    row = '{"messages": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "one"}]}\n'
    file = tmp_path / "train.jsonl"
    file.write_text(row % "\\ud83d\\ude00" + row % "\\ud83d")
    (finding,) = preflight(settings(data_path=str(file), warmup_steps=0))
    assert (finding.position, "surrogate" in finding.message) == (Position(str(file), 2), True)


def test_of_many_bad_lines_the_first_are_shown(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text("{bad\n" * 3000)
    findings = preflight(settings(data_path=str(file)))
    assert [finding.position.line for finding in findings if finding.position][:20] == list(range(1, 21))
    assert "2980 more" in findings[-1].message
    assert len(findings) == 21


def test_packed_data_are_told_as_such(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(gzip.compress(json.dumps(conversation(1)).encode()))
    (finding,) = preflight(settings(data_path=str(file)))
    assert "gunzip" in finding.hint


def test_the_home_folder_is_meant_as_in_a_shell(
    settings: Settings, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_jsonl(tmp_path / "d.jsonl", [conversation(number) for number in range(9)])
    shutil.copytree(model_dir, tmp_path / "m")
    train = settings(model_path="~/m", data_path="~/d.jsonl", output_dir="~/run", phases=[{"data_path": "~/d.jsonl"}])
    assert rules(train.at_home()) == []
    assert train.at_home().output_dir == str(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("training.json", b'{"st'),
        ("training.json", b"[]"),
        ("training.json", None),
        ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}      cut"),
        ("model.safetensors", b""),
        ("optimizer/state.pt", b"PK\x03\x04 cut"),
    ],
)
def test_a_damaged_checkpoint_is_told_before_the_start(settings: Settings, name: str, content: bytes | None) -> None:
    train = settings()
    folder = Path(train.output_dir) / "checkpoints" / "samples_0000008"
    (folder / "optimizer").mkdir(parents=True)
    (folder / "training.json").write_text('{"step": 1, "samples": 8, "data": "x"}')
    assert rules(train) == []
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    (finding,) = preflight(train)
    assert (finding.rule, str(folder) in finding.message) == ("checkpoint-damaged", True)
    assert finding.hint


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"precision": "fp16", "device": "auto"}, ["precision"]),
        ({"gpus": "0-1", "device": "auto"}, ["device"]),
        ({"num_gpus": 99_999, "warmup_steps": 0}, ["too-many-processes"]),
        ({"max_seq_len": 3}, ["all-too-long"]),
        ({"warmup_steps": 6}, ["warmup-too-long"]),
        ({"data_path": "/nowhere"}, ["data-not-found"]),
        ({"model_path": "/nowhere"}, ["model-not-found"]),
        ({"model_path": "/nowhere", "data_path": "/nowhere", "gpus": "0", "device": "auto"},
         ["device", "model-not-found", "data-not-found"]),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(settings: Settings, changes: dict[str, Any], expected: list[str]) -> None:
    train = settings(**changes)
    assert rules(train) == expected
    assert not Path(train.output_dir).exists()


def test_more_processes_than_cores_have_to_be_asked_for(settings: Settings) -> None:
    many = settings(num_gpus=cores() + 1, warmup_steps=0)
    assert rules(many) == ["too-many-processes"]
    assert rules(many.model_copy(update={"oversubscribe": True})) == []
    assert rules(settings(num_gpus=cores(), warmup_steps=0)) == []


def test_leaving_out_more_than_a_few_conversations_is_told(settings: Settings, tmp_path: Path) -> None:
    lines = [conversation(number) for number in range(200)]
    lines[0]["messages"][1]["content"] = "very " * 400 + "long"
    train = settings(data_path=str(write_jsonl(tmp_path / "one.jsonl", lines)))
    assert rules(train) == []
    for number in (1, 2, 3):
        lines[number] = lines[0]
    (finding,) = preflight(settings(data_path=str(write_jsonl(tmp_path / "four.jsonl", lines))))
    assert (finding.rule, finding.severity) == ("too-long-left-out", "warning")
    assert "4 of 200 conversations (2.0%)" in finding.message


@pytest.mark.parametrize("changes", [{"device": "cuda"}, {"device": "auto", "gpus": "0"}])
def test_without_a_gpu_the_fix_is_one(settings: Settings, changes: dict[str, Any]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (finding,) = preflight(settings(**changes))
    assert finding.rule == "device"
    mended = Profile(train=settings(**changes)).replace(dict(finding.fix)).train
    assert preflight(mended) == []


def test_an_output_folder_that_cannot_be_made_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = preflight(settings(output_dir=str(tmp_path / "file" / "run")))
    assert (finding.rule, finding.path) == ("not-a-folder", "train.output_dir")


def test_incomplete_models(settings: Settings, model_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "spare")
    (finding,) = preflight(settings(model_path=str(folder)))
    assert (finding.rule, finding.path) == ("no-weights", "train.model_path")
    index = {"weight_map": {"a": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (finding,) = preflight(settings(model_path=str(folder)))
    assert (finding.rule, finding.path) == ("model-incomplete", "train.model_path")
    assert "model-1.safetensors" in finding.message


def test_weights_that_no_memory_holds_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    with weights.open("wb") as file:
        file.truncate(10**13)
    (finding,) = memory_findings([weights], "train.model_path")
    assert (finding.rule, finding.path) == ("memory", "train.model_path")
    weights.write_bytes(b"small")
    assert list(memory_findings([weights, tmp_path / "gone"], "train.model_path")) == []


@pytest.mark.parametrize(
    ("tied", "targets", "expected"),
    [
        (True, ["q_proj", "lm_head"], ["tied-embeddings"]),
        (True, ["model.embed_tokens"], ["tied-embeddings"]),
        (True, ["q_proj", "v_proj"], []),
        (False, ["q_proj", "lm_head"], []),
    ],
)
def test_adapters_on_a_matrix_that_is_head_and_embeddings_are_refused(
    settings: Settings, model_dir: Path, tmp_path: Path, tied: bool, targets: list[str], expected: list[str]
) -> None:
    shutil.copytree(model_dir, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": tied}))
    lora = {"enabled": True, "target_modules": targets}
    assert rules(settings(model_path=str(tmp_path / "model"), lora=lora)) == expected


@pytest.mark.parametrize(
    ("targets", "named", "hint"),
    [
        (["q_proj", "k_porj"], "called k_porj", "did you mean k_proj?"),
        (["nope", "self_attn"], "called nope or self_attn", "down_proj, embed_tokens, gate_proj"),
        (["layers.0.mlp.down_porj"], "called layers.0.mlp.down_porj", "did you mean down_proj?"),
    ],
)
def test_a_target_of_lora_that_is_no_layer_is_refused(
    settings: Settings, targets: list[str], named: str, hint: str
) -> None:
    train = settings(lora={"enabled": True, "target_modules": targets})
    (finding,) = preflight(train)
    assert (finding.rule, finding.path, finding.severity) == ("no-such-layer", "train.lora.target_modules", "error")
    assert named in finding.message
    assert hint in finding.hint
    assert "called q_proj" not in finding.message


def test_targets_of_lora_may_be_the_ends_of_names_or_all_linear_layers(settings: Settings) -> None:
    for targets in (None, ["all-linear"], ["q_proj", "mlp.down_proj", "model.layers.1.self_attn.k_proj", "lm_head"]):
        assert rules(settings(lora={"enabled": True, "target_modules": targets})) == []
    assert rules(settings(lora={"enabled": False, "target_modules": ["nope"]})) == []


@pytest.mark.parametrize(
    ("targets", "said"),
    [(["gate_proj", "up_proj"], ""), (["q_proj", "down_proj"], ""), (["gate_proj"], "up_proj"), (["nope"], "nope")],
)
def test_parts_of_fused_matrices_may_be_targets(
    settings: Settings, model_dir: Path, tmp_path: Path, targets: list[str], said: str
) -> None:
    from transformers import Qwen3MoeConfig

    config = json.loads((model_dir / "config.json").read_text())
    sizes = {name: config[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "num_key_value_heads": 2}
    folder = shutil.copytree(model_dir, tmp_path / "moe")
    Qwen3MoeConfig(**sizes, **experts, max_position_embeddings=512).save_pretrained(folder)
    findings = preflight(settings(model_path=str(folder), lora={"enabled": True, "target_modules": targets}))
    assert [finding.rule for finding in findings] == (["no-such-layer"] if said else [])
    assert all(said in finding.message for finding in findings)


def test_a_rank_above_that_of_the_matrix_is_warned_of(settings: Settings) -> None:
    assert rules(settings(lora={"enabled": True, "lora_rank": 32})) == []
    (finding,) = preflight(settings(lora={"enabled": True, "lora_rank": 33}))
    assert (finding.rule, finding.path, finding.severity) == ("rank-too-high", "train.lora.lora_rank", "warning")
    assert finding.hint == "set it to 32 or less"


def test_a_model_that_does_not_know_all_tokens(settings: Settings, model_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 20, "max_position_embeddings": 4}))
    assert rules(settings(model_path=str(folder))) == ["longer-than-model", "vocabulary"]


def test_a_folder_of_data_gives_its_training_files(settings: Settings, tmp_path: Path) -> None:
    from ilab_cli.backends.train.data.dataset import examine

    folder = tmp_path / "data"
    folder.mkdir()
    assert rules(settings(data_path=str(folder))) == ["data-not-found"]
    (folder / "._train.jsonl").write_bytes(b"\0\5\x16\7 what macOS leaves beside a file")
    assert rules(settings(data_path=str(folder))) == ["data-not-found"]
    write_jsonl(folder / "a.jsonl", [conversation(1)])
    write_jsonl(folder / "test_b.jsonl", [conversation(2)])
    assert len(examine(settings(data_path=str(folder)))) == 2
    write_jsonl(folder / "train_1.jsonl", [conversation(number) for number in range(3)])
    assert len(examine(settings(data_path=str(folder)))) == 3


def test_kept_tokens_are_used_until_something_changes(settings: Settings, tmp_path: Path) -> None:
    from ilab_cli.backends.train.data.dataset import load, prepare

    data = write_jsonl(tmp_path / "train.jsonl", [conversation(number) for number in range(5)])
    train = settings(data_path=str(data))
    path = prepare(train)
    made = path.stat().st_mtime_ns
    assert prepare(train).stat().st_mtime_ns == made
    assert len(load(path)) == 5
    write_jsonl(data, [conversation(number) for number in range(4)])
    path = prepare(train)
    assert len(load(path)) == 4
    longest = int(load(path).lengths.max())
    path = prepare(settings(data_path=str(data), max_seq_len=longest - 1))
    shorter = load(path)
    assert (len(shorter), shorter.left_out) == (3, 1)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_run_refuses_before_it_starts_anything(settings: Settings) -> None:
    train = settings(max_seq_len=3)
    with pytest.raises(InputError, match=r"all 22 conversations are longer than 3 tokens; the shortest has \d+"):
        run(train)
    assert not Path(train.output_dir).exists()


def test_phases_take_what_they_leave_unset_from_train(settings: Settings) -> None:
    train = settings(phases=[{"num_epochs": 5}, {"name": "last", "learning_rate": 1e-6}])
    first, last = train.runs()
    assert first == settings(num_epochs=5, output_dir=f"{train.output_dir}/phase00")
    expected = {"learning_rate": 1e-6, "output_dir": f"{train.output_dir}/last"}
    assert last == settings(**expected, model_path=f"{train.output_dir}/phase00/model")
    assert first.runs() == (first,)


def test_findings_about_a_phase_name_the_setting_that_has_to_change(settings: Settings, tmp_path: Path) -> None:
    train = settings(data_path="nowhere", phases=[{"data_path": f"{tmp_path}/no.jsonl"}, {"num_epochs": 5}])
    assert [(finding.rule, finding.path) for finding in preflight(train)] == [
        ("data-not-found", "train.phases.0.data_path"),
        ("data-not-found", "train.data_path"),
    ]


def test_a_phase_without_data_is_named_where_others_have_some(
    settings: Settings, data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = Train.model_fields["data_path"].default
    train = settings(data_path=nothing, phases=[{"data_path": str(data_file)}, {"name": "last"}])
    (finding,) = preflight(train)
    assert (finding.rule, finding.path) == ("data-not-found", "train.phases.1")
    assert "phase last has no data_path" in finding.message
    file = tmp_path / "p.yaml"
    file.write_text("train:\n  phases:\n    - name: first\n    - name: last\n")
    (there,) = placed([finding], resolve(str(file), environ={}))
    assert there.position == Position("p.yaml", 4, 7)


def test_a_model_of_an_unknown_type_is_told_plainly(settings: Settings, model_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "zorro"}))
    (finding,) = preflight(settings(model_path=str(folder)))
    assert finding.rule == "model-not-read"
    assert "knows no model_type 'zorro' (in config.json)" in finding.message
    assert "install" in finding.hint
    (folder / "config.json").write_text("{")
    (finding,) = preflight(settings(model_path=str(folder)))
    assert (finding.rule, bool(finding.hint)) == ("bad-model-file", True)


@pytest.mark.parametrize("fault", ["not-a-folder", "checkpoints-exist"])
def test_one_fault_of_the_run_folder_is_one_finding(settings: Settings, tmp_path: Path, fault: str) -> None:
    train = settings(resume=False)
    run = Path(train.output_dir)
    if fault == "not-a-folder":
        run.touch()
    else:
        checkpoint = run / "checkpoints" / "samples_0000008"
        (checkpoint / "optimizer").mkdir(parents=True)
        (checkpoint / "training.json").write_text('{"step": 1, "samples": 8, "data": "x"}')
        (run / "run.yaml").write_text("section: train\n")
    job = Job(launch, effective_of(Profile(train=train)), "train", train, resume=False)
    (finding,) = job.findings()
    assert (finding.rule, finding.path) == (fault, "train.output_dir")
    assert "choose another folder" in finding.hint


def test_of_each_phase_its_own_losses_are_told(settings: Settings) -> None:
    train = settings(phases=[{"name": "first"}, {"name": "last"}])
    for phase, losses in zip(train.runs(), [(4.0, 3.0), (2.0, 1.5, 1.0)], strict=True):
        Path(phase.output_dir).mkdir(parents=True)
        rows = [{"loss": loss, "tokens_per_second": 100.0} for loss in losses]
        write_jsonl(Path(phase.output_dir) / "metrics.jsonl", rows)
    assert launch.outcome(train).lines == (
        "first: loss 4.0000 -> 3.0000 in 2 steps, 100 tokens/s",
        "last: loss 2.0000 -> 1.0000 in 3 steps, 100 tokens/s",
    )
    assert launch.outcome(train.runs()[1]).lines == ("loss 2.0000 -> 1.0000 in 3 steps, 100 tokens/s",)


def test_command() -> None:
    train = Train.model_validate({"model_path": "m", "gpus": "2-3", "learning_rate": 1e-4, "lora": {"enabled": True}})
    *words, text = command(train)
    assert words == [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                     "-m", "ilab_cli.backends.train.worker", "--settings"]  # fmt: skip
    assert Train.model_validate_json(text) == train
    torchrun = {"nnodes": 3, "node_rank": 1, "master_addr": "node0", "master_port": 29500}
    words = command(Train.model_validate({"torchrun": torchrun}))
    assert words[3:11] == "--nnodes 3 --node-rank 1 --master-addr node0 --master-port 29500".split()
    assert environment(train)["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert environment(Train(device="cpu"))["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in environment(Train())


def test_the_launcher_imports_nothing_heavy() -> None:
    code = "import sys, ilab_cli.backends.train.launch, ilab_cli.backends.train.preflight; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "accelerate", "numpy"} & set(done.stdout.split())
