"""Who may ask the studio: whoever has its token, which is in the address that the terminal shows."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from fusionkit.errors import FusionError

LENGTH = 32
"""Bytes of a token."""


class Access:
    """The token of a studio, and keys that open it once.

    Other people who are logged in on the machine can reach its ports, and so can pages of other sites. The token is the
    folder's, so that a page that is open goes on when the studio is started again.

    Args:
        token: Opens the studio as often as it is shown.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self._once: set[str] = set()

    def once(self) -> str:
        """A key that opens the studio once, for an address that others may see: in the list of processes."""
        key = secrets.token_urlsafe(LENGTH)
        self._once.add(key)
        return key

    def opens(self, key: str) -> bool:
        """Whether a key of an address opens the studio; one that opens it once is used up."""
        if self._same(key):
            return True
        used = key in self._once
        self._once.discard(key)
        return used

    def knows(self, cookies: str, name: str) -> bool:
        """Whether a browser's cookies have the token, under a name."""
        try:
            found = SimpleCookie(cookies).get(name)
        except CookieError:
            return False
        return found is not None and self._same(found.value)

    def _same(self, key: str) -> bool:
        return secrets.compare_digest(key.encode(), self.token.encode())


def access_of(folder: Path) -> Access:
    """The access to the studio of a folder, whose token is in a file that its user alone can read.

    Args:
        folder: Where the studio's own files are.

    Raises:
        FusionError: The file can't be read or made.
    """
    path = folder / "token"
    try:
        token = _kept(path)
        if not token:
            with suppress(FileNotFoundError):
                path.unlink()
            token = secrets.token_urlsafe(LENGTH)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(handle, token.encode())
            finally:
                os.close(handle)
    except OSError as error:
        raise FusionError(f"the studio's token '{path}' can't be kept: {error.strerror or error}") from None
    return Access(token)


def _kept(path: Path) -> str:
    """The token of a file; empty where there is none, where it was cut off, and where others can read it."""
    with suppress(FileNotFoundError, UnicodeDecodeError):
        others_may = os.name == "posix" and path.stat().st_mode & 0o077
        token = path.read_text(encoding="ascii")
        if not others_may and len(token) >= LENGTH:
            return token
    return ""
