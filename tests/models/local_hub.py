"""A model hub on this machine: the part of the hub's protocol that reading a public model needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(models: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serves folders as models; answers the address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, body: bool = True) -> None:
            path = self.path.partition("?")[0].strip("/")
            asked.append(path)
            parts = path.split("/")
            api = parts[:2] == ["api", "models"]
            name = "/".join(parts[2:4] if api else parts[:2])
            folder = models.get(name)
            if name == "owner/gated":
                self.answer(b"", 403, body, **{"X-Error-Code": "GatedRepo"})
            elif folder is None:
                self.answer(b"", 404, body, **{"X-Error-Code": "RepoNotFound"})
            elif api:
                self.answer(json.dumps(self.listing(name, folder, "tree" in parts)).encode(), 200, body)
            elif parts[3] not in ("main", COMMIT):
                self.answer(b"", 404, body, **{"X-Error-Code": "RevisionNotFound"})
            elif not (folder / "/".join(parts[4:])).is_file():
                self.answer(b"", 404, body, **{"X-Error-Code": "EntryNotFound"})
            else:
                content = (folder / "/".join(parts[4:])).read_bytes()
                tag = hashlib.sha256(content).hexdigest()
                self.answer(content, 200, body, **{"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"'})

        def listing(self, name: str, folder: Path, tree: bool) -> Any:
            files = sorted(file for file in folder.rglob("*") if file.is_file())
            if tree:
                return [
                    {
                        "type": "file",
                        "path": str(file.relative_to(folder)),
                        "size": file.stat().st_size,
                        "oid": hashlib.sha1(file.read_bytes()).hexdigest(),
                    }
                    for file in files
                ]
            siblings = [{"rfilename": str(file.relative_to(folder))} for file in files]
            return {"id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}

        def answer(self, content: bytes, status: int, body: bool, **headers: str) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
