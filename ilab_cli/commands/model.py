"""``ilab model``: train, evaluate and serve; and generate, which ``ilab data`` has too."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from ilab_cli.flags.command import add, settings_command
from ilab_cli.flags.options import ConfigOption, DryRun, Overwrite, ProfileOption
from ilab_cli.session import Typed, in_force

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    from ilab_cli.commands.data import generate

    settings_command(group, "generate", "generate")(generate)
    settings_command(group, "train", "train")(train)
    settings_command(group, "evaluate", "evaluate")(evaluate)
    add(group, "serve", serve, cls=_Serve)


def train(
    typed: Typed,
    *,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Train a model on conversations."""
    import ilab_cli.backends.train.launch as launch
    from ilab_cli.runs.perform import perform

    effective = in_force(typed, profile, config)
    train = effective.profile.train.at_home()
    perform(
        launch,
        effective,
        "train",
        train,
        resume=train.resume,
        overwrite=overwrite,
        profile=profile,
        dry_run=dry_run,
    )


def evaluate(
    typed: Typed, *, profile: ProfileOption = None, config: ConfigOption = None, dry_run: DryRun = False
) -> None:
    """Run benchmarks on a model."""
    import ilab_cli.backends.evaluate.launch as launch
    from ilab_cli.runs.perform import perform
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
    own = launch.in_own_folder(evaluate)
    perform(launch, effective, "evaluate", own, profile=profile, dry_run=dry_run)


class _Serve(TyperCommand):
    """The command ``serve``, whose help says which servers are there."""

    def get_help(self, ctx: Any) -> str:
        """Look for the servers when somebody asks."""
        from ilab_cli.backends.serve.servers import available

        found = [f"  {name}: {f'not available: {why}' if why else 'available'}" for name, why in available()]
        chosen = "llama.cpp serves .gguf files; vLLM serves other models, or transformers if vLLM is not available."
        return "\n".join([super().get_help(ctx), "", "Servers:", f"  {chosen}", *found])


def serve(*, profile: ProfileOption = None, dry_run: DryRun = False) -> None:
    """Serve the model of config.yaml's section serve at an OpenAI-compatible endpoint, until Ctrl-C.

    It uses the GPUs of the profile's generate.gpus.
    """
    import ilab_cli.backends.serve.launch as launch
    from ilab_cli import output
    from ilab_cli.runs.perform import typed
    from ilab_profiles.loading.config_file import config_settings
    from ilab_profiles.yaml.write import dump, to_data

    generate = in_force(profile=profile).profile.generate.at_home()
    config, given = config_settings()
    settings = config.serve.at_home()
    if dry_run:
        origins = {path: str(setting.position()) for path, setting in given.items()}
        print(dump({"serve": to_data(config.serve)}, lambda path: origins.get(path, "")), end="")
        print(f"\n{typed(launch.environment(settings, generate), launch.command(settings, generate))}")
    output.judge(launch.preflight(settings, generate))
    if not dry_run:
        raise typer.Exit(launch.run(settings, generate))
