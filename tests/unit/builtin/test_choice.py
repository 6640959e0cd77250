"""Which provider is asked, whether it can be, and whether it is there."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from rumpel.builtin import providers
from rumpel.builtin.model import ModelError, Question, Said
from rumpel.errors import ConfigError, UsageError
from tests.support.fake_models import PARTS, Models
from tests.unit.builtin.test_providers import KEY, MODELS, each_provider


def test_who_is_asked(server: Models) -> None:
    env = server.env(KEY)
    assert providers.choose(None, None, env).model == "claude-opus-5-5"
    assert providers.choose(None, None, server.env(KEY, "xai")).model == "grok-4.6"
    assert providers.choose(None, "gemini-x", env).provider == "gemini", "the conversation's"
    assert providers.choose(None, "xai/claude-y", env).provider == "xai"
    for before, words in (("gemini-x", "nothing signs us in at Gemini"), ("mine", "is not known")):
        with pytest.raises(ConfigError, match=f"was with {before}.*{words}") as caught:
            providers.choose(None, before, server.env(KEY, "xai"))
        assert "-m MODEL" in str(caught.value.hint), "another company is told by nobody's mistake"
    assert providers.choose("grok-4.6", "gemini-x", server.env(KEY, "xai")).provider == "xai"
    assert providers.choose("xai/claude-y", None, env).model == "claude-y"
    bearer = providers.choose(None, None, {"ANTHROPIC_AUTH_TOKEN": KEY})
    assert bearer.secret == {"auth_token": KEY}
    assert KEY not in repr(bearer)
    with pytest.raises(UsageError, match="nobody is known to have the model 'gpt-9'"):
        providers.choose("gpt-9", None, env)
    with pytest.raises(ConfigError, match="nothing signs the built-in agent in at xAI") as caught:
        providers.choose("grok-4.6", None, server.env(KEY, "gemini"))
    assert caught.value.hint == "set XAI_API_KEY, or choose another model with -m"
    with pytest.raises(ConfigError, match="nothing signs the built-in agent in") as caught:
        providers.choose(None, None, {"ANTHROPIC_API_KEY": " "})
    assert caught.value.hint == "set ANTHROPIC_API_KEY, GEMINI_API_KEY or XAI_API_KEY"


@pytest.mark.parametrize("key", ["one\ntwo", "k\x7fy", "schlüssel"])
def test_what_is_no_key_is_said(key: str) -> None:
    with pytest.raises(ConfigError, match="XAI_API_KEY is no key") as caught:
        providers.choose("grok-4.6", None, {"XAI_API_KEY": key})
    assert key not in str(caught.value)
    assert providers.choose(None, None, {"XAI_API_KEY": f" {KEY}\n"}).secret == {"api_key": KEY}
    both = {"XAI_API_KEY": key, "ANTHROPIC_API_KEY": KEY}
    assert providers.choose(None, None, both).provider == "anthropic", "one that is not needed"


def test_without_the_library_it_is_said_what_to_install(
    server: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, known in list(providers.PROVIDERS.items()):
        missing = "google_of_nobody.genai" if "." in known.library else "of_nobody"
        monkeypatch.setitem(providers.PROVIDERS, name, replace(known, library=missing))
        choice = providers.choose(MODELS[name], None, server.env(KEY))
        for reach in (providers.check, providers.load, providers.connect):
            with pytest.raises(ConfigError, match=f"{missing}.* is not installed") as caught:
                reach(choice)
            assert "uv tool install '.[agent]'" in str(caught.value.hint)


@each_provider
def test_one_that_is_not_there_is_named(name: str) -> None:
    """With the address that was tried, and no key."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        (part,) = (one for one in PARTS if one[0] == name)
        env = {part[1]: KEY, part[2]: url + part[3]}
        provider = providers.connect(providers.choose(MODELS[name], None, env))
        question = Question(
            model=MODELS[name], system="", entries=(Said(text="x"),), tools=(), conversation="1"
        )
        with pytest.raises(ModelError, match=f"cannot reach .* at {url}: Connection refused"):
            provider.ask(question, lambda piece: None)
        provider.close()
