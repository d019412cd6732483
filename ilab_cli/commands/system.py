"""``ilab system``: this machine, as the program sees it, and the profile that was made for exactly such a one."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from ilab_cli import output
from ilab_cli.flags.command import add
from ilab_cli.session import chosen, in_force, in_words
from ilab_profiles.catalog import config_file

__all__ = ["add_to", "match"]

QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
SHARE = 0.9
"""Least share of its nominal memory that a GPU reports; the rest is kept for error correction."""


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    group.callback()(lambda: None)  # so that one command still is a command of the group
    add(group, "info", info)


def info(
    ask_torch: Annotated[bool, typer.Option("--torch", help="Also ask torch what it can use (takes seconds)")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Print this machine's GPUs and engines, the profile in force, and the one made for this hardware."""
    from ilab_cli.extras import versions

    gpus, trouble = gpus_here()
    engines = versions()
    found = _machine() | {
        "ilab": engines.pop("ilab-profiles"),
        "gpus": gpus,
        "no_gpus_because": trouble,
        "made_for_this": match(gpus),
        "engines": engines,
        **_choices(),
    }
    if ask_torch:
        found["torch"] = _torch()
    if as_json:
        output.print_json(found)
    else:
        print(output.columns(("", ""), _rows(found)).strip())


# --- what is here -----------------------------------------------------------------------------------------------------


def _machine() -> dict[str, Any]:
    import platform

    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
    }


def _memory() -> float | None:
    """Main memory in GiB, where the system tells."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def gpus_here() -> tuple[list[dict[str, Any]], str]:
    """NVIDIA GPUs, each with its name and its memory in MiB; and why there are none."""
    import subprocess

    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        return [], "nvidia-smi is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi failed: {error}"
    if done.returncode:
        return [], f"nvidia-smi: {' '.join((done.stdout + done.stderr).split())}"
    lines = [line.rpartition(",") for line in done.stdout.splitlines() if line.strip()]
    gpus = [{"name": name.strip(), "memory_mib": _number(memory)} for name, _, memory in lines]
    return gpus, "" if gpus else "nvidia-smi found no GPU"


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _choices() -> dict[str, Any]:
    """What is chosen here: a config file, a profile, and where profiles of one's own lie."""
    from ilab_profiles import InputError
    from ilab_profiles.catalog import user_folder

    file = config_file()
    found = {"config_file": file and str(file.resolve()), "profile_folder": str(user_folder())}
    try:
        held, source = chosen()
        found |= {"profile": in_words(held), "profile_from": source}
        in_force()
    except InputError as error:
        output.warn(error.findings)
        return found | {"valid": False}
    return found | {"valid": True}


def _torch() -> dict[str, Any]:
    """What torch can use.

    Raises:
        InputError: if it is not installed.
    """
    from importlib.util import find_spec

    from ilab_profiles import Finding, InputError

    if find_spec("torch") is None:
        hint = 'python3 -m pip install "ilab-profiles[train]"'
        raise InputError(Finding("extra-not-installed", "--torch needs torch, which is not installed", hint=hint))
    import torch

    usable = range(torch.cuda.device_count())
    names = [torch.cuda.get_device_name(number) for number in usable]
    return {"cuda": torch.version.cuda, "gpus": names, "bf16": bool(names) and torch.cuda.is_bf16_supported()}


# --- the profile made for it ------------------------------------------------------------------------------------------


def match(gpus: list[dict[str, Any]]) -> dict[str, Any]:
    """The built-in profile for exactly these GPUs: the same number, model and memory. Nothing is guessed.

    Args:
        gpus: name and memory (MiB) of each.

    Returns:
        ``profile``, its name or ``None``; and ``why``.
    """
    from ilab_profiles import load
    from ilab_profiles.catalog import built_in_files

    machines = {name: load(str(path)).hardware for name, path in built_in_files().items()}
    named = {name: item for name, item in machines.items() if item.gpu}
    if not gpus:
        return {"profile": None, "why": "no GPU found; cpu_only runs anywhere"}
    if len({gpu["name"] for gpu in gpus}) > 1:
        return {"profile": None, "why": "the GPUs differ; every profile expects one model"}
    model, memory = gpus[0]["name"], gpus[0]["memory_mib"]
    same = {name: item for name, item in named.items() if _is_model(model, item.gpu) and _has(memory, item.memory)}
    here = f"{len(gpus)} x {model}, {memory} MiB each"
    exact = [name for name, item in same.items() if item.count == len(gpus)]
    if exact:
        return {"profile": exact[0], "why": here}
    others = same or named
    told = ", ".join(f"{name} ({item.count} x {item.gpu}, {item.memory} GiB)" for name, item in others.items())
    return {"profile": None, "why": f"this machine: {here}; profiles exist for: {told}"}


def fitting(gpus: list[dict[str, Any]]) -> str:
    """The built-in profile to begin with on these GPUs: the one for exactly them, else the one for their number."""
    if exact := match(gpus)["profile"]:
        return str(exact)
    return "cpu_only" if not gpus else "single_gpu" if len(gpus) == 1 else "multi_gpu"


def _is_model(name: str, model: str | None) -> bool:
    """Whether the words of a model, such as ``RTX 4090``, stand in the name that a GPU tells."""
    import re

    words, wanted = re.split(r"\W+", name.upper()), (model or "").upper().split()
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words)))


def _has(mib: int | None, gib: int | None) -> bool:
    return gib is None or (mib is not None and SHARE * gib <= mib / 1024 <= gib)


# --- as text ----------------------------------------------------------------------------------------------------------


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    engines = [f"{name} {version}" for name, version in found["engines"].items() if version]
    missing = [name for name, version in found["engines"].items() if not version]
    gpus = [f"{gpu['name']}, {gpu['memory_mib']} MiB" for gpu in found["gpus"]]
    made = found["made_for_this"]
    rows = [
        ("ilab", found["ilab"] or "not installed"),
        ("Python", found["python"]),
        ("Platform", found["platform"]),
        ("Cores", str(found["cores"])),
        ("Memory", f"{found['memory_gib'] or '?'} GiB"),
        *[("GPU", gpu) for gpu in gpus or [f"none: {found['no_gpus_because']}"]],
        ("Made for this", f"{made['profile'] or 'no profile'}: {made['why']}"),
        ("Engines", ", ".join(engines) or "none"),
        ("Not installed", ", ".join(missing) or "none"),
        ("Config file", found["config_file"] or "none; create one with `ilab config init`"),
        ("Profile", _profile(found)),
        ("Your profiles", found["profile_folder"]),
    ]
    if "torch" in found:
        seen = found["torch"]
        rows.append(
            ("torch", f"CUDA {seen['cuda'] or 'no'}; {', '.join(seen['gpus']) or 'no GPU'}; bf16 {seen['bf16']}")
        )
    return rows


def _profile(found: dict[str, Any]) -> str:
    if "profile" not in found:
        return "none: its name is invalid"
    refused = "" if found["valid"] else "; invalid"
    return f"{found['profile']}, chosen by {found['profile_from']}{refused}"
