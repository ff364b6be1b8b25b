"""A studio that is open, as tests ask it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from warm import Warm


@dataclass
class Served:
    """A studio that is open.

    Args:
        folder: Its folder.
        address: Where it is.
        process: What serves it.
    """

    folder: Path
    address: str
    process: Warm

    @property
    def token(self) -> str:
        """What opens it."""
        return (self.folder / ".studio" / "token").read_text()

    @property
    def cookie(self) -> str:
        """What a browser sends that was let in."""
        return f"fusionkit-studio-{self.address.rpartition(':')[2]}={self.token}"

    def ask(self, what: str, **body: Any) -> dict[str, Any]:
        """An answer of the studio."""
        headers = {"content-type": "application/json", "cookie": self.cookie}
        request = urllib.request.Request(f"{self.address}/api/{what}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def until(self, is_so: Callable[[dict[str, Any]], bool], seconds: float = 120) -> dict[str, Any]:
        """The first state of which something is so."""
        end = time.monotonic() + seconds
        while not is_so(state := self.ask("state")):
            assert time.monotonic() < end, state
            time.sleep(0.1)
        return state


class Serve(Protocol):
    """Opens a studio of a folder, on a port that is free or given."""

    def __call__(self, folder: Path, port: int = 0) -> Served: ...
