"""Ordinary configurations, each with a trait that real ones have: none touches the host.

Written by hand; beside each lies `Dockerfile` and the feature `x` (`effect_case.feature`).
"""

from __future__ import annotations

BENIGN = {
    "an image": '{"image": "debian:bookworm"}',
    "comments and trailing commas": """// what we use
{
    "name": "web", /* shown in the editor */
    "image": "debian:bookworm",
    "remoteUser": "dev",
}""",
    "a Dockerfile": '{"build": {"dockerfile": "Dockerfile"}}',
    "a Dockerfile with all around it": """{
    "build": {
        "dockerfile": "Dockerfile", "context": "..", "target": "dev",
        "args": {"VARIANT": "bookworm", "JOBS": 4, "EXTRAS": true},
        "cacheFrom": ["registry.example/app:cache"]
    }
}""",
    "a Dockerfile in the old way": '{"dockerFile": "Dockerfile", "context": "."}',
    "options of a build": """{"build": {"dockerfile": "Dockerfile",
    "options": ["--pull", "--network=none", "--add-host=a:192.0.2.1", "--label", "a=b"]}}""",
    "a variant of your choice": """{"build": {"dockerfile": "Dockerfile",
    "args": {"VARIANT": "${localEnv:VARIANT:bookworm}", "USER": "${localEnv:USER}"}}}""",
    "a local feature": '{"image": "a", "features": {"./x": {"version": "20", "strict": true}}}',
    "no options for a feature": """{"image": "a", "features": {"./x": {}},
    "overrideFeatureInstallOrder": ["./x"]}""",
    "ports": """{"image": "a", "forwardPorts": [3000, "db:5432"],
    "portsAttributes": {
        "3000": {"label": "web", "onAutoForward": "openBrowser"},
        "9000-9100": {"onAutoForward": "ignore", "protocol": "https"}
    },
    "otherPortsAttributes": {"onAutoForward": "silent"}}""",
    "published in the old way": '{"image": "a", "appPort": [8080, "9090:90"]}',
    "an environment": """{"image": "a",
    "containerEnv": {"NODE_ENV": "development", "LEVEL": 3, "IS_DEV": true, "EMPTY": ""},
    "remoteEnv": {"PATH": "${containerEnv:PATH}:/opt/bin", "LESS": null}}""",
    "an environment that says where": """{"image": "a", "containerEnv": {
    "WORKSPACE": "${containerWorkspaceFolder}", "REPO": "${localWorkspaceFolderBasename}",
    "DISPLAY": "${localEnv:DISPLAY}", "TZ": "${localEnv:TZ:UTC}", "LANG": "${localEnv:LANG}"}}""",
    "a variable that is not set": '{"image": "a", "containerEnv": {"A": "${localEnv:UNSET:x}"}}',
    "a cache": """{"image": "a",
    "mounts": ["source=app-cache,target=/home/dev/.cache,type=volume"]}""",
    "a cache of its own": """{"image": "a", "mounts": [
    {"type": "volume", "source": "modules-${devcontainerId}", "target": "/ws/node_modules"}]}""",
    "a volume without a name": '{"image": "a", "mounts": [{"type": "volume", "target": "/data"}]}',
    "history that stays": """{"image": "a",
    "mounts": ["source=history,target=/commandhistory,type=volume"],
    "postCreateCommand": "touch /commandhistory/.bash_history"}""",
    "memory as a folder": '{"image": "a", "mounts": ["type=tmpfs,target=/tmp/x,tmpfs-size=64m"]}',
    "limits": """{"image": "a", "runArgs": ["--memory=4g", "--cpus", "2", "--shm-size=1g",
    "--ulimit", "nofile=4096:8192", "--pids-limit=500"]}""",
    "an init process": '{"image": "a", "init": true, "runArgs": ["--init"]}',
    "less than usual": """{"image": "a", "securityOpt": ["no-new-privileges"],
    "runArgs": ["--cap-drop=ALL", "--read-only=false"]}""",
    "names": """{"image": "a", "runArgs": ["--hostname", "web", "-l", "team=a",
    "--add-host=host.docker.internal:host-gateway", "--dns=192.0.2.53"]}""",
    "ports of this machine alone": """{"image": "a",
    "runArgs": ["-p", "127.0.0.1:8080:80", "--publish=[::1]:9000-9001:90-91", "--expose=70"]}""",
    "an editor": """{"image": "a", "customizations": {"vscode": {
    "extensions": ["x.y", "-z.q"],
    "settings": {"editor.tabSize": 4, "terminal.shell": "${localEnv:SHELL}"}}}}""",
    "an editor in the old way": """{"image": "a", "extensions": ["x.y"], "devPort": 9000,
    "settings": {"python.path": "/usr/bin/python3", "token": "${localEnv:TOKEN}"}}""",
    "commands in all forms": """{"image": "a",
    "onCreateCommand": "make setup",
    "updateContentCommand": ["make", "deps"],
    "postCreateCommand": {"api": "make -C api", "web": ["npm", "ci"]},
    "postStartCommand": "git config --global --add safe.directory ${containerWorkspaceFolder}",
    "postAttachCommand": "", "waitFor": "onCreateCommand"}""",
    "a folder of choice": """{"image": "a",
    "workspaceFolder": "/srv/${localWorkspaceFolderBasename}",
    "workspaceMount": "source=${localWorkspaceFolder},target=/srv/app,type=bind"}""",
    "the repository where it is": """{"image": "a", "workspaceFolder": "/app",
    "mounts": ["source=${localWorkspaceFolder},target=/app,type=bind"]}""",
    "no mount at all": '{"image": "a", "workspaceMount": "", "shutdownAction": "none"}',
    "users": """{"image": "a", "containerUser": "root", "remoteUser": "dev",
    "updateRemoteUserUID": true, "userEnvProbe": "loginShell"}""",
    "the image's own command": '{"image": "a", "overrideCommand": false}',
    "a machine that is large enough": """{"image": "a",
    "hostRequirements": {"cpus": 4, "memory": "8gb", "storage": "32gb"}}""",
    "secrets that are wished for": """{"image": "a",
    "secrets": {"API_KEY": {"description": "for tests", "documentationUrl": "x"}}}""",
    "switched off": """{"image": "a", "privileged": false, "capAdd": [], "securityOpt": [],
    "runArgs": ["--privileged=false"], "initializeCommand": ""}""",
}  # fmt: skip
