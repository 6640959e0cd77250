"""Where things live, and folders that are not ours."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rumpel import paths
from rumpel.errors import ConfigError


def test_xdg_folders_and_their_defaults() -> None:
    assert paths.state_dir({"HOME": "/h"}) == "/h/.local/state/rumpel"
    assert paths.state_dir({"HOME": "/h", "XDG_STATE_HOME": "/s/"}) == "/s/rumpel"
    assert paths.cache_dir({"HOME": "/h", "XDG_CACHE_HOME": "relative"}) == "/h/.cache/rumpel"
    assert paths.user_config_path({"HOME": "/h"}) == "/h/.config/rumpel/config.json"


def test_the_socket_prefers_the_explicit_then_the_runtime_folder(tmp_path: Path) -> None:
    env = {"HOME": "/h", "XDG_RUNTIME_DIR": str(tmp_path), "RUMPEL_SOCKET": "/x/d.sock"}
    assert paths.socket_path(env) == "/x/d.sock"
    del env["RUMPEL_SOCKET"]
    assert paths.socket_path(env) == f"{tmp_path}/rumpel/daemon.sock"
    env["XDG_RUNTIME_DIR"] = "/run/user/of/somebody/else"
    assert paths.socket_path(env) == "/h/.local/state/rumpel/run/daemon.sock"


def test_a_socket_path_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="too long"):
        paths.socket_path({"RUMPEL_SOCKET": "/" + "x" * 104})
    assert paths.socket_path({"RUMPEL_SOCKET": "/" + "x" * 102})


def test_folders_are_made_private_and_foreign_ones_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    paths.ensure_private(str(folder))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ConfigError, match="not a folder"):
        paths.ensure_private(str(tmp_path / "link"))
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="open to other users"):
        paths.ensure_private(str(folder))


def test_the_state_folder_says_what_it_is(tmp_path: Path) -> None:
    folder = Path(paths.prepare_state({"XDG_STATE_HOME": str(tmp_path)}))
    assert "rumpel" in (folder / "README").read_text()
    paths.prepare_state({"XDG_STATE_HOME": str(tmp_path)})
