"""What the id of a node says: kind/host/repository, and what a pod's own one adds: /pod[/more]."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from rumpel import text
from rumpel.errors import NotFound, UsageError

REPO_CHARS = 12


class Place(NamedTuple):
    kind: str
    repo: str = ""
    """The beginning of the repository's id."""
    pod: str | None = None
    """None: shared by the pods of the repository."""
    rest: str = ""
    host: str = ""
    """As names.host_part has it."""

    @property
    def name(self) -> str:
        """For people: `container`, `postCreateCommand`, `port/3000`."""
        if not self.rest:
            return self.kind
        return self.rest if self.kind == "lifecycle" else f"{self.kind}/{self.rest}"


def place_of(node_id: str) -> Place:
    kind, host, *parts = node_id.split("/", 4) if "/" in node_id else (node_id, "")
    repo, pod, rest = (*parts, "", "", "")[:3]
    return Place(kind, repo, pod or None, rest, host)


def pick(node_ids: Collection[str], wanted: str, where: str, services: Iterable[str] = ()) -> str:
    """The node by id, name, kind or last part. Raises NotFound with those there are, UsageError.

    `where`: `in this graph`, `that ran for a`. `services`: what could be meant as well.
    """
    places = {node_id: place_of(node_id) for node_id in node_ids}
    tests = (
        lambda node_id: node_id == wanted,
        lambda node_id: places[node_id].name == wanted,
        lambda node_id: wanted in (places[node_id].kind, places[node_id].rest),
    )
    for test in tests:
        found = sorted(filter(test, node_ids))
        if len(found) == 1:
            return found[0]
        if found:
            listed = text.listing([places[node_id].name for node_id in found], "or")
            raise UsageError(f"{wanted!r} is several steps: {listed}")
    names = sorted({place.name for place in places.values()})
    others = sorted(services)
    close = text.suggestion(wanted, [*others, *names])
    what = "step or service" if others else "step"
    raise NotFound(
        f"there is no {what} {wanted!r} {where}" + (f", did you mean {close!r}?" if close else ""),
        hint=f"one of: {', '.join([*others, *names])}" if names or others else None,
        details={"nodes": sorted(node_ids)},
    )


def is_own(node_id: str, repo_id: str, pod: str) -> bool:
    """Of this pod alone, not shared with others."""
    place = place_of(node_id)
    return place.repo == repo_id[:REPO_CHARS] and place.pod == pod


def subject_of(node_ids: Iterable[str]) -> str:
    """What a graph of these nodes is about, `repository/pod,pod`: kept with its run."""
    places = {(place.repo, place.pod) for place in map(place_of, node_ids)}
    pods = sorted({pod for _, pod in places if pod is not None})
    # A program of an agent is of no repository.
    repos = sorted({repo for repo, pod in places if pod is not None or not pods})
    return subject(repos[0], *pods) if repos else ""


def subject(repo_id: str, *pods: str) -> str:
    return f"{repo_id[:REPO_CHARS]}/{','.join(pods)}"


def read_subject(subject: str) -> tuple[str, list[str]]:
    """(repository, pods) of what `subject_of` made."""
    repo, _, pods = subject.partition("/")
    return repo, pods.split(",") if pods else []
