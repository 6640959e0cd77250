"""`rumpel agent`: the built-in agent in real pods, against models on loopback."""

from __future__ import annotations

import json
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_readme import commands
from tests.support import agents
from tests.support.fake_models import Answer, Fault, Models, models
from tests.support.project import DEFAULT_CONFIG, Project, ProjectFactory

pytestmark = pytest.mark.usefixtures("dev_image")

KEY = "canary-key-of-a-model-5e1d"
RULES = "Indent with tabs, as ever."
IN_DEV = {"image": agents.DEV, "remoteUser": "dev", "runArgs": ["--network=none"]}
MODELS = {"anthropic": "claude-opus-5-5", "gemini": "gemini-3.8-flash", "xai": "grok-4.6"}
COMMIT = "git add -A && git commit -qm 'by the agent'"
LONG = "date >early; touch /tmp/at-work; sleep 987; echo late"
SECONDS = 60.0


@pytest.fixture(name="server")
def model_server() -> Iterator[Models]:
    with models() as found:
        yield found


@pytest.fixture(name="project")
def builtin_project(
    request: pytest.FixtureRequest, rumpel_project: ProjectFactory, server: Models
) -> Project:
    """In the least a pod needs, or in a system as people have it."""
    config = IN_DEV if "name" in request.fixturenames else DEFAULT_CONFIG
    files = {"AGENTS.md": f"{RULES}\n", "code.txt": "one two\n"}
    project = rumpel_project(files, config=config)
    project.home.env = project.home.env | server.env(KEY, "xai")
    return project


def state(project: Project) -> Any:
    (row,) = project.run("list", "--json").assert_ok().data
    return row["agent"] and (row["agent"]["name"], row["agent"]["state"])


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_task_from_its_prompt_to_the_host(project: Project, server: Models, name: str) -> None:
    env: dict[str, str | None] = {"XAI_API_KEY": None, **server.env(KEY, name)}
    server.play(
        Answer(
            text="I look first.",
            thinks=True,
            calls=(
                ("read", {"path": "code.txt"}),
                ("edit", {"path": "code.txt", "old": "two", "new": "2"}),
                ("write", {"path": "new/file", "content": "made\n"}),
                ("search", {"pattern": "o.e 2"}),
                ("bash", {"command": "no-such-program"}),
            ),
        ),
        Answer(calls=(("bash", {"command": COMMIT}),)),
        Answer(text="All is done."),
    )
    done = project.run("agent", "a", "-p", "Change it", env=env).assert_ok()
    assert done.stdout == "All is done.\n"
    oid = project.inside("a", "git rev-parse HEAD")
    for line in (
        "I look first.\n",
        "> read  code.txt\n",
        f"> bash  {COMMIT}\n",
        "! exit code 127\n",
        ", 3 turns, 300 tokens in, 60 out, $0.00",
        f"a · 1 commit arrived on a, now at {oid[:10]}\n",
        "next: rumpel review a\n",
    ):
        assert line in done.stderr
    assert project.git("rev-parse", "rumpelpod/a") == oid
    assert project.git("show", "rumpelpod/a:code.txt") == "one 2"
    assert project.git("show", "rumpelpod/a:new/file") == "made"
    assert state(project) == ("agent", "done")
    told = json.dumps(server.bodies[2])
    for word in (RULES, "You are in a pod", "one two", "code.txt:1:one 2", "wrote 5 bytes"):
        assert word in told
    agents.keeps_no_secret(project, "a", KEY)


@pytest.mark.timeout(400)
def test_the_example_of_the_readme(project: Project, server: Models) -> None:
    """Its first two lines are the user's to type: the library is here, and so is a key."""
    _, _, *lines = commands("The built-in agent")
    project.home.env = project.home.env | server.env(KEY, "anthropic") | server.env(KEY, "gemini")
    for line in lines:
        words = shlex.split(line)
        assert words[:2] == ["rumpel", "agent"]
        given = None if "-p" in words else "Fix the login\n"
        assert project.run(*words[1:], input=given).assert_ok().stdout == "PONG\n"
    assert len(server.bodies) == len(lines)
    assert "Fix the login" in json.dumps(server.bodies[-1]), "another model goes on"


