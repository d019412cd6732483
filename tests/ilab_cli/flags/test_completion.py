"""Completion in real shells: keys go to bash and zsh on a terminal of their own, fish is asked by ``complete -C``.

In bash and zsh a key is bound that puts everything on offer into the command line, in front of which the test then
types a command that prints its arguments. So nothing has to be guessed from how a shell draws its lists. What the
shells' scripts ask of the program is tried without a shell too, where many cases would take long.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ilab_cli.flags.make import make_flags
from ilab_profiles import names

ROOT = Path(__file__).parents[3]
EVERYTHING, TAB, LINE_START = "\x14", "\t", "\x01"
BASH = r"""
PS1='$ '
bind 'set bell-style none'
bind 'set enable-bracketed-paste off'
bind '"\C-t": insert-completions'
eval "$(ilab --show-completion)"
"""
ZSH = r"""
PS1='$ '
unset zle_bracketed_paste
bindkey -e
autoload -Uz compinit; compinit -u -D
zstyle ':completion:every::::' completer _all_matches _complete
zstyle ':completion:every:*' insert true
zle -C every complete-word _generic
bindkey '^T' every
source <(ilab --show-completion; :)
"""
FISH = "ilab --show-completion | source; complete -C {!r}"
BROKEN = {
    "no YAML": "profile: [",
    "no such profile": "profile: singel_gpu",
    "unknown key": "generel: {}",
    "bad value": "profile: {train: {num_epochs: many}}",
    "a list": "- a",
    "nothing": "",
    "control characters": "\x00\x01",
    "not UTF-8": "\udcff",
}


class Shell:
    """A shell with ``ilab`` on its path, in an empty folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        program = folder / "bin" / "ilab"
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\nfrom ilab_cli.app import main\nmain()\n")
        program.chmod(0o755)
        (folder / "bashrc").write_text(BASH)
        (folder / ".zshrc").write_text(ZSH)
        self.variables = {
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "ZDOTDIR": str(folder),
            "ILAB_PROFILE_DIR": str(folder / "own"),
            "TERM": "dumb",
            "COLUMNS": "10000",
        }

    def offers(self, line: str) -> list[str]:
        """What is offered for the last word of a command line."""
        if self.name == "fish":
            command = ["fish", "--no-config", "-c", FISH.format(line)]
            done = subprocess.run(
                command, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=True, timeout=60
            )
            assert done.stderr == ""
            found = [offer.partition("\t")[0] for offer in done.stdout.splitlines()]
        else:
            found = self.press(f"{line}{EVERYTHING}")[len(f"{line}x".split()) - 1 :]
        return [] if found == [line.split()[-1]] else sorted(found)

    def press(self, keys: str) -> list[str]:
        """The words of the command line after these keys."""
        screen = self.screen(f"{keys}{LINE_START}printf '{{%s}}' \nexit\n")
        return re.findall(r"\{([^{}%]*)\}", screen)

    def screen(self, keys: str) -> str:
        """Everything that the terminal shows while these keys are pressed."""
        interactive = {"bash": ["bash", "--noprofile", "--rcfile", str(self.folder / "bashrc"), "-i"]}
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            interactive.get(self.name, [self.name, "-i"]),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=self.folder,
            env=self.variables,
            start_new_session=True,
        ):
            os.close(theirs)
            os.write(ours, keys.encode())
            return _read_all(ours)


def _read_all(terminal: int) -> str:
    seen = b""
    try:
        while block := os.read(terminal, 65536):
            seen += block
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(terminal)
    return seen.decode()


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    return Shell(request.param, tmp_path)


@pytest.fixture
def bash(tmp_path: Path) -> Shell:
    return Shell("bash", tmp_path)


def options(section: str, start: str) -> list[str]:
    return sorted(option for flag in make_flags(section) for option in flag.options if option.startswith(start))


# --- in each shell ----------------------------------------------------------------------------------------------------


def test_groups_and_commands(shell: Shell) -> None:
    assert shell.offers("ilab mod") == ["model"]
    assert set(shell.offers("ilab model ")) >= {"evaluate", "train"}
    assert "validate" in shell.offers("ilab profile v")


