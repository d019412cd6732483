"""The blocks that ask the teacher: prompt in, one row out for each group of values that its answers hold.

What an answer holds is read in ``parse.py``; how a request travels is the client's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr

from ilab_cli.backends.client.requests import Answer, Refused, Request
from ilab_cli.backends.generate.pipeline.block import ROW_KEY, Ask, Block, Rejected, Row, Source, Uses, named
from ilab_cli.backends.generate.pipeline.families import Family, family_of
from ilab_cli.backends.generate.pipeline.options import GenKwargs, ParserKwargs
from ilab_cli.backends.generate.pipeline.parse import Values, by_pattern, by_tags, whole, without_thoughts
from ilab_cli.backends.generate.pipeline.prompts import Prompt, PromptFailed, open_prompt, wrapper
from ilab_profiles import InputError
from ilab_profiles.models.generate import Generate

__all__ = ["ConditionalLLM", "LLM", "LLMLogProb", "LLMMessages"]


def _is_a_wrapper(text: str) -> str:
    try:
        whole = wrapper(text)("the prompt")
    except PromptFailed as error:
        raise ValueError(str(error)) from None
    if "the prompt" not in whole:
        raise ValueError("it must contain the prompt: {{ prompt }}")
    return text


_Choice = Annotated[str, Field(coerce_numbers_to_str=True)]
_NUMBERS = ("num_samples", "num_grounded_questions")
"""Settings that prompts may use as if they were columns."""


class _Asking(Block):
    """What all blocks that ask have in common."""

    gen_kwargs: GenKwargs = GenKwargs()
    _settings: Generate = PrivateAttr()

    def open(self, source: Source) -> None:
        self._settings = source.settings

    async def _answers(self, row: Row, ask: Ask, prompt: dict[str, Any]) -> list[Answer | Rejected]:
        """What became of each sample, in their order."""
        key = str(row[ROW_KEY])
        body = prompt | self.gen_kwargs.body(self._settings, key, self.name)
        outcomes = await ask(Request(key, self.name, body), self.gen_kwargs.samples(self._settings))
        return [Rejected(each.reason) if isinstance(each, Refused) else without_thoughts(each) for each in outcomes]


class _Prompting(_Asking):
    """Asks with a prompt file, and reads the output columns from the answers.

    ``model_family`` and ``model_prompt`` decide the raw prompt of this block, for endpoints that take raw prompts.
    ``batch_kwargs`` is of use only for its ``num_samples``, which becomes a column that prompts may use.
    """

    output_cols: list[str] = Field(min_length=1)
    parser_kwargs: ParserKwargs = ParserKwargs()
    batch_kwargs: dict[str, Any] = Field(default_factory=dict)
    model_prompt: Annotated[str, AfterValidator(_is_a_wrapper)] | None = None
    model_family: str | None = None
    model_id: str | None = None
    client: str | None = None
    _family: Family = PrivateAttr()
    _prompts: dict[str, Prompt] = PrivateAttr(default_factory=dict)
    _pattern: re.Pattern[str] | None = PrivateAttr(default=None)

    def open(self, source: Source) -> None:
        """Read the prompts, and check that they and the parser fit the output columns."""
        super().open(source)
        try:
            self._family = family_of(self.model_family or source.settings.model_family, source.settings.model)
        except InputError as error:
            for finding in error.findings if self.model_family else ():
                source.find(finding.rule, finding.message, "model_family", hint=finding.hint)
            self._family = family_of(None)
        for keys, name, choice in self._files():
            path = source.file(name, *keys)
            if path and (prompt := open_prompt(path, source)):
                self._prompts[choice] = prompt
        if self.parser_kwargs.parser_name:
            self._pattern = re.compile(self.parser_kwargs.parsing_pattern or "", re.DOTALL)
        self._check(source)

    def _files(self) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        """Keys, path and choice of each prompt file."""
        raise NotImplementedError

    def _check(self, source: Source) -> None:
        columns = len(self.output_cols)
        if self._pattern:
            if columns > max(self._pattern.groups, 1):
                message = f"{columns} output columns, but {self._pattern.groups} groups"
                hint = "give the pattern a group, in round brackets, for each column"
                source.find("columns-disagree", message, "parser_kwargs", "parsing_pattern", hint=hint)
        elif any(columns > len(prompt.tags) for prompt in self._prompts.values()):
            message, hint = f"{columns} output columns, but fewer tags in the prompt", "see start_tags and end_tags"
            source.find("columns-disagree", message, "output_cols", hint=hint)
        if not self._pattern and (self.parser_kwargs.parsing_pattern or self.parser_kwargs.parser_cleanup_tags):
            hint = "parser_name: custom makes use of it"
            source.find("not-used", "answers are read by tags", "parser_kwargs", hint=hint, severity="warning")
        if self.client not in (None, "default"):
            message = f"there is one teacher; {self.client} is not asked"
            source.find("one-teacher", message, "client", severity="warning", hint="see generate.model_endpoint_url")
        for key in sorted(set(self.batch_kwargs) - {"num_samples"}):
            source.find("not-used", f"{key} has no effect", "batch_kwargs", key, key=True, severity="warning")
        if self.model_prompt and not source.settings.raw_prompts:
            message = "has no effect: a chat endpoint applies the teacher's own template"
            source.find("not-used", message, "model_prompt", key=True, severity="warning")

    def reads(self) -> Uses:
        """The columns that the prompts need."""
        for prompt in self._prompts.values():
            yield from ((name, place) for name, place in prompt.needs.items() if name not in _NUMBERS)

    def after(self, columns: frozenset[str]) -> frozenset[str]:
        """The output columns, and perhaps ``num_samples``, beside what was there."""
        return columns | set(self.output_cols) | ({"num_samples"} & set(self.batch_kwargs))

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """A row for each group of values in the answers."""
        prompt = self._choose(row)
        if isinstance(prompt, Rejected):
            return [prompt]
        if self.batch_kwargs.get("num_samples") is not None:
            row = {"num_samples": self.batch_kwargs["num_samples"], **row}
        try:
            numbers = {name: getattr(self._settings, name) for name in _NUMBERS}
            body = self._body(*prompt.render(numbers | row))
        except PromptFailed as error:
            return [Rejected(str(error))]
        outcomes: list[Row | Rejected] = []
        for sample, answer in enumerate(await self._answers(row, ask, body)):
            found = [answer] if isinstance(answer, Rejected) else self._values(answer, prompt)
            outcomes += [
                values if isinstance(values, Rejected) else named(row | values, sample, place)
                for place, values in enumerate(found)
            ]
        return outcomes

    def _values(self, answer: Answer, prompt: Prompt) -> Sequence[Values | Rejected]:
        """The values of the output columns that stand in an answer."""
        if self._pattern:
            return by_pattern(answer, self.output_cols, self._pattern, self.parser_kwargs.parser_cleanup_tags or ())
        return by_tags(answer, self.output_cols, prompt.tags)

    def _choose(self, row: Row) -> Prompt | Rejected:
        """The prompt for a row."""
        raise NotImplementedError

    def _body(self, system: str, user: str) -> dict[str, Any]:
        model = {"model": self.model_id} if self.model_id else {}
        if not self._settings.raw_prompts:
            return model | {"messages": self._family.messages(system, user)}
        if self.model_prompt is None:
            stop = {"stop": list(self._family.stop)} if self._family.stop else {}
            return model | stop | {"prompt": self._family.prompt(system, user)}
        return model | {"prompt": wrapper(self.model_prompt)(f"{system}\n{user}".strip())}


class LLM(_Prompting):
    """Asks with one prompt file."""

    config_path: str

    def _files(self) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        yield ("config_path",), self.config_path, ""

    def _choose(self, row: Row) -> Prompt | Rejected:
        return self._prompts[""]


class ConditionalLLM(_Prompting):
    """Asks with the prompt file that the value of a column chooses."""

    config_paths: list[Annotated[list[_Choice], Field(min_length=2, max_length=2)]] = Field(min_length=1)
    selector_column_name: str

    def _files(self) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        for index, (name, choice) in enumerate(self.config_paths):
            yield ("config_paths", index, 0), name, choice

    @property
    def _only(self) -> bool:
        return len(self.config_paths) == 1 and self.config_paths[0][1] == "All"

    def reads(self) -> Uses:
        """The column that chooses, and those of the prompts."""
        if not self._only:
            yield self.selector_column_name, None
        yield from super().reads()

    def _choose(self, row: Row) -> Prompt | Rejected:
        choice = "All" if self._only else str(row[self.selector_column_name])
        return self._prompts.get(choice) or Rejected(f"no prompt for this {self.selector_column_name}")


class LLMLogProb(LLM):
    """Asks as :class:`LLM` does, which is what the last versions of the older ilab made of it."""

    def open(self, source: Source) -> None:
        """Say that it gives no log-probabilities."""
        super().open(source)
        message = "log-probabilities are not kept: the block asks as LLMBlock does"
        source.find("no-log-probabilities", message, severity="warning")


class LLMMessages(_Asking):
    """Asks a chat endpoint with the messages of a column; several samples give a list in the output column.

    A column of text is one message of the user.
    """

    input_col: str
    output_col: str

    def reads(self) -> Uses:
        """The column with the messages."""
        yield self.input_col, None

    def after(self, columns: frozenset[str]) -> frozenset[str]:
        """The answers beside what was there."""
        return columns | {self.output_col}

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The row with the answer."""
        messages = row[self.input_col]
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        answers = await self._answers(row, ask, {"messages": messages})
        found = [each if isinstance(each, Rejected) else whole(each, [self.output_col]) for each in answers]
        rejected: list[Row | Rejected] = [each for each in found if isinstance(each, Rejected)]
        texts = [each[self.output_col] for each in found if not isinstance(each, Rejected)]
        if not texts:
            return rejected
        return [*rejected, {**row, self.output_col: texts if len(answers) > 1 else texts[0]}]
