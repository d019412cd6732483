"""What an editor shows for a profile: starts the real yaml-language-server, opens a file, prints its diagnostics.

    npm install yaml-language-server
    python examples/editor_check.py --server node_modules/.bin/yaml-language-server [PROFILE]

Without a profile, a bad one is made up. The file names its schema in its first line, as the files that ``ilab`` writes
do, so that the editor needs no setting of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import ilab_profiles

BAD = """\
extends: single_gpu
train:
  num_epochs: 0
  learning_rat: 1e-4
  lora:
    enabled: false
  deepspeed:
    quantize_dtype: nf4
"""


def main() -> int:
    """Print the diagnostics as ``line: message``; exit code 1 if there are none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="yaml-language-server", help="the language server's command")
    parser.add_argument("profile", type=Path, nargs="?", help="profile to open")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        schema = Path(folder, "profile.schema.json")
        schema.write_text(json.dumps(ilab_profiles.json_schema()), encoding="utf-8")
        text = options.profile.read_text(encoding="utf-8") if options.profile else BAD
        found = diagnostics(options.server, f"# yaml-language-server: $schema={schema.as_uri()}\n{text}")
    for entry in found:
        print(f"{entry['range']['start']['line']}: {entry['message']}")  # counted without the line that was added
    return 0 if found else 1


def diagnostics(command: str, text: str) -> list[dict[str, Any]]:
    """What the language server says of a YAML text: diagnostics of the Language Server Protocol."""
    server = subprocess.Popen([command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        _send(server.stdin, {"id": 1, "method": "initialize", "params": {"processId": None, "capabilities": {}}})
        _until(server.stdout, lambda message: message.get("id") == 1)
        _send(server.stdin, {"method": "initialized", "params": {}})
        document = {"uri": "file:///profile.yaml", "languageId": "yaml", "version": 1, "text": text}
        _send(server.stdin, {"method": "textDocument/didOpen", "params": {"textDocument": document}})
        said = _until(server.stdout, lambda message: message.get("method") == "textDocument/publishDiagnostics")
        return list(said["params"]["diagnostics"])
    finally:
        server.kill()
        server.wait()


def _send(stream: IO[bytes], message: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    stream.flush()


def _until(stream: IO[bytes], wanted: Any) -> dict[str, Any]:
    while True:
        length = 0
        while (line := stream.readline().strip()) or not length:
            if not line:
                raise EOFError("the language server ended")
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        message: dict[str, Any] = json.loads(stream.read(length))
        if wanted(message):
            return message


if __name__ == "__main__":
    sys.exit(main())
