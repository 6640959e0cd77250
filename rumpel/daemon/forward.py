"""`ports` and `forward-port`, and what other verbs do about ports: read, tell, tidy up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rumpel.daemon import image_label, requests, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.ports import LOOPBACK
from rumpel.daemon.requests import Target
from rumpel.daemon.stop import access_of
from rumpel.devcontainer import forwards
from rumpel.engine.events import NodeState
from rumpel.engine.execute import RunResult
from rumpel.errors import ConfigError, Conflict, NotFound, RumpelError, UsageError
from rumpel.graphs import forward as forward_graph
from rumpel.graphs.create import port_id
from rumpel.model import PodSpec, PortSpec
from rumpel.tasks import port as port_task

MAX_LABEL = forwards.MAX_LABEL
FIELDS = ("forwardPorts", "appPort", "portsAttributes", "otherPortsAttributes")

_read: dict[tuple[object, ...], tuple[PortSpec, ...]] = {}
"""What files said of ports: entering reads a file again when it has changed."""


async def ports(app: App, client: Client) -> dict[str, object]:
    """One row a port; without a name, of all pods of the repository."""
    where = await requests.lenient(client)
    name = client.request.args["name"]
    if name is None:
        pods = app.pods.of_repo(where.ref.repo_id)
    else:
        pods = [app.pods.get(where.ref.repo_id, name, prefix=True)]
    for pod in pods:
        await app.host(pod.spec.host)
    rows = [row for pod in pods for row in listing(app, pod)]
    for row in rows:
        if row["note"]:
            client.warn(row["note"])
    return {"result": rows, "warnings": client.warnings, "exit_code": 0}


async def run(app: App, client: Client) -> dict[str, object]:
    """`forward-port`: the row of the port, or with `remove` nothing."""
    args = client.request.args
    where = await requests.lenient(client)
    pod = app.pods.get(where.ref.repo_id, args["name"])
    host, number = address(args["port"])
    wanted = PortSpec(port=number, host=host)
    await app.host(pod.spec.host)
    if args["remove"]:
        await _remove(app, client, pod, wanted)
        return {"result": None, "warnings": client.warnings, "exit_code": 0}
    if (project := pod.spec.project) is not None and project.service:
        bodies = {one.name: one.body for one in project.services}
        for line in forwards.nobodys([wanted], project.service, bodies):
            client.warn(line)
    port = _asked_for(pod.spec, wanted, args["local"], args["label"])
    spec = _with(pod.spec, port)
    await app.pods.put(spec, created_at=pod.created_at)
    try:
        await _open(app, client, pod, spec, port)
    except RumpelError:
        await app.pods.put(pod.spec, created_at=pod.created_at)
        raise
    problem = await app.ports.ready(pod.pod_id)
    if problem is not None:
        client.warn(problem)
    row = next(row for row in listing(app, Pod(spec=spec, created_at=0)) if row["key"] == port.key)
    return {"result": row, "warnings": client.warnings, "exit_code": 0}


def listing(app: App, pod: Pod) -> list[dict[str, Any]]:
    return [_row(app, pod, port) for port in pod.spec.open_ports]


def summary(app: App, pod: Pod) -> list[dict[str, Any]]:
    """What `list` tells of them."""
    names = ("key", "container_host", "container_port", "local_port", "label", "state")
    return [{name: row[name] for name in names} for row in listing(app, pod)]


async def refreshed(app: App, client: Client, where: Target, pod: Pod) -> PodSpec:
    """The pod with the ports that its configuration names now: they need no other container."""
    file = None if client.request.args["config"] else _file(where, pod)
    if file is not None and _read.get(file) == pod.spec.ports:
        return pod.spec
    try:
        dev = await requests.dev_config(
            where,
            client,
            pod=pod.name,
            pod_id=pod.pod_id,
            config_file=pod.spec.config_file,
            is_whole=False,
        )
        dev = await image_label.of_old(app, pod.spec, dev)
    except ConfigError as error:
        client.warn(f"{error.message} (nothing of it is used now)")
        return pod.spec
    if file is not None and not any("${" in repr(dev.raw.get(name)) for name in FIELDS):
        if len(_read) > 1000:
            _read.clear()
        _read[file] = dev.ports
    if dev.ports == pod.spec.ports:
        return pod.spec
    return (await app.pods.put(replace(pod.spec, ports=dev.ports), created_at=pod.created_at)).spec


def _file(where: Target, pod: Pod) -> tuple[object, ...] | None:
    """The file the pod was made from, as it is on disk now."""
    if pod.spec.config_file is None:
        return None
    path = Path(where.root, pod.spec.config_file)
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


async def settle(
    app: App, client: Client, specs: list[PodSpec], result: RunResult | None = None
) -> None:
    """After a graph with ports in it: those no more wanted are closed, those opened are told."""
    for spec in specs:
        pod = app.pods.by_id(spec.pod_id)
        if pod is None:
            continue
        if result is None and pod.spec.ports != spec.ports:
            spec = replace(pod.spec, ports=spec.ports)
            await app.pods.put(spec, created_at=pod.created_at)
        await app.ports.retain(spec)
        if result is None:
            continue
        for port in spec.open_ports:
            if result.states.get(port_id(spec, port)) is NodeState.OK:
                _tell(client, spec, port, result.outputs[port_id(spec, port)])


def raise_unless_port(client: Client, result: RunResult) -> None:
    """A port that cannot be had keeps nobody out of a pod."""
    for name, error in result.errors.items():
        if not name.startswith(f"{port_task.KIND}/"):
            raise error
        client.warn(error.message)


def address(text: str) -> tuple[str, int]:
    try:
        return forwards.address(text, ("port",))
    except ConfigError as error:
        raise UsageError(
            f"{text!r} is not a port of a pod",
            hint="rumpel forward-port POD:3000   or, of a service, POD:SERVICE:PORT",
        ) from error


def _tell(client: Client, spec: PodSpec, port: PortSpec, output: port_task.Output) -> None:
    if output.note is not None:
        client.warn(output.note)
    elif port.is_announced:
        label = f" ({port.label})" if port.label else ""
        client.notice(f"port {port.key} of {spec.pod}{label}: {url(port, output.local)}")


def url(port: PortSpec, local: int) -> str:
    scheme = f"{port.protocol}://" if port.protocol else ""
    return f"{scheme}{LOOPBACK}:{local}"


def _row(app: App, pod: Pod, port: PortSpec) -> dict[str, Any]:
    local = app.ports.remembered(pod.pod_id).get(port.key)
    listener = app.ports.listener(pod.pod_id, port.key)
    state, reason = _state(app, pod, port)
    return {
        "pod": pod.name,
        "key": port.key,
        "container_host": port.host,
        "container_port": port.port,
        "local_port": local,
        "address": None if local is None else url(port, local),
        "label": port.label,
        "protocol": port.protocol,
        "state": state,
        "reason": reason,
        "source": "command" if port in pod.spec.forwards else "config",
        "note": None if listener is None else listener.note,
    }


def _state(app: App, pod: Pod, port: PortSpec) -> tuple[str, str | None]:
    """`open`, `closed` (the pod does not run) or `failed`; and why, or what a client met last."""
    if app.ports.listener(pod.pod_id, port.key) is not None:
        problem = app.ports.problem(pod.pod_id)
        if problem is not None:
            return "failed", problem
        failure = app.ports.failure(pod.pod_id, port.key)
        return "open", failure and f"the last connection failed: {failure}"
    status, _ = view.status(app, pod)
    if status != "running":
        return "closed", f"the pod is {status}"
    record = app.store.records.get(port_id(pod.spec, port))
    failure = None if record is None or record.failure is None else record.failure["error"]
    return "failed", str(failure["message"]) if failure else "not opened yet"


def _asked_for(spec: PodSpec, wanted: PortSpec, local: int | None, label: str | None) -> PortSpec:
    """As configured or asked for before, where nothing else is said now."""
    if local is not None and not 0 <= local <= forwards.MAX_PORT:
        raise UsageError(f"{local} is not a local port", hint="0 is any free one")
    known = next((port for port in spec.open_ports if port.key == wanted.key), wanted)
    if local is not None:
        known = replace(known, local=local)
    return known if label is None else replace(known, label=label[:MAX_LABEL])


def _with(spec: PodSpec, port: PortSpec) -> PodSpec:
    if port in spec.open_ports:
        return spec
    others = [one for one in spec.forwards if one.key != port.key]
    return replace(spec, forwards=(*others, port))


async def _open(app: App, client: Client, pod: Pod, spec: PodSpec, port: PortSpec) -> None:
    access = access_of(app, pod)
    status, _ = view.status(app, pod)
    if access is None or status in ("stopped", "paused", "gone", "unreachable"):
        raise Conflict(
            f"pod {pod.name!r} is {status}, it has no port to forward",
            hint=f"rumpel enter {pod.name}   makes it run",
        )
    result = await app.runner.run(forward_graph.forward(spec, access, port), client)
    for error in result.errors.values():
        raise error
    output = result.outputs[port_id(spec, port)]
    if output.note is not None:
        client.warn(output.note)


async def _remove(app: App, client: Client, pod: Pod, wanted: PortSpec) -> None:
    left = tuple(port for port in pod.spec.forwards if port.key != wanted.key)
    configured = next((port for port in pod.spec.ports if port.key == wanted.key), None)
    if len(left) == len(pod.spec.forwards):
        if configured is None:
            raise NotFound(
                f"port {wanted.key} of pod {pod.name!r} is not forwarded",
                hint=f"rumpel ports {pod.name}   shows those that are",
            )
        raise Conflict(
            f"port {wanted.key} of pod {pod.name!r} is forwarded by devcontainer.json",
            hint=f"take it out of forwardPorts, then rumpel create {pod.name}",
        )
    spec = replace(pod.spec, forwards=left)
    await app.pods.put(spec, created_at=pod.created_at)
    await app.ports.retain(spec)
    if configured is not None:
        client.notice(f"devcontainer.json has port {wanted.key}, too: it goes on as it says there")
        await _open(app, client, pod, spec, configured)
