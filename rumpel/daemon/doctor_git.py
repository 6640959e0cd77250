"""What `doctor` looks at in a repository: our two namespaces, and remotes that reach into them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from rumpel import text
from rumpel.adapters import git, git_merged, git_refs, git_trash, threads
from rumpel.daemon.app import App
from rumpel.daemon.pods import repo_ref

Row = tuple[str, str, str | None, str | None]
"""State, text, hint, code."""
PUBLISHED, OWN = "refs/remotes/rumpelpod/", "refs/rumpel/"
KEEP = f"{OWN}keep/"
FOREIGN = "refs-foreign"
SAMPLES = (f"{PUBLISHED}a", f"{KEEP}a/heads/a")
REMOTE_KEYS = r"^remote\..*\.(mirror|push|fetch|url)$"
TRUE = ("", "true", "yes", "on", "1")


async def namespaces(app: App, repo: git.Repo) -> list[Row]:
    ref = app.places.known(repo_ref(repo))
    if "/modules/" in ref.common_dir:
        # What is here belongs to pods of the repository around it, and to the trash there.
        return [
            ("ok", f"{ref.work_tree}: a submodule; look in the repository around it", None, None)
        ]
    pods = app.pods.of_repo(ref.repo_id)
    published = await threads.call(git.refs, repo, PUBLISHED)
    own = await threads.call(git.refs, repo, OWN)
    known = {pod.pod_id for pod in app.pods.all()}
    known |= {entry.pod_id for entry in await git_trash.entries(repo)}
    found = [
        *foreign(published, {pod.name for pod in pods}),
        *ownerless(own, known),
    ]
    return found or [("ok", f"{ref.work_tree}: {text.count(len(pods), 'pod')}", None, None)]


def foreign(refs: Iterable[str], pods: set[str]) -> list[Row]:
    """What is published for no pod there is."""
    odd = of_no_pod(refs, pods)
    if not odd:
        return []
    words = f"{text.count(len(odd), 'ref')} in {PUBLISHED} of no pod, such as {short(odd[0])}"
    return [("warning", words, shlex.join(["git", "update-ref", "-d", odd[0]]), FOREIGN)]


def of_no_pod(refs: Iterable[str], pods: set[str]) -> list[str]:
    return sorted(name for name in refs if short(name).rpartition("@")[2] not in pods)


def short(name: str) -> str:
    return name.removeprefix(PUBLISHED)


async def remove_foreign(app: App, repo: git.Repo) -> None:
    """Those whose commits some branch has: of others they may be the only name."""
    ref = app.places.known(repo_ref(repo))
    published = await threads.call(git.refs, repo, PUBLISHED)
    odd = of_no_pod(published, {pod.name for pod in app.pods.of_repo(ref.repo_id)})
    merged = [name for name in odd if not await git_merged.unmerged(repo, [published[name]])]
    if merged:
        await git_refs.release(repo, merged)


def ownerless(refs: Iterable[str], known: set[str]) -> list[Row]:
    """What is held of pods that are neither here nor in the trash."""
    odd = sorted(name for name in refs if _owner(name) not in known)
    if not odd:
        return []
    words = f"{text.count(len(odd), 'ref')} in {OWN} of no pod, here or in the trash: {odd[0]}"
    # It may be the only one that holds the work: nobody is told to remove it.
    return [("warning", words, shlex.join(["git", "log", odd[0]]), "refs-ownerless")]


def _owner(name: str) -> str:
    return name.removeprefix(KEEP).partition("/")[0] if name.startswith(KEEP) else ""


def dangers(entries: Iterable[tuple[str, str]]) -> list[Row]:
    """`entries`: keys and values of git's configuration, as REMOTE_KEYS selects them."""
    remotes: dict[str, dict[str, list[str]]] = {}
    for key, value in entries:
        name, _, kind = key.removeprefix("remote.").rpartition(".")
        remotes.setdefault(name, {}).setdefault(kind.lower(), []).append(value)
    found: list[Row] = []
    for name, values in remotes.items():
        found += _of_remote(name, values)
    return found


def _of_remote(name: str, values: dict[str, list[str]]) -> list[Row]:
    found: list[Row] = []
    if name == "rumpelpod":
        words = "a remote is called rumpelpod: fetching from it overwrites what pods publish"
        return [("problem", words, "git remote rename rumpelpod other", "remote-name")]
    is_mirror = values.get("mirror", ["false"])[-1].lower() in TRUE
    if is_mirror or covers(values.get("push", []), place=0):
        what = "mirror" if is_mirror else "push"
        words = f"a push to {name} takes all refs: it publishes the work of pods, and their trash"
        found.append(
            ("warning", words, f"git config --unset-all remote.{name}.{what}", "remote-push")
        )
    if covers(values.get("fetch", []), place=1):
        words = f"a fetch from {name} that prunes deletes the work of pods, and their trash"
        hint = f"git config remote.{name}.fetch '+refs/heads/*:refs/remotes/{name}/*'"
        found.append(("problem", words, hint, "remote-fetch"))
    return found


def covers(refspecs: Iterable[str], *, place: int) -> bool:
    """Do they reach into our namespaces, on one side (0: from, 1: to), nothing excepted?"""
    wanted = list(refspecs)
    excepted = [spec[1:] for spec in wanted if spec.startswith("^")]
    sides = [_side(spec, place) for spec in wanted if not spec.startswith("^")]
    return any(
        any(_matches(side, sample) for side in sides)
        and not any(_matches(pattern, sample) for pattern in excepted)
        for sample in SAMPLES
    )


def _side(spec: str, place: int) -> str:
    source, _, target = spec.removeprefix("+").partition(":")
    return (source, target)[place]


def _matches(pattern: str, name: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == name or (bool(pattern) and pattern.startswith((PUBLISHED, OWN)))
    return name.startswith(before) and name.endswith(after)
