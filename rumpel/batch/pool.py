"""What a batch file says of hosts and of how much runs at once."""

from __future__ import annotations

from dataclasses import replace

from rumpel.adapters import ssh_name
from rumpel.batch import schema
from rumpel.batch.items import MAX_TASKS, PER_HOST, Concurrency, HostRule
from rumpel.batch.reading import parsed_error
from rumpel.batch.schema import BatchModel, ConcurrencyModel, HostModel
from rumpel.devcontainer.positions import Parsed, Path
from rumpel.errors import RumpelError


def concurrency(parsed: Parsed, given: int | ConcurrencyModel) -> Concurrency:
    if isinstance(given, int):
        if not 1 <= given <= MAX_TASKS:
            raise parsed_error(parsed, ("concurrency",), f"must be from 1 to {MAX_TASKS}")
        return Concurrency(per_host=given, total=given)
    for agent in given.agents:
        checked_agent(parsed, ("concurrency", "agents", agent), agent)
    return Concurrency(
        per_host=given.per_host or given.total or PER_HOST,
        total=given.total,
        agents=given.agents,
        rule=_rule(HostRule(), given),
    )


def _rule(rule: HostRule, given: ConcurrencyModel | HostModel) -> HostRule:
    said = {"min_disk": given.min_disk, "min_memory": given.min_memory}
    found = replace(rule, **{key: value for key, value in said.items() if value is not None})
    return replace(found, move_s=given.move) if isinstance(given, HostModel) else found


def with_hosts(parsed: Parsed, model: BatchModel, limits: Concurrency) -> Concurrency:
    hosts: dict[str, int] = {}
    rules: dict[str, HostRule] = {}
    for at, one in enumerate(model.hosts):
        is_short, path = isinstance(one, str), ("hosts", at)
        given, slots = (one, None) if isinstance(one, str) else (one.host, one.slots)
        name = host_name(parsed, path if is_short else (*path, "host"), given)
        if name in hosts:
            raise parsed_error(parsed, path, f"{name} is there already")
        hosts[name] = slots or limits.per_host
        if isinstance(one, HostModel):
            rules[name] = _rule(limits.rule, one)
    return replace(limits, hosts=hosts, rules=rules)


def host_name(parsed: Parsed, path: Path, given: str) -> str:
    """As pods are known by it."""
    if given in ("local", "localhost"):
        return "local"
    try:
        return ssh_name.parse(given).url
    except RumpelError as error:
        said = f"{error.message}; say local or ssh://[user@]host[:port]"
        raise parsed_error(parsed, path, said) from None


def checked_agent(parsed: Parsed, path: Path, name: str) -> str:
    try:
        return schema.check_agent(name)
    except ValueError as error:
        raise parsed_error(parsed, path, str(error)) from None
