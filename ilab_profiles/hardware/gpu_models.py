"""The models of GPUs that are known: their names, the memory that they are sold with, and what their driver reports.

The driver reports less than what is sold, because error correction, firmware or the driver itself keep a part. The
numbers are those that ``nvidia-smi`` shows as total, and of AMD's cards ``mem_info_vram_total``, in MiB, on machines
whose owners publish them; other versions of a driver differ by up to 2%. A model that is not here is no worse for it:
then what its driver says counts, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ilab_profiles.diagnostics import Finding, InputError, nearest
from ilab_profiles.hardware.gpu import Gpu

__all__ = ["AMD_DEVICES", "MODELS", "GpuModel", "has", "is_a", "model_of", "named", "nominal"]

_LEAST = 0.9
"""The share of its nominal memory that a GPU reports at least."""


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A model of GPU in one size.

    Args:
        name: the words that stand in what a driver calls it.
        gib: the memory that it is sold with, in GiB.
        mib: the memory that its driver reports, in MiB.
    """

    name: str
    gib: int
    mib: int

    @property
    def memory(self) -> int:
        """What its driver reports, in bytes."""
        return self.mib * 2**20

    def __str__(self) -> str:
        return f"{self.name} {self.gib} GiB"


MODELS = tuple(
    GpuModel(*model)
    for model in (
        # data centers, NVIDIA
        ("B300", 288, 275040),
        ("B200", 180, 183359),
        ("H200", 141, 143771),
        ("H100", 80, 81559),
        ("H100 NVL", 94, 95830),
        ("H800", 80, 81559),
        ("H20", 96, 97871),
        ("GH200", 96, 97871),
        ("A100", 80, 81920),
        ("A100", 40, 40960),
        ("A800", 80, 81920),
        ("A30", 24, 24576),
        ("A40", 48, 46068),
        ("A10", 24, 23028),
        ("A10G", 24, 23028),
        ("A16", 16, 15356),
        ("A2", 16, 15356),
        ("L40S", 48, 46068),
        ("L40", 48, 46068),
        ("L20", 48, 46068),
        ("L4", 24, 23034),
        ("V100", 32, 32768),
        ("V100", 16, 16384),
        ("P100", 16, 16384),
        ("T4", 16, 15360),
        # workstations, NVIDIA
        ("RTX PRO 6000", 96, 97887),
        ("RTX 6000 Ada", 48, 49140),
        ("RTX 5000 Ada", 32, 32760),
        ("RTX 4000 Ada", 20, 20475),
        ("RTX A6000", 48, 49140),
        ("RTX A5000", 24, 24564),
        ("RTX A4000", 16, 16376),
        ("Quadro RTX 8000", 48, 49152),
        ("Quadro RTX 6000", 24, 24576),
        ("TITAN RTX", 24, 24576),
        # desktops, NVIDIA
        ("RTX 5090", 32, 32607),
        ("RTX 5080", 16, 16303),
        ("RTX 5070 Ti", 16, 16303),
        ("RTX 5070", 12, 12227),
        ("RTX 4090", 24, 24564),
        ("RTX 4090 Laptop", 16, 16376),
        ("RTX 4080", 16, 16376),
        ("RTX 4080 SUPER", 16, 16376),
        ("RTX 4070 Ti SUPER", 16, 16376),
        ("RTX 4070 Ti", 12, 12282),
        ("RTX 4070", 12, 12282),
        ("RTX 4060 Ti", 16, 16380),
        ("RTX 4060 Ti", 8, 8188),
        ("RTX 3090", 24, 24576),
        ("RTX 3090 Ti", 24, 24564),
        ("RTX 3080", 12, 12288),
        ("RTX 3080", 10, 10240),
        ("RTX 3080 Ti", 12, 12288),
        ("RTX 3070", 8, 8192),
        ("RTX 3060", 12, 12288),
        ("RTX 2080 Ti", 11, 11264),
        # AMD; of MI250 and MI250X each half is a GPU of its own
        ("MI355X", 288, 294896),
        ("MI325X", 256, 262128),
        ("MI300X", 192, 196592),
        ("MI250X", 64, 65520),
        ("MI250", 64, 65520),
        ("MI210", 64, 65520),
        ("MI100", 32, 32752),
        ("RX 7900 XTX", 24, 24560),
        ("RX 7900 XT", 20, 20464),
    )
)

