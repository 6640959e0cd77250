"""Settings in layers: flag > RUMPEL_* variable > .rumpelpod.json > user file > default.

Takes parsed values (reading JSONC is the daemon's business) and remembers where each came from.
Adding a setting is one row of SETTINGS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rumpel import config_values as values
from rumpel import text
from rumpel.errors import ConfigError

REPO_FILE = ".rumpelpod.json"
USER_FILE = "user configuration"
DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key: what it means, its default, and how a value is checked and normalised."""

    key: str
    default: Any
    check: Callable[[Any], Any]
    """The normalised value; raises ValueError with what is expected."""
    meaning: str
    is_users: bool = False
    """What it says is run on this machine, or hands out secrets: no repository may set it."""
    is_guard: bool = False
    """It protects this machine: a repository may lower it, not raise it."""

    @property
    def variable(self) -> str:
        """`pidsLimit` -> `RUMPEL_PIDS_LIMIT`."""
        return "RUMPEL_" + re.sub(r"([A-Z])", r"_\1", self.key).upper()


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked values by key, and where each came from."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def get(self, key: str) -> Any:
        return self.values[key]

    def to_json(self) -> list[dict[str, Any]]:
        """In the order of SETTINGS: key, value, origin, default, meaning."""
        return [
            {
                "key": key,
                "value": self.values[key],
                "origin": self.origins[key],
                "default": setting.default,
                "meaning": setting.meaning,
            }
            for key, setting in SETTINGS.items()
        ]


def resolve(
    *,
    flags: Mapping[str, Any],
    env: Mapping[str, str],
    repo: Mapping[str, Any] | None = None,
    user: Mapping[str, Any] | None = None,
    repo_name: str = REPO_FILE,
    user_name: str = USER_FILE,
    on_problem: Callable[[ConfigError], None] | None = None,
) -> Settings:
    """The settings in force. A flag that is None was not given.

    Raises ConfigError naming the layer, for unknown keys (with a suggestion) and bad values;
    with `on_problem`, that is told of each, and the layer below counts.
    """
    tell = on_problem or _raise
    layers: tuple[tuple[str, Mapping[str, Any]], ...] = (
        (user_name, user or {}),
        (repo_name, repo or {}),
        ("", _from_env(env)),
        ("", {key: value for key, value in flags.items() if value is not None}),
    )
    found = {key: setting.default for key, setting in SETTINGS.items()}
    origins = dict.fromkeys(SETTINGS, DEFAULT)
    warnings: list[str] = []
    for number, (name, layer) in enumerate(layers):
        for key in [key for key in layer if key != "$schema"]:
            try:
                setting = _known(key, name, is_repo=number == 1)
                origin = name or (setting.variable if number == 2 else f"--{_kebab(key)}")
                checked = _checked(setting, layer[key], origin)
            except ConfigError as error:
                tell(error)
                continue
            if number == 1 and setting.is_guard and _amount(checked) > _amount(found[key]):
                warnings.append(f"{name}: {key} {checked} is more than yours: {found[key]} holds")
            else:
                found[key], origins[key] = checked, origin
    return Settings(found, origins, (*warnings, *_misspelt(env)))


def _amount(guard: Any) -> float:
    """0 is no limit at all, nor is what is less: so the engine takes them."""
    amount = values.size_bytes(guard) if isinstance(guard, str) else guard
    return float("inf") if amount <= 0 else float(amount)


def _raise(error: ConfigError) -> None:
    raise error


def _unknown(name: str, key: str) -> ConfigError:
    close = text.suggestion(key, SETTINGS)
    guess = f", did you mean {close!r}?" if close else ""
    return ConfigError(
        f"{name}: there is no setting '{text.safe(key)}'{guess}",
        hint="rumpel config   lists all settings",
        details={"key": key, "known": list(SETTINGS)},
    )


def _known(key: str, name: str, *, is_repo: bool) -> Setting:
    """The setting, if it may be set there."""
    setting = SETTINGS.get(key)
    if setting is None:
        raise _unknown(name, key)
    if setting.is_users and is_repo:
        raise ConfigError(
            f"{name}: {key} is not a repository's to set",
            hint=f"put it into your own settings, or into {setting.variable}",
            details={"key": key},
        )
    return setting


def _checked(setting: Setting, value: Any, origin: str) -> Any:
    try:
        return setting.check(value)
    except (ValueError, TypeError) as err:
        shown = text.safe(str(value))[:80]
        raise ConfigError(
            f"{origin}: {setting.key} is '{shown}', but must be {err}",
            details={"key": setting.key, "origin": origin},
        ) from err


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    """An empty variable is as good as none."""
    return {
        key: env[setting.variable]
        for key, setting in SETTINGS.items()
        if env.get(setting.variable, "") != ""
    }


