"""What a model refuses and what an unknown key may stand for, in one language for every kind of file.

Profiles, taxonomies, pipelines, recipes and older configurations all come here: pydantic's errors become one
:class:`Problem` for each place, unknown keys get the name that may have been meant. Where a place lies is the caller's
knowledge: a :class:`~ilab_profiles.yaml.document.Document` or a layer of settings.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ilab_profiles.diagnostics import Finding, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from ilab_profiles.yaml.document import Document, KeyPath

__all__ = ["WITHOUT_QUOTES", "Problem", "checked", "kind_of", "known_names", "must_be", "problems", "unknown_key"]


M = TypeVar("M", bound="BaseModel")


def checked(model: type[M], data: Any, document: Document, at: KeyPath = ()) -> tuple[M | None, list[Finding]]:
    """What stands in a document as a model, and a finding for each thing that is wrong with it.

    What is wrong is left out, so that what is right beside it can be looked into; ``None`` if too little is left.

    Args:
        model: what the data should be.
        data: what stands there.
        document: the document.
        at: keys that lead there.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(data), []
    except ValidationError as invalid:
        wrong = list(problems(invalid, model, data))
    refused = {problem.at[0] for problem in wrong if problem.at}
    findings = [problem.finding(document, at) for problem in wrong]
    try:
        return model.model_validate({key: value for key, value in data.items() if key not in refused}), findings
    except (ValidationError, AttributeError):  # something that has to be there is wrong, or this is no mapping
        return None, findings


class Problem(NamedTuple):
    """One thing that a model refuses.

    Args:
        rule: identifier of the kind of problem: ``missing-key``, ``unknown-key``, ``bad-value``.
        at: keys that lead to the value, or to the key that is missing or unknown.
        message: what is wrong.
        hint: what to write.
        given: the value that is refused.
    """

    rule: str
    at: KeyPath
    message: str
    hint: str = ""
    given: Any = None

    def finding(self, document: Document, below: KeyPath = ()) -> Finding:
        """The finding at its place in a document, or in the part of it that stands ``below``."""
        key = self.rule == "unknown-key"
        return document.finding(self.rule, self.message, (*below, *self.at), self.hint, key=key)


_DID_YOU_MEAN = "did you mean {}?"
_RULES = {"missing": "missing-key", "extra_forbidden": "unknown-key", "gpu_selection": "gpu-selection"}


def problems(invalid: ValidationError, model: type[BaseModel], data: Any) -> Iterator[Problem]:
    """What pydantic says, one problem for each place; the branches of a union are one place.

    Args:
        invalid: the errors.
        model: the model that refuses the data.
        data: what it was given.
    """
    places: dict[tuple[str, KeyPath], list[Any]] = {}
    for error in invalid.errors(include_url=False):
        rule = _RULES.get(error["type"], "bad-value")
        at = error["loc"] if rule == "missing-key" else _part_of(data, error["loc"])
        places.setdefault((rule, at), []).append(error)
    misspelt = set()
    for (rule, at), errors in sorted(places.items(), key=lambda place: place[0][0] == "missing-key"):
        known = _fields_at(model, at[:-1])
        if rule == "unknown-key":
            problem = Problem(rule, at, *unknown_key(str(at[-1]), known_names(known)))
            misspelt.add((*at[:-1], problem.hint))
            yield problem
        elif rule != "missing-key" or (*at[:-1], _DID_YOU_MEAN.format(at[-1])) not in misspelt:
            yield _missing(at, known) if rule == "missing-key" else _bad_value(rule, at, errors, known)


def _missing(at: KeyPath, known: Mapping[str, Any]) -> Problem:
    needed = [name for name, info in known.items() if info.is_required()]
    return Problem("missing-key", at, "is missing", f"needed keys: {', '.join(needed)}")


