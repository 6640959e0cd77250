"""Names of pods, branches, containers, volumes, labels and nodes. Pure, cheap to import."""

from __future__ import annotations

from rumpel.errors import UsageError

LETTERS_AND_DIGITS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
MAX_POD_NAME = 63
POD_NAME_RULE = (
    "a pod name is 1-63 characters of a-z, 0-9 and '-', and starts and ends with a letter or digit"
)

LABEL_HOME = "rumpel.home"
"""Which state folder (daemon) owns the object: several can share one engine."""
LABEL_KIND = "rumpel.kind"
LABEL_REPO = "rumpel.repo"
LABEL_REPO_PATH = "rumpel.repo-path"
LABEL_POD = "rumpel.pod"
LABEL_POD_ID = "rumpel.pod-id"
LABEL_NONCE = "rumpel.nonce"
LABEL_NODE = "rumpel.node"
LABEL_METADATA = "devcontainer.metadata"
"""Of images: what they say of their containers (the specification's name)."""

POD = "pod"
"""LABEL_KIND of a pod's container."""
SEED_PATH = "/rumpel/host.git"
"""Where the read-only repository behind the remote `host` is mounted in a pod."""
AGENTS_PATH = "/rumpel/agents"
"""Where the programs of agents are mounted in a pod, read-only, one volume for all pods."""
AGENT_HOME_PATH = "/rumpel/home"
"""Where what agents write lies (conversations, settings), in a volume of the pod."""


def check_pod_name(name: str) -> str:
    """Return `name`, or raise UsageError with the rule (features.md part 1)."""
    if not is_pod_name(name):
        raise UsageError(
            f"invalid character or length in pod name {name!r}: {POD_NAME_RULE}",
            details={"name": name},
        )
    return name


def is_pod_name(name: str) -> bool:
    """By hand: importing `re` takes longer than the rest of a small command."""
    return (
        0 < len(name) <= MAX_POD_NAME
        and (LETTERS_AND_DIGITS | {"-"}).issuperset(name)
        and LETTERS_AND_DIGITS.issuperset((name[0], name[-1]))
    )


def slug(text: str, limit: int = 24) -> str:
    """`text` as part of a Docker object name: for people, never for identity."""
    kept = [c if c in LETTERS_AND_DIGITS else " " for c in text.lower()]
    cleaned = "-".join("".join(kept).split())
    return cleaned[:limit].strip("-") or "repo"


def container_name(repo_basename: str, pod: str, pod_id: str) -> str:
    return f"rumpel-{slug(repo_basename)}-{pod}-{pod_id[:6]}"


def project_name(pod: str, pod_id: str) -> str:
    """Of its compose project."""
    return f"rumpel-{pod}-{pod_id[:6]}"


def host_part(host: str) -> str:
    """A Docker host as one part of a node's id."""
    return host.replace("://", ":")


COMING, ASIDE = "-new", "-old"
"""Ends of the names of a pod's next container, and of its last one: see tasks.replace."""


def place_in_line(name: str) -> int:
    """Of several containers of a pod the least one is the pod's own."""
    return 2 if name.endswith(ASIDE) else 1 if name.endswith(COMING) else 0


def own_name(name: str) -> str:
    """Of the pod's own container, whichever place in line this one has."""
    return name.removesuffix(COMING).removesuffix(ASIDE)


def seed_volume_name(repo_basename: str, repo_id: str, home_id: str) -> str:
    return f"rumpel-{slug(repo_basename)}-{repo_id[:12]}-{home_id[:6]}-git"


def agents_volume_name(home_id: str) -> str:
    return f"rumpel-{home_id[:6]}-agents"


def agent_home_volume_name(pod_id: str) -> str:
    return f"rumpel-{pod_id}-home"


def gateway_name(repo_basename: str, repo_id: str, home_id: str) -> str:
    return f"rumpel-{slug(repo_basename)}-{repo_id[:12]}-{home_id[:6]}-gateway"
