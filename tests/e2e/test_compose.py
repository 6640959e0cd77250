"""A compose project: the pod is one of its services, and has the others to itself."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from rumpel import names
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("docker-compose"), reason="no docker-compose on PATH"),
]
ROOT = Path(__file__).parents[2]
FILE = ".devcontainer/compose.json"
KEPT = "test -e /data/index.html || hostname >/data/index.html; exec httpd -f -p 8000 -h /data"
"""A service that has its data in a volume, and tells it to who asks."""
AT_ONCE = "SIGKILL"
"""The stop signal where nothing of a service is left to be ended in order: else that takes 10 s."""


def web(**more: Any) -> dict[str, Any]:
    command = ["sh", "-c", KEPT]
    own = {"image": MINI_IMAGE, "command": command, "volumes": ["data:/data"]}
    return {**own, "stop_signal": AT_ONCE, **more}


def app(**more: Any) -> dict[str, Any]:
    workspace = "..:/workspaces/repo:cached"
    return {
        "image": MINI_IMAGE,
        "command": "sleep infinity",
        "volumes": [workspace],
        "depends_on": ["web"],
        **more,
    }


def configured(
    project: Project, services: dict[str, Any], config: dict[str, Any] | None = None, **top: Any
) -> None:
    """`top`: of the compose file."""
    compose = {"services": services, "volumes": {"data": None}, **top}
    about = {"dockerComposeFile": "compose.json", "service": "app", **(config or {})}
    files = {FILE: json.dumps(compose), ".devcontainer/devcontainer.json": json.dumps(about)}
    project.commit("compose", files)


def asked(project: Project, pod: str, host: str = "web") -> str:
    return project.inside(pod, f"wget -q -O - http://{host}:8000/")


def test_two_pods_with_services_of_their_own(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a", "b").assert_ok()
    first, second = asked(project, "a"), asked(project, "b")
    assert first != second, "each has its own data"
    assert project.inside("a", "cat README.md") == "# A project"


def objects(project: Project) -> dict[str, list[str]]:
    """All of this daemon, by kind, whatever state they are in; the engine lists in any order."""
    label = project.home.label or ""
    return {
        "containers": sorted(
            row["Names"][0] for row in project.docker.containers(label, "rumpel.kind=service")
        ),
        "networks": sorted(row["Name"] for row in project.docker.networks(label)),
        "volumes": sorted(
            row["Name"]
            for row in project.docker.volumes(label)
            if names.LABEL_POD_ID in row["Labels"]
        ),
    }


def services(project: Project) -> dict[str, str]:
    """Service -> id of its container."""
    found = project.docker.containers(project.home.label or "", "rumpel.kind=service")
    return {row["Labels"]["rumpel.service"]: row["Id"] for row in found}


def running(project: Project) -> set[str]:
    found = project.docker.containers(project.home.label or "", "rumpel.kind=service")
    return {row["Labels"]["rumpel.service"] for row in found if row["State"] == "running"}


def test_the_whole_project_stops_starts_and_goes(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a").assert_ok()
    said = asked(project, "a")
    assert running(project) == {"web"}
    project.run("stop", "a").assert_ok()
    assert running(project) == set()
    assert asked(project, "a") == said, "enter starts it, with its data"
    project.docker.api.stop(services(project)["web"], timeout=1)
    project.wait_until(lambda: running(project) == set(), "it is stopped by hand")
    why = project.run("graph", "a", "--plan", "create", "--why", "services").stdout
    assert "web is exited" in why, why
    project.run("create", "a").assert_ok()
    assert asked(project, "a") == said
    project.docker.api.remove_container(services(project)["web"], force=True)
    assert asked(project, "a") == said, "one that was removed is made again"
    gone = project.run("delete", "a").assert_ok()
    assert "with pod a went 1 volume of its services: data" in gone.stderr
    assert objects(project) == {"containers": [], "networks": [], "volumes": []}


def test_recreate_makes_only_what_changed(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    both = {"app": app(depends_on=["web", "other"]), "web": web(), "other": web(volumes=[])}
    both["other"]["command"] = ["httpd", "-f", "-p", "8000", "-h", "/etc"]
    configured(project, both)
    project.run("create", "a").assert_ok()
    said, before, pod = asked(project, "a"), services(project), project.container_id("a")
    project.inside("a", "echo mine >kept")
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "nothing"
    both["web"]["environment"] = {"NEW": "1"}
    configured(project, both)
    refused = project.run("create", "a")
    assert refused.code == 4, refused
    assert "rumpel recreate a" in refused.stderr
    plan = project.run("recreate", "a", "--plan", "--json").assert_ok().data
    assert plan["action"] == "services"
    assert "service.web.environment" in [one["subject"] for one in plan["reasons"]]
    assert "service.other" not in str(plan["reasons"])
    done = project.run("recreate", "a", "--json").assert_ok().data
    assert done["action"] == "services"
    after = services(project)
    assert after["web"] != before["web"]
    assert after["other"] == before["other"], "it was not touched"
    assert project.container_id("a") == pod
    assert asked(project, "a") == said, "its data are in a volume"
    both["app"]["environment"] = {"OWN": "1"}
    configured(project, both)
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "new container"
    assert services(project) == after
    assert project.inside("a", "cat kept; echo $OWN") == "mine\n1"
    assert asked(project, "a") == said


def test_what_touches_the_host_is_asked_for(rumpel_project: ProjectFactory) -> None:
    """Of every service, by its name; and before a file outside the repository is read."""
    project = rumpel_project()
    secret = project.home.path / "outside.env"
    secret.write_text("FROM_OUTSIDE=canary-of-a-file\n")
    bad = web(privileged=True, volumes=["/etc:/host-etc:ro"], env_file=[str(secret)])
    configured(project, {"app": app(environment={"TOKEN": "${MY_TOKEN}"}), "web": bad})
    env = {"MY_TOKEN": "very-secret-value"}
    refused = project.run("create", "a", env=env)
    assert refused.code == 4
    assert f"reads the host file {secret}" in refused.stderr
    assert "hands over MY_TOKEN of your environment" in refused.stderr
    assert "canary" not in refused.stderr
    assert objects(project)["containers"] == []
    bad.pop("env_file")
    configured(project, {"app": app(), "web": bad})
    refused = project.run("create", "a")
    assert refused.code == 4
    assert "service web runs privileged" in refused.stderr
    assert "service web mounts /etc of the host" in refused.stderr
    assert "workspaces" not in refused.stderr, "its own clone is no bind mount"


def test_values_of_your_environment_stay_in_the_services(rumpel_project: ProjectFactory) -> None:
    """After consent; in no file of ours, in no output, and only where they were named."""
    project = rumpel_project()
    keep = 'printf %s "$TOKEN" | sha256sum >/data/index.html; exec httpd -f -p 8000 -h /data'
    project.write({".devcontainer/.env": "OF_DOTENV=very-secret-of-dotenv\n"})
    project.write({".devcontainer/web.env": "OF_FILE=very-secret-of-a-file\n"})
    own = app(environment={"MINE": "${MY_TOKEN}", "EMPTY": "${OTHER_SECRET}"}, env_file="web.env")
    own["labels"] = {"mine": "${MY_TOKEN}"}
    service = web(environment={"TOKEN": "x${MY_TOKEN}", "DOTENV": "${OF_DOTENV}"})
    service |= {"env_file": ["web.env"], "labels": ["token=${MY_TOKEN}"]}
    service["command"] = ["sh", "-c", keep.replace("$", "$$")]
    configured(project, {"app": own, "web": service})
    env = {"MY_TOKEN": "very-secret-value"}
    project.run("create", "a", "--trust", env=env).assert_ok()
    shown = project.inside("a", "echo $MINE $OF_FILE")
    assert shown == "very-secret-value very-secret-of-a-file"
    inside = project.docker.inspect(services(project)["web"])["Config"]
    assert {"OF_FILE=very-secret-of-a-file", "DOTENV=very-secret-of-dotenv"} <= {*inside["Env"]}
    assert project.run("recreate", "a", "--json", env=env).assert_ok().data["action"] == "nothing"
    before = asked(project, "a")
    project.run("stop", "a").assert_ok()
    assert asked(project, "a") == before
    for args in (("graph", "a", "--json"), ("logs", "a"), ("config", "--json")):
        assert "very-secret" not in project.run(*args).stdout, args
    for path in (*project.home.state.rglob("*"), *(project.home.path / "cache").rglob("*")):
        if path.is_file():
            assert b"very-secret" not in path.read_bytes(), path


def test_ports_profiles_and_what_is_waited_for(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    ready = {"test": ["CMD", "test", "-e", "/data/ready"], "interval": "300ms", "retries": 50}
    slow = "sleep 2; touch /data/ready; exec httpd -f -p 8000 -h /data"
    fine = web(command=["sh", "-c", slow], healthcheck=ready, ports=["8000:8000"])
    once = web(command=["sh", "-c", "sleep 1; echo done >/data/once"])
    needs = {
        "web": {"condition": "service_healthy"},
        "once": {"condition": "service_completed_successfully"},
    }
    idle = web(command="sleep 1000", profiles=["more"])
    configured(
        project,
        {"app": app(depends_on=needs), "web": fine, "once": once, "idle": idle},
        {"forwardPorts": ["web:8000"]},
    )
    made = project.run("create", "a").assert_ok()
    assert "waiting until service web is healthy" in made.stderr
    assert set(services(project)) == {"web", "once"}, "no profile asks for the other one"
    assert running(project) == {"web"}
    assert project.inside("a", "wget -q -O - http://web:8000/once") == "done"
    rows = project.run("ports", "a", "--json").assert_ok().data
    assert [row["key"] for row in rows] == ["web:8000"]
    assert project.run("create", "a").assert_ok().stderr == "", "what has ended well is done"


def test_a_service_that_is_unhealthy_is_not_waited_for(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    said = ["CMD-SHELL", "echo no such table for $$MINE; exit 1"]
    check = {"test": said, "interval": "300ms", "retries": 2}
    needs = {"web": {"condition": "service_healthy"}}
    service = web(healthcheck=check, environment={"MINE": "${MY_TOKEN}"})
    configured(project, {"app": app(depends_on=needs), "web": service})
    env = {"MY_TOKEN": "canary-7c1e"}
    failed = project.run("create", "a", "--trust", timeout=45, env=env).assert_code(6)
    assert "no such table for ***" in failed.stderr
    assert "canary-7c1e" not in failed.stderr
    assert "service web is unhealthy, and others wait for it" in failed.stderr
    (row,) = project.run("list", "--json").assert_ok().data
    assert row["status"] == "failed at services"


def test_what_a_service_prints(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    waits = "until [ -e /data/go ]; do sleep 0.1; done"
    talks = f"echo; echo begun; {waits}; echo gone on; exec sleep 1000"
    tty = web(command=["echo", "on a terminal"], tty=True)
    configured(project, {"app": app(), "web": web(command=["sh", "-c", talks]), "tty": tty})
    project.run("create", "a").assert_ok()
    assert project.run("logs", "a", "web").assert_ok().stdout == "\nbegun\n"
    assert project.run("logs", "a", "tty").assert_ok().stdout.split() == ["on", "a", "terminal"]
    assert project.run("logs", "a", "tty", "-n", "0").assert_ok().stdout == ""
    told = project.run("logs", "a", "web", "--json").assert_ok().data
    assert {(row["name"], row["pod"]) for row in told} == {("web", "a")}
    assert "".join(row["text"] for row in told) == "\nbegun\n"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):  # as people leave it
        leaver = project.start("logs", "-f", "a", "web")
        assert leaver.stdout is not None
        assert [leaver.stdout.readline() for _ in range(2)] == [b"\n", b"begun\n"]
        leaver.send_signal(number)
        leaver.wait(timeout=20)
    reader = project.start("logs", "-f", "a", "web")
    assert reader.stdout is not None
    assert [reader.stdout.readline() for _ in range(2)] == [b"\n", b"begun\n"]
    project.docker.exec(services(project)["web"], "touch", "/data/go")
    assert reader.stdout.readline() == b"gone on\n"
    project.docker.kill(services(project)["web"])
    assert reader.wait(timeout=20) == 0, "it has nothing more to say"
    project.run("daemon", "stop").assert_ok()
    assert not (project.home.state / "crash").exists(), "who leaves is no bug"


def test_doctor_knows_a_service_that_ended(rumpel_project: ProjectFactory) -> None:
    """Stopped by hand, it ends with 0 like one that has done its work; that is not done again."""
    project = rumpel_project()
    stays = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    fails = ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"]
    knows: dict[str, Any] = {"stop_signal": "SIGTERM"}
    found = {
        "web": web(command=stays, restart="unless-stopped", **knows),
        "bad": web(command=fails, **knows),
    }
    configured(project, {"app": app(), "once": web(command=["true"]), **found})
    project.run("create", "a").assert_ok()
    project.wait_until(lambda: running(project) == {"bad", "web"}, "one has done its work")

    def told(*args: str) -> set[str]:
        rows = project.run("doctor", "--json", *args).data
        return {row["text"] for row in rows if row["code"] == "pod-service"}

    for name in ("bad", "web"):
        project.docker.api.stop(services(project)[name], timeout=5)
    known = {f"service {name} of pod a has ended with {n}" for name, n in (("web", 0), ("bad", 3))}
    project.wait_until(lambda: told() == known, "they are found")
    told("--fix")
    project.wait_until(lambda: running(project) == {"bad", "web"}, "they run again")
    assert told() == set()


def test_check_tells_of_services(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, {"app": app(restart="always"), "web": web(container_name="shared")})
    done = project.run("config", "--check", "--json")
    rows = {row["field"]: row for row in done.data["devcontainer"]["fields"]}
    assert "container_name is a name in the pod's network" in rows["dockerComposeFile"]["note"]
    assert "restart has no effect" in rows["service"]["note"]
    configured(project, {"app": app(), "web": web(external_links=["x"])})
    done = project.run("config", "--check")
    assert done.code == 2
    assert "service web: external_links: it cannot be had" in done.stdout


def test_images_of_services_are_built_beforehand(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.write({".devcontainer/web/Dockerfile": f"FROM {MINI_IMAGE}\nRUN echo one >/built\n"})
    command = ["sh", "-c", "exec httpd -f -p 8000 -h /"]
    built = {"build": "web", "command": command}
    configured(project, {"app": app(), "web": built})
    made = project.run("image", "build", "--json").assert_ok().data
    assert [(one["service"], one["how"]) for one in made["services"]] == [("web", "built")]
    again = project.run("image", "build", "--no-cache", "--json").assert_ok().data
    assert again["services"][0]["image_id"] != made["services"][0]["image_id"]
    assert "Building" not in project.run("create", "a").assert_ok().stderr
    assert project.inside("a", "wget -q -O - http://web:8000/built") == "one"
    project.write({".devcontainer/web/Dockerfile": f"FROM {MINI_IMAGE}\nRUN echo two >/built\n"})
    assert project.run("recreate", "a", "--plan", "--json").data["action"] == "services"
    pod = project.container_id("a")
    project.run("recreate", "a").assert_ok()
    assert project.container_id("a") == pod
    assert project.inside("a", "wget -q -O - http://web:8000/built") == "two"


def as_in_the_readme(project: Project, image: str) -> dict[str, str]:
    """What its commands say, by their names."""
    section = (ROOT / "README.md").read_text().partition("### Compose")[2]
    about = section.partition("```json")[2].partition("```")[0]
    compose = section.partition("```yaml")[2].partition("```")[0]
    for name in ("debian:bookworm", "redis:7"):
        assert f"image: {name}\n" in compose
        compose = compose.replace(name, image)
    files = {".devcontainer/devcontainer.json": about, ".devcontainer/compose.yml": compose}
    project.commit("as in the README", files)
    shown = re.findall(r"^\$ rumpel (.*?)(?:\s+#.*)?$", section, re.MULTILINE)[:3]
    said = [project.run(*line.split()).assert_ok().stdout for line in shown]
    return {line.split()[0]: text for line, text in zip(shown, said, strict=True)}


def test_the_example_of_the_readme(rumpel_project: ProjectFactory, db_image: str) -> None:
    """A real database: two pods that do not see each other's data, which outlive what changes."""
    project = rumpel_project(name="shop")
    shown = as_in_the_readme(project, db_image)
    assert "Ready to accept connections" in shown["logs"]
    assert "db:6379" in shown["ports"]
    assert project.inside("a", "redis-cli -h db set mine 1; pwd") == "OK\n/workspaces/shop"
    assert project.inside("b", "redis-cli -h db dbsize") == "0"
    (row,) = project.run("ports", "a", "--json").assert_ok().data
    assert row["key"] == "db:6379"
    with socket.create_connection(("127.0.0.1", row["local_port"]), timeout=10) as connection:
        connection.sendall(b"GET mine\r\n")
        assert connection.recv(100) == b"$1\r\n1\r\n"
    project.run("stop", "a").assert_ok()
    assert project.inside("a", "redis-cli -h db get mine") == "1"
    path = project.root / ".devcontainer/compose.yml"
    path.write_text(path.read_text().replace("--appendonly yes", "--appendonly yes --databases 3"))
    before = project.container_id("a")
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "services"
    assert project.container_id("a") == before
    said = project.inside("a", "redis-cli -h db get mine; redis-cli -h db config get databases")
    assert said.split() == ["1", "databases", "3"]
    project.run("delete", "a", "b", "--force").assert_ok()
    assert objects(project) == {"containers": [], "networks": [], "volumes": []}


