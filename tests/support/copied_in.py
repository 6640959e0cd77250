"""A repository with files that `copyIn` may name, and the pods that get them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.engine import MINI_IMAGE
from tests.support.home import program
from tests.support.outcome import Outcome
from tests.support.project import Project, ProjectFactory
from tests.support.repo import Content

SECRET = "A=canary-c0e1f2a3b4c5d6e7f809\n"
MINE = {"RUMPEL_COPY_IN": ".env,conf/*.local"}
CONFIG = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}
NODE = "copy-in"


def prepared(rumpel_project: ProjectFactory) -> Project:
    """With a file that is ignored, one that is not, and more that no pattern names."""
    made = rumpel_project({".gitignore": ".env\nignored\n", "conf/base": "base\n"})
    made.write({".env": SECRET, "conf/dev.local": "dev\n", "ignored": "no\n", "stray": "no\n"})
    (made.root / ".env").chmod(0o640)
    (made.root / "conf/dev.local").chmod(0o755)
    return made


def commit(project: Project, files: Mapping[str, Content]) -> None:
    """These alone."""
    project.write(files)
    project.git("add", *files)
    project.git("commit", "-qm", "change")


def set_up(project: Project, **config: object) -> None:
    commit(project, {".devcontainer/devcontainer.json": {**CONFIG, **config}})


def settings(project: Project, **content: object) -> None:
    commit(project, {".rumpelpod.json": content})


def image_with(project: Project, *lines: str) -> None:
    """A checkout baked into the image, and `lines`."""
    folder = "/workspaces/repo"
    text = [f"FROM {MINI_IMAGE}", f"RUN mkdir -p {folder}/conf", *lines]
    commit(project, {".devcontainer/Dockerfile": "\n".join([*text, ""])})
    config = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]}
    commit(project, {".devcontainer/devcontainer.json": {**config, "workspaceFolder": folder}})


def without_all_rights(project: Project, *words: str, env: dict[str, str]) -> Outcome:
    """As a user who may not read everything."""
    caps = "-dac_override,-dac_read_search"
    argv = ["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}", *program(), *words]
    process = project.home.start(argv, cwd=project.root, env=env)
    out, err = process.communicate(timeout=60)
    return Outcome(argv, process.returncode, out, err, 0.0)
