"""``ilab config migrate``: the older program's configuration as a profile and a config.yaml of today."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ilab_cli import output
from ilab_cli.flags.command import add
from ilab_cli.output import cell

if TYPE_CHECKING:
    from ilab_profiles.migration.result import Migration

__all__ = ["add_to"]

PROFILE, CONFIG = "profile.yaml", "config.yaml"


def add_to(group: typer.Typer) -> None:
    """Add the command to its group."""
    add(group, "migrate", migrate)


def migrate(
    old: Annotated[Path, typer.Argument(help="Config file or system profile of the older ilab", metavar="OLD")],
    folder: Annotated[
        Path, typer.Option("--output-dir", help="Folder for profile.yaml and config.yaml", metavar="FOLDER")
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Convert the older ilab's configuration to a profile and a config.yaml; report each setting."""
    from ilab_profiles.migration.migrate import migrate as convert

    old, folder = (Path(os.path.expanduser(path)) for path in (old, folder))
    done = convert(old)
    texts = {folder / PROFILE: done.profile_yaml(), folder / CONFIG: done.config_yaml(PROFILE)}
    _write(texts, old, force=force)
    if as_json:
        output.print_json(_data(done, list(texts)))
    else:
        print(_told(done))
        output.warn(done.findings)
    for path in texts:
        output.say(f"wrote {path}")


# --- writing ----------------------------------------------------------------------------------------------------------


def _write(texts: dict[Path, str], old: Path, *, force: bool) -> None:
    """Write all files or none; the profile comes first, as config.yaml names it.

    Raises:
        InputError: if one is there and must stay, or cannot be written.
    """
    from ilab_profiles import Finding, InputError, Position
    from ilab_profiles.yaml.files import make_folder, read_bytes

    findings = []
    for path in texts:
        if path.exists() and path.samefile(old):
            message = "is the file to migrate and is not overwritten"
            findings.append(Finding("file-exists", message, position=Position(str(path)), hint="name an --output-dir"))
        elif os.path.lexists(path) and not force:
            hint = "overwrite it with --force, or name an --output-dir"
            findings.append(Finding("file-exists", "already exists", position=Position(str(path)), hint=hint))
    if findings:
        raise InputError(findings)
    before = {path: read_bytes(path) if os.path.lexists(path) else None for path in texts}
    make_folder(next(iter(texts)))
    _replace_all(texts, before)


def _replace_all(texts: dict[Path, str], before: dict[Path, bytes | None]) -> None:
    from ilab_profiles.yaml.files import replace

    done: list[Path] = []
    try:
        for path, text in texts.items():
            replace(path, text.encode(), expected=before[path])
            done.append(path)
    except BaseException:
        for path in done:
            if (content := before[path]) is None:
                path.unlink()
            else:
                replace(path, content, expected=texts[path].encode())
        raise


# --- telling ----------------------------------------------------------------------------------------------------------


def _data(done: Migration, files: list[Path]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "source": done.source,
        "files": [str(path) for path in files],
        "mapped": [asdict(item) for item in done.mapped],
        "dropped": [asdict(item) for item in done.dropped],
        "findings": [finding.to_dict() for finding in done.findings],
    }


def _told(done: Migration) -> str:
    """What became of each setting, as a table; last the numbers."""
    from ilab_profiles.migration.result import SILENT

    carried = sum(item.note == SILENT for item in done.mapped)
    numbers = {
        "mapped": len(done.mapped) - carried,
        "older defaults carried over": carried,
        "dropped": len(done.dropped),
        "findings": len(done.findings),
    }
    table = output.columns(("OLD", "VALUE", "NEW", "VALUE", "NOTE"), _rows(done))
    return f"{table}\n\n{', '.join(f'{number} {what}' for what, number in numbers.items())}"


def _rows(done: Migration) -> Iterator[tuple[str, str, str, str, str]]:
    for item in done.mapped:
        yield item.old, cell(item.old_value), item.new, cell(item.new_value), item.note
    for left in done.dropped:
        yield left.old, cell(left.value), "-", "", left.why
