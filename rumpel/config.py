"""Settings in layers: flag > RUMPEL_* variable > .rumpelpod.json > user file > default.

Takes parsed values (reading JSONC is the daemon's business) and remembers where each came from.
Adding a setting is one row of SETTINGS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rumpel import text
from rumpel.errors import ConfigError

REPO_FILE = ".rumpelpod.json"
USER_FILE = "user configuration"
DEFAULT = "default"

SIZE = re.compile(r"(\d+(?:\.\d+)?)([bkmgt]?)b?", re.IGNORECASE)
SIZE_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
VERSION = re.compile(r"latest|\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?")
DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|d)?")
DURATION_S = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LEAST_MEMORY_BYTES = 6 << 20
"""Docker's own minimum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key: what it means, its default, and how a value is checked and normalised."""

    key: str
    default: Any
    check: Callable[[Any], Any]
    """The normalised value; raises ValueError with what is expected."""
    meaning: str

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
    values = {key: setting.default for key, setting in SETTINGS.items()}
    origins = dict.fromkeys(SETTINGS, DEFAULT)
    for number, (name, layer) in enumerate(layers):
        for key, value in layer.items():
            if key == "$schema":
                continue
            if key not in SETTINGS:
                tell(_unknown(name, key))
                continue
            setting = SETTINGS[key]
            origin = name or (setting.variable if number == 2 else f"--{_kebab(key)}")
            try:
                values[key] = _checked(setting, value, origin)
            except ConfigError as error:
                tell(error)
            else:
                origins[key] = origin
    return Settings(values, origins, _misspelt(env))


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


def _string(value: Any) -> str:
    if isinstance(value, str) and value.strip() == value and value.isprintable() and value:
        return value
    raise ValueError("a text without surrounding blanks or control characters")


def _strings(value: Any) -> tuple[str, ...]:
    """A list; from a variable, separated by commas."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ValueError("a list of texts")
    return tuple(_string(part) for part in parts if part != "")


def _object(value: Any, expected: str) -> dict[str, Any]:
    """From a variable, `key=value` separated by commas."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        value = {key.strip(): content.strip() for key, _, content in pairs}
    if isinstance(value, dict):
        return dict(value)
    raise ValueError(expected)


def _labels(value: Any) -> dict[str, Any]:
    """An object of texts."""
    given = _object(value, expected := 'an object of texts such as {"team": "web"}')
    for key, content in given.items():
        if not key or not isinstance(content, str):
            raise ValueError(expected)
        if key.startswith("rumpel."):
            raise ValueError("without keys of our own (rumpel.*)")
    return given


def _versions(value: Any) -> dict[str, Any]:
    given = _object(value, expected := 'an object of versions such as {"claude": "2.1.332"}')
    if not all(key.isalnum() and VERSION.fullmatch(str(one)) for key, one in given.items()):
        raise ValueError(expected)
    return given


def _size(value: Any) -> str:
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a size such as "4g" or "512m"')
    if float(match[1]) * SIZE_BYTES[match[2].lower()] < LEAST_MEMORY_BYTES:
        raise ValueError("at least 6m")
    return str(value).lower()


def size_bytes(value: str) -> int:
    """Bytes of a checked size (`4g`)."""
    match = SIZE.fullmatch(value)
    if match is None:
        raise ConfigError(f"{value!r} is not a size")
    return int(float(match[1]) * SIZE_BYTES[match[2].lower()])


def _cpus(value: Any) -> str:
    try:
        number = float(value)
    except (ValueError, TypeError):
        number = 0.0
    if isinstance(value, bool) or not 0.01 <= number <= 4096:
        raise ValueError('a number of cores such as 2 or "1.5"')
    return f"{number:g}"


def _boolean(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower())
    if found is None:
        raise ValueError("true or false")
    return found


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def _seconds(value: Any) -> float:
    """Seconds from a number or from `90s`, `30m`, `2h`."""
    match = DURATION.fullmatch(str(value)) if not isinstance(value, bool) else None
    if match is None or (seconds := float(match[1]) * DURATION_S[match[2]]) <= 0:
        raise ValueError('a duration such as "90s", "30m" or "2h"')
    return seconds


