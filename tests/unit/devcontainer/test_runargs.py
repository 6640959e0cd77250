"""Tests of runargs in devcontainer.json."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer import runargs
from rumpel.devcontainer.body import HostSide, side_file
from rumpel.devcontainer.option_table import HANDLERS
from rumpel.devcontainer.options import REFUSED as REFUSED_OPTIONS
from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.runargs import RunArgs

GIB = 1 << 30


@pytest.fixture
def side(tmp_path: Path) -> HostSide:
    (tmp_path / "env").write_bytes(
        b'\xef\xbb\xbf# c\nA=1\n  B= two words \nSHOWN\nUNSET\nC=a=b#c\n\nQ="q"\r\n'
    )
    (tmp_path / "badenv").write_text("A B=1\n")
    (tmp_path / "labels").write_text("x=1\ny\n")
    (tmp_path / "seccomp.json").write_text('{ "a":\n 1 }')
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    return HostSide(root=str(tmp_path), local_env={"SHOWN": "s", "TOKEN": "t"}, read_file=side_file)


def apply(text: str, side: HostSide) -> RunArgs:
    return runargs.apply(shlex.split(text), side)


HOST: dict[str, dict[str, Any]] = {
    "--add-host=a:1.2.3.4 --add-host b=::1 --add-host c:host-gateway": {
        "ExtraHosts": ["a:1.2.3.4", "b:::1", "c:host-gateway"]
    },
    "--cap-add sys_ptrace --cap-add=CAP_NET_ADMIN --cap-drop ALL": {
        "CapAdd": ["CAP_SYS_PTRACE", "CAP_NET_ADMIN"],
        "CapDrop": ["ALL"],
    },
    "-c 512 --cpus 1.5 --cpuset-cpus 0-1": {
        "CpuShares": 512,
        "NanoCpus": 1_500_000_000,
        "CpusetCpus": "0-1",
    },
    "-m512m --memory-swap -1 --shm-size=1.5g": {
        "Memory": GIB >> 1,
        "MemorySwap": -1,
        "ShmSize": GIB * 3 // 2,
    },
    "--device /dev/fuse --device /dev/a:/dev/b:rw --device /dev/c:r": {
        "Devices": [
            {
                "PathOnHost": "/dev/fuse",
                "PathInContainer": "/dev/fuse",
                "CgroupPermissions": "rwm",
            },
            {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "rw"},
            {"PathOnHost": "/dev/c", "PathInContainer": "/dev/c", "CgroupPermissions": "r"},
        ]
    },
    "--gpus all": {
        "DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]], "Options": {}}]
    },
    "--gpus '\"device=0,1\",driver=nvidia'": {
        "DeviceRequests": [
            {
                "Driver": "nvidia",
                "DeviceIDs": ["0", "1"],
                "Capabilities": [["gpu"]],
                "Options": {},
            }
        ]
    },
    "--device vendor.com/gpu=0 --device vendor.com/gpu=1": {
        "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["vendor.com/gpu=0", "vendor.com/gpu=1"]}]
    },
    "-p 8080:80 -p 127.0.0.1::81/udp -P": {
        "PortBindings": {
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
            "81/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        },
        "PublishAllPorts": True,
    },
    "-p '[::1]:80-81:90-91' -p target=5,published=6": {
        "PortBindings": {
            "90/tcp": [{"HostIp": "::1", "HostPort": "80"}],
            "91/tcp": [{"HostIp": "::1", "HostPort": "81"}],
            "5/tcp": [{"HostIp": "", "HostPort": "6"}],
        }
    },
    "--restart on-failure:3": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
    "--log-driver json-file --log-opt max-size=10m": {
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}}
    },
    "--security-opt no-new-privileges --security-opt seccomp=seccomp.json": {
        "SecurityOpt": ["no-new-privileges", 'seccomp={"a":1}']
    },
    "--security-opt systempaths=unconfined": {"MaskedPaths": [], "ReadonlyPaths": []},
    "--ulimit nofile=1024:2048 --ulimit core=-1 --ulimit nofile=5": {
        "Ulimits": [
            {"Name": "core", "Soft": -1, "Hard": -1},
            {"Name": "nofile", "Soft": 5, "Hard": 5},
        ]
    },
    "--tmpfs /run --tmpfs /t:size=1m,exec": {"Tmpfs": {"/run": "", "/t": "size=1m,exec"}},
    "--sysctl a.b=1 --annotation c=d --storage-opt size=1g": {
        "Sysctls": {"a.b": "1"},
        "Annotations": {"c": "d"},
        "StorageOpt": {"size": "1g"},
    },
    "--privileged --init=false --read-only": {
        "Privileged": True,
        "Init": False,
        "ReadonlyRootfs": True,
    },
    "--runtime=crun --ipc=host --pid=host --userns host --uts=host": {
        "Runtime": "crun",
        "IpcMode": "host",
        "PidMode": "host",
        "UsernsMode": "host",
        "UTSMode": "host",
    },
    "--device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:7": {
        "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1 << 20}],
        "BlkioDeviceWriteIOps": [{"Path": "/dev/sda", "Rate": 7}],
    },
    "--dns 8.8.8.8 --dns-opt ndots:1 --dns-search a.b --group-add video": {
        "Dns": ["8.8.8.8"],
        "DnsOptions": ["ndots:1"],
        "DnsSearch": ["a.b"],
        "GroupAdd": ["video"],
    },
    "--net=none": {"NetworkMode": "none"},
    "--link a --link b:c": {"Links": ["a:a", "b:c"]},
}

CONFIG: dict[str, dict[str, Any]] = {
    "-h host --domainname d -w /x -u 1000:100": {
        "Hostname": "host",
        "Domainname": "d",
        "WorkingDir": "/x",
        "User": "1000:100",
    },
    "-l a=b=c --label d --label-file labels": {"Labels": {"a": "b=c", "d": "", "x": "1"}},
    "--expose 80-81/udp": {"ExposedPorts": {"80/udp": {}, "81/udp": {}}},
    "--health-cmd 'a b' --health-interval 1m30s --health-retries 3": {
        "Healthcheck": {"Test": ["CMD-SHELL", "a b"], "Interval": 90 * 10**9, "Retries": 3}
    },
    "--no-healthcheck --stop-signal SIGINT --stop-timeout 5": {
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGINT",
        "StopTimeout": 5,
    },
}

ERRORS = {
    "--foo": (0, "docker has no option --foo"),
    "-z": (0, "docker has no option -z"),
    "--init img": (1, "'img' is not an option of docker"),
    "-- x": (0, "'--' is not an option of docker"),
    "--init --memory": (1, "--memory needs a value"),
    "-m 1x": (0, "'1x' is not a size"),
    "--init=x": (0, "'x' is neither true nor false"),
    "--cpus 0.1234567891": (0, "too precise"),
    "--pids-limit x": (0, "'x' is not a whole number"),
    "--env-file missing": (0, "--env-file missing: No such file or directory"),
    "--env-file badenv": (0, "line 1 of the file has no variable name: 'A B'"),
    "--env-file binary": (0, "it is not UTF-8 text"),
    "--env-file .": (0, "it is not a regular file"),
    "--security-opt seccomp=env": (0, "env is not JSON"),
    "--security-opt foo": (0, "'foo' is not a security option"),
    "--label rumpel.home=x": (0, "labels that start with rumpel. are rumpel's own"),
    "-v a": (0, "is not SOURCE:/TARGET"),
    "-v /a:b": (0, "is not SOURCE:/TARGET"),
    "-v /a:/b:ro:x": (0, "is not SOURCE:/TARGET"),
    "--mount type=foo,target=/b": (0, "not a mount type"),
    "-p 70000": (0, "outside 0-65535"),
    "-p localhost:80:80": (0, "no valid IP address"),
    "-p 1-2:1-3": (0, "differ in length"),
    "-p 80/icmp": (0, "'icmp' is not a protocol"),
    "--restart maybe": (0, "is not a restart policy"),
    "--ulimit nofile=2:1": (0, "above the hard one"),
    "--device a": (0, "is not a device"),
    "--dns x": (0, "not an IP address"),
    "--pid bad": (0, "'bad' is not one of host, container:"),
    "--network a --network a": (2, "given twice"),
    "--network-alias a": (None, "needs a --network of your own"),
    "--network host --network a": (None, "joined alone"),
    "--network name=a,ip=1.2.3.4 --ip 1.2.3.5": (None, "address of its own"),
    "--no-healthcheck --health-cmd x": (1, "exclude each other"),
    "--log-driver none --log-opt a=b": (2, "has no --log-opt"),
    "--disable-content-trust=false": (0, "no signature check"),
}


@pytest.mark.parametrize("text", HOST)
def test_host_config(text: str, side: HostSide) -> None:
    assert apply(text, side).host_config == HOST[text]


@pytest.mark.parametrize("text", CONFIG)
def test_config(text: str, side: HostSide) -> None:
    assert apply(text, side).config == CONFIG[text]


@pytest.mark.parametrize("text", ERRORS)
def test_errors_name_the_word(text: str, side: HostSide) -> None:
    index, message = ERRORS[text]
    with pytest.raises(FieldError, match=re.escape(message)) as caught:
        apply(text, side)
    assert caught.value.path == (("runArgs",) if index is None else ("runArgs", index))


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_refused_options_are_named_with_the_reason(name: str, side: HostSide) -> None:
    with pytest.raises(FieldError, match=f"--{name} cannot be passed on: ") as caught:
        apply(f"--{name}=true", side)
    assert caught.value.hint == "take it out of runArgs"


def test_grouped_switches_are_refused_by_their_long_name(side: HostSide) -> None:
    with pytest.raises(FieldError, match="--detach cannot be passed on"):
        apply("-dit", side)


def test_two_words_in_one_string_get_a_hint(side: HostSide) -> None:
    with pytest.raises(FieldError) as caught:
        runargs.apply(["--memory 1g"], side)
    assert caught.value.hint == 'write "--memory", "1g" as two words'


def test_environment(side: HostSide) -> None:
    found = apply("-e A=1 -eB=a=b -e=C= --env TOKEN -e UNSET --env A=2", side)
    assert found.env == {"A": "2", "B": "a=b", "C": "", "TOKEN": "t", "UNSET": None}
    assert found.host_env == ("TOKEN",)


def test_env_file(side: HostSide) -> None:
    found = apply("--env-file ./env -e A=9", side)
    assert found.env_files == {
        "A": "1",
        "B": " two words ",
        "SHOWN": "s",
        "C": "a=b#c",
        "Q": '"q"',
    }
    assert found.env == {"A": "9"}
    assert found.host_files == (("env-file", f"{side.root}/env"),)
    assert found.host_env == ("SHOWN",)


def test_volumes_and_mounts_keep_their_place(side: HostSide) -> None:
    found = apply("-v /a:/b:ro --volume=vol:/c -v /d -v ./e:/f --mount target=/g", side)
    assert found.binds == (
        (("runArgs", 0), "/a:/b:ro"),
        (("runArgs", 2), "vol:/c"),
        (("runArgs", 5), f"{side.root}/e:/f"),
    )
    assert found.mounts == (
        (("runArgs", 3), {"Type": "volume", "Target": "/d"}),
        (("runArgs", 7), {"Type": "volume", "Target": "/g"}),
    )


def test_networks(side: HostSide) -> None:
    found = apply(
        "--network n --network-alias a --ip 10.0.0.2 --link x:y --mac-address 02:42:ac:11:00:02",
        side,
    )
    assert found.host_config == {"NetworkMode": "n"}
    assert found.config == {"MacAddress": "02:42:ac:11:00:02"}
    assert found.networking == {
        "EndpointsConfig": {
            "n": {
                "Aliases": ["a"],
                "IPAMConfig": {"IPv4Address": "10.0.0.2"},
                "Links": ["x:y"],
            }
        }
    }
    assert apply("--network n", side).networking == {}
    assert apply("--network n --network name=m,alias=b,driver-opt=x=y", side).networking == {
        "EndpointsConfig": {"n": {}, "m": {"Aliases": ["b"], "DriverOpts": {"x": "y"}}}
    }


def test_platform(side: HostSide) -> None:
    assert apply("--platform linux/arm64", side).platform == "linux/arm64"


DOCKER_28 = """
add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent
cgroupns cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime
cpu-shares cpus cpuset-cpus cpuset-mems detach detach-keys device device-cgroup-rule
device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust dns
dns-option dns-search domainname entrypoint env env-file expose gpus group-add health-cmd
health-interval health-retries health-start-interval health-start-period health-timeout help
hostname init interactive io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory label
label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation
memory-swap memory-swappiness mount name network network-alias no-healthcheck
oom-kill-disable oom-score-adj pid pids-limit platform privileged publish publish-all pull
quiet read-only restart rm runtime security-opt shm-size sig-proxy stop-signal stop-timeout
storage-opt sysctl tmpfs tty ulimit use-api-socket user userns uts volume volume-driver
volumes-from workdir
"""


def test_every_option_of_docker_28_is_known() -> None:
    """`docker run --help` of 28.2, with the hidden and the Windows ones."""
    assert HANDLERS.keys() | REFUSED_OPTIONS.keys() == set(DOCKER_28.split())
    assert not HANDLERS.keys() & REFUSED_OPTIONS.keys()
