"""The block that keeps a row or rejects it, by the value of a column."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal

from ilab_cli.backends.generate.pipeline.block import Ask, Block, Rejected, Row, Source, Uses

__all__ = ["FilterByValue"]

_FALSE = {"", "0", "false", "no", "none", "off"}


def _truth(value: object) -> bool:
    return str(value).strip().lower() not in _FALSE


_CONVERTED: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "int": (int, 0),
    "float": (float, 0.0),
    "bool": (_truth, False),
}
_UNLIKE = {
    "eq": "is not",
    "ne": "is",
    "lt": "is not below",
    "le": "is above",
    "gt": "is not above",
    "ge": "is below",
    "contains": "does not contain",
}


class FilterByValue(Block):
    """Keeps a row whose column compares with the value, or with one of several.

    With ``convert_dtype`` both sides are converted first; what cannot be converted counts as ``default_value``, which
    is 0 or false where none is given. As text, ``false``, ``no``, ``off`` and 0 are false, anything else is true.
    """

    filter_column: str
    filter_value: Any
    operation: Literal["eq", "ne", "lt", "le", "gt", "ge", "contains"]
    convert_dtype: Literal["int", "float", "bool"] | None = None
    default_value: Any = None

    def reads(self) -> Uses:
        """The column that is compared."""
        yield self.filter_column, None

    def open(self, source: Source) -> None:
        """Check that the value to compare with can be converted at all, and is no number where the column is text."""
        if not self.convert_dtype:
            if any(isinstance(value, float | int) for value in self._several(self.filter_value)):
                message, hint = "no text is equal to a number or true", "convert_dtype: float, say, reads numbers"
                source.find("text-and-number", message, "filter_value", hint=hint, severity="warning")
            return
        for key in ("filter_value", "default_value"):
            for value in self._several(getattr(self, key)):
                try:
                    _CONVERTED[self.convert_dtype][0](0 if value is None else value)
                except (TypeError, ValueError, OverflowError):
                    hint = "convert_dtype tells what it is compared as"
                    source.find("bad-value", f"{value!r} cannot be read as {self.convert_dtype}", key, hint=hint)

    @staticmethod
    def _several(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value]

    def _convert(self, value: Any) -> Any:
        if not self.convert_dtype:
            return value
        convert, default = _CONVERTED[self.convert_dtype]
        try:
            return convert(value)
        except (TypeError, ValueError, OverflowError):
            return default if self.default_value is None else convert(self.default_value)

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The row with the converted value, or why it is not kept."""
        value = self._convert(row[self.filter_column])
        if any(self._holds(value, self._convert(item)) for item in self._several(self.filter_value)):
            return [{**row, self.filter_column: value}]
        wanted: dict[str, str] = {}
        for text in map(str, self._several(self.filter_value)):
            wanted.setdefault(text.casefold(), text)
        return [Rejected(f"{self.filter_column} {_UNLIKE[self.operation]} {' or '.join(wanted.values())}")]

    def _holds(self, value: Any, wanted: Any) -> bool:
        try:
            return bool(getattr(operator, self.operation)(value, wanted))
        except TypeError:  # for example no value at all compared with a number
            return False