def test_every_flag_whatever_the_profile_calls_for(shell: Shell) -> None:
    assert shell.offers("ilab model train --lo") == options("train", "--lo")
    assert shell.offers("ilab model train --profile single_gpu --lo") == options("train", "--lo")


def test_flags_that_may_stand_anywhere(shell: Shell) -> None:
    assert shell.offers("ilab --") == ["--debug", "--help", "--quiet", "--verbose", "--version"]
    assert shell.offers("ilab model --h") == ["--help"]
    assert shell.offers("ilab model train --qui") == ["--quiet"]
    assert shell.offers("ilab profile show --ver") == ["--verbose"]


def test_names_of_profiles_and_of_the_users_own(shell: Shell) -> None:
    own = shell.folder / "own"
    own.mkdir()
    (own / "multi_mine.yaml").write_text("extends: cpu_only\n")
    wanted = sorted([*(name for name in names() if name.startswith("multi")), "multi_mine"])
    assert shell.offers("ilab model train --profile multi") == wanted
    assert shell.offers("ilab profile show multi_m") == ["multi_mine"]


def test_dotted_keys(shell: Shell) -> None:
    assert shell.offers("ilab profile explain train.lo") == [
        "train.lora",
        *sorted(flag.path for flag in make_flags("train") if flag.path.startswith("train.lo")),
    ]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("profile explain hardware", ["hardware", "hardware.count", "hardware.gpu", "hardware.memory"]),
        ("profile explain des", ["description"]),
        ("profile explain train.lr-", ["train.lr-schedule"]),
        ("profile show --key exp", ["expertise"]),
        ("profile set ex", ["expertise", "extends"]),
        ("profile set serve.m", ["serve.max_ctx_size", "serve.model_path"]),
        ("profile set general.", ["general.log_level"]),
        ("profile set train.lor", [flag.path for flag in make_flags("train") if ".lora." in flag.path]),
        ("profile set expertise ", ["advanced", "basic", "expert"]),
        ("profile set extends multi_gpu/l", ["multi_gpu/l40s_x4", "multi_gpu/l40s_x8", "multi_gpu/l4_x8"]),
        ("profile set general.log_level W", ["WARNING"]),
        ("profile set train.lr-schedule co", ["constant", "cosine"]),
        ("profile set --profile mine train.lora.enabled ", ["false", "true"]),
        ("profile set evaluate.benchmarks mmlu,mmlu_branch,mt_bench,", ["mmlu,mmlu_branch,mt_bench,mt_bench_branch"]),
        ("profile set train.seed ", []),
    ],
)
def test_keys_and_their_values(tmp_path: Path, line: str, offered: list[str]) -> None:
    assert sorted(ask(tmp_path, f"ilab {line}").stdout.split()) == sorted(offered)


def test_values_of_enums_and_lists_of_them(shell: Shell) -> None:
    assert shell.offers("ilab model train --device c") == ["cpu", "cuda"]
    assert shell.offers("ilab model evaluate --benchmarks mmlu,mt_bench_") == ["mmlu,mt_bench_branch"]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("ilab model train --device=c", ["cpu", "cuda"]),
        ("ilab model train --lr_schedule=co", ["constant", "cosine"]),
        ("ilab model train --profile=single_gpu/", [name for name in names() if name.startswith("single_gpu/")]),
        ("ilab profile validate --format=", ["github", "json", "sarif", "text"]),
        ("ilab profile show --key=train.fsdp.", [flag.path for flag in make_flags("train") if "fsdp." in flag.path]),
        ("ilab model train --data-path=con", ["conversations.jsonl"]),
    ],
)
def test_a_value_in_one_word_with_its_flag(shell: Shell, line: str, values: list[str]) -> None:
    (shell.folder / "conversations.jsonl").touch()
    flag = f"{line.split()[-1].partition('=')[0]}="
    first, *others = sorted(values)  # bash takes what is behind the = for a word of its own
    assert shell.offers(line) == [
        f"{flag}{first}",
        *(other if shell.name == "bash" else flag + other for other in others),
    ]


def test_files_where_a_path_is_wanted(shell: Shell) -> None:
    (shell.folder / "conversations.jsonl").touch()
    assert shell.offers("ilab model train --data-path conv") == ["conversations.jsonl"]


