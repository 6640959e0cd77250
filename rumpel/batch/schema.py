"""What a batch file may say: one model for YAML, JSON, JSONC, JSONL and TOML.

Its JSON Schema is published by `rumpel batch schema`. Complaints name the field; `reading` adds
the line.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from rumpel import agents, names
from rumpel.batch.items import MAX_TASKS
from rumpel.config_values import SIZE, size_bytes
from rumpel.errors import UsageError

MAX_RETRIES = 10
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_S = 7 * 86400
_TIME = re.compile(r"([0-9]{1,9})([smhd]?)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _seconds(given: Any) -> Any:
    """`90s`, `30m`, `2h` or seconds. Raises ValueError."""
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise ValueError("must be a time such as 90s, 30m or 2h")
    found = _TIME.fullmatch(str(given))
    if found is None or not 0 < (seconds := int(found[1]) * UNITS[found[2] or "s"]) <= MAX_S:
        raise ValueError("must be a time such as 90s, 30m or 2h, at most 7d")
    return seconds


def _pod_name(given: str) -> str:
    try:
        return names.check_pod_name(given)
    except UsageError as error:
        raise ValueError(error.message) from error


def _agent(given: str) -> str:
    if given not in agents.AGENTS:
        raise ValueError(f"there is no agent {given!r}: {', '.join(agents.AGENTS)}")
    return given


def _not_blank(given: str) -> str:
    if not given.strip():
        raise ValueError("must not be empty")
    return _no_zero(given)


def _no_zero(given: str) -> str:
    """No program can be given one."""
    if "\0" in given:
        raise ValueError("must not have a zero byte in it")
    return given


def _variables(given: dict[str, str]) -> dict[str, str]:
    for name in given:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a variable")
    return given


def _text(given: Any) -> Any:
    """A number that was meant as a text: `env: {PORT: 80}`. As it was written: 1.10 is not 1.1."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(getattr(given, "written", given))
    return given


def _size(given: Any) -> Any:
    """`500m`, `2g`, or bytes. Raises ValueError."""
    if isinstance(given, bool) or not SIZE.fullmatch(str(given)):
        raise ValueError("must be a size such as 500m or 2g")
    return size_bytes(str(given))


def _move(given: Any) -> Any:
    return _seconds("5m") if given is True else None if given is False else _seconds(given)


_AS_TEXT = BeforeValidator(_text, json_schema_input_type=str | int | float)
Text = Annotated[str, _AS_TEXT, AfterValidator(_not_blank)]
Name = Annotated[str, _AS_TEXT]
Seconds = Annotated[int, BeforeValidator(_seconds, json_schema_input_type=int | str)]
Scalar = Annotated[
    str | bool, BeforeValidator(_text, json_schema_input_type=str | int | float | bool)
]
Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str)]
Move = Annotated[int | None, BeforeValidator(_move, json_schema_input_type=bool | int | str)]
MIN_DISK = "free bytes on the host's disk below which it gets no new tasks, e.g. 10g (2g)"
MIN_MEMORY = "the same of its memory (256m)"


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LimitsModel(Model):
    """When a task is ended though it is not done."""

    time: Seconds | None = Field(default=None, description="of the agent or command: 90s, 30m, 2h")
    turns: int | None = Field(default=None, gt=0, le=100_000, description="answers of the model")
    tokens: int | None = Field(default=None, gt=0, description="read and written")
    cost: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="dollars")


class FileModel(Model):
    source: Text = Field(alias="from", description="file or folder, relative to this file")
    to: Text | None = Field(default=None, description="in the pod (the same place)")


class CommonModel(Model):
    """What a task may say, and `defaults` for all of them."""

    agent: str | None = Field(default=None, description="claude (default), codex, gemini or grok")
    model: Text | None = Field(default=None, description="of the agent")
    host: Text | None = Field(default=None, description="one of hosts, where its pod is to be")
    base: Text | None = Field(
        default=None, description="commit, branch or tag to start from (HEAD)"
    )
    env: Annotated[
        dict[str, Annotated[str, _AS_TEXT, AfterValidator(_no_zero)]] | None,
        AfterValidator(lambda v: v and _variables(v)),
    ] = Field(default=None, description="variables of the agent or command, and of verify")
    verify: Text | None = Field(
        default=None, description="a command in the pod; the task is done if it ends with 0"
    )
    limits: LimitsModel | None = None
    files: list[Text | FileModel] | None = Field(
        default=None, description="files and folders that the pod gets, e.g. [.env]"
    )
    retries: int | None = Field(
        default=None, ge=0, le=MAX_RETRIES, description="further tries of one that failed"
    )
    keep: bool | None = Field(
        default=None, description="the pod goes on running when its task is done"
    )


class TaskModel(CommonModel):
    name: Name = Field(description=names.POD_NAME_RULE + "; also the name of its pod")
    prompt: Text | None = Field(default=None, description="what the agent is to do")
    prompt_file: Text | None = Field(
        default=None, description="or a file with it, relative to this one"
    )
    command: Text | None = Field(default=None, description="or a command, without an agent")
    needs: list[Name] = Field(default=[], description="tasks whose commits it starts from")
    matrix: dict[str, Annotated[list[Scalar], Field(min_length=1, max_length=100)]] = Field(
        default={}, description="one task for each combination; ${matrix.KEY} in texts"
    )


class ConcurrencyModel(Model):
    total: int | None = Field(
        default=None, ge=1, le=MAX_TASKS, description="tasks at once, everywhere"
    )
    per_host: int | None = Field(
        default=None, ge=1, le=MAX_TASKS, description="pods at once on a host (8)"
    )
    min_disk: Size | None = Field(default=None, ge=0, description=MIN_DISK)
    min_memory: Size | None = Field(default=None, ge=0, description=MIN_MEMORY)
    agents: dict[str, Annotated[int, Field(ge=1, le=MAX_TASKS)]] = Field(
        default={}, description="at once of an agent: {claude: 4}"
    )


class HostModel(Model):
    """A host of the pool."""

    host: Text = Field(description="local, or ssh://[user@]host[:port]")
    slots: int | None = Field(default=None, ge=1, le=MAX_TASKS, description="pods at once")
    min_disk: Size | None = Field(default=None, ge=0, description=MIN_DISK)
    min_memory: Size | None = Field(default=None, ge=0, description=MIN_MEMORY)
    move: Move = Field(
        default=None,
        description="its tasks go on elsewhere once it was away for so long (true: 5m)",
    )


class BatchModel(Model):
    """A batch file."""

    hosts: Annotated[list[Text | HostModel], Field(max_length=100)] = Field(
        default=[], description="where pods are made, the one with the most room first"
    )
    name: Annotated[str, AfterValidator(_pod_name)] | None = Field(
        default=None, description="of the batch (that of the file)"
    )
    defaults: CommonModel = CommonModel()
    concurrency: int | ConcurrencyModel = Field(
        default=ConcurrencyModel(), description="a number: tasks at once"
    )
    tasks: Annotated[list[TaskModel], Field(min_length=1, max_length=MAX_TASKS)]


def check_agent(name: str) -> str:
    """Raises ValueError."""
    return _agent(name)


def json_schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rumpel batch",
        **BatchModel.model_json_schema(),
    }