def test_a_pod_in_the_network_of_a_service(rumpel_project: ProjectFactory) -> None:
    """As many templates have it: what the service listens on is at localhost."""
    project = rumpel_project()
    own = app(network_mode="service:web", depends_on=[])
    other = web(command=["httpd", "-f", "-p", "8001", "-h", "/etc"], volumes=[])
    configured(project, {"app": own, "web": web(), "other": other}, {"forwardPorts": [8000]})
    project.run("create", "a", "b").assert_ok()
    said = asked(project, "a", "localhost")
    assert asked(project, "b", "localhost") != said
    assert project.inside("a", "wget -q -O - http://other:8001/hostname")
    (row,) = project.run("ports", "a", "--json").assert_ok().data
    url = f"http://127.0.0.1:{row['local_port']}/"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read().decode().strip() == said
    project.run("stop", "a").assert_ok()
    assert asked(project, "a", "localhost") == said
    project.inside("a", "echo mine >kept")
    changed = web(environment={"NEW": "1"})
    configured(project, {"app": own, "web": changed, "other": other}, {"forwardPorts": [8000]})
    before = project.container_id("a")
    project.run("recreate", "a").assert_ok()
    assert project.container_id("a") != before, "its network is another one"
    assert project.inside("a", "cat kept") == "mine"
    assert asked(project, "a", "localhost") == said


