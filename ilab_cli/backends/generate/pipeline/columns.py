"""The blocks that rearrange columns.

Each works on one row. The value that most rows of a leaf share cannot be known that way: :class:`SetToMajorityValue`
takes the rows that descend from one seed row, and says so.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr

from ilab_cli.backends.generate.pipeline.block import Ask, Block, Rejected, Row, Source, Uses, named
from ilab_profiles.diagnostics import InputError
from ilab_profiles.yaml.read import read

__all__ = [
    "CombineColumns",
    "DuplicateColumns",
    "FlattenColumns",
    "RenameColumns",
    "SamplePopulator",
    "Selector",
    "SetToMajorityValue",
]


class CombineColumns(Block):
    """Joins the texts of columns."""

    columns: list[str] = Field(min_length=1)
    output_col: str
    separator: str = "\n\n"

    def reads(self) -> Uses:
        """The columns that are joined."""
        return ((column, None) for column in self.columns)

    def after(self, columns: frozenset[str]) -> frozenset[str]:
        """One more."""
        return columns | {self.output_col}

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The row with the joined column."""
        return [{**row, self.output_col: self.separator.join(str(row[column]) for column in self.columns)}]


class DuplicateColumns(Block):
    """Copies columns under other names."""

    columns_map: dict[str, str]

    def reads(self) -> Uses:
        """The columns that are copied."""
        return ((column, None) for column in self.columns_map)

    def after(self, columns: frozenset[str]) -> frozenset[str]:
        """The copies beside what was there."""
        return columns | set(self.columns_map.values())

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The row with the copies."""
        return [{**row, **{new: row[old] for old, new in self.columns_map.items()}}]


class RenameColumns(Block):
    """Gives columns other names, all at the same time."""

    columns_map: dict[str, str]

    def reads(self) -> Uses:
        """The columns that are renamed."""
        return ((column, None) for column in self.columns_map)

    def after(self, columns: frozenset[str]) -> frozenset[str]:
        """The new names in place of the old."""
        return (columns - set(self.columns_map)) | set(self.columns_map.values())

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The row with the new names."""
        renamed = {new: row[old] for old, new in self.columns_map.items()}
        return [{**{name: value for name, value in row.items() if name not in self.columns_map}, **renamed}]


class FlattenColumns(Block):
    """Makes one row of each of several columns: its name in one column, its value in another."""

    var_cols: list[str] = Field(min_length=1)
    value_name: str
    var_name: str

    def reads(self) -> Uses:
        """The columns that become rows."""
        return ((column, None) for column in self.var_cols)

    def after(self, columns: frozenset[str]) -> frozenset[str]:
        """Name and value in place of the columns."""
        return (columns - set(self.var_cols)) | {self.value_name, self.var_name}

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """A row for each column."""
        rest = {name: value for name, value in row.items() if name not in self.var_cols}
        return [
            named({**rest, self.var_name: column, self.value_name: row[column]}, place)
            for place, column in enumerate(self.var_cols)
        ]


class Selector(Block):
    """Takes the value of the column that the value of another column chooses."""

    choice_map: dict[str, str]
    choice_col: str
    output_col: str

    def reads(self) -> Uses:
        """The choosing column and those to choose from."""
        return ((column, None) for column in (self.choice_col, *self.choice_map.values()))

    def after(self, columns: frozenset[str]) -> frozenset[str]:
        """One more."""
        return columns | {self.output_col}

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The row with the chosen value."""
        choice = str(row[self.choice_col])
        if choice not in self.choice_map:
            return [Rejected(f"{self.choice_col} is none of its choices")]
        return [{**row, self.output_col: row[self.choice_map[choice]]}]


class SamplePopulator(Block):
    """Adds to a row the keys of the YAML file that a column names: its name without folder and ending."""

    config_paths: list[str] = Field(min_length=1)
    column_name: str
    post_fix: str = ""
    _data: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)

    def open(self, source: Source) -> None:
        """Read the files."""
        for index, name in enumerate(self.config_paths):
            file = name.replace(".yaml", f"_{self.post_fix}.yaml") if self.post_fix else name
            path = source.file(file, "config_paths", index)
            if path is None:
                continue
            try:
                self._data[Path(name).name.split(".")[0]] = read(path).data
            except InputError as error:
                source.findings.extend(error.findings)

    def reads(self) -> Uses:
        """The column that names the file."""
        yield self.column_name, None

    def after(self, columns: frozenset[str]) -> frozenset[str] | None:
        """What the files hold, beside what was there; ``None`` where one could not be read."""
        return columns.union(*self._data.values()) if len(self._data) == len(self.config_paths) else None

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The row with the keys of its file."""
        data = self._data.get(str(row[self.column_name]))
        return [Rejected(f"{self.column_name} names none of its files")] if data is None else [row | data]


class SetToMajorityValue(Block):
    """Gives all rows of one seed row the value that most of them have in a column; the first of several as frequent."""

    col_name: str

    def open(self, source: Source) -> None:
        """Say which rows are counted."""
        source.find(
            "majority-of-a-seed-row",
            "the majority is taken among the rows that come from one seed row",
            severity="warning",
            hint="rows go through the blocks one by one, so those of the other seed rows of the leaf are not counted",
        )

    def reads(self) -> Uses:
        """The column that is counted."""
        yield self.col_name, None

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The row as it is: see :meth:`run_together`."""
        return [row]

    def run_together(self, rows: list[Row]) -> list[Row]:
        """All rows of a seed row, with the most frequent value; values are compared as text."""
        values = [row[self.col_name] for row in rows]
        counts = Counter(map(str, values))
        majority = max(values, key=lambda value: counts[str(value)], default=None)
        return [{**row, self.col_name: majority} for row in rows]