AMD_DEVICES = {
    "0x75a3": "AMD Instinct MI355X",
    "0x74a5": "AMD Instinct MI325X",
    "0x74a1": "AMD Instinct MI300X",
    "0x74b5": "AMD Instinct MI300X VF",
    "0x7408": "AMD Instinct MI250X",
    "0x740c": "AMD Instinct MI250X/MI250",
    "0x740f": "AMD Instinct MI210",
    "0x738c": "AMD Instinct MI100",
    "0x744c": "AMD Radeon RX 7900 XT/7900 XTX",
}
"""What devices are called whose card does not hold its name; by the list of identifiers at pci-ids.ucw.cz."""


def model_of(gpu: Gpu) -> GpuModel | None:
    """The model of a GPU; ``None`` for one that is not known, whose memory is that of none, or that is a slice."""
    if gpu.mig is not None or gpu.memory is None:
        return None
    same = [model for model in MODELS if _stands_in(model.name, gpu.name) and _is_sold_with(gpu.memory, model.gib)]
    return max(same, key=lambda model: (len(_words(model.name)), model.gib), default=None)


def is_a(gpu: Gpu, name: str, gib: int | None = None) -> bool:
    """Whether a GPU is of a model, in that size.

    Args:
        gpu: the GPU.
        name: what the model is called, for example ``RTX 4090``; it need not be a known one.
        gib: the memory that it is sold with, in GiB; ``None`` for any.
    """
    known, called = model_of(gpu), _called(name)
    if known and called:
        return known in called and gib in (None, known.gib)
    fits = gib is None or (gpu.memory is not None and _is_sold_with(gpu.memory, gib))
    return fits and gpu.mig is None and _stands_in(name, gpu.name)


def has(gpu: Gpu, gib: float) -> bool | None:
    """Whether a GPU is sold with at least ``gib`` GiB, of which it may report 90%; ``None`` if it tells no memory."""
    return None if gpu.memory is None else gpu.memory >= _LEAST * gib * 2**30


def _is_sold_with(memory: int, gib: int) -> bool:
    return _LEAST * gib * 2**30 <= memory <= gib * 2**30


def _stands_in(model: str, name: str) -> bool:
    """Whether the words of a model stand in the name that a driver tells."""
    words, wanted = _words(name), _words(model)
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words)))


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Z0-9]+", text.upper())


def nominal(gpu: Gpu) -> float | None:
    """The memory of a GPU in GiB as people call it: what its model is sold with, else what the driver reports."""
    if model := model_of(gpu):
        return model.gib
    return None if gpu.memory is None else round(gpu.memory / 2**30, 1)


# --- what people write ------------------------------------------------------------------------------------------------

_SIZE = re.compile(r"^(?P<name>.*?)[\s_-]*(?P<gib>\d+)\s*(GIB|GB|G)$|^(?P<model>.+?)[\s_-]+(?P<number>\d+)$")


def named(text: str, gib: int | None = None) -> GpuModel:
    """The model that a person means: ``H100``, ``rtx4090``, ``a100-40``, ``A100 80GB``; case and spaces do not matter.

    Args:
        text: what they wrote.
        gib: the memory in GiB, where that is said elsewhere.

    Raises:
        InputError: if none is meant, with the nearest name as the hint; or if it comes in several sizes and none is
            said, with these.
    """
    same = _called(text)
    if not same and (sized := _SIZE.match(text.strip().upper())):
        same = _called(sized["name"] or sized["model"])
        gib = gib or int(sized["gib"] or sized["number"])
    if not same:
        close = nearest(_compact(text), _by_compact_name(MODELS))
        near = _by_compact_name(MODELS)[close] if close else None
        hint = f"did you mean {near.name}?" if near else f"known: {', '.join(dict.fromkeys(m.name for m in MODELS))}"
        raise InputError(Finding("unknown-gpu", f"no such model of GPU is known: {text!r}", hint=hint))
    fitting = [model for model in same if gib in (None, model.gib)]
    if len(fitting) == 1:
        return fitting[0]
    sizes = " or ".join(f"{model.name}-{model.gib}" for model in same)
    message = f"{same[0].name} comes with {' or '.join(str(model.gib) for model in same)} GiB"
    raise InputError(Finding("unknown-gpu", message + (f", not {gib}" if gib else ""), hint=f"write {sizes}"))


def _called(text: str) -> list[GpuModel]:
    return [model for model in MODELS if _compact(model.name) == _compact(text)]


def _by_compact_name(models: Iterable[GpuModel]) -> dict[str, GpuModel]:
    return {_compact(model.name): model for model in models}


def _compact(text: str) -> str:
    """A name without spaces, signs and what makers put before it."""
    whole = re.sub(r"[^A-Z0-9]", "", text.upper())
    return re.sub(r"^(NVIDIA|AMD|GEFORCE|INSTINCT|RADEON|TESLA|RTX(?=A\d)|RTX(?=\d))+", "", whole) or whole
