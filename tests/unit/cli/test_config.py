"""Layers, origins, checks and suggestions of the settings."""

from __future__ import annotations

from typing import Any

import pytest

from rumpel import config, config_values
from rumpel.cli import config as config_verb
from rumpel.errors import ConfigError


def resolve(**layers: Any) -> config.Settings:
    return config.resolve(**{"flags": {}, "env": {}, **layers})


def test_defaults_say_so() -> None:
    settings = resolve()
    assert settings.get("pidsLimit") == 4096
    assert settings.get("host") == "local"
    assert set(settings.origins.values()) == {"default"}
    assert [row["key"] for row in settings.to_json()] == list(config.SETTINGS)


def test_each_layer_beats_the_one_below() -> None:
    layers: dict[str, Any] = {"user": {"host": "u", "memory": "1g", "cpus": 1, "pidsLimit": 10}}
    layers["repo"] = {"host": "r", "memory": "2G", "cpus": 1.5}
    layers["env"] = {"RUMPEL_HOST": "e", "RUMPEL_MEMORY": "3g", "RUMPEL_CPUS": ""}
    layers["flags"] = {"host": "f", "memory": None}
    settings = resolve(**layers)
    found = {key: (settings.get(key), settings.origins[key]) for key in layers["user"]}
    assert found == {
        "host": ("f", "--host"),
        "memory": ("3g", "RUMPEL_MEMORY"),
        "cpus": ("1.5", ".rumpelpod.json"),
        "pidsLimit": (10, "user configuration"),
    }


def test_prebuild_is_a_switch_or_an_object() -> None:
    usual = resolve().get("prebuild")
    assert usual == {"on": True, "inputs": (), "maxAge": 7 * 86400, "minDuration": 3.0}
    assert resolve(env={"RUMPEL_PREBUILD": "no"}).get("prebuild") == {**usual, "on": False}
    given = {"inputs": ["lock"], "maxAge": "2h", "minDuration": 0}
    found = resolve(repo={"prebuild": given}).get("prebuild")
    assert found == {"on": True, "inputs": ("lock",), "maxAge": 7200, "minDuration": 0}


def test_what_runs_here_is_not_a_repositorys_to_set() -> None:
    assert resolve(user={"notify": "beep"}).get("notify") == ("/bin/sh", "-c", "beep")
    assert resolve(env={"RUMPEL_NOTIFY": "beep -l 5"}).get("notify")[2] == "beep -l 5"
    assert resolve(user={"notify": ["beep", "-l"]}).get("notify") == ("beep", "-l")
    with pytest.raises(ConfigError, match="notify is not a repository's to set"):
        resolve(repo={"notify": "beep"})
    told: list[ConfigError] = []
    found = resolve(repo={"notify": "x"}, user={"notify": "beep"}, on_problem=told.append)
    assert (found.get("notify")[2], len(told)) == ("beep", 1)


