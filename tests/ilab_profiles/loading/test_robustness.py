"""Whatever bytes a file holds: the library answers soon, with findings inside the file, and with nothing else."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilab_profiles import check
from ilab_profiles.catalog import built_in_files
from ilab_profiles.edit import render_config
from ilab_profiles.yaml.document import LINE_BREAK
from tests.conftest import examples

TEXTS = [path.read_bytes() for path in built_in_files().values()] + [render_config("multi_gpu").encode()]
PIECES = [
    b"\x00",
    b"\xff",
    b"\t",
    b"\r\n",
    b"\r",
    b"&a ",
    b"*a",
    b"!!x ",
    b"<<: ",
    b"- ",
    b"? ",
    b"[",
    b"{",
    b"}",
    b'"',
]
PIECES += [
    b"'",
    b"|",
    b">",
    b"#",
    b": ",
    b"%YAML 1.1\n",
    b"---\n",
    b"...\n",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"@",
    b"`",
]
PIECES += [b"1e999", b".inf", b".nan", b"9" * 500, "é".encode(), b"extends: single_gpu\n", b"profile: x\n"]


def assert_findings_lie_inside(path: Path) -> None:
    lines = LINE_BREAK.split(path.read_bytes().decode("utf-8", errors="replace"))
    for finding in check(str(path)):
        place = finding.position
        if place is not None and place.source == str(path):
            assert 1 <= place.line <= len(lines)
            assert place.column >= 1
        str(finding)


def test_mutated_bytes(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    for seed in range(1500):
        rng = random.Random(seed)
        raw = bytearray(rng.choice(TEXTS))
        for _ in range(rng.randint(1, 4)):
            start = rng.randrange(len(raw))
            end = min(len(raw), start + rng.choice([0, 0, 1, 3, 20]))
            raw[start:end] = rng.choice(
                [rng.choice(PIECES), bytes([rng.randrange(256)]), b"", bytes(raw[:start][-30:])]
            )
        path.write_bytes(raw)
        assert_findings_lie_inside(path)


@settings(max_examples=examples(300))
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(raw)
    assert_findings_lie_inside(path)


NASTY = {
    "deep flow": b"train: " + b"[" * 200_000,
    "deep maps": b"a: " + b"{a: " * 100_000,
    "deep blocks": b"\n".join(b" " * n + b"a:" for n in range(2_000)),
    "deep dashes": b"- " * 50_000,
    "deep but short": b"a: " + b"[" * 4_000 + b"]" * 4_000,
    "ten megabytes on a line": b"a: " + b"x" * 10_000_000,
    "ten megabytes of keys": b"".join(b"k%d: 1\n" % n for n in range(700_000)),
    "many keys": b"".join(b"k%d: 1\n" % n for n in range(9_000)),
    "too many keys": b"".join(b"k%d: 1\n" % n for n in range(90_000)),
    "alias bomb": b"\n".join(
        [b"a0: &a0 [x,x,x,x,x,x,x,x,x]"]
        + [b"a%d: &a%d [%s]" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)]
    ),
    "merge bomb": b"\n".join(
        [b"a0: &a0 {x: 1}"]
        + [b"a%d: &a%d {<<: [*a%d, *a%d, *a%d]}" % (n, n, n - 1, n - 1, n - 1) for n in range(1, 40)]
    ),
    "nul": b"train: {num_epochs: 1\x00}",
    "utf-16": "train: {num_epochs: 0}".encode("utf-16"),
    "utf-16 cut short": "train: {num_epochs: 0}".encode("utf-16")[:-1],
    "crlf": b"train:\r\n  num_epochs: 0\r\n",
    "tabs": b"train:\n\tnum_epochs: 1\n",
    "bom": b"\xef\xbb\xbftrain: {num_epochs: 0}",
    "a directory of numbers": b"1: 2\n3.5: x\ntrue: y\n~: z\n",
    "huge numbers": b"train: {seed: 1" + b"0" * 350 + b", learning_rate: 1e999, num_epochs: .nan}",
    "empty": b"",
    "only comments": b"# nothing\n",
}


@pytest.mark.parametrize("name", NASTY)
def test_nasty_files_are_answered_soon(name: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(NASTY[name])
    began = time.perf_counter()
    assert_findings_lie_inside(path)
    assert time.perf_counter() - began < 30
    if name not in ("empty", "only comments"):
        assert check(str(path))


def test_what_is_no_readable_file_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for name in (
        str(tmp_path / "folder.yaml"),
        str(tmp_path / "none.yaml"),
        "",
        "../x",
        "a\x00b.yaml",
        "x" * 5_000,
        "x" * 5_000 + ".yaml",
    ):
        assert check(name), name
