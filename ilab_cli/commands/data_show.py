"""``ilab data show``: conversations as the model reads them, with the tokens that training learns marked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ilab_cli import output, style
from ilab_cli.flags.options import JsonOption, ProfileOption
from ilab_cli.session import in_force
from ilab_profiles.diagnostics import counted

if TYPE_CHECKING:
    from ilab_cli.backends.train.data.conversations import Conversation
    from ilab_profiles import Finding, Train

__all__ = ["show"]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a file holds must not command the terminal that shows it."""


def show(
    file: Annotated[
        Path, typer.Argument(help="JSONL file of conversations, or a folder of such files", metavar="FILE")
    ],
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="Folder or hub name of the model; else the profile's", metavar="M")
    ] = None,
    profile: ProfileOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Conversations to show", metavar="N", min=1)] = 3,
    line: Annotated[int, typer.Option("--line", help="Line of the file to begin at", metavar="N", min=1)] = 1,
    as_json: JsonOption = False,
) -> None:
    """Print conversations as the model reads them, with the tokens that training learns marked."""
    from ilab_cli.backends.train.data import conversations
    from ilab_cli.extras import missing_extra
    from ilab_profiles import Finding, InputError, Position

    train = _with_model(in_force(profile=profile).profile.train.at_home(), model)
    if missing := missing_extra("train", "ilab data show"):
        raise InputError(missing)
    found, findings = conversations.read(conversations.files_of(str(file)))
    last = max((item.position.line for item in found), default=line)
    if line > last:
        message = f"the last conversation is on line {last} of {file}"
        hint = f"begin at {last} or before"
        raise InputError([Finding("no-such-line", message, position=Position("--line"), hint=hint), *findings])
    chosen = [item for item in found if item.position.line >= line][:limit]
    shown = list(_shown(train, chosen, findings))
    _print(shown, findings, as_json=as_json)
    if findings:
        output.warn(findings)
        raise typer.Exit(output.BAD_INPUT)


def _with_model(train: Train, model: str | None) -> Train:
    """The settings with a model that is named by its folder, or by its name on the hub."""
    if model is None:
        return train
    is_name = model.count("/") == 1 and not os.path.exists(model) and not model.startswith((".", "/", "~"))
    place = {"model_path": None, "model_repo": model} if is_name else {"model_path": os.path.expanduser(model) or "."}
    return train.model_copy(update=place)


def _shown(train: Train, chosen: Sequence[Conversation], findings: list[Finding]) -> Iterator[dict[str, Any]]:
    """What is printed of each conversation; what is wrong with the others joins the findings.

    Raises:
        InputError: with these, if there is no tokenizer.
    """
    from ilab_cli.backends.model_folder import tokenizer_problems
    from ilab_cli.backends.train.data.tokens import encode, load_tokenizer
    from ilab_profiles import Finding, InputError

    if train.model_path and (missing := list(tokenizer_problems(Path(train.model_path), "train.model_path"))):
        raise InputError([*missing, *findings])
    try:
        tokenizer = load_tokenizer(train)
    except InputError as error:
        raise InputError([*error.findings, *findings]) from error
    for conversation, item in zip(chosen, encode(tokenizer, chosen), strict=True):
        if isinstance(item, Finding):
            findings.append(item)
            continue
        ids, learned = item[0].tolist(), item[1].tolist()
        yield {
            "file": conversation.position.source,
            "line": conversation.position.line,
            "tokens": tokenizer.convert_ids_to_tokens(ids),
            "input_ids": ids,
            "learned": learned,
            "runs": list(_runs(tokenizer, ids, learned)),
        }


def _runs(tokenizer: Any, ids: list[int], learned: list[bool]) -> Iterator[dict[str, Any]]:
    """Neighbouring tokens that are learned, or are not, as text."""
    before, end = "", 0
    for is_learned, group in groupby(learned):
        end += len(list(group))
        text = tokenizer.decode(ids[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        yield {"learned": is_learned, "text": text[len(before) :]}
        before = text


def _print(shown: Sequence[dict[str, Any]], findings: Sequence[Finding], *, as_json: bool) -> None:
    tokens = sum(len(item["learned"]) for item in shown)
    learned = sum(sum(item["learned"]) for item in shown)
    if as_json:
        summary = {"conversations": len(shown), "tokens": tokens, "learned": learned}
        output.print_json(
            {"conversations": shown, "summary": summary, "findings": [finding.to_dict() for finding in findings]}
        )
        return
    if not shown:
        output.say("no conversation to show")
        return
    in_colour = style.coloured(sys.stdout)
    print(f"Learned tokens are {style.paint('green', 'bold', 'green') if in_colour else 'between ⟦ and ⟧'}.")
    for item in shown:
        share = f"{counted(len(item['learned']), 'tokens')}, {sum(item['learned'])} learned"
        print("\n" + style.heading(f"{item['file']}:{item['line']}: {share}", sys.stdout))
        print("".join(_marked(run, in_colour=in_colour) for run in item["runs"]).rstrip("\n"))
    print(f"\n{counted(len(shown), 'conversations')}, {counted(tokens, 'tokens')}, {learned / tokens:.0%} learned")


def _marked(run: dict[str, Any], *, in_colour: bool) -> str:
    text = str(run["text"]).translate(_CONTROLS)
    if not run["learned"]:
        return text
    if not in_colour:
        return f"⟦{text}⟧"
    lines = text.replace("\n", "↵\n").split("\n")
    return "\n".join(style.paint(line, "bold", "green") if line else "" for line in lines)
