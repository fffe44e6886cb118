"""Who an alert belongs to: the label `owner`, from the rule or else from the app."""

from alerts.known import APP_INFO, RULE_OWNERS
from alerts.rules import promql


def with_app_owner(expression: str) -> str:
    """Return an expression by `account` and `app_id` with the app's owner, if it has one."""
    return _joined(expression, "account, app_id", APP_INFO)


def with_rule_owner(expression: str) -> str:
    """Return an expression by `account`, `app_id` and `rule` with the rule's owner, or else the app's."""
    return _joined(expression, "account, app_id, rule", RULE_OWNERS)


def _joined(expression: str, labels: str, owners: str) -> str:
    return promql(
        """
        (
          <expression>
        )
        * on (<labels>) group_left (owner) <owners>
        """,
        expression=expression,
        labels=labels,
        owners=owners,
    )