# --- in bash ----------------------------------------------------------------------------------------------------------


def test_tab_completes_what_is_not_in_doubt(bash: Shell) -> None:
    keys = f"ilab mod{TAB}tr{TAB}--num-e{TAB}3 --dev{TAB}cu{TAB}--prof{TAB}single_gpu/h1{TAB}"
    assert " ".join(bash.press(keys)) == "ilab model train --num-epochs 3 --device cuda --profile single_gpu/h100"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ilab model train --device=", ["--device=auto", "cpu", "cuda"]),
        ("ilab model train --device=c", ["--device=cpu", "cuda"]),
        ("ilab model train --lora --accelerator=d", ["--accelerator=deepspeed"]),
        ("ilab model train --data-path=conv", ["--data-path=conversations.jsonl"]),
        ("ilab model train --quantize_dtype n", ["nf4"]),
        ("ilab model train --gpus 0:1 --device c", ["cpu", "cuda"]),
        ('ilab model train --device "c', ["cpu", "cuda"]),
        ("ilab model train --profile cpu-", ["cpu-only"]),
        ("ilab --quiet model tr", ["train"]),
        ("ilab model train --bogus --device c", ["cpu", "cuda"]),
        ("ilab nothing --num", []),
        ("ilab model train --bogus", []),
    ],
)
def test_bash_breaks_words_in_its_own_way(bash: Shell, line: str, offered: list[str]) -> None:
    (bash.folder / "conversations.jsonl").touch()
    assert bash.offers(line) == offered


def test_a_broken_config_leaves_the_terminal_alone(bash: Shell) -> None:
    (bash.folder / "config.yaml").write_text("profile: [\n")
    assert bash.offers("ilab model train --device c") == ["cpu", "cuda"]
    screen = bash.screen(f"ilab model train --lo{TAB}{LINE_START}#\nexit\n")
    assert "--lora" in screen
    assert not {word for word in ("config.yaml", "error", "failed", "Traceback") if word in screen}


# --- what the scripts of the shells ask of the program ----------------------------------------------------------------


def ask(folder: Path, line: str, shell: str = "bash", **variables: str) -> subprocess.CompletedProcess[str]:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(f"{line}x".split()) - 1)}
    others = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
    return subprocess.run(
        [sys.executable, "-m", "ilab_cli"],
        cwd=folder,
        env=environment
        | {"PYTHONPATH": str(ROOT), "ILAB_PROFILE_DIR": str(folder / "own"), "_ILAB_COMPLETE": f"complete_{shell}"}
        | (words if shell == "bash" else others)
        | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_flag_that_is_typed_whole_is_offered_as_any_other(tmp_path: Path, shell: str) -> None:
    assert "--quiet" in ask(tmp_path, "ilab model --quiet", shell).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_nothing_broken_makes_completion_speak_or_fail(tmp_path: Path, shell: str, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text, errors="surrogateescape")
    done = ask(tmp_path, "ilab model train --de", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--device" in done.stdout


def test_broken_surroundings_make_completion_neither_speak_nor_fail(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()
    (tmp_path / "own").write_text("a file where a folder should be")
    surroundings: list[dict[str, str]] = [
        {},
        {"ILAB_CONFIG": "missing.yaml"},
        {"ILAB_CONFIG": str(tmp_path)},
        {"ILAB_PROFILE": "missing"},
        {"ILAB_PROFILE": "\n"},
        {"ILAB_TRAIN__NUM_EPOCHS": "many"},
        {"ILAB_BOGUS__X": "1"},
    ]
    for variables in surroundings:
        for line, offered in (("ilab model train --de", "--device"), ("ilab model train --profile cpu", "cpu_only")):
            done = ask(tmp_path, line, **variables)
            assert (done.returncode, done.stderr) == (0, ""), variables
            assert offered in done.stdout.splitlines(), variables


@pytest.mark.parametrize("variables", [{"COMP_CWORD": "x"}, {"COMP_WORDS": ""}, {"_ILAB_COMPLETE": "complete_nothing"}])
def test_a_shell_that_asks_nonsense_gets_no_traceback(tmp_path: Path, variables: dict[str, str]) -> None:
    assert "Traceback" not in ask(tmp_path, "ilab mod", **variables).stderr
