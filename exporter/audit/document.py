"""An audit as JSON: everything that was found, for scripts."""

import json
from typing import Any

from exporter.audit.findings import AppFindings, Audit, RuleFindings
from exporter.policy.rule import SEVERITIES


def as_json(audit: Audit) -> str:
    """Return the document; ASCII, so that no terminal acts upon what stands in it."""
    document = {
        "violations": {severity: audit.violations(severity) for severity in SEVERITIES},
        "apps": [_app(app) for app in audit.apps],
    }
    return json.dumps(document, indent=2) + "\n"


def _app(app: AppFindings) -> dict[str, Any]:
    return {
        "account": app.account,
        "app_id": app.app_id,
        "name": app.name,
        "owner": app.owner,
        "state": app.state,
        "reason": app.reason,
        "tasks": app.tasks,
        "rules": [_rule(findings) for findings in app.rules] if app.was_read else None,
    }


def _rule(findings: RuleFindings) -> dict[str, Any]:
    rule = findings.rule
    return {
        "rule": rule.name,
        "title": rule.title,
        "severity": rule.severity,
        "owner": rule.owner,
        "runbook_url": rule.runbook_url,
        "passed": findings.passed,
        "not_applicable": findings.not_applicable,
        "violations": [violation._asdict() for violation in findings.violations],
        "exempted": [
            {
                "task_id": exempted.task_id,
                "exemption": exempted.exemption.name,
                "until": exempted.exemption.until and exempted.exemption.until.isoformat(),
                "reason": exempted.exemption.reason,
            }
            for exempted in findings.exempted
        ],
        "unevaluable": [unevaluable._asdict() for unevaluable in findings.unevaluable],
    }
