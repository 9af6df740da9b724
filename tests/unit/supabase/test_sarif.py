"""What the checks write as SARIF keeps the rules of its schema, version 2.1.0."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from sba_supabase.cli import main
from tests.unit.supabase.planting import plain, secret_key

# Of each object: what it must have, what else it may have of what is written here, and where its objects are.
OBJECTS = {
    "log": ({"version", "runs"}, {"$schema"}, {"runs": "run"}),
    "run": (
        {"tool"},
        {"results", "invocations", "columnKind"},
        {"tool": "tool", "results": "result", "invocations": "invocation"},
    ),
    "tool": ({"driver"}, set(), {"driver": "driver"}),
    "driver": ({"name"}, {"rules", "version", "informationUri"}, {"rules": "rule"}),
    "rule": (
        {"id"},
        {"shortDescription", "help", "defaultConfiguration"},
        {"shortDescription": "text", "help": "text", "defaultConfiguration": "configuration"},
    ),
    "text": ({"text"}, set(), {}),
    "configuration": (set(), {"level"}, {}),
    "result": (
        {"message"},
        {"ruleId", "ruleIndex", "level", "locations", "partialFingerprints", "suppressions"},
        {"message": "text", "locations": "location", "suppressions": "suppression"},
    ),
    "location": (set(), {"physicalLocation"}, {"physicalLocation": "physical"}),
    "physical": ({"artifactLocation"}, {"region"}, {"artifactLocation": "artifact", "region": "region"}),
    "artifact": ({"uri"}, set(), {}),
    "region": ({"startLine", "startColumn"}, set(), {}),
    "suppression": ({"kind"}, {"status", "justification"}, {}),
    "invocation": (
        {"executionSuccessful"},
        {"toolExecutionNotifications"},
        {"toolExecutionNotifications": "notification"},
    ),
    "notification": ({"message"}, {"level", "locations"}, {"message": "text", "locations": "location"}),
}
URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
VALUES = {
    "version": lambda value: value == "2.1.0",
    "level": lambda value: value in {"none", "note", "warning", "error"},
    "kind": lambda value: value in {"inSource", "external"},
    "status": lambda value: value in {"accepted", "underReview", "rejected"},
    "columnKind": lambda value: value in {"utf16CodeUnits", "unicodeCodePoints"},
    "startLine": lambda value: value >= 1,
    "startColumn": lambda value: value >= 1,
    "ruleIndex": lambda value: value >= 0,
    "executionSuccessful": lambda value: isinstance(value, bool),
    "uri": lambda value: URI.fullmatch(value) is not None and not urlsplit(value).netloc,
    "text": lambda value: isinstance(value, str) and value.isprintable() and value != "",
    "partialFingerprints": lambda value: all(isinstance(text, str) for text in value.values()),
}


def faults(kind: str, value: dict, place: str = "log") -> list[str]:
    """Where an object breaks a rule."""
    required, allowed, inner = OBJECTS[kind]
    found = [f"{place} lacks {name}" for name in required - set(value)]
    found += [f"{place} may have no {name}" for name in set(value) - required - allowed]
    for name, member in value.items():
        if name in VALUES and not VALUES[name](member):
            found.append(f"{place}.{name} is {member!r}")
        for number, part in enumerate(member if isinstance(member, list) else [member]):
            if name in inner:
                found += faults(inner[name], part, f"{place}.{name}[{number}]")
    return found


def written(*arguments: object) -> dict:
    output = CliRunner().invoke(main, [*map(str, arguments), "--format", "sarif"]).output
    return json.loads(output)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of every kind of finding, in names that are hard to write."""
    key = secret_key(random.Random(31))
    folder = tmp_path / "a b%c#d?é\n"
    folder.mkdir()
    (folder / "main.js").write_text(
        f"é𝄞 {plain(key, random.Random(0))} SUPABASE_SERVICE_ROLE_KEY createAdminClient"
    )
    (folder / "x.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    (folder / "service.py").write_text(
        "x = 'é𝄞'; import supabase\nimport postgrest  # sba-audit: allow a test\n"
    )
    (folder / "broken.py").write_text("def")
    return folder


@pytest.mark.parametrize("command", ["scan", "audit"])
def test_a_log_keeps_the_schemas_rules(tree: Path, tmp_path: Path, command: str):
    rule = {"scan": "service-variable", "audit": "own-client"}[command]
    (tmp_path / "allow.toml").write_text(
        f'[[allow]]\nrule = "{rule}"\npath = "*"\nreason = "a test\\nof it"\n'
    )
    log = written(command, tree, "--allow", tmp_path / "allow.toml")
    assert faults("log", log) == []
    (run,) = log["runs"]
    assert run["results"]
    assert run["invocations"][0]["executionSuccessful"] is False
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]


@pytest.mark.parametrize(
    ("command", "rule", "column"), [("scan", "secret-key", 15), ("audit", "direct-import", 11)]
)
def test_columns_count_characters_as_the_log_says(tree: Path, command: str, rule: str, column: int):
    (run,) = written(command, tree)["runs"]
    assert run["columnKind"] == "unicodeCodePoints"
    first = next(result for result in run["results"] if result["ruleId"] == rule)
    assert first["locations"][0]["physicalLocation"]["region"] == {"startLine": 1, "startColumn": column}


def test_a_log_of_nothing_keeps_the_schemas_rules(tmp_path: Path):
    for command in ("scan", "audit"):
        log = written(command, tmp_path)
        assert faults("log", log) == []
        assert log["runs"][0]["results"] == []
        assert log["runs"][0]["invocations"][0]["executionSuccessful"] is True


def test_the_rules_here_find_what_breaks_them():
    broken = {"version": "2.0.0", "runs": [{"results": [{"level": "bad"}], "extra": 1}]}
    assert len(faults("log", broken)) == 5
