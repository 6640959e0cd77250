"""Which model is asked, at which provider, and what signs us in there."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

from rumpel.builtin.model import Answered, Provider, Question
from rumpel.errors import ConfigError, UsageError

EXTRA = "agent"
"""The extra of our package that brings the libraries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A provider: where its code is, and what it is reached with."""

    title: str
    library: str
    module: str
    maker: str
    """A class in the module."""
    models: str
    """How the names of its models begin."""
    default: str
    keys: Mapping[str, str]
    """Variables that sign us in, the one that wins first -> how the library takes it."""
    url: str
    """The variable that names another address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    provider: str
    model: str
    secret: Mapping[str, str] = field(repr=False)
    base_url: str | None


PROVIDERS = {
    "anthropic": Known(
        title="Anthropic",
        library="anthropic",
        module="rumpel.builtin.anthropic_api",
        maker="Claude",
        models="claude",
        default="claude-opus-5-5",
        keys={"ANTHROPIC_API_KEY": "api_key", "ANTHROPIC_AUTH_TOKEN": "auth_token"},
        url="ANTHROPIC_BASE_URL",
    ),
    "gemini": Known(
        title="Gemini",
        library="google.genai",
        module="rumpel.builtin.gemini_api",
        maker="Gemini",
        models="gemini",
        default="gemini-3.8-flash",
        keys={"GOOGLE_API_KEY": "api_key", "GEMINI_API_KEY": "api_key"},
        url="GOOGLE_GEMINI_BASE_URL",
    ),
    "xai": Known(
        title="xAI",
        library="openai",
        module="rumpel.builtin.xai_api",
        maker="Grok",
        models="grok",
        default="grok-4.6",
        keys={"XAI_API_KEY": "api_key"},
        url="XAI_BASE_URL",
    ),
}


def choose(model: str | None, before: str | None, env: Mapping[str, str]) -> Choice:
    """The model that was asked for, else that of the conversation, else the default of the first
    provider with a key.

    Each may begin with `PROVIDER/`. What was said to one company is told to another only when
    `model` says so. Raises UsageError, ConfigError when nothing signs us in.
    """
    if model is not None:
        return _choice(*_split(model), env)
    if before is not None:
        return _same(before, env)
    signed = next((name for name, known in PROVIDERS.items() if _secret(known, env)), None)
    if signed is None:
        raise ConfigError(
            "nothing signs the built-in agent in",
            hint="set ANTHROPIC_API_KEY, GEMINI_API_KEY or XAI_API_KEY",
        )
    return _choice(signed, PROVIDERS[signed].default, env)


def _same(before: str, env: Mapping[str, str]) -> Choice:
    """Raises ConfigError."""
    hint = "-m MODEL tells it another one, --new begins without it"
    found = _found(before)
    if found is None:
        what = f"this conversation was with {before}, of a provider that is not known"
        raise ConfigError(what, hint=hint)
    provider, model = found
    known = PROVIDERS[provider]
    if not _secret(known, env):
        raise ConfigError(
            f"this conversation was with {model}, and nothing signs us in at {known.title}",
            hint=f"set {' or '.join(known.keys)}; {hint}",
        )
    return _choice(provider, model, env)


def check(choice: Choice) -> None:
    """Raises ConfigError when the provider's library is not installed. Loads nothing."""
    known = PROVIDERS[choice.provider]
    try:
        is_there = importlib.util.find_spec(known.library) is not None
    except ModuleNotFoundError:  # not even the package around it
        is_there = False
    if not is_there:
        raise ConfigError(
            f"the library for {known.title} ({known.library}) is not installed",
            hint=f"install rumpel with its extra: uv tool install '.[{EXTRA}]'",
        )


def load(choice: Choice) -> ModuleType:
    """Takes about a second the first time. Raises ConfigError."""
    check(choice)
    return importlib.import_module(PROVIDERS[choice.provider].module)


def connect(choice: Choice) -> Provider:
    """Raises ConfigError."""
    maker = getattr(load(choice), PROVIDERS[choice.provider].maker)
    made: Provider = maker(choice.secret, choice.base_url)
    return made


class Later:
    """A provider whose library, which takes a second, is loaded when it is first asked."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._provider: Provider | None = None

    def ask(self, question: Question, on_text: Callable[[str], None]) -> Answered:
        if self._provider is None:
            self._provider = connect(self._choice)
        return self._provider.ask(question, on_text)

    def close(self) -> None:
        if self._provider is not None:
            self._provider.close()


def _found(model: str) -> tuple[str, str] | None:
    """Its provider, and what it is called there."""
    provider, slash, rest = model.partition("/")
    if slash and rest and provider in PROVIDERS:
        return provider, rest
    return next(((n, model) for n, one in PROVIDERS.items() if model.startswith(one.models)), None)


def _split(model: str) -> tuple[str, str]:
    found = _found(model)
    if found is not None:
        return found
    begin = ", ".join(f"{known.models}-…" for known in PROVIDERS.values())
    raise UsageError(
        f"nobody is known to have the model {model!r}",
        hint=f"use one of {begin}, or PROVIDER/MODEL with {', '.join(PROVIDERS)}",
    )


def _choice(provider: str, model: str, env: Mapping[str, str]) -> Choice:
    known = PROVIDERS[provider]
    secret = _secret(known, env)
    if not secret:
        raise ConfigError(
            f"nothing signs the built-in agent in at {known.title}",
            hint=f"set {' or '.join(known.keys)}, or choose another model with -m",
        )
    return Choice(
        provider=provider, model=model, secret=secret, base_url=env.get(known.url) or None
    )


def _secret(known: Known, env: Mapping[str, str]) -> dict[str, str]:
    """Raises ConfigError for what cannot be sent; a library would call it a lost connection."""
    for name, taken_as in known.keys.items():
        if value := env.get(name, "").strip():
            if not (value.isascii() and value.isprintable()):
                raise ConfigError(
                    f"{name} is no key: there are line breaks or other characters in it",
                    hint=f"set {name} to the key alone",
                )
            return {taken_as: value}
    return {}
