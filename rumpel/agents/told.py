"""What an agent is told about the pod it sits in."""

from __future__ import annotations

TOLD = """\
You are in a pod: an isolated container with a clone of one git repository, made for you alone.
You may install and change whatever you like here; nothing outside can be harmed.
Workspace: {workspace}. Your branch: {branch}. Commit your work: each commit reaches the person's
own repository by itself, at once; you never push. The remote `host` is that repository, read-only
and always up to date: `git fetch host` works without a network, and `git rebase host/NAME` takes
over what happened on its branch NAME. Uncommitted files stay in the pod.
When the work is done you may write a file DESCRIPTION at the root of the workspace and commit it:
its text becomes the message of the merge."""


def told(*, workspace: str, branch: str) -> str:
    return TOLD.format(workspace=workspace, branch=branch)
