"""What the web side is given to show of budgets."""

from collections.abc import Iterable, Mapping

from exporter.collect.limiter import Limiter, Priority
from exporter.config.forecast import Forecast
from exporter.config.model import Account
from exporter.web.view import BudgetView


def budgets(
    forecasts: Iterable[Forecast], accounts: Iterable[Account], limiters: Mapping[str, Limiter]
) -> tuple[BudgetView, ...]:
    """Return how it stands with each budget.

    Args:
        forecasts: What is expected of each, at the rates that are in force.
        accounts: As they are configured.
        limiters: By the accounts' names.
    """
    configured = {account.name: account.requests_per_second for account in accounts}
    return tuple(
        BudgetView(
            accounts=outlook.accounts,
            configured_rate=min(configured[name] for name in outlook.accounts),
            effective_rate=outlook.requests_per_second,
            needed_rate=outlook.pace.update_requests_per_second + outlook.pace.sweep_requests_per_second,
            waiting=sum(limiters[outlook.accounts[0]].waiting(priority) for priority in Priority),
        )
        for outlook in forecasts
    )
