"""``ilab data validate`` takes files of training data beside taxonomies."""

from __future__ import annotations

import json
from pathlib import Path

from tests.programs import Ilab

GOOD = {"conversations": [{"from": "human", "value": "One?"}, {"from": "gpt", "value": "Two."}]}


def test_validate_says_of_training_data_what_training_would(ilab: Ilab, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text(json.dumps(GOOD) + "\n")
    bad.write_text(json.dumps(GOOD) + '\n{"instruction": "x"}\n')
    done = ilab("data", "validate", str(good))
    assert (done.returncode, done.stderr) == (0, f"{good}: valid\n")
    done = ilab("data", "validate", str(good), str(bad), str(tmp_path / "none"))
    assert done.returncode == 2
    assert f"{bad}:2: error[data-line] `output` is missing\n" in done.stderr
    assert f"{tmp_path / 'none'}" in done.stderr, "it is looked at as a taxonomy"
    done = ilab("data", "validate", str(bad), "--format", "json")
    (finding,) = json.loads(done.stdout)
    assert (finding["rule"], finding["position"]["line"]) == ("data-line", 2)
