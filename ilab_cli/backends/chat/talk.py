"""The loop of a chat: a line comes in, and is a command or a question; the answer streams to the screen and is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from ilab_cli.backends import base
from ilab_cli.backends.chat.conversation import CONTEXTS, Conversation, unknown_context
from ilab_cli.backends.chat.screen import Screen, open_screen
from ilab_cli.backends.client.endpoint import Endpoint
from ilab_cli.backends.client.failures import Failure
from ilab_cli.backends.client.served_models import find_model
from ilab_cli.backends.client.settings import EndpointSettings
from ilab_cli.output import INTERRUPTED, say, warn
from ilab_profiles import InputError
from ilab_profiles.models.config import Chat
from ilab_profiles.yaml.files import make_folder

__all__ = ["COMMANDS", "talk"]

COMMANDS = {
    "/help": "tell what can be typed",
    "/clear": "begin anew",
    "/context NAME": f"begin anew with other instructions: {', '.join(CONTEXTS)}",
    "/save FILE": "write the conversation to a file",
    "/load FILE": "go on with the conversation of a file",
    "/quit": "end the chat, as Ctrl-D does",
}
"""What may be typed instead of a question."""


class _Model:
    """The model at the other end."""

    def __init__(self, endpoint: Endpoint, name: str, chat: Chat) -> None:
        self.name = name
        self._endpoint = endpoint
        self._more: dict[str, Any] = {"temperature": 0} if chat.greedy_mode else {}
        self._more |= {"max_tokens": chat.max_tokens} if chat.max_tokens else {}

    def answer(self, messages: list[dict[str, str]]) -> AsyncIterator[str]:
        """The pieces of an answer, as they come.

        Raises:
            Failure: if there is none, or it breaks off.
        """
        body = {"model": self.name, "messages": messages, "stream": True, **self._more}
        return self._endpoint.stream("/chat/completions", json.dumps(body, ensure_ascii=False).encode())


def talk(chat: Chat, settings: EndpointSettings, url: str) -> int:
    """Chat until the person ends it.

    Args:
        chat: the settings.
        settings: whom to ask.
        url: base URL of the endpoint.

    Returns:
        0 if the last question was answered, 1 if it was not.

    Raises:
        InputError: if the session to go on with cannot be read, or no log can be written.
        EndpointFailed: if nobody answers there, or no model can be found.
        KeyboardInterrupt: if the person ends it with Ctrl-C.
    """
    conversation = Conversation.load(Path(chat.session)) if chat.session else Conversation(chat.context)
    log = Path(chat.logs_dir) / f"chat-{datetime.now():%Y%m%d-%H%M%S}.json"
    make_folder(log)
    with asyncio.Runner() as runner:
        exits = AsyncExitStack()
        try:
            model = runner.run(_open(exits, chat, settings, url))
            say(f"chatting with {model.name} at {url}")
            return _Talk(log, model, conversation, runner).run(open_screen(chat, list(COMMANDS)))
        finally:
            runner.run(exits.aclose())


async def _open(exits: AsyncExitStack, chat: Chat, settings: EndpointSettings, url: str) -> _Model:
    session = await exits.enter_async_context(aiohttp.ClientSession(headers={"Content-Type": "application/json"}))
    endpoint = Endpoint(url, session, settings.key, settings)
    return _Model(endpoint, await find_model([endpoint], settings), chat)


class _Talk:
    def __init__(self, log: Path, model: _Model, conversation: Conversation, runner: asyncio.Runner) -> None:
        self._model = model
        self._conversation = conversation
        self._runner = runner
        self._log = log

    def run(self, screen: Screen) -> int:
        code = 0
        while (line := screen.ask()) is not None:
            text = line.strip()
            if text in ("/quit", "/exit"):
                break
            try:
                if text.startswith("/"):
                    self._command(*text.split(None, 1))
                elif text:
                    code = self._question(text, screen)
            except InputError as error:
                warn(error.findings)
        return code

    def _question(self, text: str, screen: Screen) -> int:
        so_far: list[str] = []
        try:
            self._runner.run(screen.show(self._model.answer(self._conversation.asked(text)), so_far))
        except KeyboardInterrupt:
            if base.interrupted() != INTERRUPTED:  # somebody asked the program to end, not the answer
                raise
            say("\nstopped")
        except Failure as error:
            warn([f"error: no answer: {error}"])
            return 1
        self._conversation.answered(text, "".join(so_far))
        self._conversation.save(self._log, self._model.name)
        return 0

    def _command(self, name: str, value: str = "") -> None:
        match name, value:
            case "/clear", "":
                self._conversation = Conversation(self._conversation.context)
                say("cleared")
            case "/context", value if value:
                if unknown := list(unknown_context(value)):
                    raise InputError(unknown)
                self._conversation = Conversation(value)
                say(f"began anew with the context {value}")
            case "/save", value if value:
                self._conversation.save(Path(value).expanduser(), self._model.name)
                say(f"wrote {value}")
            case "/load", value if value:
                self._conversation = Conversation.load(Path(value).expanduser())
                say(f"went on with {len(self._conversation.messages)} messages of {value}")
            case _:
                if name != "/help":
                    warn([f"error: {name} {value}".rstrip() + " is not a command"])
                say("\n".join(f"  {command:15} {about}" for command, about in COMMANDS.items()))
