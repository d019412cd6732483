"""What a case is: one setting is changed, and what runs is looked at before and after; and which settings there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic.fields import FieldInfo

from ilab_profiles import Profile
from ilab_profiles.models.config import Config
from ilab_profiles.models.paths import fields, items_of
from tests.alive.workshop import Workshop

__all__ = ["Case", "all_fields"]


@dataclass(frozen=True, slots=True)
class Case:
    """A setting, another value of it, and what then is another in what runs.

    Attributes:
        path: dotted path of the setting; ``N`` stands for the number of an item of a list of sections.
        change: the other value; a function is called with the workshop and gives it.
        look: observes what runs with the settings (a ``Profile``, or a ``Config`` for a path of ``config.yaml``): a
            command, a configuration of an engine, a request, a file. The settings as they are handed on prove nothing.
        before: what is seen without the change; a function is asked whether it is that.
        after: what is seen with it, in the same way.
        given: other settings that both need, by dotted path; functions as in ``change``.
    """

    path: str
    change: Any
    look: Callable[[Any, Workshop], Any]
    before: Any
    after: Any
    given: Mapping[str, Any] = field(default_factory=dict)

    def prove(self, workshop: Workshop) -> None:
        """Look at both, and compare with what is expected.

        Raises:
            AssertionError: if one is another than expected, or both are the same.
        """
        seen = [self.look(made, workshop) for made in self._settings(workshop)]
        for name, expected, it in zip(("before", "after"), (self.before, self.after), seen, strict=True):
            assert expected(it) if callable(expected) else it == expected, f"{name}: {it!r}"
        assert seen[0] != seen[1]

    def _settings(self, workshop: Workshop) -> Iterator[Any]:
        """The settings without the change, and with it."""
        given = {path: _made(value, workshop) for path, value in self.given.items()}
        start = Config().model_copy() if self.path in fields(Config) else Profile()
        without = _replace(start, given)
        yield without
        place, _, name = self.path.partition(".N.")
        value = _made(self.change, workshop)
        if name:
            first, *others = given[place]
            value = [{**first, name: value}, *others]
        yield _replace(without, {place: value})


def _made(value: Any, workshop: Workshop) -> Any:
    return value(workshop) if callable(value) else value


def _replace(settings: Any, changes: Mapping[str, Any]) -> Any:
    """Settings with other values, checked as a whole."""
    if isinstance(settings, Profile):
        return settings.replace(changes)
    data = settings.model_dump()
    for path, value in changes.items():
        section, _, name = path.rpartition(".")
        (data[section] if section else data)[name] = value
    return Config.model_validate(data)


def all_fields() -> dict[str, FieldInfo]:
    """Every setting of a profile, of the items of its lists, and of ``config.yaml``, by dotted path."""
    found: dict[str, FieldInfo] = {}
    for path, info in {**fields(), **fields(Config)}.items():
        found[path] = info
        if item := items_of(info.annotation):
            found |= fields(item, f"{path}.N.")
    return found
