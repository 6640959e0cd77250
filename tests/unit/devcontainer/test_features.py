"""Which features are installed, in which order, with what: the reference's own cases among them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.devcontainer import config, feature_order, feature_ref, feature_schema, features
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.feature_order import Fetched
from rumpel.devcontainer.feature_ref import FeatureRef
from rumpel.devcontainer.feature_schema import Feature
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.errors import ConfigError

AT: Path = ("features", "x")
About = Mapping[str, Any]


def fetcher(known: Mapping[str, About]) -> feature_order.Fetch:
    """By the last part of their names."""

    def fetch(ref: FeatureRef, path: Path) -> Fetched:
        about = Feature.model_validate({"id": ref.short, **known.get(ref.short, {})})
        identity = f"{ref.source}:{ref.tag}{ref.digest}"
        return Fetched(about=about, identity=identity, content="")

    return fetch


def installed(
    declared: Mapping[str, Any], known: Mapping[str, About], *first: str
) -> list[tuple[str, dict[str, Any]]]:
    nodes = feature_order.ordered(declared, fetcher(known), first=first)
    return [(node.ref.short, dict(node.options)) for node in nodes]


def names(declared: Mapping[str, Any], known: Mapping[str, About], *first: str) -> str:
    return " ".join(name for name, _ in installed(declared, known, *first))


def after(*others: str) -> About:
    return {"installsAfter": [f"./{other}" for other in others]}


def needs(**others: Any) -> About:
    return {"dependsOn": {f"./{other}": said for other, said in others.items()}}


def test_what_is_needed_is_added_with_its_options() -> None:
    assert installed({"./a": {}}, {"a": needs(b={"magicNumber": "50"})}) == [
        ("b", {"magicNumber": "50"}),
        ("a", {}),
    ]


def test_the_same_with_other_options_is_installed_again() -> None:
    known = {
        "a": needs(d={}, c={}, b={"optionA": "a", "optionB": "a"}),
        "c": needs(b={"optionA": "a", "optionB": "b"}, e={}),
        "d": needs(b={"optionA": "b", "optionB": "a"}),
        "e": needs(b={"optionA": "b", "optionB": "b"}),
    }
    found = installed({"./b": {}, "./a": {}}, known)
    assert found == [
        ("b", {}),
        ("b", {"optionA": "a", "optionB": "a"}),
        ("b", {"optionA": "a", "optionB": "b"}),
        ("b", {"optionA": "b", "optionB": "a"}),
        ("b", {"optionA": "b", "optionB": "b"}),
        ("d", {}),
        ("e", {}),
        ("c", {}),
        ("a", {}),
    ]


def test_installs_after_counts_only_for_what_is_there() -> None:
    known = {"a": after("c", "gone")}
    assert installed({"./a": {}, "./c": {"magicNumber": "321"}}, known) == [
        ("c", {"magicNumber": "321"}),
        ("a", {}),
    ]
    assert names({"./a": {}}, known) == "a"
    both = {"a": {**after("c"), **needs(c={"magicNumber": "321"})}}
    assert names({"./a": {}}, both) == "c a"


@pytest.mark.parametrize(
    ("known", "first", "expected"),
    [
        ({}, ("./c", "./b", "./d", "./a"), "c b d a"),
        ({"c": {}}, ("./c",), "c a b d"),
        ({"a": after("b"), "c": {}}, ("./c", "./d"), "c d b a"),
        ({"b": after("a"), "c": after("b")}, ("./c", "./b", "./a"), "a b c d"),
        ({"a": after("c"), "c": needs(b={})}, ("./a", "./d"), "d b c a"),
    ],
)
def test_what_is_to_be_first(
    known: Mapping[str, About], first: tuple[str, ...], expected: str
) -> None:
    """A wish moves what can go in a round; nothing goes before what it needs."""
    assert names({"./a": {}, "./b": {}, "./c": {}, "./d": {}}, known, *first) == expected


@pytest.mark.parametrize("known", [
    {"a": after("b"), "b": after("a")},
    {"a": needs(b={}), "b": needs(a={})},
    {"a": needs(b={}), "b": needs(c={}), "c": after("a")},
])  # fmt: skip
def test_what_waits_for_itself_is_an_error(known: Mapping[str, About]) -> None:
    with pytest.raises(FieldError, match="wait for each other"):
        names({"./a": {}, "./b": {}}, known)


def test_a_feature_that_needs_ever_more_ends() -> None:
    def fetch(ref: FeatureRef, path: Path) -> Fetched:
        more: About = {"dependsOn": {f"{ref.source}x": {}}}
        about = Feature.model_validate({"id": "x", **more})
        return Fetched(about=about, identity=ref.source, content="")

    with pytest.raises(FieldError, match="more than 100 features"):
        feature_order.ordered({"./a": {}}, fetch)


def test_what_is_needed_is_that_very_version() -> None:
    known: dict[str, About] = {"app": {"dependsOn": {"reg.example/ns/base:1": {}}}}
    declared: About = {"reg.example/ns/base:2": {}, "reg.example/ns/app:1": {}}
    nodes = feature_order.ordered(declared, fetcher(known))
    order = [f"{node.ref.short}:{node.ref.tag}" for node in nodes]
    assert order == ["base:1", "base:2", "app:1"]


def test_versions_and_old_names_are_the_same_feature() -> None:
    known = {"new": {"legacyIds": ["old"]}, "a": {"installsAfter": ["reg.example/ns/old"]}}
    declared: About = {"reg.example/ns/a:1": {}, "reg.example/ns/new:2.1": {}}
    assert names(declared, known) == "new a"
    assert names(
        {"./z": {}, "reg.example/ns/a:1": {}}, {}, "reg.example/NS/a@sha256:" + "0" * 64
    ) == ("a z")


@given(st.permutations(["a", "b", "c", "d", "e"]), st.randoms(use_true_random=False))
def test_every_order_holds_what_it_must(order: list[str], random: Any) -> None:
    """Of acyclic needs: all are installed, each once and after what it needs."""
    known = {
        name: needs(**{other: {} for other in order[:at] if random.random() < 0.4})
        for at, name in enumerate(order)
    }
    found = names({f"./{name}": {} for name in sorted(order)}, known).split()
    assert sorted(found) == sorted(order)
    for name, about in known.items():
        for need in about["dependsOn"]:
            assert found.index(need.removeprefix("./")) < found.index(name)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("./x", ("local", "./x", "", "")),
        ("../x/", ("local", "../x", "", "")),
        ("Reg.Example/NS/Git", ("registry", "reg.example/ns/git", "latest", "")),
        ("reg.example:5000/ns/git:1.2.3", ("registry", "reg.example:5000/ns/git", "1.2.3", "")),
        ("localhost:5000/ns/git", ("registry", "localhost:5000/ns/git", "latest", "")),
        ("localhost/ns/git:1", ("registry", "localhost/ns/git", "1", "")),
        (
            f"reg.example/ns/git@sha256:{'a' * 64}",
            ("registry", "reg.example/ns/git", "", f"sha256:{'a' * 64}"),
        ),
        (
            "https://files.example/devcontainer-feature-x.tgz",
            ("tarball", "https://files.example/devcontainer-feature-x.tgz", "", ""),
        ),
    ],
)
def test_names_of_features(written: str, expected: tuple[str, ...]) -> None:
    ref = feature_ref.parse(written, AT)
    assert (ref.kind, ref.source, ref.tag, ref.digest) == expected


@pytest.mark.parametrize("written", [
    "git", "ns/git", "/etc/x", "owner/repo/git@v1", "https://files.example/x.tgz",
    "reg.example/git", "reg.example/ns/..", "reg.example/ns/git@sha256:zz", "reg.example/ns/git:",
    "reg.example/ns/git:a b", "reg.example/ns/git\n", "", "x" * 2000,
])  # fmt: skip
def test_what_names_no_feature(written: str) -> None:
    with pytest.raises(FieldError):
        feature_ref.parse(written, AT)


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_an_error(written: str) -> None:
    try:
        ref = feature_ref.parse(written, AT)
    except FieldError:
        return
    assert ref.kind == "local" or "\n" not in ref.source


@pytest.mark.parametrize(
    ("option", "expected"),
    [("some-opt", "SOME_OPT"), ("_2x", "_X"), ("a.b c", "A_B_C"), ("ümlaut", "_MLAUT"), ("9", "_")],
)
def test_options_are_variables(option: str, expected: str) -> None:
    assert features.variable(option) == expected


def test_options_of_a_feature() -> None:
    defaults: dict[str, str | bool] = {"version": "latest", "flag": True}
    environment = features.environment
    assert environment(defaults, {}) == {"VERSION": "latest", "FLAG": "true"}
    assert environment(defaults, {"flag": False, "more": "x"}) == {
        "VERSION": "latest", "FLAG": "false", "MORE": "x",
    }  # fmt: skip
    assert environment(defaults, features.options("9", AT), is_short=True)["VERSION"] == "9"
    assert environment({"a": "b"}, features.options("9", AT), is_short=True) == {"A": "b"}
    assert environment({}, features.options({"version": "9"}, AT)) == {"VERSION": "9"}
    assert features.options({"n": 3, "f": 1.5}, AT) == {"n": "3", "f": "1.5"}
    assert features.options({"version": 20261127}, AT) == {"version": "20261127"}
    wrongs: list[Any] = [[], {"a": None}, {"a": ["b"]}]
    for wrong in wrongs:
        with pytest.raises(FieldError):
            features.options(wrong, AT)


def test_what_is_odd_and_for_people_only_is_let_through() -> None:
    text = """{"id": "a", "keywords": "x", "customizations": 3, "mounts": null, "version": 1,
        "options": {"n": {"type": "number", "default": 3, "enum": [true]}}}"""
    found = feature_schema.described(text, "./x")
    assert found.options["n"].default in ("3", 3)


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '{"id": "../x"}', '{"id": "a/b"}', '{"id": 3}', '{"id": "a", "mounts": 1}',
    '{"id": "a", "containerEnv": {"A\\nRUN evil": "x"}}', '{"id": "a", "capAdd": [1]}',
    '{"id": "a", "options": []}', "{" * 5000,
])  # fmt: skip
def test_a_wrong_description_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match=r"feature \./x"):
        feature_schema.described(text, "./x")


def test_options_that_a_feature_does_not_have_are_told(root: FilePath) -> None:
    known: dict[str, About] = {
        "a": {"options": {"greeting": {"default": "hi"}, "kind": {"enum": ["x", "y"]}}}
    }
    told = {
        name: config.parse(
            json.dumps({"image": "i", "features": {"./a": given}}),
            ".devcontainer.json",
            Caller(root=str(root), local_env={}, pod="p", pod_id="0" * 32, repo_basename="r"),
            fetch=fetcher(known),
        ).warnings
        for name, given in {
            "right": {"greeting": "x", "kind": "y"},
            "misspelt": {"greting": "x"},
            "not of these": {"kind": "z"},
            "short": "latest",
        }.items()
    }
    assert told["right"] == told["short"] == ()
    (misspelt,), (other,) = told["misspelt"], told["not of these"]
    assert misspelt.endswith("feature a has no option greting, did you mean greeting?")
    assert other.endswith("kind of feature a is 'z', not x or y")
