"""The daemon is started when none answers: once, waited for, its failures told.

The daemon here is a script in a copy of the package (links to the real one), so that the
client's own start-up code runs unchanged.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

import rumpel
from rumpel import protocol
from tests.e2e.cli_fake.conftest import Serve
from tests.e2e.cli_fake.fake_daemon import Talk
from tests.support.home import Home
from tests.support.outcome import Outcome

PACKAGE = Path(rumpel.__file__).parent
SERVER = """
import argparse, fcntl, json, os, socket, sys, time
from rumpel import paths
parser = argparse.ArgumentParser()
parser.add_argument("--ready-fd", type=int)
ready = parser.parse_args().ready_fd
lock = os.open(paths.lock_path(), os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(0)
time.sleep(DELAY)
with open(paths.state_dir() + "/starts", "a") as file:
    file.write("x")
server = socket.socket(socket.AF_UNIX)
server.bind(paths.socket_path())
server.listen(100)
os.write(ready, b"ok\\n")
os.close(ready)
server.settimeout(8)
for _ in range(COUNT):
    sock, _ = server.accept()
    line = sock.makefile().readline()
    facts = {"cwd": os.getcwd(), "env": dict(os.environ), "argv": sys.argv}
    answer = ANSWER
    sock.sendall((json.dumps(answer) + "\\n").encode())
    sock.close()
os.unlink(paths.socket_path())
"""
LIST = '{"result": [], "warnings": [], "exit_code": 0}'


@pytest.fixture
def root(home: Home) -> Path:
    """An import root whose rumpel.daemon is the test's."""
    package = home.path / "lib/rumpel"
    package.mkdir(parents=True)
    for entry in PACKAGE.iterdir():
        if entry.name not in ("daemon", "__pycache__"):
            (package / entry.name).symlink_to(entry)
    (package / "daemon").mkdir()
    (package / "daemon/__init__.py").touch()
    return package.parent


def script(root: Path, text: str, **values: object) -> None:
    for name, value in values.items():
        text = text.replace(name, str(value))
    (root / "rumpel/daemon/__main__.py").write_text(text)


def start(home: Home, root: Path, *args: str) -> list[str]:
    return [sys.executable, "-c", _code(root), *args]


def _code(root: Path) -> str:
    return (
        f"import sys; sys.path.insert(0, {str(root)!r}); "
        "from rumpel.__main__ import main; sys.exit(main())"
    )


def run(home: Home, root: Path, *args: str, **env: str) -> Outcome:
    argv = start(home, root, *args)
    begun = time.monotonic()
    process = home.start(argv, cwd=home.path, env=env)
    out, err = process.communicate(timeout=30)
    return Outcome(argv, process.returncode, out, err, time.monotonic() - begun)


def test_the_first_command_starts_it_in_a_clean_world(home: Home, root: Path) -> None:
    answer = '{"result": facts, "warnings": [], "exit_code": 0}'
    script(root, SERVER, DELAY=0, COUNT=1, ANSWER=answer)
    outcome = run(home, root, "config", "--json", GIT_DIR="/x", PYTHONSTARTUP="/y", SECRET="z")
    facts = outcome.assert_ok().data
    assert facts["cwd"] == "/"
    assert not {"GIT_DIR", "PYTHONSTARTUP", "SECRET"} & facts["env"].keys()
    assert facts["env"]["HOME"] == home.env["HOME"]
    assert outcome.stderr == ""
    assert (home.path / "run/rumpel").stat().st_mode & 0o777 == 0o700


def test_a_slow_start_says_what_it_waits_for(home: Home, root: Path) -> None:
    script(root, SERVER, DELAY=0.8, COUNT=1, ANSWER=LIST)
    outcome = run(home, root, "list").assert_ok()
    assert outcome.stderr == "starting the rumpel daemon\n"


def test_many_first_commands_start_one(home: Home, root: Path) -> None:
    script(root, SERVER, DELAY=0.2, COUNT=6, ANSWER=LIST)
    started = [home.start(start(home, root, "list"), cwd=home.path) for _ in range(6)]
    for process in started:
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
    assert (home.state / "starts").read_text() == "x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise SystemExit('boom\\n\\x1b[31mfell')", ["exited with code 1", "| boom", "\\x1b"]),
        (
            "import os; os.write({fd}, b'error: no space left\\n'); raise SystemExit(1)",
            ["no space"],
        ),
        (
            'import os; os.write({fd}, b\'{{"message": "lock broken", "hint": "rm it"}}\\n\')',
            ["could not start: lock broken", "try: rm it"],
        ),
    ],
)
def test_a_daemon_that_cannot_start_says_why(
    home: Home, root: Path, text: str, words: list[str]
) -> None:
    script(
        root,
        "import sys\n"
        + text.replace("{fd}", "int(sys.argv[2])").replace("{{", "{").replace("}}", "}"),
    )
    outcome = run(home, root, "list").assert_code(1)
    for word in words:
        assert word in outcome.stderr


