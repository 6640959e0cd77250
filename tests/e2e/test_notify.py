"""The user's own command hears of agents; what a repository says of it is not run."""

from __future__ import annotations

import json
import shlex

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

CONFIG = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}
SAY = 'echo "$RUMPEL_STATE $RUMPEL_AGENT $RUMPEL_POD: $RUMPEL_MESSAGE" >>{}'


def hook_says(project: Project, *states: str) -> None:
    """As the script does that agents' hooks call."""
    lines = "".join(f"agent claude {state}\\n" for state in states)
    project.inside("p", f"printf '{lines}' >$(echo .git/rumpel/fifo*)")


def test_it_is_told_once(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=CONFIG)
    heard, folder = project.home.path / "heard", project.home.path / "config/rumpel"
    folder.mkdir(parents=True, exist_ok=True)
    command = SAY.format(shlex.quote(str(heard)))
    (folder / "config.json").write_text(json.dumps({"notify": command}))
    project.run("create", "p").assert_ok()
    hook_says(project, "waiting", "working", "waiting", "waiting")
    project.wait_until(heard.exists, "the command ran")
    line = f"waiting claude p: Claude Code in p ({project.root.name}) waits for you\n"
    assert heard.read_text() == line
    hook_says(project, "working", "failed")
    project.wait_until(lambda: heard.read_text() != line, "it ran again")
    assert heard.read_text().removeprefix(line).startswith("failed claude p: ")


def test_a_repository_has_no_say_in_it(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=CONFIG)
    heard = project.home.path / "heard"
    command = SAY.format(shlex.quote(str(heard)))
    project.write({".rumpelpod.json": json.dumps({"notify": command})})
    project.run("create", "p").assert_error(2, "notify is not a repository's to set")
    project.write({".rumpelpod.json": "{}"})
    project.run("create", "p").assert_ok()
    project.write({".rumpelpod.json": json.dumps({"notify": command})})
    hook_says(project, "waiting")
    waited = project.run("wait", "p", "--timeout", "20", "--json").assert_ok().data
    assert [row["state"] for row in waited] == ["waiting"]
    project.run("daemon", "stop").assert_ok()  # whatever it runs has ended
    assert not heard.exists()
