"""`/api/v1/rules`: rules and their totals."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

from msgspec import Struct

from exporter.rules.rule import Exemption, Severity
from exporter.web.lists import Listing
from exporter.web.query import Query, cursor, cursor_after, known
from exporter.web.responses import TIMES, about, document_of
from exporter.web.view import RuleView, View

PARAMETERS: Final = known("severity enabled rule format limit", cursor(1))


class ExemptionDocument(Struct, kw_only=True):
    """Tasks that may violate a rule."""

    name: Annotated[str, about("Its name.")]
    tasks: Annotated[Sequence[str], about("TaskIds or globs.")]
    until: Annotated[str | None, about("The last day, in UTC; null: permanent.")]
    reason: Annotated[str, about("Why; may be empty.")]
    ended: Annotated[bool, about("Whether its last day is over.")]


class TotalsDocument(Struct, kw_only=True, rename=TIMES):
    """Counts of a rule over all apps; frozen findings count as they were."""

    violations: Annotated[int, about("Tasks that violate it.")]
    evaluated: Annotated[int, about("Tasks that it was evaluated for.")]
    not_applicable: Annotated[int, about("Tasks that it does not apply to.")]
    exempted: Annotated[int, about("Tasks whose violation is exempted.")]
    unevaluable: Annotated[int, about("Tasks that it can't be evaluated for.")]
    oldest_violation: Annotated[
        float | None, about("Since when the oldest violation is seen, in seconds since 1970; null: there is none.")
    ]


class RuleDocument(Struct, kw_only=True):
    """One rule."""

    name: Annotated[str, about("Its name.")]
    title: Annotated[str, about("What it expects, in short.")]
    severity: Annotated[Severity, about("How much a violation matters.")]
    owner: Annotated[str, about("Its owner; may be empty.")]
    runbook_url: Annotated[str, about("URL of its runbook; may be empty.")]
    source: Annotated[
        str, about("Where it is defined: default, profile, app for expectations of an app, or file:line.")
    ]
    enabled: Annotated[bool, about("Whether it is in force.")]
    state: Annotated[
        Literal["on", "off", "stopped"],
        about("on: evaluated; off: not in force; stopped: it was too slow, its findings are frozen until a reload."),
    ]
    why: Annotated[str | None, about("Why it is off or stopped; null: it is on.")]
    apps: Annotated[Sequence[str], about("AppIds or globs; empty: all apps.")]
    when: Annotated[str, about("The rule does not apply where this expression is false; empty: it always applies.")]
    expect: Annotated[str, about("The expression that must be true.")]
    message: Annotated[str, about("The expression for the message; empty: the title is the message.")]
    reason: Annotated[str, about("Why it matters.")]
    remedy: Annotated[str, about("What to do about a violation.")]
    exemptions: Annotated[list[ExemptionDocument], about("Its exemptions.")]
    totals: Annotated[TotalsDocument | None, about("Null: it was not evaluated for any app.")]
    unevaluable_reasons: Annotated[Sequence[str], about("Some reasons why it can't be evaluated for tasks.")]


class RulesDocument(Struct, kw_only=True):
    """A page of rules, by name."""

    rules: Annotated[list[RuleDocument], about("The rules.")]
    matching: Annotated[int, about("How many there are on all pages.")]
    next_cursor: Annotated[str | None, about("Where the next page begins; null: this is the last one.")]


async def all_rules(view: View, query: Query, now: float) -> Listing:
    """Rules.

    All rules by name, including disabled ones.
    """
    query.require_known(view)
    return rules_listing(view.rules(), query, now=now)


def rules_listing(rules: Iterable[RuleView], query: Query, *, now: float) -> Listing:
    """Return a page of rules by name; exemptions have ended or not by `now`, a Unix time."""
    matching = sorted(filter(query.matches_rule, rules), key=lambda shown: shown.rule.name)
    rest = [shown for shown in matching if (shown.rule.name,) > query.after]
    return Listing(
        "rules",
        RuleDocument,
        (_rule(shown, now) for shown in rest[: query.limit]),
        has_more=len(rest) > query.limit,
        cursor_of=lambda rule: cursor_after(rule.name),
        also={"matching": len(matching)},
    )


def _rule(shown: RuleView, now: float) -> RuleDocument:
    return document_of(
        RuleDocument,
        shown.rule,
        enabled=shown.why_off is None,
        state="off" if shown.why_off is not None else "on" if shown.why_stopped is None else "stopped",
        why=shown.why_off or shown.why_stopped,
        exemptions=[_exemption(exemption, now) for exemption in shown.rule.exempt],
        totals=None if shown.totals is None else document_of(TotalsDocument, shown.totals),
        unevaluable_reasons=shown.reasons(),
    )


def _exemption(exemption: Exemption, now: float) -> ExemptionDocument:
    until = None if exemption.until is None else exemption.until.isoformat()
    ended = exemption.ends_at is not None and exemption.ends_at <= now
    return document_of(ExemptionDocument, exemption, until=until, ended=ended)
