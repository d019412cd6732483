"""What stands in an answer: the values of the output columns.

An answer that is none, or half of one, gives a :class:`Rejected` with the reason, never silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ilab_cli.backends.client.requests import Answer
from ilab_cli.backends.generate.pipeline.block import Rejected

__all__ = ["Values", "by_pattern", "by_tags", "whole", "without_thoughts"]

Values = dict[str, str]

_LONG_GAP = re.compile(r"\s{101,}")  # teachers that got lost write such; patterns with \s* take cubic time for them


def without_thoughts(answer: Answer) -> Answer | Rejected:
    """The answer without the reasoning that some teachers begin with; where that has no end there is no answer.

    The tag that begins it may be missing, as some chat templates end with it.
    """
    text = answer.text.rpartition("</think>")[2]
    return _unreadable(answer) if text.lstrip().startswith("<think>") else replace(answer, text=text)


def by_tags(answer: Answer, columns: Sequence[str], tags: Sequence[tuple[str, str]]) -> list[Values | Rejected]:
    """The values between the tags of each column; two empty tags take the whole answer.

    Where the columns have the same number of values, the first values belong together, and so on. Otherwise a value
    belongs to the value of the first column that stands before it, and a group that lacks one is rejected.
    """
    pairs = dict(zip(columns, tags, strict=False))
    untagged = whole(answer, [column for column, tag in pairs.items() if tag == ("", "")])
    cut = answer.finish_reason == "length"
    found = {
        column: list(_between(tag, tags, cut).finditer(answer.text)) for column, tag in pairs.items() if tag != ("", "")
    }
    if isinstance(untagged, Rejected) or not found:
        return [untagged]
    if len({len(matches) for matches in found.values()}) == 1:
        groups = [_values(found, group) for group in zip(*found.values(), strict=True)]
    else:
        groups = list(_aligned(answer, found))
    groups = [Rejected("part of an answer is missing") if _holds_tag(group, tags) else group for group in groups]
    return [group if isinstance(group, Rejected) else untagged | group for group in groups] or [_unreadable(answer)]


def _holds_tag(group: Values | Rejected, tags: Sequence[tuple[str, str]]) -> bool:
    """Whether a value goes over a tag, for want of the one that ends it; tags of a letter or two may mean nothing."""
    marks = [mark for tag in tags for mark in tag if len(mark.strip()) > 2]
    return not isinstance(group, Rejected) and any(mark in value for value in group.values() for mark in marks)


def by_pattern(
    answer: Answer, columns: Sequence[str], pattern: re.Pattern[str], cleanup: Sequence[str]
) -> list[Values | Rejected]:
    """The groups of each match of a pattern; texts of ``cleanup`` are taken out.

    A group that takes no part in the match is empty; one that matches nothing is missing.
    """
    rows: list[Values | Rejected] = []
    text = _LONG_GAP.sub(lambda gap: gap[0][:100], answer.text)
    for match in pattern.finditer(text):
        groups = dict(zip(columns, match.groups() or (match[0],), strict=False))
        values = {column: _clean(value, cleanup) for column, value in groups.items() if value is not None}
        if not any(values.values()):
            continue
        if answer.finish_reason == "length" and match.end() == len(text):
            rows.append(Rejected("the answer is longer than max_tokens"))
        elif all(values.values()):
            rows.append(dict.fromkeys(groups, "") | values)
        else:
            rows.append(Rejected("part of an answer is missing"))
    return rows or [_unreadable(answer)]


def _clean(value: str, cleanup: Sequence[str]) -> str:
    for tag in cleanup:
        value = value.replace(tag, "")
    return value.strip()


def _between(tag: tuple[str, str], tags: Sequence[tuple[str, str]], cut: bool) -> re.Pattern[str]:
    """What stands between tags; without an end tag up to any start tag, or to the end if that is not cut off."""
    start, end = map(re.escape, tag)
    stops = [re.escape(other) for other, _ in tags if other] + ([] if cut else [r"\Z"])
    until = end or f"(?={'|'.join(stops)})"
    return re.compile(rf"{start}(.*?){until}", re.DOTALL)


def whole(answer: Answer, columns: Sequence[str]) -> Values | Rejected:
    """The whole answer, in each of some columns."""
    text = answer.text.strip()
    if columns and answer.finish_reason == "length":
        return Rejected("the answer is longer than max_tokens")
    return dict.fromkeys(columns, text) if text or not columns else Rejected("the answer is empty")


def _values(columns: dict[str, list[re.Match[str]]], group: Sequence[re.Match[str]]) -> Values | Rejected:
    values = {column: match[1].strip() for column, match in zip(columns, group, strict=True)}
    return values if all(values.values()) else Rejected("part of an answer is missing")


def _aligned(answer: Answer, found: dict[str, list[re.Match[str]]]) -> Iterator[Values | Rejected]:
    first, *others = found
    stops = [*(match.start() for match in found[first][1:]), len(answer.text)]
    for match, stop in zip(found[first], stops, strict=False):
        values = {first: match[1].strip()}
        for column in others:
            inside = [other[1].strip() for other in found[column] if match.end() <= other.start() < stop]
            if inside and inside[0]:
                values[column] = inside[0]
        yield values if len(values) == len(found) else Rejected("part of an answer is missing")


def _unreadable(answer: Answer) -> Rejected:
    if not answer.text.strip():
        return Rejected("the answer is empty")
    cut = answer.finish_reason == "length"
    return Rejected("the answer is longer than max_tokens" if cut else "the answer has not the form asked for")
