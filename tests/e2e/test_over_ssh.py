"""Plain ssh and scp into a pod without a network, as the README says."""

from __future__ import annotations

import re
import shlex
import subprocess

from tests.e2e.test_readme import README, commands
from tests.support.home import program
from tests.support.project import Project, ProjectFactory

HEADING = "In your editor, and over ssh"


def test_ssh_and_scp(rumpel_project: ProjectFactory, sshd_image: str) -> None:
    project = rumpel_project(config={"image": sshd_image, "runArgs": ["--network=none"]})
    folder = project.home.path / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    _command(project, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/id_ed25519"])
    for line in commands(HEADING):
        words = [word.replace("~/.ssh", str(folder)) for word in shlex.split(line)]
        if words[0] == "rumpel":
            project.run(*words[1:]).assert_ok()
        else:
            _command(project, words)
    section = README.split(f"## {HEADING}\n", 1)[1]
    found = re.search(r"^Host \*\.pod\n(?: .*\n)+", section, re.MULTILINE)
    assert found is not None
    config = folder / "config-of-pods"
    more = f"    IdentityFile {folder}/id_ed25519\n    UserKnownHostsFile {folder}/known-pods\n"
    host = found[0].replace("~/src/app", str(project.root))
    config.write_text(f"{host}{more}    StrictHostKeyChecking accept-new\n    LogLevel ERROR\n")
    ssh = ["ssh", "-F", str(config), "fix-login.pod"]
    assert _command(project, [*ssh, "cat"], b"through and through") == b"through and through"
    assert _command(project, [*ssh, "hostname"]).decode().strip()
    project.inside("fix-login", "echo there >/tmp/file")
    here = project.home.path / "file"
    _command(project, ["scp", "-q", "-F", str(config), "fix-login.pod:/tmp/file", str(here)])
    assert here.read_text() == "there\n"
    project.run("stop", "fix-login").assert_ok()
    assert _command(project, [*ssh, "cat /tmp/file"]) == b"there\n", "it is started"


def _command(project: Project, argv: list[str], given: bytes = b"") -> bytes:
    folder = program()[0].rpartition("/")[0]
    env = project.home.environment({})
    env["PATH"] = f"{folder}:{env['PATH']}"
    done = subprocess.run(argv, input=given, env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return done.stdout
