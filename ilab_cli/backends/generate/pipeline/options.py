"""What a block may say about its requests and about reading their answers: ``gen_kwargs`` and ``parser_kwargs``."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ilab_profiles.models.generate import Generate

__all__ = ["GenKwargs", "ParserKwargs"]


_EXTRAS = ("top_k", "min_p", "best_of", "repetition_penalty", "min_tokens", "guided_json", "chat_template_kwargs")
"""What some endpoints know that is no key of its own here."""


class _ExtraBody(BaseModel):
    """What an endpoint gets as it is; only the seed must be a number, as each further sample counts on from it."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    seed: int | None = None


class GenKwargs(BaseModel):
    """What is asked of the endpoint besides the prompt; what it should get as it is goes to ``extra_body``.

    ``n: scaled`` asks for ``generate.num_samples`` answers, ``temperature: profile`` takes ``generate.temperature``.
    Without a temperature it is 0, without ``max_tokens`` it is ``generate.max_tokens``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    n: Annotated[int, Field(ge=1, le=10_000)] | Literal["scaled"] = 1
    temperature: Annotated[float, Field(ge=0)] | Literal["profile"] = 0.0
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    model: str | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    user: str | None = None
    extra_body: _ExtraBody = Field(default=_ExtraBody(), json_schema_extra={"x-mistaken": list(_EXTRAS)})

    def samples(self, settings: Generate) -> int:
        """How many answers to one request."""
        return settings.num_samples if self.n == "scaled" else self.n

    def body(self, settings: Generate, row_key: str, block: str) -> dict[str, Any]:
        """What the request holds besides the prompt; several samples at temperature 0 would all be the same one."""
        given = self.model_dump(exclude_none=True, exclude={"n", "extra_body"})
        if self.temperature == "profile" or (self.temperature == 0 and self.samples(settings) > 1):
            given["temperature"] = settings.temperature
        drawn = hashlib.sha256(f"{settings.seed}/{row_key}/{block}".encode()).digest()
        own = {"max_tokens": settings.max_tokens, "seed": int.from_bytes(drawn[:4]) >> 1}
        return own | given | self.extra_body.model_dump(exclude_unset=True)


class ParserKwargs(BaseModel):
    """How answers are read where tags do not do: by a regular expression with a group for each output column."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    parser_name: Literal["custom"] | None = None
    parsing_pattern: str | None = None
    parser_cleanup_tags: list[str] | None = None

    @model_validator(mode="after")
    def _has_a_pattern(self) -> Self:
        if self.parser_name and self.parsing_pattern is None:
            raise ValueError("parser_name: custom needs a parsing_pattern")
        return self

    @field_validator("parsing_pattern")
    @classmethod
    def _is_a_pattern(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            raise ValueError(f"wrong regular expression: {error}") from None
        return text