def test_a_pod_in_two_networks(rumpel_project: ProjectFactory) -> None:
    """Who is in one of them does not see who is in the other; a fixed address is left out."""
    project = rumpel_project()
    ipam = {"config": [{"subnet": "10.213.7.0/24"}]}
    networks = {"front": {"ipam": ipam}, "back": {"internal": True}}
    fixed = {"front": {"ipv4_address": "10.213.7.9", "aliases": ["www"]}}
    pod = app(networks=["front", "back"], depends_on=["web", "db"])
    front, back = web(networks=fixed), web(networks=["back"], volumes=[])
    back["command"] = ["httpd", "-f", "-p", "8000", "-h", "/etc"]
    configured(project, {"app": pod, "web": front, "db": back}, networks=networks)
    made = project.run("create", "a", "b").assert_ok()
    assert "ipv4_address has no effect" in made.stderr
    assert asked(project, "a", "www")
    assert project.inside("a", "wget -q -O - http://db:8000/hostname")
    found = {
        row["Labels"]["rumpel.service"]: set(row["NetworkSettings"]["Networks"])
        for row in project.docker.containers(project.home.label or "", "rumpel.pod=a")
        if "rumpel.service" in row["Labels"]
    }
    assert found["web"].isdisjoint(found["db"])
    assert found["web"] | found["db"] == set(
        project.docker.inspect(project.container_id("a"))["NetworkSettings"]["Networks"]
    )
    project.run("stop", "a").assert_ok()
    assert asked(project, "a", "www")
    project.run("recreate", "a", "--force").assert_ok()
    assert project.inside("a", "wget -q -O - http://db:8000/hostname")


def test_a_name_that_is_no_service(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()}, {"forwardPorts": ["webb:8000", "web:8000"]})
    told = project.run("config", "--check", env={"NO_COLOR": "1"})
    assert "webb is no service of the compose project, did you mean web?" in told.stderr
    project.run("create", "a").assert_ok()
    project.run("logs", "a", "webb").assert_error(
        3, "no step or service 'webb'", "did you mean 'web'"
    )
    unlike = project.run("logs", "a", "cache")
    unlike.assert_error(3, "try: one of: web, clone, container")
    (row,) = project.run("list", "--json").assert_ok().data
    assert [one["key"] for one in row["ports"]] == ["webb:8000", "web:8000"]