def test_a_stale_socket_file_is_no_obstacle(home: Home, root: Path, serve: Serve) -> None:
    serve().close()
    home.socket.touch()
    script(
        root,
        "import os\nfrom rumpel import paths\nos.unlink(paths.socket_path())\n" + SERVER,
        DELAY=0,
        COUNT=1,
        ANSWER=LIST,
    )
    run(home, root, "list").assert_ok()


def test_an_idle_outdated_daemon_is_replaced(home: Home, root: Path, serve: Serve) -> None:
    def outdated(talk: Talk) -> None:
        home.socket.unlink()  # as a daemon that ends does
        talk.send(protocol.outdated(is_busy=False))

    script(root, SERVER, DELAY=0, COUNT=1, ANSWER=LIST)
    serve(list=outdated)
    run(home, root, "list").assert_ok()
    assert (home.state / "starts").read_text() == "x"


def test_a_busy_outdated_daemon_is_left_alone(home: Home, root: Path, serve: Serve) -> None:
    serve(list=lambda talk: talk.send(protocol.outdated(is_busy=True)))
    run(home, root, "list").assert_error(4, "busy with other work", "rumpel daemon restart")


HANGING = """
import os, signal, socket, sys, time
from rumpel import paths
server = socket.socket(socket.AF_UNIX)
server.bind(paths.socket_path())
server.listen(100)
os.write(int(sys.argv[2]), b"ok\\n")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(60)
"""


def test_a_hanging_daemon_is_told_and_can_be_ended(home: Home, root: Path) -> None:
    script(root, HANGING)
    starter = home.start(start(home, root, "list"), cwd=home.path)
    while not home.socket.exists():
        time.sleep(0.02)
    outcome = run(home, root, "daemon", "status").assert_error(124, "did not answer within 5.00 s")
    pid = int(outcome.stderr.split("process ")[1].split(")")[0])
    assert pid in home.daemon_pids()
    run(home, root, "daemon", "stop", "--force").assert_ok()
    assert pid not in home.daemon_pids()
    assert starter.wait(10) == 1


def test_waiting_for_the_start_can_be_interrupted(home: Home, root: Path) -> None:
    script(root, "import time; time.sleep(20)")
    process = home.start(start(home, root, "create", "a"), cwd=home.path)
    assert process.stderr is not None
    assert process.stderr.readline() == b"starting the rumpel daemon\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    for pid in home.daemon_pids():
        os.kill(pid, signal.SIGKILL)


def test_a_daemon_on_the_socket_of_another_environment_is_used(home: Home, root: Path) -> None:
    """As sessions of cron and sudo have it: the same state, no XDG_RUNTIME_DIR."""
    home.run("list", "--all", cwd=root).assert_ok()
    (pid,) = home.daemon_pids()
    found = home.run("list", "--all", cwd=root, env={"XDG_RUNTIME_DIR": None}).assert_ok()
    assert found.elapsed_s < 10
    assert "starting" not in found.stderr
    refused = home.run("list", cwd=root, env={"RUMPEL_SOCKET": str(home.path / "x" / "sock")})
    refused.assert_error(4, f"process {pid}", str(home.socket), "RUMPEL_SOCKET")
    assert home.daemon_pids() == [pid]
