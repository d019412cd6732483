"""What the shell may offer for the value of a flag or an argument: profiles, dotted keys, choices, numbers of GPUs.

Offers come from the generated table and from file names; nothing here loads a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ilab_cli.flags.flag import Flag
from ilab_cli.flags.table import table

__all__ = ["gpus", "keys", "keys_to_set", "of_flag", "profiles", "values_of"]

Completer = Callable[[str], list[str]]


def of_flag(flag: Flag) -> Completer | None:
    """What completes the value of a flag; ``None`` leaves it to the shell, which offers files."""
    if not flag.choices:
        return None
    return lambda incomplete: _chosen(flag.choices, flag.kind == "list", incomplete)


def _chosen(choices: Sequence[str], many: bool, incomplete: str) -> list[str]:
    """Values, or lists of them with commas between."""
    done, comma, word = incomplete.rpartition(",") if many else ("", "", incomplete)
    left = [choice for choice in choices if choice not in done.split(",")]
    return [done + comma + choice for choice in left if choice.startswith(word)]


def profiles(incomplete: str) -> list[str]:
    """Names of profiles, the user's own included."""
    from ilab_profiles import names

    return _spelled(names(), incomplete)


def gpus(incomplete: str) -> list[str]:
    """Models of GPUs, in one word each, with the size where there are several; in small letters if typed so."""
    from collections import Counter

    from ilab_profiles.hardware.gpu_models import MODELS

    sizes = Counter(model.name for model in MODELS)
    names = [f"{model.name}-{model.gib}" if sizes[model.name] > 1 else model.name for model in MODELS]
    spelled = [name.replace(" ", "-") for name in names]
    return [
        name for name in (map(str.lower, spelled) if incomplete.islower() else spelled) if name.startswith(incomplete)
    ]


def keys(incomplete: str) -> list[str]:
    """Dotted paths of a profile's settings, and of the sections that hold them."""
    paths = [path.removeprefix("profile.") for path in table().settings if path.startswith("profile.")]
    sections = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "."}
    return _spelled([*sorted(sections), *paths], incomplete)


def keys_to_set(incomplete: str) -> list[str]:
    """Dotted paths of everything that can be set in a config.yaml."""
    return _spelled(["extends", *(path.removeprefix("profile.") for path in table().settings)], incomplete)


def values_of(key: str, incomplete: str) -> list[str]:
    """The values of a setting, in any spelling of its path, if they can be told."""
    path = key.replace("-", "_")
    if path == "extends":
        return profiles(incomplete)
    setting = table().settings.get(f"profile.{path}") or table().settings.get(path)
    return _chosen(*setting, incomplete) if setting else []


def _spelled(names: Iterable[str], incomplete: str) -> list[str]:
    """Names that begin so; with ``-`` for ``_`` if that is how one is typed."""
    spelled = (name.replace("_", "-") if "-" in incomplete else name for name in names)
    return [name for name in spelled if name.startswith(incomplete)]
