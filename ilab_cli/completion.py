"""What the shell may offer for the value of a flag or an argument: profiles, dotted keys, choices, numbers of GPUs.

Offers come from the generated table and from file names; nothing here loads a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ilab_cli.flags import Flag
from ilab_cli.table import table

__all__ = ["keys", "of_flag", "profiles"]

Completer = Callable[[str], list[str]]


def of_flag(flag: Flag) -> Completer | None:
    """What completes the value of a flag; ``None`` leaves it to the shell, which offers files."""
    if not flag.choices:
        return None
    choices = list(flag.choices)

    def complete(incomplete: str) -> list[str]:
        done, comma, word = incomplete.rpartition(",") if flag.kind == "list" else ("", "", incomplete)
        left = [choice for choice in choices if choice not in done.split(",")]
        return [done + comma + choice for choice in _starting(left, word)]

    return complete


def profiles(incomplete: str) -> list[str]:
    """Names of profiles, the user's own included; with ``-`` for ``_`` if that is how one is typed."""
    from ilab_profiles import names

    return _starting([name.replace("_", "-") if "-" in incomplete else name for name in names()], incomplete)


def keys(incomplete: str) -> list[str]:
    """Dotted paths of settings, and of the sections that hold them."""
    paths = dict.fromkeys(flag.path for flags in table().flags.values() for flag in flags)
    sections = {path.rpartition(".")[0] for path in paths} | set(table().flags)
    return _starting([*sorted(sections), *paths], incomplete)


def _starting(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
