"""Who may ask the studio."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionkit.errors import FusionError
from fusionkit.studio.access import access_of


def test_the_token_is_the_folder_s_and_its_user_s_alone(tmp_path: Path) -> None:
    token = access_of(tmp_path).token
    file = tmp_path / "token"
    assert len(token) > 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert access_of(tmp_path).token == token, "a page that is open goes on"
    file.chmod(0o644)
    other = access_of(tmp_path).token
    assert other != token, "somebody may have read it"
    file.write_text(other[:9])
    assert len(access_of(tmp_path).token) == len(token), "it was cut off"


def test_a_folder_that_takes_no_token_is_told(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()  # as for root, too, it can't be written
    with pytest.raises(FusionError, match="can't be kept"):
        access_of(tmp_path)


def test_keys_and_cookies(tmp_path: Path) -> None:
    access = access_of(tmp_path)
    key = access.once()
    assert [access.opens(each) for each in (access.token, access.token, key, key, "", "x", "\u00e9")] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert access.knows(f"a=b; mine={access.token}", "mine")
    for cookies in ("", f"other={access.token}", "mine=x", f"mine={key}", "\x00;;="):
        assert not access.knows(cookies, "mine")