def _misspelt(env: Mapping[str, str]) -> tuple[str, ...]:
    """Variables are shared with other programs' wrappers, so a stray one is no error."""
    known = {setting.variable for setting in SETTINGS.values()} | OTHER_VARIABLES
    words = [name.removeprefix("RUMPEL_") for name in known]
    found = []
    for name in sorted(env):
        if name.startswith("RUMPEL_") and name not in known:
            close = text.suggestion(name.removeprefix("RUMPEL_"), words)
            if close:
                found.append(f"{text.safe(name)} is not used, did you mean RUMPEL_{close}?")
    return tuple(found)


def _kebab(key: str) -> str:
    return re.sub(r"([A-Z])", r"-\1", key).lower()


SETTINGS: Mapping[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting(
            key="defaultImage",
            default="buildpack-deps:bookworm-scm",
            check=values.string,
            meaning="image of pods of a repository without devcontainer.json",
        ),
        Setting(
            key="host", default="local", check=values.string, meaning="Docker host of new pods"
        ),
        Setting(
            key="copyIn",
            default=(),
            check=values.strings,
            meaning="files of the host that git does not have and new pods get (patterns)",
        ),
        Setting(
            key="keepIgnored",
            default=(".env", ".env.*", ".envrc"),
            check=values.strings,
            meaning="ignored files of a pod that survive recreate (patterns, as of copyIn)",
        ),
        Setting(
            key="notify",
            default=(),
            check=values.command,
            meaning="command that is run when an agent waits, is done or has failed",
            is_users=True,
        ),
        Setting(key="memory", default=None, check=values.size, meaning="memory limit of a pod"),
        Setting(
            key="cpus", default=None, check=values.cpus, meaning="CPU limit of a pod, in cores"
        ),
        Setting(
            key="pidsLimit",
            default=4096,
            check=values.integer(-1, 4_194_304),
            meaning="most processes in a pod, -1 for no limit",
            is_guard=True,
        ),
        Setting(
            key="podQuota",
            default="8g",
            check=values.size,
            meaning="most bytes of commits the host holds for one pod",
            is_guard=True,
        ),
        Setting(
            key="maxFileSize",
            default="512m",
            check=values.size,
            meaning="largest file in a pod's commits that is taken",
            is_guard=True,
        ),
        Setting(
            key="maxBranches",
            default=2000,
            check=values.integer(1, 100_000),
            meaning="most branches of one pod that are taken",
            is_guard=True,
        ),
        Setting(
            key="hooksTimeout",
            default=3600.0,
            check=values.seconds,
            meaning='longest time of one lifecycle command (90, "5m", "1h")',
        ),
        Setting(
            key="keepDeleted",
            default=7 * 86400.0,
            check=values.seconds,
            meaning='how long a deleted pod can be undeleted (3600, "12h", "7d")',
        ),
        Setting(
            key="parallel",
            default=None,
            check=values.integer(1, 1000),
            meaning="pods made at the same time per host (default: twice the cores)",
        ),
        Setting(
            key="shareBranches",
            default=True,
            check=values.boolean,
            meaning="new pods see each other's branches, as their remote rumpelpod",
        ),
        Setting(
            key="prebuild",
            default=values.PREBUILD,
            check=values.prebuild,
            meaning="run onCreate- and updateContentCommand once for all new pods, or false",
        ),
        Setting(
            key="agentVersions",
            default={},
            check=values.versions,
            meaning='versions of agents, such as {"claude": "2.1.332"} (default: the newest)',
        ),
        Setting(
            key="tellAgents",
            default=True,
            check=values.boolean,
            meaning="tell agents where they are, and that their commits arrive by themselves",
        ),
        Setting(
            key="signInCommands",
            default={},
            check=values.commands,
            meaning='commands that print a key, such as {"ANTHROPIC_API_KEY": "pass show api"}',
            is_users=True,
        ),
        Setting(
            key="lendSignIn",
            default=False,
            check=values.boolean,
            meaning="agents in pods use your own sign-in when no key is set; it is renewed here",
            is_users=True,
        ),
        Setting(
            key="secretsFile",
            default=None,
            check=values.string,
            meaning="file with values for `secrets` of devcontainer.json (for its commands only)",
            is_users=True,
        ),
        Setting(
            key="caCertificates",
            default=(),
            check=values.strings,
            meaning="files with certificates that builds and new pods trust besides their own",
            is_users=True,
        ),
        Setting(
            key="proxyVariables",
            default=False,
            check=values.boolean,
            meaning="builds and pods get HTTP_PROXY and the like of your environment",
            is_users=True,
        ),
        Setting(
            key="gitCredentials",
            default=(),
            check=values.git_servers,
            meaning='servers git in a pod gets your git\'s passwords for, such as ["example.com"]',
            is_users=True,
        ),
        Setting(
            key="labels",
            default={},
            check=values.labels,
            meaning="labels put on every container, volume and image, from the next daemon on",
            is_users=True,
        ),
    )
}

OTHER_VARIABLES = frozenset({"RUMPEL_SOCKET", "RUMPEL_DEBUG", "RUMPEL_FAULT", "RUMPEL_FAULT_LOG"})
"""RUMPEL_* variables that are not settings."""
