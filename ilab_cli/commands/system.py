"""``ilab system``: this machine, as the program sees it, and the profile that suits it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ilab_cli import output
from ilab_cli.flags.command import add
from ilab_cli.session import chosen, in_force, in_words
from ilab_profiles.catalog import config_file

if TYPE_CHECKING:
    from ilab_profiles.hardware.machine import Gpu, Machine

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    group.callback()(lambda: None)  # so that one command still is a command of the group
    add(group, "info", info)


def info(
    ask_torch: Annotated[bool, typer.Option("--torch", help="Also ask torch what it can use (takes seconds)")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Print this machine's GPUs, memory and cores, what uses them, the engines, and the profile that suits them."""
    from ilab_cli.extras import versions
    from ilab_profiles.hardware.machine import here
    from ilab_profiles.matching import offer

    machine, engines = here(), versions()
    offered = offer(machine)
    found = _machine(machine) | {
        "ilab": engines.pop("ilab-profiles"),
        "offered": asdict(offered) | {"why": offered.why},
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


def _machine(machine: Machine) -> dict[str, Any]:
    import platform

    return {
        "python": platform.python_version(),
        "platform": machine.platform,
        "cores": machine.cores,
        "installed_cores": machine.installed_cores,
        "memory_gib": _gib(machine.memory),
        "free_memory_gib": _gib(machine.free_memory),
        "installed_memory_gib": _gib(machine.installed_memory),
        "gpus": list(map(_gpu, machine.gpus)),
        "no_gpus_because": machine.no_gpus_because,
        "cuda_visible_devices": machine.visible,
        "notes": list(machine.notes),
    }


def _gpu(gpu: Gpu) -> dict[str, Any]:
    return {
        "index": gpu.index,
        "name": gpu.name,
        "kind": gpu.kind,
        "mig": gpu.mig,
        "memory_mib": _mib(gpu.memory),
        "free_mib": _mib(gpu.free),
        "uses": [{"pid": use.pid, "name": use.name, "memory_mib": _mib(use.memory)} for use in gpu.uses],
    }


def _mib(memory: int | None) -> int | None:
    return None if memory is None else memory // 2**20


def _gib(memory: int) -> float:
    return round(memory / 2**30, 1)


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


# --- as text ----------------------------------------------------------------------------------------------------------


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    engines = [f"{name} {version}" for name, version in found["engines"].items() if version]
    missing = [name for name, version in found["engines"].items() if not version]
    offered = found["offered"]
    rows = [
        ("ilab", found["ilab"] or "not installed"),
        ("Python", found["python"]),
        ("Platform", found["platform"]),
        ("Cores", _limited(found["cores"], found["installed_cores"])),
        ("Memory", _memory(found)),
        *_gpu_rows(found),
        ("Begin with", f"{offered['profile']}: {offered['why']}"),
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


def _memory(found: dict[str, Any]) -> str:
    there = _limited(found["memory_gib"], found["installed_memory_gib"], " GiB")
    return f"{there}; {found['free_memory_gib']} free"


def _limited(usable: float, installed: float, unit: str = "") -> str:
    """A number, and that of the whole machine where a limit keeps some of it from us."""
    return f"{usable}{unit} of {installed}, by a limit" if usable < installed else f"{usable}{unit}"


def _gpu_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    gpus = [("GPU" if gpu["kind"] == "apple" else f"GPU {gpu['index']}", _gpu_in_words(gpu)) for gpu in found["gpus"]]
    rows = gpus or [("GPU", f"none: {found['no_gpus_because']}")]
    if (visible := found["cuda_visible_devices"]) is not None:
        rows.append(("CUDA sees", f"CUDA_VISIBLE_DEVICES={visible}"))
    return [*rows, *(("Note", note) for note in found["notes"])]


def _gpu_in_words(gpu: dict[str, Any]) -> str:
    """The name, the memory, and what holds some of it."""
    sizes = [f"{gpu['memory_mib']} MiB" if gpu["memory_mib"] else "tells no memory"]
    if gpu["free_mib"] is not None:
        sizes.append(f"{gpu['free_mib']} free")
    held = [
        f"{use['name'] or 'a process that cannot be seen'} ({use['pid']})"
        + (f" {use['memory_mib']} MiB" if use["memory_mib"] else "")
        for use in gpu["uses"]
    ]
    return f"{gpu['name']}, {', '.join(sizes)}" + (f"; used by {', '.join(held)}" if held else "")


def _profile(found: dict[str, Any]) -> str:
    if "profile" not in found:
        return "none: its name is invalid"
    refused = "" if found["valid"] else "; invalid"
    return f"{found['profile']}, chosen by {found['profile_from']}{refused}"