def _prebuild(value: Any) -> Mapping[str, Any]:
    """`false`, `true`, or what is otherwise than usual of it."""
    expected = 'false, or an object such as {"inputs": ["package-lock.json"], "maxAge": "3d"}'
    if not isinstance(value, Mapping):
        value = {"on": _boolean(value)}
    if not value.keys() <= PREBUILD.keys():
        raise ValueError(f"{expected}; its keys are {', '.join(list(PREBUILD)[1:])}")
    merged = {**PREBUILD, **value}
    return {
        "on": _boolean(merged["on"]),
        "inputs": _strings(merged["inputs"]),
        "maxAge": _seconds(merged["maxAge"]),
        "minDuration": 0.0
        if str(merged["minDuration"]) in ("0", "0s", "0.0")
        else _seconds(merged["minDuration"]),
    }


PREBUILD: Mapping[str, Any] = {
    "on": True,
    "inputs": (),
    "maxAge": 7 * 86400.0,
    "minDuration": 3.0,
}
"""Setting `prebuild` as it is when nothing is said; `on` is what true and false mean."""

SETTINGS: Mapping[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting(
            key="defaultImage",
            default="buildpack-deps:bookworm-scm",
            check=_string,
            meaning="image of pods of a repository without devcontainer.json",
        ),
        Setting(key="host", default="local", check=_string, meaning="Docker host of new pods"),
        Setting(
            key="copyIn",
            default=(),
            check=_strings,
            meaning="ignored files of the host that are copied into new pods (patterns)",
        ),
        Setting(
            key="keepIgnored",
            default=(".env", ".env.*", ".envrc"),
            check=_strings,
            meaning="ignored files of a pod that survive recreate (patterns)",
        ),
        Setting(key="memory", default=None, check=_size, meaning="memory limit of a pod"),
        Setting(key="cpus", default=None, check=_cpus, meaning="CPU limit of a pod, in cores"),
        Setting(
            key="pidsLimit",
            default=4096,
            check=_integer(-1, 4_194_304),
            meaning="most processes in a pod, -1 for no limit",
        ),
        Setting(
            key="podQuota",
            default="8g",
            check=_size,
            meaning="most bytes of commits the host holds for one pod",
        ),
        Setting(
            key="maxFileSize",
            default="512m",
            check=_size,
            meaning="largest file in a pod's commits that is taken",
        ),
        Setting(
            key="maxBranches",
            default=2000,
            check=_integer(1, 100_000),
            meaning="most branches of one pod that are taken",
        ),
        Setting(
            key="hooksTimeout",
            default=3600.0,
            check=_seconds,
            meaning='longest time of one lifecycle command (90, "5m", "1h")',
        ),
        Setting(
            key="keepDeleted",
            default=7 * 86400.0,
            check=_seconds,
            meaning='how long a deleted pod can be undeleted (3600, "12h", "7d")',
        ),
        Setting(
            key="parallel",
            default=None,
            check=_integer(1, 1000),
            meaning="pods made at the same time per host (default: twice the cores)",
        ),
        Setting(
            key="shareBranches",
            default=True,
            check=_boolean,
            meaning="new pods see each other's branches, as their remote rumpelpod",
        ),
        Setting(
            key="prebuild",
            default=PREBUILD,
            check=_prebuild,
            meaning="run onCreate- and updateContentCommand once for all new pods, or false",
        ),
        Setting(
            key="agentVersions",
            default={},
            check=_versions,
            meaning='versions of agents, such as {"claude": "2.1.332"} (default: the newest)',
        ),
        Setting(
            key="labels",
            default={},
            check=_labels,
            meaning="labels put on every container, volume and image",
        ),
    )
}

OTHER_VARIABLES = frozenset({"RUMPEL_SOCKET", "RUMPEL_DEBUG", "RUMPEL_FAULT", "RUMPEL_FAULT_LOG"})
"""RUMPEL_* variables that are not settings."""

TIMEOUTS_S: Mapping[str, float] = {
    "daemon.first-line": 10.0,
    "daemon.send": 60.0,
    "daemon.consent": 600.0,
    "daemon.exit-code": 10.0,
    "docker.call": 60.0,
    "docker.start": 120.0,
    "docker.pull": 3600.0,
    "docker.build": 7200.0,
    "docker.stop-grace": 10.0,
    "git.read": 30.0,
    "git.fetch": 600.0,
    "git.push": 1800.0,
    "pod.open": 30.0,
    "pod.reply": 60.0,
    "pod.set-up": 1500.0,
    "pod.probe": 10.0,
}
"""Deadlines of everything that crosses a process or the network. Not in any fingerprint."""
