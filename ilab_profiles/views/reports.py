"""Findings in the forms that other programs read: JSON, SARIF 2.1.0, GitHub annotations; and text for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import quote

from ilab_profiles.diagnostics import Finding
from ilab_profiles.rules.checks import CHECKS
from ilab_profiles.rules.table import RULES

__all__ = ["FORMATS", "Format", "report"]

Format = Literal["text", "json", "sarif", "github"]


def report(findings: Iterable[Finding], form: Format = "text") -> str:
    """All findings in one of the forms, without a newline at the end; empty text if there is nothing to say.

    JSON and SARIF are whole documents even without findings.
    """
    return FORMATS[form](list(findings))


def _text(findings: Sequence[Finding]) -> str:
    return "\n".join(map(str, findings))


def _json(findings: Sequence[Finding]) -> str:
    return json.dumps([finding.to_dict() for finding in findings], indent=2, ensure_ascii=False)


def _github(findings: Sequence[Finding]) -> str:
    return "\n".join(map(_annotation, findings))


def _annotation(finding: Finding) -> str:
    """One workflow command; in properties ``:`` and ``,`` are escaped too, as GitHub's toolkit does."""
    place = finding.position
    properties = {"title": finding.rule}
    if place and place.line and place.is_file:
        properties = {"file": place.source, "line": str(place.line), "col": str(place.column), **properties}
    written = ",".join(f"{name}={_escape(value, ':,')}" for name, value in properties.items())
    said = [_headline(finding), finding.why, finding.hint, finding.remedy]
    return f"::{finding.severity} {written}::{_escape(chr(10).join(filter(None, said)))}"


def _escape(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _headline(finding: Finding) -> str:
    return f"{finding.path}: {finding.message}" if finding.path else finding.message


def _sarif(findings: Sequence[Finding]) -> str:
    reasons = {rule.id: rule.why for rule in RULES} | {check.id: check.why for check in CHECKS}
    ids = sorted({finding.rule for finding in findings})
    driver = {
        "name": "ilab-profiles",
        "rules": [{"id": name, "shortDescription": {"text": reasons.get(name, name)}} for name in ids],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, ids) for finding in findings],
    }
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False)


def _result(finding: Finding, ids: list[str]) -> dict[str, Any]:
    said = [_headline(finding), finding.why, finding.hint, finding.remedy]
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": ids.index(finding.rule),
        "level": finding.severity,
        "message": {"text": ". ".join(filter(None, said))},
    }
    place = finding.position
    if place and place.line and place.is_file:
        region = {"startLine": place.line, "startColumn": max(1, place.column)}
        uri = quote(PurePath(place.source).as_posix())
        result["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}]
    elif place:
        result["locations"] = [{"logicalLocations": [{"name": str(place)}]}]
    return result


FORMATS: dict[Format, Callable[[Sequence[Finding]], str]] = {
    "text": _text,
    "json": _json,
    "sarif": _sarif,
    "github": _github,
}
