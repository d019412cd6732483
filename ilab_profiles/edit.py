"""Editing profiles and config files in place: what is set changes, every other byte stays.

A file is read, changed in memory, checked for what it would then say as a whole, and only then replaced. How a value
gets into a text is told in :mod:`ilab_profiles.yaml.edit`, how a file is locked and replaced in
:mod:`ilab_profiles.yaml.files`; what a profile may say is the business of models and rules.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ilab_profiles import catalog
from ilab_profiles.catalog import SCHEMA_FILES, SchemaKind
from ilab_profiles.diagnostics import Finding, InputError
from ilab_profiles.loading import inheritance
from ilab_profiles.loading.config_file import is_config, layers_of
from ilab_profiles.loading.merge import merge
from ilab_profiles.models.config import Config
from ilab_profiles.models.fields import Section
from ilab_profiles.models.paths import fields, items_of, read_setting, section_of, spellings
from ilab_profiles.models.profile import Profile
from ilab_profiles.yaml import files
from ilab_profiles.yaml.document import Document, KeyPath, resolve_scalar
from ilab_profiles.yaml.edit import changed, refusal, splice
from ilab_profiles.yaml.read import parse
from ilab_profiles.yaml.write import dump, to_data

__all__ = ["fix", "init", "put_schemas", "set_in_text", "set_value", "set_values"]

_NOTHING: Mapping[str, object] = MappingProxyType({})
_SCHEMAS = ".ilab"
"""Folder beside a file of settings in which its schemas lie."""
_ENCODINGS = {
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "utf-8",
    b"": "utf-8",
}


def set_value(file: Path, path: str, value: object) -> tuple[Finding, ...]:
    """Set one value in a profile file or a ``config.yaml``, if the file is then sound as a whole.

    A ``config.yaml`` that names its profile gets the setting beside ``extends: NAME``.

    Args:
        file: the file.
        path: dotted path in any accepted spelling, such as ``train.lora.lora_rank``; or ``extends``, ``chat.model``.
        value: the value; text is read as the type of the setting asks.

    Returns:
        the warnings about the file as it is then.

    Raises:
        InputError: if there is no such setting, or the file would be refused or cannot be written; it is untouched
            then.
    """
    return set_values(file, {path: value})


def set_values(file: Path, settings: Mapping[str, object]) -> tuple[Finding, ...]:
    """Set several values at once, as :func:`set_value` sets one: all of them, if the file is then sound, or none.

    Args:
        file: the file.
        settings: values by dotted path.

    Returns:
        the warnings about the file as it is then.

    Raises:
        InputError: with everything that is wrong; the file is untouched then.
    """
    wanted, findings = _read_settings(settings)
    if findings:
        raise InputError(findings)
    with files.exclusive(file):
        raw = files.read_bytes(file)
        old = new = parse(raw, str(file))
        for name, value in wanted:
            new = _with(new, name, value)
        effective = merge(layers_of(new, file))
        _write(file, raw, old, new)
    return effective.warnings


def fix(file: Path, *, unsafe: bool = False) -> list[Finding]:
    """Apply the fixes of the rules that a profile file or a ``config.yaml`` breaks, until no broken rule has one.

    Fixes that would undo each other are left out.

    Args:
        file: the file.
        unsafe: whether fixes are applied, too, that are contrary to what the file says.

    Returns:
        The findings that are mended, in that order; each tells its fix.

    Raises:
        InputError: with what remains. What could be mended is mended all the same, and told in the exception's notes.
    """
    with files.exclusive(file):
        raw = files.read_bytes(file)
        old = parse(raw, str(file))
        new, mended, left = _mend(old, file, unsafe=unsafe)
        _write(file, raw, old, new)
    if left:
        error = InputError(left)
        for finding in mended:
            error.add_note(f"fixed [{finding.rule}]: " + ", ".join(f"{path}: {value}" for path, value in finding.fix))
        raise error
    return mended


def init(
    file: Path, base: str, settings: Mapping[str, object] = _NOTHING, *, schema: str | None = None
) -> tuple[Finding, ...]:
    """Write a new profile that extends another one.

    Args:
        file: where to, in a folder that is made if need be; a name in ``.json`` makes it JSON, without comments.
        base: name or path of the profile that it extends; a relative path starts from the folder of ``file``.
        settings: values by dotted path, as :func:`set_value` takes them.
        schema: path or address of the JSON Schema, for editors; by default a copy that is put beside the file.

    Returns:
        the warnings about the new profile.

    Raises:
        InputError: if the file exists, the base does not, or the profile would be refused; nothing is written then.
    """
    catalog.find(base, beside=file.parent)
    data: dict[str, Any] = {"description": f"{base} with other settings", "extends": base}
    wanted, findings = _read_settings(settings)
    findings += [Finding("duplicate-key", f"is set already: {base}", name) for name, _ in wanted if name == "extends"]
    if findings:
        raise InputError(findings)
    for name, value in wanted:
        data = changed(data, tuple(name.split(".")), value)
    text = (
        json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        if file.suffix == ".json"
        else _commented(data, schema or _beside("profile"))
    )
    effective = merge(layers_of(parse(text, str(file)), file))
    files.make_folder(file)
    with files.exclusive(file):
        files.replace(file, text.encode(), expected=None)
    if schema is None and file.suffix != ".json":
        put_schemas(file.parent)
    return effective.warnings


def put_schemas(folder: Path) -> None:
    """Put the schemas that files of settings in a folder name for editors below it, where colleagues find them, too.

    Raises:
        InputError: if they cannot be written.
    """
    for source in SCHEMA_FILES.values():
        copy = folder / _SCHEMAS / source.name
        text = source.read_text(encoding="utf-8")
        if not copy.is_file() or copy.read_text(encoding="utf-8") != text:
            files.make_folder(copy)
            files.write_atomically(copy, text)


def _beside(kind: SchemaKind) -> str:
    return f"{_SCHEMAS}/{SCHEMA_FILES[kind].name}"


def render_config(profile: str = catalog.DEFAULT) -> str:
    """The text of a commented ``config.yaml`` that chooses a profile; :func:`put_schemas` puts what it names beside it.

    Raises:
        InputError: if there is no such profile, or it is refused.
    """
    merge(inheritance.chain(profile))
    model = Config(profile=profile)
    return f"{_schema_line(_beside('config'))}# Settings of ilab.\n" + dump(to_data(model), _comment)


def _schema_line(schema: str) -> str:
    """The comment that makes editors check a file against a schema."""
    return f"# yaml-language-server: $schema={schema}\n"


def _comment(path: str) -> str:
    model: type[Section] = Config
    for part in path.split("."):
        info = model.model_fields[part]
        model = section_of(info.annotation) or model
    return info.description or ""


def set_in_text(text: str, keys: Sequence[str | int], value: object, source: str = "<text>") -> str:
    """The text of a profile or config file with one value set, by its models' names whatever spelling the text uses.

    Otherwise as :func:`ilab_profiles.yaml.edit.splice`; nothing checks whether the models accept the value.

    Raises:
        InputError: if the text is not valid, shares the value with other places by an anchor, or cannot take it.
    """
    return splice(text, _as_written(parse(text, source).data, keys), value, source)


# --- settings and the files that hold them ----------------------------------------------------------------------------


def _read_setting(path: str, value: object) -> tuple[str, object]:
    """The proper dotted path of a setting, and its value, text read as its type asks."""
    inner = path.removeprefix("profile.")
    if inner == "extends":
        return inner, value
    return read_setting(inner, value, Config if inner.partition(".")[0] in Config.model_fields else Profile)


def _read_settings(settings: Mapping[str, object]) -> tuple[list[tuple[str, object]], list[Finding]]:
    """Proper paths and values of several settings, and what is wrong with them."""
    wanted, findings = list[tuple[str, object]](), list[Finding]()
    for path, value in settings.items():
        try:
            wanted.append(_read_setting(path, value))
        except InputError as error:
            findings.extend(error.findings)
    return wanted, findings


def _as_written(data: Any, keys: Sequence[str | int]) -> KeyPath:
    """The keys in the spelling that the data use."""
    model: type[Section] | None = Config if keys[0] in Config.model_fields else Profile
    written: list[str | int] = []
    for key in keys:
        if isinstance(key, str) and model is not None:
            names = spellings(model)
            name = names.get(key, key)
            if isinstance(data, Mapping) and key not in data:
                key = next((other for other in data if names.get(other) == name), key)
            annotation = model.model_fields[name].annotation if name in model.model_fields else None
            model = Profile if name == "profile" else section_of(annotation) or items_of(annotation)
        written.append(key)
        try:
            data = data[key]
        except (LookupError, TypeError):
            data = None
    return tuple(written)


def _with(document: Document, name: str, value: object) -> Document:
    """The document with one setting changed, where its kind of file has it."""
    path: KeyPath = tuple(name.split("."))
    held = document.data.get("profile")
    if name == "profile" and isinstance(held, Mapping):
        message = "the file contains the profile's settings; a name would replace them"
        raise refusal(document, path, "profile-inside", message, "set `extends` instead")
    if path[0] not in Config.model_fields:
        if isinstance(held, Mapping):
            path = ("profile", *path)
        elif is_config(document):
            base = held or Config.model_fields["profile"].default
            path, value = ("profile",), changed({"extends": base}, path, value)
    return parse(set_in_text(document.text, path, value, document.source), document.source)


def _mend(
    document: Document, file: Path, contested: frozenset[str] = frozenset(), *, unsafe: bool = False
) -> tuple[Document, list[Finding], list[Finding]]:
    """The document with every fix applied that sets none of the contested settings; what is mended; what is left."""
    new, mended, done = document, list[Finding](), set[str]()
    while True:
        findings = _findings(new, file)
        safe = (item for item in findings if unsafe or not item.unsafe)
        wanted = next((item for item in safe if item.fix and contested.isdisjoint(dict(item.fix))), None)
        if wanted is None:
            return new, mended, [finding for finding in findings if finding.severity == "error"]
        paths = {path for path, _ in wanted.fix}
        if again := done & paths:
            return _mend(document, file, contested | again, unsafe=unsafe)  # the fixes of two rules undo each other
        for path, value in wanted.fix:
            new = _with(new, path, resolve_scalar(value))
        mended.append(wanted)
        done |= paths


def _findings(document: Document, file: Path) -> Sequence[Finding]:
    try:
        return merge(layers_of(document, file)).warnings
    except InputError as error:
        return error.findings


def _commented(data: Mapping[str, object], schema: str) -> str:
    """The text of a new profile: what each setting means behind it."""

    def comment(path: str) -> str:
        info = fields().get(path)
        return info.description or "" if info and "." in path else ""

    head = "# What is not set here is as in the profile that this one extends.\n"
    return f"{_schema_line(schema)}{head}{dump(data, comment)}"


def _write(file: Path, raw: bytes, old: Document, new: Document) -> None:
    """Replace a file, in the encoding that it has, if anything changed."""
    if new.text != old.text:
        mark, encoding = next(item for item in _ENCODINGS.items() if raw.startswith(item[0]))
        files.replace(file, mark + new.text.encode(encoding), expected=raw)
