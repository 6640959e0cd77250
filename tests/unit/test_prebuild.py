"""What a prebuild takes over of a repository, what it says of itself, and when it is stale."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rumpel.model import ContainerSpec, HookSpec, ImageSpec, PodSpec, PrebuildSpec, RepoRef
from rumpel.tasks import alike, builder, lifecycle, prebuild, prebuilt
from rumpel.tasks.builder import GitState, Unfit

OID = "1234"
STATE = GitState(
    head="ref: refs/heads/prebuild",
    refs=(f"{OID} refs/heads/prebuild",),
    entries=frozenset({"HEAD", "config", "objects", "refs", "ORIG_HEAD", "hooks", "index"}),
    running="",
    files=3,
    is_same=True,
    has_changes=False,
    made=("core.bare\nfalse", "remote.host.url\n/rumpel/host.git"),
    now=("remote.host.url\n/rumpel/host.git", "core.bare\nfalse"),
)
MADE = prebuilt.Prebuilt(
    key="k" * 32, tree="t" * 40, has_inputs=False, commands={"a": "b"}, made_at=1.5, elapsed_s=10.0
)
REPO = RepoRef(repo_id="r" * 32, common_dir="/r/.git", work_tree="/r", object_format="sha1")
INPUTS = prebuild.Inputs(
    host="local",
    repo=REPO,
    image_id="sha256:1",
    user="dev",
    seed_volume="seed",
    spec=ContainerSpec(workspace_folder="/w", env={"A": "1"}),
    hooks=(HookSpec(name="onCreateCommand", steps=(("", ("/bin/sh", "-c", "x")),)),),
    remote_env={"B": "2"},
    env_probe="none",
    oid="o" * 40,
    tree="t" * 40,
    max_age_s=60.0,
    least_s=1.0,
    limit_s=10.0,
)


def test_nothing_changed_in_git() -> None:
    assert builder.judge(STATE, OID) == ""


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"running": "/proc/7/environ"}, "process"),
        ({"head": "ref: refs/heads/other"}, "branches"),
        ({"refs": ("5678 refs/heads/prebuild",)}, "branches"),
        ({"refs": (*STATE.refs, f"{OID} refs/tags/v1")}, "branches"),
        ({"entries": STATE.entries | {"MERGE_HEAD"}}, "MERGE_HEAD"),
        ({"entries": STATE.entries | {"modules"}}, "modules"),
        ({"now": STATE.now[1:]}, "settings"),
    ],
)
def test_what_cannot_be_carried_is_named(change: dict[str, Any], word: str) -> None:
    with pytest.raises(Unfit, match=word):
        builder.judge(replace(STATE, **change), OID)


@pytest.mark.parametrize("said", [b"", b"head\0x", b"head\0\0refs\0\0now\0", b"\xff" * 100])
def test_nonsense_is_no_state(said: bytes) -> None:
    with pytest.raises(Unfit, match="did not tell"):
        builder.parse(said)


def test_settings_come_through_as_they_were(tmp_path: Path) -> None:
    """git itself reads what is written for it."""
    entries = (
        "core.hookspath\n.husky",
        'alias.say\n!echo "a \\ b"\n\tmore  ',
        'url.https://example.org/a"b\\c.insteadof\nx:',
        "branch.a.b.merge\nrefs/heads/a.b",
        "rumpel.flag",
        "remote.host.fetch\n+refs/x/*:refs/x/*",
        "remote.host.fetch\n+refs/y/*:refs/y/*",
        "rumpel.hash\na # b ; c",
    )
    changed = replace(STATE, now=(*STATE.now, *entries))
    path = tmp_path / "config"
    path.write_text(builder.judge(changed, OID) + "\n")
    found = subprocess.run(
        ["git", "config", "-f", str(path), "--list", "-z"], capture_output=True, check=True
    ).stdout.decode()
    assert tuple(found.split("\0")[:-1]) == entries


@pytest.mark.parametrize(
    ("names", "patterns", "is_fit"),
    [
        (set(), (), True),
        ({b"any"}, (), False),
        ({b"other", b"a/other"}, ("lock",), True),
        ({b"a/lock"}, ("lock",), False),
        ({b"a/.gitignore"}, ("lock",), False),
        ({b"a\xff/lock"}, ("a*/lock",), False),
    ],
)
def test_what_the_commands_depend_on(
    names: set[bytes], patterns: tuple[str, ...], is_fit: bool
) -> None:
    assert alike.is_fit(names, patterns) is is_fit


def test_a_label_is_only_believed_when_it_is_ours() -> None:
    text = prebuilt.label(MADE, "home-1")
    assert prebuilt.read({prebuilt.LABEL: text}, "home-1") == MADE
    assert prebuilt.read({prebuilt.LABEL: text}, "home-2") is None
    assert prebuilt.read({prebuilt.LABEL: text.replace("10.0", "11.0")}, "home-1") is None
    assert prebuilt.read({prebuilt.LABEL: "x"}, "home-1") is None
    assert prebuilt.read({}, "home-1") is None


def test_a_label_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new to us does not count; where something is missing we know nothing."""
    monkeypatch.setattr(prebuilt, "asdict", lambda made: {**asdict(made), "since_then": 1})
    assert prebuilt.read({prebuilt.LABEL: prebuilt.label(MADE, "h")}, "h") == MADE
    monkeypatch.setattr(prebuilt, "asdict", lambda made: {"key": made.key})
    assert prebuilt.read({prebuilt.LABEL: prebuilt.label(MADE, "h")}, "h") is None


