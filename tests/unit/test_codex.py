"""What Codex is started with, and what is taken of its settings in the pod."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.agents.codex import BROKEN, CODEX, CONFIG, TURN_FILE, toml
from rumpel.agents.model import Platform, Seat
from rumpel.errors import ConfigError

KEY = "sk-proj-0123456789"
BYPASSES = ["--dangerously-bypass-approvals-and-sandbox", "--dangerously-bypass-hook-trust"]


def seat(**more: object) -> Seat:
    secrets = {"OPENAI_API_KEY": KEY}
    made = {"pod": "a", "branch": "a", "workspace": "/w", "user": "dev", "secrets": secrets, **more}
    return Seat(**made)  # type: ignore[arg-type] # what a test changes


def settings(told: str = "", **more: object) -> dict[str, Any]:
    """What its switches say, as Codex reads them."""
    argv = [word for word in CODEX.argv(seat(**more), told) if word not in BYPASSES]
    assert argv[::2] == ["-c"] * (len(argv) // 2)
    return tomllib.loads("\n".join(argv[1::2]))


def test_what_keeps_the_dialogs_away() -> None:
    given = settings(workspace="/srv/my 'odd\" ☃\n")
    assert given["projects"] == {"/srv/my 'odd\" ☃\n": {"trust_level": "trusted"}}
    assert given["check_for_update_on_startup"] is False
    assert CODEX.argv(seat(), "")[-2:] == BYPASSES
    assert not set(BYPASSES) & set(CODEX.argv(seat(asks=True), ""))


def test_the_key_is_named_and_not_given() -> None:
    argv = CODEX.argv(seat(), "told")
    assert KEY not in str(argv)
    provider = settings()["model_providers"]["rumpel"]
    assert provider["env_key"] == CODEX.key_variable
    assert provider["base_url"] == "https://api.openai.com/v1"
    assert settings()["shell_environment_policy"] == {"exclude": [CODEX.key_variable]}
    own = settings(given={"OPENAI_BASE_URL": "http://x/v1"})
    assert own["model_providers"]["rumpel"]["base_url"] == "http://x/v1"
    with pytest.raises(ConfigError, match="no place for it") as caught:
        settings(given={"OPENAI_BASE_URL": "http://me:canary@x/v1"})
    assert "canary" not in str(caught.value)


def test_with_a_sign_in_that_is_lent_it_finds_its_own_way() -> None:
    assert "model_provider" not in settings(secrets={}, is_lent=True)
    given = settings(secrets={}, is_lent=True, given={"OPENAI_BASE_URL": "http://x/v1"})
    provider = given["model_providers"]["rumpel"]
    assert provider["requires_openai_auth"] is True
    assert "env_key" not in provider


def test_its_own_settings_stay() -> None:
    mine = b'model_provider = "mine"\ndeveloper_instructions = "Be brief."\n# mine\n'
    assert CODEX.files(seat(), {CONFIG: mine}).keys() == {TURN_FILE}
    given = settings("You are in a pod", found={CONFIG: mine})
    assert given["developer_instructions"] == "Be brief.\n\nYou are in a pod"
    assert "model_provider" not in given
    assert "model_providers" not in given
    mine = b'[shell_environment_policy]\nexclude = ["AWS_*", 1]\n'
    assert settings(found={CONFIG: mine})["shell_environment_policy"] == {
        "exclude": ["AWS_*", CODEX.key_variable]
    }


@pytest.mark.parametrize("found", [b"\xff", b"a = [", b"=" * 100, b"a = " + b"[" * 100_000])
def test_what_it_could_not_read_is_put_aside(found: bytes) -> None:
    files = CODEX.files(seat(), {CONFIG: found})
    assert (files[CONFIG], files[BROKEN]) == (b"", found)
    assert settings("told", found={CONFIG: found})["developer_instructions"] == "told"


@given(st.binary(max_size=60))
def test_what_lies_in_the_pod_may_be_anything(junk: bytes) -> None:
    CODEX.files(seat(), {CONFIG: junk})
    assert settings(found={CONFIG: junk})["hooks"]


NESTED = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(NESTED)
def test_a_value_is_read_as_it_was_written(value: object) -> None:
    line = f"x={toml(value)}"
    assert "\n" not in line
    assert tomllib.loads(line)["x"] == value


def test_each_hook_is_agreed_to() -> None:
    """With this hash Codex 0.171 runs it without a question (tests/e2e/test_codex.py, --ask)."""
    hooks = settings()["hooks"]
    assert set(hooks) == {"UserPromptSubmit", "Interrupt", "Stop", "SessionEnd", "state"}
    assert hooks["Stop"][0]["hooks"][0]["command"].endswith(".status.sh codex waiting")
    assert len(hooks["state"]) == 4
    assert hooks["state"]["/<session-flags>/config.toml:stop:0:0"] == {
        "trusted_hash": "sha256:6b04c805912e3f022b9e8fbb0e6e6d435059655962e9acba1f200d2904ad8c75"
    }
    asking = settings(asks=True)["hooks"]
    assert "/<session-flags>/config.toml:permission_request:0:0" in asking["state"]


def test_where_things_lie() -> None:
    arm = Platform(arch="arm64", is_musl=True)
    assert CODEX.package(arm) == "@openai/codex"
    assert CODEX.release("0.171.0", arm) == "0.171.0-linux-arm64"
    assert CODEX.path("0.171.0", arm) == (
        "/rumpel/agents/codex/0.171.0-arm64-musl/vendor/aarch64-unknown-linux-musl/bin/codex"
    )


@pytest.mark.parametrize("config", [b"a." * 1_000_000 + b"b=1", b"# " + b"x" * (1 << 20)])
def test_a_config_that_would_hold_up_all_pods_is_put_aside(config: bytes) -> None:
    """The reader of TOML takes the square of a key's parts: hours for this one."""
    assert CODEX.files(seat(), {CONFIG: config})[BROKEN] == config
    assert "model_provider" in settings(found={CONFIG: config})
