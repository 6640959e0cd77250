"""Configurations that reach networks of others, or that others reach; see host_effects."""

from __future__ import annotations

from tests.support.effect_case import Case, words

REACHES = {
    "a network of others": Case(
        fields=words("--network=shared", "--network-alias=web", "--link=db"),
        keys=("network:shared",),
        said="joins the network shared, which is not the pod's own",
        other=words("--network=name=shared,alias=web", "--network=name=other_default"),
        more=("network:other_default",),
        can_run=False,
    ),
    "a port of the host": Case(
        fields=words("-p", "48080:80"),
        keys=("publish:* 48080/tcp",),
        said="publishes port 48080 of the host on all its addresses",
        other=words("-p0.0.0.0:48080:90", "--publish=192.0.2.1:48081:80/udp", "-p=[::]:48083:1"),
        more=("publish:* 48083/tcp", "publish:192.0.2.1 48081/udp"),
    ),
    "ports of the host": Case(
        fields=words("-p", "48090-48099:80-89", "--publish=target=5,published=48100"),
        keys=("publish:* 48090-48100/tcp",),
        said="publishes port 48090-48100 of the host on all its addresses",
        other=words("-p", "48090-48099:80-89", "-p=48100:5", "-p", "90", "-p=48110-48111:9"),
        more=("publish:* 0:90/tcp", "publish:* 48110-48111:9/tcp"),
    ),
    "every port of a pod": Case(
        fields=words("-P"),
        keys=("publish:all",),
        said="publishes all ports of the pod on ports of the host, on all its addresses",
        other=words("--publish-all", "-p=48120:1"),
        more=("publish:* 48120/tcp",),
    ),
}