def _bad_value(rule: str, at: KeyPath, errors: Sequence[Any], known: Mapping[str, Any]) -> Problem:
    kind, given = errors[0]["type"], errors[0]["input"]
    said = list(dict.fromkeys(must_be(error) for error in errors))
    if any(text.endswith(" number") for text in said[1:]):
        said.remove("must be a whole number")  # as one with a point will do, too
    instead = f", not {kind_of(given)}" if all(error["type"].endswith("_type") for error in errors) else ""
    message = " or ".join([said[0], *(text.removeprefix("must be ") for text in said[1:])])
    described = (known[str(at[-1])].description or "") if at and at[-1] in known else ""
    return Problem(rule, at, message + instead, _hint(kind, given) or described, given)


def _part_of(data: Any, place: KeyPath) -> KeyPath:
    """The part of a place that stands in the data: pydantic adds the branches of unions."""
    here: Any = data
    for depth, key in enumerate(place):
        held = range(len(here)) if isinstance(here, list | tuple) else here if isinstance(here, Mapping) else ()
        if key not in held:
            return place[:depth]
        here = here[key]
    return place


def _fields_at(model: Any, place: KeyPath) -> Mapping[str, Any]:
    """The fields of the model of what stands at a place; none where that is no model."""
    for key in place:
        if isinstance(key, str):
            fields = model.model_fields if model else {}
            model = _model_in(fields[key].annotation) if key in fields else None
    return model.model_fields if model else {}


def _model_in(annotation: Any) -> Any:
    """The first model in an annotation, also of the items of a list."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)


# --- keys -------------------------------------------------------------------------------------------------------------


def known_names(fields: Mapping[str, Any]) -> dict[str, str]:
    """What may be meant among the fields of a model: names, other spellings and mistaken ones, with the proper name."""
    names = {name: name for name in fields}
    for name, info in fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        for other in (*extra.get("x-aliases", ()), *extra.get("x-mistaken", ())):
            names.setdefault(other, name)
    return names


def unknown_key(key: str, known: Mapping[str, str], where: str = "", otherwise: str = "") -> tuple[str, str]:
    """What to say about a key that means nothing; and the hint: the key that may be meant, else those that there are.

    Args:
        key: the key.
        known: what may be written, and the proper name of each.
        where: whose setting it would be.
        otherwise: the hint where none may be meant.
    """
    message = f"{where} has no setting {key!r}" if where else f"unknown key {key!r}"
    if close := nearest(key.replace("-", "_"), known):
        return message, _DID_YOU_MEAN.format(known[close])
    return message, otherwise or f"known keys: {', '.join(dict.fromkeys(known.values()))}"


# --- values -----------------------------------------------------------------------------------------------------------

_SECTION = "must be a section of `key: value` lines"
_MUST_BE = {
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": _SECTION,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    **dict.fromkeys(["int_type", "int_parsing", "int_from_float"], "must be a whole number"),
    **dict.fromkeys(["float_type", "float_parsing"], "must be a number"),
}
"""What pydantic's kinds of errors come to, with what pydantic tells about them."""


WITHOUT_QUOTES = "write it without quotes"
_NO_TEXT = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?|true|false")
"""What would be a number, or true or false, without quotes."""


def must_be(error: Any) -> str:
    """What one of pydantic's errors, an item of ``ValidationError.errors()``, says: for example ``must be text``."""
    said = _MUST_BE.get(error["type"])
    if said is None:
        message = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
        return message[:1].lower() + message[1:]
    context = (error.get("ctx") or {}).items()
    told = {name: f"{value:g}" if isinstance(value, float) else str(value).replace("'", "") for name, value in context}
    return said.format(**told)


def _hint(kind: str, given: Any) -> str:
    """What to write in place of a value."""
    if kind in ("int_type", "float_type", "bool_type") and isinstance(given, str) and _NO_TEXT.fullmatch(given):
        return WITHOUT_QUOTES
    if kind == "string_type" and isinstance(given, int | float):
        return "put it in quotes"
    if kind in ("list_type", "tuple_type"):
        return "write a list: [first, second]"
    return "write them below it, indented, with a space after each colon" if _MUST_BE.get(kind) == _SECTION else ""


def kind_of(value: object) -> str:
    """What kind of value stands somewhere, in the words of :func:`must_be`."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a section"
    return "a number"
