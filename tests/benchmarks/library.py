"""How fast the library is, each figure as a ratio to a floor measured in the same run: ``nox -s bench``.

A floor is the least that anybody could do: pydantic imported alone; YAML composed into nodes in C, made plain data and
validated by the same pydantic models, without names, positions, origins or rules. CPU time of whole processes for what
is cold, wall time in one process for what is warm; medians.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ilab_profiles import Profile, check, json_schema, load
from ilab_profiles.catalog import built_in_files
from ilab_profiles.loading.layers import read_document
from ilab_profiles.loading.merge import _nested
from ilab_profiles.yaml.read import _Composer, read

NAME = "single_gpu"
RUNS = 20


def cpu(code: str) -> float:
    """CPU seconds of a new Python process that runs this code; median."""
    return statistics.median(_cpu_once(code) for _ in range(RUNS))


def _cpu_once(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def wall(call: Callable[[], object], repeat: int = 50) -> float:
    """Wall seconds of one call; median."""
    call()
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        for _ in range(repeat):
            call()
        times.append((time.perf_counter() - began) / repeat)
    return statistics.median(times)


def show(name: str, took: float, floor: float, of: str) -> None:
    """Print one row."""
    print(f"{name:32} {took * 1e3:9.2f} ms {floor * 1e3:9.2f} ms {took / floor:6.2f}x  of {of}", flush=True)


def main() -> None:
    """Print the table."""
    path = built_in_files()[NAME]
    text = path.read_text(encoding="utf-8")
    data = _nested(read_document(read(path), "profile", "").settings)

    def compose_and_validate(yaml: str = text) -> None:
        _Composer(yaml).get_single_node()
        Profile.model_validate(data)

    print(f"{'':32} {'took':>12} {'floor':>12} {'ratio':>7}")
    empty = cpu("pass")
    pydantic = cpu("from pydantic import BaseModel") - empty
    show("import ilab_profiles", cpu("import ilab_profiles") - empty, pydantic, "importing pydantic")
    show("  and every name in it", cpu("from ilab_profiles import *") - empty, pydantic, "importing pydantic")

    imports = "from ilab_profiles.models.profile import Profile; from ilab_profiles.yaml.read import _Composer"
    floor = cpu(f"{imports}; _Composer({text!r}).get_single_node(); Profile.model_validate({data!r})") - empty
    show("load, cold", cpu(f"import ilab_profiles; ilab_profiles.load({NAME!r})") - empty, floor, "compose + validate")
    show("load, warm", wall(lambda: load(NAME)), wall(compose_and_validate), "compose + validate")

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.yaml") for number in range(1000)]
        for number, file in enumerate(files):
            file.write_text(text.replace("num_epochs: 10", f"num_epochs: {number + 1}"), encoding="utf-8")
        names = [str(file) for file in files]

        def floor_of_all() -> None:
            for file in files:
                compose_and_validate(file.read_text(encoding="utf-8"))

        floor = wall(floor_of_all, 1)
        show("check 1,000 files", wall(lambda: [check(name) for name in names], 1), floor, "read, compose, validate")

    floor = wall(Profile.model_json_schema, 3)
    show("json_schema()", wall(json_schema, 3), floor, "pydantic's schema, without rules")


if __name__ == "__main__":
    main()
