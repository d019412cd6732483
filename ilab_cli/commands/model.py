"""``ilab model``: train, evaluate, serve and chat; and generate, which ``ilab data`` has too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from ilab_cli import output
from ilab_cli.flags.command import settings_command
from ilab_cli.flags.options import ConfigOption, DryRun, JsonOption, Overwrite, ProfileOption
from ilab_cli.session import Typed, config_in_force, in_force

if TYPE_CHECKING:
    from ilab_profiles import Effective

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    from ilab_cli.commands.data import generate

    settings_command(group, "generate", "generate")(generate)
    settings_command(group, "train", "train")(train)
    settings_command(group, "evaluate", "evaluate")(evaluate)
    group.command("compare")(output.reports(compare))
    settings_command(group, "serve", "serve", _servers)(serve)
    settings_command(group, "chat", "chat")(chat)


def train(
    typed: Typed,
    *,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
    launcher: Annotated[
        Literal["slurm", "kubernetes"] | None,
        typer.Option("--launcher", help="Print a job for a scheduler that does the same training; run nothing here"),
    ] = None,
    submit: Annotated[
        bool, typer.Option("--submit", help="With --launcher: hand the job over to the scheduler")
    ] = False,
) -> None:
    """Train a model on conversations.

    Ctrl-C stops at once. SIGTERM, SIGUSR1 and the end of --max-hours save a checkpoint first and end with exit code 143
    after SIGTERM, else 75. After any of them the same command goes on.
    """
    if launcher or submit:
        _as_job(in_force(typed, profile, config), launcher, submit=submit and not dry_run, overwrite=overwrite)
    import ilab_cli.backends.train.launch as launch
    from ilab_cli.backends.phases import launch as phases
    from ilab_cli.runs.perform import How, perform
    from ilab_cli.runs.train import to_run

    effective = in_force(typed, profile, config)
    settings, how = effective.profile.train, How(profile, overwrite, dry_run, as_json)
    run = to_run(settings, overwrite=overwrite)
    if phases.applies(effective.profile):
        both = phases.Phased(run, effective.profile.evaluate.at_home())
        perform(phases, effective, "train", both, how, resume=settings.resume)
        return
    perform(launch, effective, "train", run, how, resume=settings.resume)


def _as_job(
    effective: Effective, launcher: Literal["slurm", "kubernetes"] | None, *, submit: bool, overwrite: bool
) -> NoReturn:
    from ilab_cli.backends.phases import launch as phases
    from ilab_cli.runs.jobs import hand_over
    from ilab_profiles import Finding, InputError

    if phases.applies(effective.profile):
        message, setting = "a job does not evaluate checkpoints between its phases", "evaluate.between_phases"
        output.warn([Finding("between-phases-not-in-a-job", message, setting, severity="warning")])
    if launcher is None:
        hint = "name it with --launcher slurm or --launcher kubernetes"
        raise InputError(Finding("usage", "--submit needs a scheduler", hint=hint))
    if overwrite:
        why = "a job that starts again would throw away what it did before"
        hint = "choose another train.output_dir, or remove that folder"
        raise InputError(Finding("usage", "--overwrite does not go with --launcher", why=why, hint=hint))
    raise typer.Exit(hand_over(effective, launcher, submit=submit))


def evaluate(
    typed: Typed,
    *,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Run benchmarks on a model, or on the checkpoints of a training.

    An evaluation that was interrupted is gone on with by the same command: nothing that was finished is done again.
    """
    import ilab_cli.backends.evaluate.launch as launch
    from ilab_cli.runs.manifest import Run
    from ilab_cli.runs.perform import How, perform
    from ilab_profiles import Finding, InputError

    effective = in_force(typed, profile, config)
    evaluate = effective.profile.evaluate.at_home()
    if not evaluate.benchmarks:
        raise InputError(
            Finding(
                "evaluation-off",
                "evaluation is off: no benchmark is set",
                "evaluate.benchmarks",
                hint="switch it on with --benchmarks mmlu, or with `evaluate: {benchmarks: [mmlu]}` in the profile",
            )
        )
    begun = (each for each in launch.earlier(evaluate) if Run("evaluate", effective, launch, each).is_interrupted)
    own = next(begun, None) or launch.in_own_folder(evaluate)
    perform(launch, effective, "evaluate", own, How(profile, dry_run=dry_run, as_json=as_json))


def compare(
    runs: Annotated[list[str], typer.Argument(help="Folders of evaluations, the first one to compare with")],
    as_json: JsonOption = False,
) -> None:
    """Compare evaluations of the same questions: what improved, what regressed, and how sure that is."""
    from ilab_cli.backends.evaluate import comparison_table
    from ilab_cli.backends.evaluate.compare import compare
    from ilab_profiles import Finding, InputError

    if len(runs) < 2:
        raise InputError(Finding("usage", "one evaluation is nothing to compare", hint="name two or more"))
    found = compare(runs)
    if as_json:
        output.print_json([each.as_data() for each in found])
    else:
        print(comparison_table.table(found))


def _servers() -> Iterator[str]:
    """What the help of serve says about servers, which are looked for when somebody asks."""
    from ilab_cli.backends.serve.servers import available

    yield ""
    yield "Servers:"
    yield "  llama.cpp serves .gguf files; vLLM serves other models, or transformers if vLLM is not available."
    for name, why in available():
        yield f"  {name}: {f'not available: {why}' if why else 'available'}"


def serve(typed: Typed, *, profile: ProfileOption = None, dry_run: DryRun = False) -> None:
    """Serve a model at an OpenAI-compatible endpoint, until Ctrl-C.

    It uses the GPUs of the profile's generate.gpus.
    """
    import ilab_cli.backends.serve.launch as launch
    from ilab_cli.runs.perform import typed as as_typed
    from ilab_profiles.yaml.write import dump, to_data

    generate = in_force(profile=profile).profile.generate.at_home()
    config, given = config_in_force(typed)
    settings = config.serve.at_home()
    if dry_run:
        origins = {path: str(setting.position()) for path, setting in given.items()}
        print(dump({"serve": to_data(config.serve)}, lambda path: origins.get(path, "")), end="")
        print(f"\n{as_typed(launch.environment(settings, generate), launch.command(settings, generate))}")
    output.judge(launch.preflight(settings, generate))
    if not dry_run:
        raise typer.Exit(launch.run(settings, generate))


def chat(
    typed: Typed,
    *,
    endpoint_url: Annotated[
        str | None, typer.Option("--endpoint-url", help="OpenAI-compatible endpoint to chat with", metavar="URL")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Chat with a model, at an endpoint or served for this chat.

    Without --endpoint-url it is the model that `ilab model serve` serves, or one that is served while the chat lasts.
    Without a terminal it answers each line of its input. A key for the endpoint is read from OPENAI_API_KEY.
    """
    import ilab_cli.backends.chat.launch as launch

    generate = in_force(profile=profile).profile.generate.at_home()
    config, _ = config_in_force(typed)
    settings, serve = config.chat.at_home(), config.serve.at_home()
    place = launch.Place(endpoint_url, named="chat.model" in typed.values)
    output.judge(launch.preflight(settings, serve, generate, place))
    raise typer.Exit(launch.run(settings, serve, generate, place))
