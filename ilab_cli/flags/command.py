"""Adding commands to the program; those with settings get the fields of a section as flags, from the generated table.

Only the command that the command line names is made whole; the others are just listed. The values of flags stay text:
what they mean is for the library to say, with the same findings as for a file.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

from ilab_cli import output, style
from ilab_cli.command_line import OffersAnywhere, invoked, is_completion, words
from ilab_cli.flags.completion import of_flag
from ilab_cli.flags.flag import read_words
from ilab_cli.flags.help import HELP, in_force, is_shown, own_rows, page
from ilab_cli.flags.table import table
from ilab_cli.session import Typed
from ilab_profiles.diagnostics import Finding, Position, nearest

__all__ = ["add", "settings_command"]

Work = Callable[..., None]


def settings_command(
    app: typer.Typer, name: str, section: str, more: Callable[[], Iterable[str]] = tuple
) -> Callable[[Work], Work]:
    """Add a command that takes the flags of a section; it gets what the user typed as ``typed``.

    Args:
        app: the group that it belongs to.
        name: its name there.
        section: for example ``"train"``.
        more: gives further lines for its help.
    """

    def register(work: Work) -> Work:
        command = _with_flags(work, section) if invoked(name) else _bare(work)
        kind = type("SettingsCommand", (_SettingsCommand,), {"section": section, "more": staticmethod(more)})
        context = {"help_option_names": [*HELP]}
        app.command(name, cls=kind, context_settings=context, short_help=_summary(work))(output.reports(command))
        return work

    return register


def add(group: typer.Typer, name: str, work: Work, **settings: Any) -> None:
    """Add a command with flags of its own to a group; ``settings`` go to Typer's ``command``."""
    kind = type("Command", (OffersAnywhere, settings.pop("cls", TyperCommand)), {})
    group.command(name, cls=kind, short_help=_summary(work), **settings)(
        output.reports(work if invoked(name) else _bare(work))
    )


def _summary(work: Work) -> str:
    """The first sentence of what a command does, for lists; Typer would cut it."""
    return " ".join((work.__doc__ or "").partition("\n\n")[0].split())


def _bare(work: Work) -> Work:
    """A command that can only be listed: Typer loads pydantic as soon as it looks at an option."""

    def command() -> None: ...

    command.__doc__ = work.__doc__
    return command


def _with_flags(work: Work, section: str) -> Work:
    flags = table().flags[section]
    names = {flag.path: f"--{flag.names[0]}" for flag in flags}

    @functools.wraps(work)
    def command(**values: Any) -> None:
        given = {flag.path: value for flag in flags if (value := values.pop(flag.parameter)) not in (None, [])}
        joined = {path: ",".join(value) if isinstance(value, list) else value for path, value in given.items()}
        work(Typed(joined, names, section), **values)

    own = [item for item in inspect.signature(work, eval_str=True).parameters.values() if item.name != "typed"]
    parameters = [*own, *_parameters(section)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


_KINDS: dict[str, Any] = {"switch": bool | None, "one": str | None, "list": list[str] | None}


def _parameters(section: str) -> Iterator[inspect.Parameter]:
    now = None if is_completion() or {*HELP}.isdisjoint(words()) else in_force(section)
    for flag in table().flags[section]:
        option = typer.Option(
            *[f"--{name}/--no-{name}" if flag.kind == "switch" else f"--{name}" for name in flag.names],
            help=flag.help,
            metavar=None if flag.kind == "switch" else flag.metavar,
            show_default=False,
            hidden=now is not None and not is_shown(flag, now),
            autocompletion=of_flag(flag),
        )
        yield inspect.Parameter(
            flag.parameter,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_KINDS[flag.kind], option],
        )


class _SettingsCommand(OffersAnywhere, TyperCommand):
    """A command that tells the values in force in its help, and every unknown flag at once."""

    section: ClassVar[str]
    more: ClassVar[staticmethod[[], Iterable[str]]]

    def get_help(self, ctx: Any) -> str:
        settings = {flag.parameter for flag in table().flags[self.section]}
        own = own_rows((param for param in self.get_params(ctx) if param.name not in settings), ctx)
        text = "\n".join([page(self.get_usage(ctx), self.help or "", own, self.section), *self.more()])
        return style.help_page(text, sys.stdout)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # for completion, which needs no values
            return []
        known: Any = {
            option: param for param in self.get_params(ctx) for option in (*param.opts, *param.secondary_opts)
        }
        others = {option: not param.is_flag for option, param in known.items()}
        if unknown := read_words(args, table().flags[self.section], others).unknown:
            _refuse(unknown, known, self.section)
        return super().parse_args(ctx, args)


def _synonyms(section: str) -> dict[str, str]:
    """What people write for a flag, and its proper name."""
    from ilab_profiles.models.config import Config
    from ilab_profiles.models.fields import mistaken_for
    from ilab_profiles.models.paths import fields

    flags = {flag.path: flag.names[0] for flag in table().flags[section]}
    return {
        other.replace("_", "-"): flags[path]
        for path, info in {**fields(), **fields(Config)}.items()
        if path in flags
        for other in mistaken_for(info)
    }


def _refuse(unknown: Iterable[str], known: Iterable[str], section: str) -> None:
    names = {option.removeprefix("--"): option.removeprefix("--") for option in known} | _synonyms(section)
    off = {
        f"--no-{name}": f"{name} none"
        for flag in table().flags[section]
        if "none" in flag.choices
        for name in flag.names
    }
    findings = [
        Finding(
            "unknown-flag",
            "unknown flag",
            position=Position(name),
            hint=f"did you mean --{close}?" if close else "--help-all shows every flag",
        )
        for name in unknown
        for close in [off.get(name) or names.get(nearest(name.removeprefix("--"), names) or "")]
    ]
    output.warn(findings)
    raise typer.Exit(output.BAD_INPUT)
