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
from ilab_profiles.hardware.gpu import Gpu, slice_memory

__all__ = ["AMD_DEVICES", "MODELS", "GpuModel", "has", "is_a", "model_of", "named", "nominal", "without_bf16"]

_LEAST = 0.9
"""The share of its nominal memory that a GPU reports at least."""


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A model of GPU in one size.

    Args:
        name: the words that stand in what a driver calls it.
        gib: the memory that it is sold with, in GiB.
        mib: the memory that its driver reports, in MiB.
        bf16: whether it computes in bf16, as NVIDIA's do from compute capability 8.0 on (CUDA C++ Programming Guide,
            "Compute Capabilities").
    """

    name: str
    gib: int
    mib: int
    bf16: bool = True

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
        ("V100", 32, 32768, False),
        ("V100", 16, 16384, False),
        ("P100", 16, 16384, False),
        ("T4", 16, 15360, False),
        # workstations, NVIDIA
        ("RTX PRO 6000", 96, 97887),
        ("RTX 6000 Ada", 48, 49140),
        ("RTX 5000 Ada", 32, 32760),
        ("RTX 4000 Ada", 20, 20475),
        ("RTX A6000", 48, 49140),
        ("RTX A5000", 24, 24564),
        ("RTX A4000", 16, 16376),
        ("Quadro RTX 8000", 48, 49152, False),
        ("Quadro RTX 6000", 24, 24576, False),
        ("TITAN RTX", 24, 24576, False),
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
        ("RTX 2080 Ti", 11, 11264, False),
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
    return next((model for model in _standing_in(gpu.name) if _is_sold_with(gpu.memory, model.gib)), None)


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


def _standing_in(name: str) -> list[GpuModel]:
    """The model with the longest name whose words stand in a text, in each of its sizes.

    None where a word is left that makes another model of it, as ``Ti`` does.
    """
    there = [model for model in MODELS if _stands_in(model.name, name)]
    longest = max(
        (_words(model.name) for model in there), key=lambda words: (len(words), len("".join(words))), default=[]
    )
    if _OTHERS.intersection(_words(name)).difference(longest):
        return []
    return [model for model in there if _words(model.name) == longest]


_OTHERS = frozenset(("TI", "SUPER", "LAPTOP", "MOBILE"))


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Z0-9]+", text.upper())


def nominal(gpu: Gpu) -> float | None:
    """The memory of a GPU in GiB as people call it: what its model is sold with, else what the driver reports."""
    if model := model_of(gpu):
        return model.gib
    return None if gpu.memory is None else round(gpu.memory / 2**30, 1)


_OLD = re.compile(r"\b(TESLA|QUADRO|TITAN|GTX|[KMPTV]\d+S?|RTX 20[5-8]0)\b")
"""NVIDIA's names up to compute capability 7.5, for models that are not listed; none of them was given out later."""


def without_bf16(gpu: Gpu | str) -> bool:
    """Whether a GPU, or a model by its name, is known not to compute in bf16."""
    if isinstance(gpu, Gpu) and gpu.kind != "nvidia":
        return False
    name = gpu.name if isinstance(gpu, Gpu) else gpu
    known, _ = _read(name)
    return not known[0].bf16 if known else bool(_OLD.search(name.upper()))


# --- what people write ------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"^(.+?)[\s_-]+(\d+)$")
_SIZE = re.compile(r"(?<![A-Z0-9.])(\d+)\s*(?:GIB|GB|G)(?![A-Z0-9])")


def named(text: str, gib: int | None = None) -> GpuModel:
    """The model that a person means: ``H100``, ``rtx4090``, ``a100-40``, ``A100 80GB``, or what a driver calls it.

    Case and spaces do not matter. A size that is written may choose among several. Where there is one only, a larger
    one is not that of its memory (``GH200 480GB`` tells that of its CPU), and a smaller one is that of another model.

    Args:
        text: what they wrote.
        gib: the memory in GiB, where that is said elsewhere.

    Raises:
        InputError: if none is meant, with the nearest names as the hint; or if it comes in several sizes and none is
            said, with these.
    """
    if (memory := slice_memory(text)) is not None:
        return GpuModel(text.strip(), round(memory / 2**30), memory // 2**20)
    same, size = _read(text)
    if not same:
        raise InputError(Finding("unknown-gpu", f"no such model of GPU is known: {text!r}", hint=_near(text)))
    gib = gib or size
    fitting = [model for model in same if gib in (None, model.gib)]
    if len(fitting) == 1:
        return fitting[0]
    sizes = " or ".join(f"{model.name}-{model.gib}" for model in same)
    message = f"{same[0].name} comes with {' or '.join(str(model.gib) for model in same)} GiB"
    raise InputError(Finding("unknown-gpu", message + (f", not {gib}" if gib else ""), hint=f"write {sizes}"))


def _read(text: str) -> tuple[list[GpuModel], int | None]:
    """The model in each of its sizes, and the size that was written; none if it is not known."""
    if same := _called(text):
        return same, None
    if (numbered := _NUMBER.match(text.strip())) and (same := _called(numbered[1])):
        return same, int(numbered[2])
    written = _SIZE.search(text.upper())
    rest = _SIZE.sub(" ", text.upper())
    same = _called(rest) or _standing_in(rest)
    size = int(written[1]) if written else None
    return same, None if size and len(same) == 1 and size > same[0].gib else size


def _near(text: str) -> str:
    """The names that are nearest to one that is not known, as a hint."""
    import difflib  # only mistakes need it

    known = _by_compact_name(MODELS)
    best = nearest(_compact(text), known)
    near = [known[name].name for name in ([best] if best else difflib.get_close_matches(_compact(text), known))]
    *others, last = near or [""]
    return (
        f"did you mean {' or '.join(filter(None, [', '.join(others), last]))}?"
        if near
        else "write it as in H100, A100-80, RTX 4090 or MI300X"
    )


def _called(text: str) -> list[GpuModel]:
    return [model for model in MODELS if _compact(model.name) == _compact(text)]


def _by_compact_name(models: Iterable[GpuModel]) -> dict[str, GpuModel]:
    return {_compact(model.name): model for model in models}


def _compact(text: str) -> str:
    """A name without spaces, signs and what makers put before it."""
    whole = re.sub(r"[^A-Z0-9]", "", text.upper())
    return re.sub(r"^(NVIDIA|AMD|GEFORCE|INSTINCT|RADEON|TESLA|RTX(?=A\d)|RTX(?=\d))+", "", whole) or whole
