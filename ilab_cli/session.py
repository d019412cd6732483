"""The settings in force for a command: from the profile, ``config.yaml``, the environment and its flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilab_cli import output

if TYPE_CHECKING:
    from ilab_profiles import Effective
    from ilab_profiles.loading.layers import Setting
    from ilab_profiles.models.config import General, Serve
    from ilab_profiles.yaml.document import Document

__all__ = [
    "choice",
    "chosen",
    "config_document",
    "config_file",
    "config_path",
    "derived_values",
    "existing_config",
    "given",
    "in_force",
    "in_words",
    "serve_section",
    "shown",
]


def config_path() -> Path:
    """Where the config file is looked for: ``$ILAB_CONFIG``, else ``config.yaml`` in the working folder."""
    return Path(os.path.expanduser(os.environ.get("ILAB_CONFIG") or "config.yaml"))


def config_file() -> Path | None:
    """The config file, if there is one, or there should be."""
    path = config_path()
    return path if os.path.lexists(path) or os.environ.get("ILAB_CONFIG") else None


def existing_config() -> Path:
    """The config file.

    Raises:
        InputError: if there is none.
    """
    from ilab_profiles import Finding, InputError, Position

    path = config_path()
    if not os.path.exists(path):
        place, hint = Position(str(path)), "make one with `ilab config init`"
        raise InputError(Finding("no-config", "there is no such file", position=place, hint=hint))
    return path


def chosen(profile: str | None = None) -> tuple[Any, str]:
    """The profile that is chosen, as it is written, and what chooses it.

    Args:
        profile: the one that the command line names, if it names one.

    Raises:
        InputError: if the command line or the environment names none that is there, or config.yaml cannot be read.
    """
    return choice(profile, config_document())


def config_document() -> Document | None:
    """The config file as it is written, if there is one.

    Raises:
        InputError: if it cannot be read.
    """
    file = config_file()
    if file is None:
        return None
    from ilab_profiles.yaml.read import read

    return read(file)


def choice(profile: str | None, document: Document | None) -> tuple[Any, str]:
    """As :func:`chosen`, with a config file that is read already.

    Raises:
        InputError: if the command line or the environment names a profile that is not there.
    """
    from ilab_profiles import catalog

    if named := _named(profile):
        return named
    if document is None:
        return catalog.DEFAULT, "default"
    return document.data.get("profile", catalog.DEFAULT), document.source


def _named(profile: str | None) -> tuple[str, str] | None:
    """The profile that the command line or the environment names, and which of them; ``None`` if neither does.

    Raises:
        InputError: if there is no such profile.
    """
    from ilab_profiles import Position, catalog

    for name, source in ((profile, "--profile"), (os.environ.get("ILAB_PROFILE"), "ILAB_PROFILE")):
        if name:
            catalog.find(name, asked_at=(Position(source), ""))
            return name, source
    return None


def in_words(held: Any) -> str:
    """A chosen profile, which may be a name or settings, for a person to read."""
    if not isinstance(held, Mapping):
        return str(held)
    base = held.get("extends")
    return f"{base} with other settings" if base else "settings of its own"


def in_force(section: str, given: Mapping[str, Any], profile: str | None, more: str | None = None) -> Effective:
    """The settings in force.

    Args:
        section: section of the command, for the names of its flags.
        given: what the flags say, by dotted path.
        profile: the profile that the command line names, if it names one.
        more: file of settings that the command line names, if it names one.

    Raises:
        InputError: with everything that is wrong with them.
    """
    from ilab_cli.flags.table import table
    from ilab_profiles import resolve

    names = {flag.path: f"--{flag.names[0]}" for flag in table().flags.get(section, ())}
    extra = Path(os.path.expanduser(more)) if more else None
    path = config_file()
    _named(profile)
    effective = resolve(profile, config_file=path, settings_file=extra, section=section, flags=given, flag_name=names)
    if path is not None:
        output.configure(general(path).log_level)
    return effective


def general(path: Path) -> General:
    """The ``general`` section of a config file; what is wrong in it counts as not said, and is reported elsewhere."""
    from ilab_profiles.loading.layers import read_document
    from ilab_profiles.loading.merge import validate
    from ilab_profiles.models.config import Config
    from ilab_profiles.yaml.read import read

    own = read_document(read(path), "config", str(path), model=Config)
    return validate(Config, own.settings)[0].general


def serve_section() -> Serve:
    """The section ``serve`` of the config file, at its defaults where there is no file.

    Raises:
        InputError: if the file cannot be read.
    """
    from ilab_profiles.loading.config_file import read_config
    from ilab_profiles.models.config import Serve

    path = config_file()
    return read_config(path)[0].serve if path else Serve()


def given(effective: Effective) -> dict[str, tuple[str, str]]:
    """Each setting that somebody gives: its value as text, and who gives it; a built-in profile goes by its name."""
    from ilab_profiles.models.paths import fields
    from ilab_profiles.yaml.write import scalar, to_data, value_in

    data = to_data(effective.profile)
    origins = {path: setting for path in fields() if (setting := effective.origin(path))}
    return {path: (scalar(value_in(data, path)), _who(setting)) for path, setting in origins.items()}


def _who(setting: Setting) -> str:
    from ilab_profiles.catalog import built_in_name

    name = built_in_name(Path(setting.source)) if setting.kind == "profile" else None
    return f"profile {name}" if name else str(setting.position())


def shown(effective: Effective, section: str) -> str:
    """One section of the settings in force as YAML, each value with a comment that names who set it."""
    from ilab_profiles.yaml.write import dump, scalar, to_data

    def who(path: str) -> str:
        setting = effective.origin(path)
        return str(setting.position()) if setting else ""

    data: Any = to_data(effective.profile)
    text, indent = "", 0
    for name in section.split("."):
        text += f"{' ' * indent}{scalar(name)}:\n"
        data, indent = data[name], indent + 2
    return text + dump(data, who, prefix=f"{section}.", indent=indent)


def derived_values(effective: Effective, section: str) -> str:
    """What follows from a section's settings, as comments of YAML with the formula; empty if nothing does."""
    from ilab_profiles.views.derived import derived
    from ilab_profiles.yaml.write import scalar

    found = [item for path, item in derived(effective.profile).items() if path.startswith(f"{section}.")]
    lines = [
        f"# {item.path.removeprefix(f'{section}.')}: {scalar(item.value)} {item.unit or ''}".rstrip()
        + f"  = {item.formula} = {item.numbers}\n"
        for item in found
    ]
    return "".join(["\n# which means:\n", *lines]) if lines else ""
