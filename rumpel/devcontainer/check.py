"""What becomes of every field of a file, also of one that no pod can be made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rumpel.devcontainer import config, feature_ref, fields, in_context, jsonc, schema, variables
from rumpel.devcontainer import document as documents
from rumpel.devcontainer.compose import Composer
from rumpel.devcontainer.consent import Unasked
from rumpel.devcontainer.document import Caller, Document
from rumpel.devcontainer.field_table import Known, Verdict
from rumpel.devcontainer.fields import FieldReport
from rumpel.devcontainer.positions import FieldError, Path

if TYPE_CHECKING:
    from rumpel.devcontainer.feature_order import Fetch

MISSED, REFUSED = 1, 2
"""Exit codes, as of a linter: something has no effect; the file has to change."""


def check(
    root: str,
    *,
    config_path: str | None,
    local_env: Mapping[str, str],
    repo_basename: str,
    composer: Composer | None = None,
    fetcher: Callable[[str], Fetch] | None = None,
) -> dict[str, Any]:
    """`source` and `fields`, and under `exit_code` what a linter would end with. Features that lie
    beside the file are looked at, others are not fetched for that.

    Raises: ConfigError for a file that is missing, or no JSON object.
    """
    root = os.path.realpath(root)
    found = config.read_file(root, config_path)
    if found is None:
        return {"source": None, "fields": [], "warnings": [], "exit_code": 0}
    source, content = found
    caller = Caller(root=root, local_env=local_env, pod="", pod_id="", repo_basename=repo_basename)
    fetch = None if fetcher is None else fetcher(source)
    reports, warnings = of_content(content, source, caller, composer, fetch)
    rows = [asdict(one) | {"verdict": one.verdict.value} for one in reports]
    code = exit_code(reports)
    return {"source": source, "fields": rows, "warnings": warnings, "exit_code": code}


def of_content(
    content: str | bytes,
    source: str,
    caller: Caller,
    composer: Composer | None = None,
    fetch: Fetch | None = None,
) -> tuple[tuple[FieldReport, ...], list[str]]:
    """And what is about no field as such. Every wrong type is found; of other mistakes the first.

    Raises: ConfigError for what is no JSON object.
    """
    parsed = jsonc.parse(content, source)
    told: list[str] = []
    try:
        document = documents.read(parsed, caller)
        try:
            document, project = config.composed(document, caller, composer)
        except Unasked as error:
            told.append(f"the services were not looked at: {error.message}")
            document, project = config.composed(document, caller, None)
    except FieldError as error:
        return fields.report(parsed, in_context.refused([error])), [*parsed.warnings]
    resolved = variables.pod_stage(document.config, caller.devcontainer_id)
    warnings = [
        *parsed.warnings,
        *told,
        *documents.cut_defaults(document),
        *documents.unresolved(document, resolved),
    ]
    try:
        found = config.resolve(document, caller, config.DEFAULT_IMAGE, project=project)
        if fetch is not None:
            _look_at_features(document, fetch)
        if project is not None:
            typed, _ = schema.read(resolved)
            warnings += [*project.warnings, *config.of_ports(typed, project)]
        return found.fields, warnings
    except FieldError as error:
        return fields.report(parsed, _context(document, resolved, error)), warnings


def _look_at_features(document: Document, fetch: Fetch) -> None:
    """Raises FieldError for one of this repository that cannot be installed."""
    for name in document.config.get("features") or {}:
        ref = feature_ref.parse(name, ("features", name))
        if ref.kind == "local":
            fetch(ref, ("features", name))


def _context(document: Document, resolved: dict[str, Any], first: FieldError) -> dict[Path, Known]:
    typed, problems = schema.read(resolved)
    wrong = [one for one in problems if one.path[0] in fields.HONOURED]
    others = [one for one in problems if one not in wrong]
    try:
        around = in_context.judge(document.raw, typed, others)
    except FieldError:  # a port that is none: what is about it cannot be told
        around = {}
    return {**around, **in_context.refused(wrong or [first])}


def exit_code(reports: tuple[FieldReport, ...]) -> int:
    """0: each field is honoured, approximated or for other tools."""
    if any(one.verdict is Verdict.REFUSED for one in reports):
        return REFUSED
    return MISSED if any(one.is_missed for one in reports) else 0
