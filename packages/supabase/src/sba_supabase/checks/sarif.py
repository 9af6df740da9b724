"""A report as SARIF 2.1.0, the form in which code hosts read findings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, TypeAlias
from urllib.parse import quote

from sba_supabase.checks.findings import Finding, Problem, Report, Rule, shown

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_VERSION: Final = "2.1.0"

_Json: TypeAlias = dict[str, object]


def _uri(path: str) -> str:
    relative = quote(shown(path), safe="/!")
    return f"file://{relative}" if path.startswith("/") else relative


def _rule(rule: Rule) -> _Json:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.summary},
        "help": {"text": rule.advice},
        "defaultConfiguration": {"level": "error"},
    }


def _result(finding: Finding, order: dict[str, int]) -> _Json:
    result: _Json = {
        "ruleId": finding.rule,
        "ruleIndex": order[finding.rule],
        "level": "error",
        "message": {"text": finding.message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(finding.path)},
                    "region": {"startLine": finding.line, "startColumn": finding.column},
                }
            }
        ],
        "partialFingerprints": {"secret/v1": finding.fingerprint},
    }
    if finding.reason is not None:
        suppression = {"kind": "external", "status": "accepted", "justification": finding.reason}
        result["suppressions"] = [suppression]
    return result


def _unread(problem: Problem) -> _Json:
    location = {"physicalLocation": {"artifactLocation": {"uri": _uri(problem.path)}}}
    return {"level": "error", "message": {"text": problem.reason}, "locations": [location]}


def to_sarif(report: Report, *, tool: str, rules: Sequence[Rule]) -> str:
    """The report as a SARIF log of one run.

    Args:
        report: what was found.
        tool: the name of the command.
        rules: every rule the findings may name, in the order they are listed.

    Returns:
        JSON, with a newline at its end.
    """
    order = {rule.id: index for index, rule in enumerate(rules)}
    notes = [{"level": "note", "message": {"text": shown(note)}} for note in report.notes]
    run: _Json = {
        "tool": {"driver": {"name": tool, "rules": [_rule(rule) for rule in rules]}},
        "results": [_result(finding, order) for finding in (*report.findings, *report.allowed)],
        "invocations": [
            {
                "executionSuccessful": not report.problems,
                "toolExecutionNotifications": [*map(_unread, report.problems), *notes],
            }
        ],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": _SCHEMA, "version": _VERSION, "runs": [run]}, indent=2) + "\n"