@pytest.mark.one_in(2)
@pytest.mark.timeout(400)
def test_a_conversation_goes_on(project: Project, server: Models) -> None:
    server.play(Answer(text="First."), Answer(text="Second."), Answer(text="Third."))
    project.run("agent", "a", "-p", "Remember 4711").assert_ok()
    said = project.run("agent", "a", "--json", input="And now?\n").assert_ok()
    events = [json.loads(line) for line in said.stdout.splitlines()]
    assert {event["command"] for event in events} == {"agent"}
    assert [event["data"]["kind"] for event in events] == ["start", "text", "usage", "result"]
    result = events[-1]["data"]
    assert (result["text"], result["session"], result["turns"]) == ("Second.", "1", 1)
    assert (result["tokens_in"], result["tokens_cached"], result["tokens_out"]) == (100, 40, 20)
    assert result["cost_usd"] == pytest.approx(0.00026)
    assert (result["state"], result["arrived"], result["dirty"]) == ("done", [], 0)
    messages = server.bodies[1]["input"]
    assert "Remember 4711" in json.dumps(messages)
    assert RULES in json.dumps(messages[0])
    assert RULES not in json.dumps(messages[-1])
    project.run("agent", "a", "--new", "-p", "Who are you?").assert_ok()
    assert "4711" not in json.dumps(server.bodies[2])
    project.run("agent", "a", "-c", "1", "-p", "-", input="x").assert_ok()
    assert "4711" in json.dumps(server.bodies[3])
    project.run("agent", "a", "-c", "9", "-p", "x").assert_error(
        3, "there is no conversation 9 (there are: 1, 2)"
    )
    files = sorted((project.home.state / "agent").rglob("*.jsonl"))
    assert [path.name for path in files] == ["1.jsonl", "2.jsonl"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    editor = project.home.path / "editor"
    editor.write_text("#!/bin/sh\necho 'From the editor' >\"$2\"\n")
    editor.chmod(0o755)
    project.run("agent", "a", "-e", env={"EDITOR": f"{editor} -w"}).assert_ok()
    assert "From the editor" in json.dumps(server.bodies[-1]["input"][-1])
    _goes_with_the_pod(project, files[0].parent)


def _goes_with_the_pod(project: Project, folder: Path) -> None:
    project.run("delete", "a").assert_ok()
    assert folder.exists(), "with what is in the trash"
    project.run("undelete", "a").assert_ok()
    assert project.run("agent", "a", "-c", "1", "-p", "x").assert_ok().stdout == "PONG\n"
    project.write({".rumpelpod.json": json.dumps({"keepDeleted": "1s"})})
    project.run("delete", "a", "--force").assert_ok()

    def is_gone() -> bool:
        project.run("undelete").assert_ok()
        return not folder.exists()

    project.wait_until(is_gone, "the conversations of a pod that is gone for good")


@pytest.mark.one_in(2)
@pytest.mark.timeout(400)
def test_what_goes_wrong_is_said(project: Project, server: Models) -> None:
    keyless = {"XAI_API_KEY": None}
    project.run("agent", "a", "-p", "x", env=keyless).assert_error(
        2, "nothing signs the built-in agent in", "ANTHROPIC_API_KEY, GEMINI_API_KEY or XAI_API_KEY"
    )
    for args, words in (
        (["-m", "gpt-9", "-p", "x"], "nobody is known to have the model 'gpt-9'"),
        (["-m", "claude-opus-5-5", "-p", "x"], "set ANTHROPIC_API_KEY"),
        (["--new", "-c", "1", "-p", "x"], "for different conversations"),
        (["--max-tokens", "few", "-p", "x"], "--max-tokens takes a number"),
        (["-p", " "], "the prompt is empty"),
    ):
        project.run("agent", "a", *args).assert_error(2, words)
    assert project.containers() == [], "and no pod is made for that"

    server.play(Fault(status=401))
    project.run("agent", "a", "-p", "x").assert_error(
        6, "xAI answered 401: no such luck", "look at XAI_API_KEY"
    )
    assert state(project) == ("agent", "failed")
    server.play(Fault(status=429, headers={"retry-after": "1"}), Fault(), Answer(text="At last."))
    again = project.run("agent", "a", "-p", "x").assert_ok()
    assert again.stdout == "At last.\n"
    assert "! xAI answered 429: no such luck; asking again in 1.00 s\n" in again.stderr
    call = Answer(text="More.", calls=(("bash", {"command": "true"}),))
    server.play(*[call] * 5)
    limited = project.run("agent", "a", "--max-turns", "2", "--json", "-p", "x").assert_code(6)
    last = json.loads(limited.stdout.splitlines()[-1])
    assert last["error"]["message"].endswith("failed in pod a: it used up its turns")
    assert (last["data"]["state"], last["data"]["turns"]) == ("failed", 2)
    # What a model or a pod says is text, whatever it says.
    server.play(Answer(text="\x1b]0;owned\x07", calls=(("bash", {"command": "\x1b[2J"}),)))
    hostile = project.run("agent", "a", "-p", "x").assert_ok()
    assert "\x1b" not in hostile.stdout + hostile.stderr
    server.play(Answer(calls=(("bash", {"command": "yes | head -c 9000000"}),)))
    project.run("agent", "a", "-p", "x").assert_ok()
    assert len(json.dumps(server.bodies[1]["input"][-1])) < 70_000


@pytest.mark.timeout(400)
def test_one_that_is_ended(project: Project, server: Models) -> None:
    project.run("create", "a").assert_ok()
    running = _started(project, server)
    assert state(project) == ("agent", "working")
    for other in (["agent", "a", "-p", "x"], ["recreate", "a", "--force"]):
        project.run(*other).assert_error(4, "the built-in agent is at work in pod a")
    running.send_signal(signal.SIGINT)
    code, _, err = _ended(running)
    assert code == 130
    assert "the built-in agent was ended in pod a" in err
    assert _left(project) == ""
    assert state(project) == ("agent", "ended")

    server.play(Answer(calls=(("bash", {"command": LONG}),)))
    late = project.run("agent", "a", "-p", "x", "--timeout", "3s")
    late.assert_error(124, "the built-in agent did not end within 3.00 s in pod a")
    assert _left(project) == ""
    assert state(project) == ("agent", "failed")
    stopped = json.dumps(server.bodies[0]["input"])
    assert "stopped by the person before it had ended" in stopped, "and the conversation goes on"

    _started(project, server).kill()
    project.wait_until(lambda: _left(project) == "", "what a killed one left is ended")
    project.wait_until(lambda: state(project) == ("agent", "ended"), "and it is told so")

    running = _started(project, server)
    project.run("daemon", "stop").assert_error(4, "an agent is at work in a", "--force")
    project.home.kill_daemon()
    code, _, err = _ended(running)
    assert code == 1
    assert "the rumpel daemon stopped" in err
    project.wait_until(lambda: state(project) == ("agent", "failed"), "the next daemon says so")
    project.wait_until(lambda: _left(project) == "", "and ends what is left")

    running = _started(project, server)
    server.script.append(Answer(calls=(("bash", {"command": "true"}),)))
    project.run("stop", "a").assert_ok()
    code, _, err = _ended(running)
    assert code != 0
    assert "pod a is stopped" in err


def _started(project: Project, server: Models) -> subprocess.Popen[bytes]:
    project.inside("a", "rm -f /tmp/at-work")
    server.play(Answer(calls=(("bash", {"command": LONG}),)))
    running = project.start("agent", "a", "-p", "Take your time")
    project.wait_until(
        lambda: project.exec("a", "test", "-e", "/tmp/at-work", check=False).code == 0,
        "the agent is at work",
        timeout_s=SECONDS,
    )
    return running


def _ended(running: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = running.communicate(timeout=SECONDS)
    return running.returncode, out.decode(), err.decode()


def _left(project: Project) -> str:
    """Of the tool that was run."""
    listed = project.exec("a", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    return "sleep 987" if "sleep 987" in listed else ""


@pytest.mark.timeout(400)
def test_a_person_talks_with_it(project: Project, server: Models) -> None:
    server.play(
        Answer(text="Hello \x1b[31m there."),
        Answer(text="I begin.", calls=(("bash", {"command": LONG}),)),
        Answer(text="Where were we?"),
        Fault(status=400),
        Answer(text="From the editor, then."),
    )
    editor = project.home.path / "editor"
    editor.write_text("#!/bin/sh\necho 'A long task' >\"$1\"\n")
    editor.chmod(0o755)
    shell = project.spawn("agent", "a", env={"EDITOR": str(editor)}, timeout=SECONDS)
    shell.expect("grok-4.6 in pod a; /edit writes")
    shell.expect("> ")
    shell.sendline("Hi")
    shell.expect_exact("Hello \\x1b[31m there.")
    shell.expect("100 tokens in, 20 out, \\$0.0003")
    shell.sendline("Take your time")
    shell.expect("I begin.")
    shell.expect("> bash  date")
    project.wait_until(lambda: _left(project) != "", "the tool runs")
    assert state(project) == ("agent", "working")
    shell.sendintr()
    shell.expect("stopped; Ctrl-C again leaves")
    assert _left(project) == ""
    project.wait_until(lambda: state(project) == ("agent", "waiting"), "it waits for the person")
    shell.sendline("Go on")
    shell.expect("Where were we?")
    shell.sendline("Break")
    shell.expect("xAI answered 400: no such luck")
    shell.sendline("/edit")
    shell.expect("From the editor, then.")
    assert "A long task" in json.dumps(server.bodies[-1]["input"][-1])
    shell.sendline("/new")
    shell.expect("conversation 2 begins")
    shell.sendline("And?")
    shell.expect("PONG")
    assert "A long task" not in json.dumps(server.bodies[-1])
    shell.expect("tokens in, .*out")
    shell.expect("> ")
    # Between its prompt and its wait Python's readline misses a signal, for a microsecond.
    about = Path(f"/proc/{shell.pid}/stat")
    project.wait_until(lambda: about.read_text().rpartition(")")[2].split()[0] == "S", "it waits")
    shell.sendintr()
    shell.expect("1 file is not committed")
    shell.wait()
    assert shell.exitstatus == 0
    assert state(project) == ("agent", "ended")
