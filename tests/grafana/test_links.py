"""Tests of where clicks lead: to sibling dashboards, and to the exporter's own pages."""

import re
from typing import Any

import pytest

from tests.generate import ROOT
from tests.support.promql import Panel, dashboards, panels, properties, variables

UIDS = sorted(dashboards())
DATA_LINK = re.compile(r"/d/(?P<uid>[\w-]+)\?(?P<query>.+)")
TIME_AND_SOURCE = ("${__url_time_range}", "${datasource:queryparam}", "${job:queryparam}")


@pytest.mark.parametrize("uid", UIDS)
def test_one_drop_down_leads_to_all_siblings(uid: str) -> None:
    """All dashboards have the tag of the one drop-down, which keeps time and variables and is not in a menu."""
    dashboard = dashboards()[uid]
    (link,) = dashboard["links"]

    assert dashboard["tags"] == link["tags"] == ["rtcmpu"]
    assert (link["type"], link["asDropdown"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True, True)
    assert "placement" not in link


@pytest.mark.parametrize("uid", UIDS)
def test_links_lead_to_dashboards_and_variables_that_exist(uid: str) -> None:
    """A link to a dashboard names a uid and variables of it, keeps the time, and has the columns that it reads."""
    for panel in panels(dashboards()[uid]):
        for link in _links(panel):
            found = DATA_LINK.fullmatch(link["url"])
            if found is None:
                assert link["url"].startswith(("${exporter_url}/", "${__value.raw}"))
                assert link["targetBlank"]
                continue
            target = dashboards()[found["uid"]]
            names = {variable["name"] for variable in variables(target)}
            assert set(re.findall(r"var-(\w+)=", found["query"])) <= names
            if "${__all_variables}" not in found["query"]:
                assert all(part in found["query"] for part in TIME_AND_SOURCE)
            columns = set(_organized(panel))
            assert set(re.findall(r"__data\.fields\.(\w+)", link["url"])) <= columns


@pytest.mark.parametrize(
    ("uid", "title", "url"),
    [
        ("rtcmpu-overview", "Apps", "/d/rtcmpu-app?"),
        ("rtcmpu-overview", "Needs attention", "/d/rtcmpu-app?"),
        ("rtcmpu-overview", "Needs attention", "${__value.raw}"),
        ("rtcmpu-overview", "Critical violations", "/d/rtcmpu-expectations?"),
        ("rtcmpu-app", "Open violations", "/d/rtcmpu-expectations?"),
        ("rtcmpu-expectations", "Most affected apps", "/d/rtcmpu-app?"),
        ("rtcmpu-expectations", "Examples", "${exporter_url}/apps/${__data.fields.account:percentencode}/"),
        ("rtcmpu-expectations", "Examples", "${exporter_url}/violations?"),
        ("rtcmpu-app", "Tasks", "${exporter_url}/apps/${__data.fields.account:percentencode}/"),
        ("rtcmpu-exporter", "Collection of each app", "/d/rtcmpu-app?"),
    ],
)
def test_one_can_go_deeper(uid: str, title: str, url: str) -> None:
    """From the fleet to the app, from violations to the rule, from examples to the exporter itself."""
    found = [link for panel in panels(dashboards()[uid]) if panel["title"] == title for link in _links(panel)]

    assert any(link["url"].startswith(url) for link in found)


@pytest.mark.parametrize("uid", UIDS)
def test_every_number_leads_on(uid: str) -> None:
    """A click on a single number opens what says more about it."""
    assert [
        panel["title"] for panel in panels(dashboards()[uid]) if panel["type"] == "stat" and not _links(panel)
    ] == []


def test_links_of_alerts_lead_to_dashboards_and_variables_that_exist() -> None:
    """What an alert links to is a uid of ours, and what it chooses there is a variable of that dashboard."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "deploy" / "prometheus").glob("*.yml")]
    urls = [url for text in texts for url in re.findall(r"dashboard_url: *(\S+/d/.*)", text)]

    for url in urls:
        (uid,) = re.findall(r"/d/([\w-]+)", url)
        names = {variable["name"] for variable in variables(dashboards()[uid])}
        assert set(re.findall(r"var-(\w+)=", url)) <= names, url
    assert urls


def _links(panel: Panel) -> list[dict[str, Any]]:
    return [link for property_ in properties(panel) if property_["id"] == "links" for link in property_["value"]]


def _organized(panel: Panel) -> list[str]:
    """Return the fields that a table's rows have."""
    return [field for change in panel.get("transformations", ()) for field in change["options"].get("renameByName", ())]