def test_the_ignored_files_that_are_kept() -> None:
    ignored = [b"target", b"a/.env", b".env.local", b"x.env"]
    assert alike.kept_files(ignored, (".env", ".env.*")) == [b".env.local", b"a/.env"]


async def test_commands_that_hang_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a pod would wait for a builder for as long as a node may take."""

    async def hang(*args: object, **more: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(lifecycle, "run_hook", hang)
    ctx: Any = SimpleNamespace(node_id="n", nonce="x")
    where: Any = None
    with pytest.raises(Unfit, match="onCreateCommand had not ended after 0 s") as caught:
        await prebuild.run_commands(ctx, replace(INPUTS, limit_s=0.01), where, {})
    assert caught.value.may_go_another_time


@pytest.mark.parametrize(
    ("change", "component"),
    [
        ({"image_id": "sha256:2"}, "image.id"),
        ({"user": "root"}, "remoteUser"),
        ({"hooks": (replace(INPUTS.hooks[0], steps=()),)}, "onCreateCommand"),
        ({"remote_env": {"B": "3"}}, "remoteEnv"),
        ({"env_probe": "loginShell"}, "userEnvProbe"),
        ({"spec": replace(INPUTS.spec, env={"A": "2"})}, "containerEnv"),
        ({"spec": replace(INPUTS.spec, workspace_folder="/x")}, "workspaceFolder"),
        ({"spec": replace(INPUTS.spec, host_config={"Privileged": True})}, "runArgs"),
        ({"tree": "u" * 40}, "tree"),
        ({"inputs": "d"}, "prebuild.inputs"),
        ({"oid": "p" * 40}, None),
        ({"seed_volume": "other"}, None),
        ({"max_age_s": 1.0, "least_s": 9.0}, None),
        ({"inputs": "", "repo": replace(REPO, work_tree="/moved")}, None),
    ],
)
def test_exactly_what_changed_makes_it_stale(change: dict[str, Any], component: str | None) -> None:
    before, after = (prebuild.fingerprint(one) for one in (INPUTS, replace(INPUTS, **change)))
    differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    differing -= {"tree"} if component == "prebuild.inputs" else set()
    assert differing == ({component} if component else set())


def test_values_of_the_environment_are_not_in_it() -> None:
    text = repr(prebuild.fingerprint(replace(INPUTS, remote_env={"B": "canary-1"})))
    assert "canary-1" not in text


def test_what_a_pod_wants_survives_the_database() -> None:
    wish = PrebuildSpec(inputs=("a", "b"), max_age_s=1.0, least_s=2.0, barrier="why")
    for given in (wish, None):
        spec = PodSpec(
            repo=REPO,
            host="local",
            pod="p",
            pod_id="i",
            base_branch=None,
            base_oid=None,
            image=ImageSpec(ref="x"),
            container=INPUTS.spec,
            prebuild=given,
            asked={"memory": "4g"},
        )
        assert PodSpec.from_json(spec.to_json()) == spec
