"""What becomes of every field of a file, also of one that no pod can be made from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rumpel.devcontainer import config, fields, in_context, jsonc, schema, variables
from rumpel.devcontainer import document as documents
from rumpel.devcontainer.document import Caller, Document
from rumpel.devcontainer.field_table import Known, Verdict
from rumpel.devcontainer.fields import FieldReport
from rumpel.devcontainer.positions import FieldError, Path

MISSED, REFUSED = 1, 2
"""Exit codes, as of a linter: something has no effect; the file has to change."""


def check(
    root: str, *, config_path: str | None, local_env: Mapping[str, str], repo_basename: str
) -> dict[str, Any]:
    """`source` and `fields`, and under `exit_code` what a linter would end with.

    Raises: ConfigError for a file that is missing, or no JSON object.
    """
    root = os.path.realpath(root)
    found = config.read_file(root, config_path)
    if found is None:
        return {"source": None, "fields": [], "warnings": [], "exit_code": 0}
    source, content = found
    caller = Caller(root=root, local_env=local_env, pod="", pod_id="", repo_basename=repo_basename)
    reports, warnings = of_content(content, source, caller)
    rows = [asdict(one) | {"verdict": one.verdict.value} for one in reports]
    code = exit_code(reports)
    return {"source": source, "fields": rows, "warnings": warnings, "exit_code": code}


def of_content(
    content: str | bytes, source: str, caller: Caller
) -> tuple[tuple[FieldReport, ...], list[str]]:
    """And what is about no field as such. Every wrong type is found; of other mistakes the first.

    Raises: ConfigError for what is no JSON object.
    """
    parsed = jsonc.parse(content, source)
    try:
        document = documents.read(parsed, caller)
    except FieldError as error:
        return fields.report(parsed, in_context.refused([error])), [*parsed.warnings]
    resolved = variables.pod_stage(document.config, caller.devcontainer_id)
    warnings = [
        *parsed.warnings,
        *documents.cut_defaults(document),
        *documents.unresolved(document, resolved),
    ]
    try:
        return config.resolve(document, caller, config.DEFAULT_IMAGE).fields, warnings
    except FieldError as error:
        return fields.report(parsed, _context(document, resolved, error)), warnings


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
