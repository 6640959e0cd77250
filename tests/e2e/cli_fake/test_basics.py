"""What every command shares: help, version, usage errors, folders, pipes, bugs."""

from __future__ import annotations

from rumpel import __version__
from rumpel.agents import AGENTS
from rumpel.cli import help
from rumpel.cli.commands import COMMANDS
from tests.e2e.cli_fake.conftest import Run, Serve, answers
from tests.support.home import Home


def test_help_and_version(run: Run) -> None:
    overview = run().assert_ok()
    assert overview.stdout == run("help").assert_ok().stdout == run("--help").assert_ok().stdout
    assert "enter   " in overview.stdout
    assert run("create", "--help").assert_ok().stdout == run("help", "create").assert_ok().stdout
    assert "124  timed out" in run("help", "exit-codes").assert_ok().stdout
    about = run("help", "agents").assert_ok().stdout
    for agent in AGENTS.values():
        assert all(word in about for word in (f"rumpel {agent.name} ", *agent.signs_in))
    pages = [about, overview.stdout, *(run("help", topic).stdout for topic in help.TOPICS)]
    assert [line for page in pages for line in page.splitlines() if len(line) > 80] == []
    assert run("--version").assert_ok().stdout == f"rumpel {__version__}\n"
    assert run("--version", "--json").assert_ok().data == {"version": __version__}


def test_help_and_scripts_in_json(run: Run) -> None:
    overview = run("help", "--json").assert_ok().data
    assert overview["topic"] is None
    assert [row["name"] for row in overview["commands"]] == list(COMMANDS)
    for command in (("help", "create"), ("create", "--help"), ("help", "exit-codes")):
        data = run(*command, "--json").assert_ok().data
        topic = "exit-codes" if "exit-codes" in command else "create"
        assert data == {"topic": topic, "text": run(*command).assert_ok().stdout}
    script = run("completions", "bash").assert_ok().stdout
    data = run("completions", "bash", "--json").assert_ok().data
    assert data == {"shell": "bash", "script": script}


def test_the_log_of_the_daemon_in_json(home: Home, run: Run) -> None:
    run("daemon", "logs", "--json").assert_code(3)
    log = home.state / "log/daemon.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"one\ntw\x1bo\nthree\n")
    data = run("daemon", "logs", "-n", "2", "--json").assert_ok().data
    assert data == {"lines": ["tw\\x1bo", "three"]}
    run("daemon", "logs", "-f", "--json").assert_code(2)


def test_wrong_command_lines_say_what_to_type(run: Run) -> None:
    run("list", "--al").assert_error(2, "arguments: --al, did you mean --all?", "list --help")
    run("list", "--xyzzy").assert_error(2, "arguments: --xyzzy\n")
    run("lst").assert_error(2, "did you mean 'list'?", "try: rumpel list")
    run("list", "--wat").assert_error(2, "--wat", "try: rumpel list --help")
    run("--wat").assert_error(2, "--wat")
    run("help", "wat").assert_error(2, "no command or topic 'wat', did you mean 'wait'?")
    run("help", "exitcodes").assert_error(2, "did you mean 'exit-codes'?")
    run("create").assert_error(2, "NAME")
    envelope = run("list", "--wat", "--json").assert_code(2).json()
    assert envelope["error"]["code"] == "usage"


def test_another_folder(home: Home, serve: Serve, run: Run) -> None:
    daemon = serve(list=answers([]))
    other = home.path / "öther"
    other.mkdir()
    run("-C", str(other), "list").assert_ok()
    run("list", "-C", str(other)).assert_ok()
    assert [request["cwd"] for request in daemon.requests] == [str(other)] * 2
    run("-C", "/nowhere", "list").assert_error(2, "/nowhere", "No such file")


def test_a_deleted_folder_is_told(home: Home, serve: Serve, run: Run) -> None:
    serve(list=answers([]))
    script = "mkdir gone; cd gone; rmdir ../gone; rumpel list"
    process = home.start(["sh", "-c", script], cwd=home.path)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert b"the current folder was deleted" in err


def test_a_reader_that_leaves_is_no_error(home: Home, serve: Serve) -> None:
    pods = [{"name": f"p{number}", "status": "running"} for number in range(20_000)]
    serve(list=answers(pods))
    script = "rumpel list | head -1; exit ${PIPESTATUS[0]}"
    process = home.start(["bash", "-c", script], cwd=home.path)
    out, err = process.communicate(timeout=15)
    assert (process.returncode, err) == (141, b"")
    assert out.startswith(b"NAME")


def test_a_full_disk_is_told(home: Home, serve: Serve) -> None:
    serve(list=answers([{"name": "a"}] * 5000))
    process = home.start(["sh", "-c", "rumpel list > /dev/full"], cwd=home.path)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 1
    assert err == b"error: cannot write the result: No space left on device\n"


def test_an_encoding_without_our_characters_is_no_crash(serve: Serve, run: Run) -> None:
    serve(list=answers([{"name": "a", "status": "läuft"}]))
    outcome = run("list", env={"PYTHONIOENCODING": "ascii"}).assert_ok()
    assert outcome.stdout_bytes.splitlines()[1].split()[3] == b"l\\xe4uft"


def test_a_bug_leaves_a_crash_file_and_no_traceback(home: Home, serve: Serve, run: Run) -> None:
    serve(list=answers([{"no": "name"}]))
    outcome = run("list", "-q").assert_error(70, "a bug in rumpel: KeyError", "crash-")
    assert "Traceback" not in outcome.stderr
    (path,) = (home.state / "crash").iterdir()
    assert "KeyError: 'name'" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert "Traceback" in run("list", "-q", env={"RUMPEL_DEBUG": "1"}).assert_code(70).stderr


def test_a_socket_of_somebody_else_is_refused(home: Home, run: Run) -> None:
    outcome = run("list", env={"RUMPEL_SOCKET": "/" + "x" * 200})
    outcome.assert_error(2, "too long", "RUMPEL_SOCKET")