def test_lists_and_labels_from_variables() -> None:
    env = {"RUMPEL_COPY_IN": ".env, conf/*.local,", "RUMPEL_LABELS": "team=web,run=a=b"}
    settings = resolve(env=env)
    assert settings.get("copyIn") == (".env", "conf/*.local")
    assert settings.get("labels") == {"team": "web", "run": "a=b"}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"memroy": "4g"}, "did you mean 'memory'"),
        ({"x\x1b": 1}, r"no setting 'x\\x1b'"),
        ({"memory": 4}, "size such as"),
        ({"memory": "1k"}, "at least 6m"),
        ({"memory": "4 gigs"}, "size such as"),
        ({"cpus": True}, "number of cores"),
        ({"cpus": "many"}, "number of cores"),
        ({"pidsLimit": 1.5}, "whole number"),
        ({"pidsLimit": "x"}, "whole number"),
        ({"hooksTimeout": "soon"}, "duration"),
        ({"hooksTimeout": 0}, "duration"),
        ({"prebuild": "maybe"}, "true or false"),
        ({"prebuild": {"input": ["a"]}}, "its keys are inputs, maxAge, minDuration"),
        ({"prebuild": {"maxAge": "old"}}, "duration"),
        ({"prebuild": {"inputs": 3}}, "a list of texts"),
        ({"parallel": 0}, "from 1 to"),
        ({"copyIn": [1]}, "text"),
        ({"host": "a\nb"}, "text"),
        ({"defaultImage": ""}, "text"),
    ],
)
def test_bad_settings_name_file_key_and_rule(layer: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        resolve(repo=layer)
    assert caught.value.message.startswith(".rumpelpod.json: ")
    assert caught.value.message.isprintable()


def test_labels_are_the_users() -> None:
    for wrong, words in ((["a"], "object of texts"), ({"rumpel.pod": "x"}, "keys of our own")):
        with pytest.raises(ConfigError, match=words):
            resolve(user={"labels": wrong})
    with pytest.raises(ConfigError, match="labels is not a repository"):
        resolve(repo={"labels": {"team": "web"}})


def test_what_runs_on_this_machine_is_for_the_user_to_set() -> None:
    wanted = {"signInCommands": {"ANTHROPIC_API_KEY": "pass show api"}}
    with pytest.raises(ConfigError, match="signInCommands is not a repository"):
        resolve(repo=wanted)
    assert resolve(user=wanted).get("signInCommands") == wanted["signInCommands"]
    set_so = {"RUMPEL_SIGN_IN_COMMANDS": "OPENAI_API_KEY=op read op://a/b"}
    assert resolve(env=set_so).get("signInCommands") == {"OPENAI_API_KEY": "op read op://a/b"}
    with pytest.raises(ConfigError, match="commands by variable"):
        resolve(user={"signInCommands": {"lower": "x"}})


def test_values_are_shown_as_people_write_them() -> None:
    prebuild = {"on": True, "inputs": [], "maxAge": 604800.0, "minDuration": 3.0}
    shown = config_verb.setting({"key": "prebuild", "value": prebuild})
    assert shown == "on=yes, maxAge=7 d, minDuration=3.00 s"
    shell = {"name": "", "argv": ["/bin/sh", "-c", "npm ci && make"]}
    assert config_verb.shown(shell) == "npm ci && make"
    assert config_verb.shown({"argv": ["echo", "a b"]}) == "echo 'a b'"


def test_durations_and_sizes() -> None:
    for value, seconds in ((90, 90.0), ("90s", 90.0), ("1.5h", 5400.0), ("30m", 1800.0)):
        assert resolve(repo={"hooksTimeout": value}).get("hooksTimeout") == seconds
    assert config_values.size_bytes("1.5g") == 3 << 29


def test_a_schema_line_is_allowed_and_misspelt_variables_are_reported() -> None:
    settings = resolve(repo={"$schema": "x"}, env={"RUMPEL_MEMROY": "4g", "RUMPEL_Q": "1"})
    assert settings.warnings == ("RUMPEL_MEMROY is not used, did you mean RUMPEL_MEMORY?",)


def test_problems_can_be_told_and_the_rest_counts() -> None:
    """What saves work goes on with what is right beside a mistake."""
    found: list[ConfigError] = []
    repo = {"memry": 1, "pidsLimit": "many", "keepDeleted": "30d"}
    user = {"pidsLimit": 10}
    settings = resolve(repo=repo, user=user, on_problem=found.append)
    assert (settings.get("pidsLimit"), settings.get("keepDeleted")) == (10, 30 * 86400)
    assert settings.origins["pidsLimit"] == "user configuration"
    assert [problem.details["key"] for problem in found] == ["memry", "pidsLimit"]


@pytest.mark.parametrize(
    ("key", "less", "more", "kept"),
    [
        ("podQuota", "7g", "8193m", "8g"),
        ("maxFileSize", "100m", "1g", "512m"),
        ("maxBranches", 10, 2001, 2000),
        ("pidsLimit", 100, -1, 4096),
        ("pidsLimit", 100, 0, 4096),
        ("pidsLimit", 100, 4097, 4096),
    ],
)
def test_a_repository_lowers_what_protects_the_host_and_never_raises_it(
    key: str, less: Any, more: Any, kept: Any
) -> None:
    lower = resolve(repo={key: less})
    assert (lower.get(key), lower.warnings) == (less, ())
    higher = resolve(repo={key: more})
    assert (higher.get(key), higher.origins[key]) == (kept, "default")
    (warning,) = higher.warnings
    assert warning == f".rumpelpod.json: {key} {more} is more than yours: {kept} holds"
    own = resolve(repo={key: more}, user={key: more})
    assert (own.get(key), own.warnings) == (more, ())
