"""What exactly makes a node stale: the difference between a record and the present."""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rumpel.cache.fingerprint import canonical
from rumpel.engine.operation import Reason, ReasonKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rumpel.cache.records import Record
    from rumpel.engine.graph import Node
    from rumpel.engine.operation import Policy

SHORT: Final = 160
"""Characters of a value that are shown."""
_MISSING: Final = object()


def record_reasons(
    record: Record | None, node: Node, *, refresh: bool, now: float
) -> tuple[Reason, ...]:
    """Reasons that stand whatever the inputs are."""
    operation = node.operation
    if record is None:
        return (Reason(ReasonKind.NEVER_RAN, operation.KIND),)
    found = []
    if record.failure is not None:
        error = record.failure.get("error", {})
        found.append(
            Reason(ReasonKind.FAILED, str(record.failure.get("state")), None, error.get("message"))
        )
    elif record.output_text is None:
        found.append(Reason(ReasonKind.NEVER_RAN, operation.KIND))
    if record.output_text is not None and (record.kind, record.version) != (
        operation.KIND,
        operation.VERSION,
    ):
        found.append(Reason(ReasonKind.VERSION, operation.KIND, record.version, operation.VERSION))
    if refresh:
        found.append(Reason(ReasonKind.REFRESH, operation.KIND))
    return (*found, *_policy_reasons(record, node.policy, now))


def _policy_reasons(record: Record, policy: Policy, now: float) -> Iterator[Reason]:
    """A clock that was set back makes a record no older."""
    if not policy.is_reused:
        yield Reason(ReasonKind.ALWAYS, record.kind)
    if policy.max_age_s is not None and record.output_text is not None:
        age_s = now - record.updated_at
        if age_s > policy.max_age_s:
            yield Reason(ReasonKind.AGE, record.kind, round(age_s), policy.max_age_s)


def agree(record: Record, components: Mapping[str, Any]) -> bool:
    """Do the components equal the recorded ones? 0.6 us when they did last time.

    marshal is compared, not the values: it is as quick, tells 1 from True, and keeps no reference
    to what somebody may change. What it cannot say (an enum) or says differently for another
    order is compared as canonical JSON.
    """
    try:
        live = marshal.dumps(components, 2)  # type: ignore[arg-type] # raises ValueError if not
    except ValueError:
        return canonical(components).decode() == record.components_text
    if record.live == live:
        return True
    if canonical(components).decode() != record.components_text:
        return False
    record.live = live
    return True


def input_reasons(record: Record | None, components: Mapping[str, Any]) -> tuple[Reason, ...]:
    """One reason for each component that differs; none for a node without a good record."""
    if record is None or record.output_text is None or agree(record, components):
        return ()
    return tuple(differences(record.components, components))


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[Reason]:
    """The leaves that differ, named by their path: `config.run_args`."""
    found: list[Reason] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, _MISSING), new.get(key, _MISSING)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif _MISSING in (before, after) or canonical(before) != canonical(after):
            found.append(Reason(ReasonKind.INPUT, f"{prefix}{key}", _short(before), _short(after)))
    return found


def _short(value: Any) -> Any:
    if value is _MISSING:
        return None
    text = value if isinstance(value, str) else canonical(value).decode()
    return value if len(text) <= SHORT else f"{text[: SHORT - 1]}…"
