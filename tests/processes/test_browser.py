"""The pages in a real browser: what works with and without a script, by keyboard, on a phone, in light and dark."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import NARROW, WIDE, Opened, chromium, opened
from tests.support.configurations import account
from tests.support.http import ask, ask_json
from tests.support.processes import Programs, eventually

pytestmark = pytest.mark.processes

TASKS = 2_000
APP = "/apps/production/app-1"
ODD_ID = "000-<img src=x onerror=alert(1)>'\"&{{7*7}}/../?#"
HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>{{7*7}}\u202e" + "long" * 60
ROW = {
    "TaskId": ODD_ID,
    "AppId": "app-1",
    "ChannelId": HOSTILE,
    "MixMode": HOSTILE,
    "Region": HOSTILE,
    "StreamURL": f"rtmp://user:canary-password@{'h' * 80}.example/canary-path?canary-key",
    "MaxIdleTime": "not a number",
    "MultiStreamURL": [{"URL": f"rtmp://a.example/canary-path?txSecret={'0' * 32}&txTime=F0000000", "IsAliCdn": True}],
    "TranscodeParams": {
        "EncodeParams": {
            "VideoCodec": HOSTILE,
            "VideoWidth": 1280,
            "VideoHeight": 720,
            "VideoBitrate": 10**15,
            "VideoFramerate": -25,
            "VideoGop": 1,
            "EnhancedParam": f'{{"profile": "{"p" * 90}", "preset": "<b>"}}',
        },
        "UserInfos": [{"UserId": "canary-user", "SourceType": HOSTILE, "StreamType": HOSTILE}],
        "Layout": {
            "UserPanes": [
                {"X": 0.1, "Y": 0.1, "Width": 0.5, "Height": 0.5, "ZOrder": 0, "SourceType": HOSTILE},
                {"X": 0.3, "Y": 0.3, "Width": 0.9, "Height": 0.5, "ZOrder": 0},
                {"X": "nowhere"},
            ]
        },
        "Background": {"URL": "http://canary-image.example/", "RenderMode": 1},
    },
    "SeiParams": {"PassThrough": {"PayloadContent": "canary-payload", "Interval": 100}, "PayloadType": 5},
}
RULES = """\
rules:
  - name: everything
    title: "<img src=x onerror=alert(3)> {{7*7}}"
    severity: warning
    owner: "<b>owner</b>"
    expect: "false"
    message: '"<img src=x onerror=alert(4)> " + task_id'
    reason: "<script>alert(5)</script>"
    remedy: "<i>remedy</i>"
    exempt:
      - {name: agreed, tasks: ["ff*"], until: 2099-12-31, reason: "<u>agreed</u>"}
  - name: worst
    title: One task alone
    severity: critical
    expect: task.region != "EMAA-Saudi" || task.idle_timeout_seconds != 301
"""
CONFIGURATION = """\
accounts:
{production}
- name: unreachable
  endpoint: http://127.0.0.1:9
  credentials: {{access_key_id: id, access_key_secret: canary-secret}}
  apps: [{{id: far, name: "<img src=x onerror=alert(6)>", owner: "<script>alert(7)</script>"}}]
collection: {{interval: 1s, sweep_interval: 30s}}
policy: {{rule_files: [rules.yml], default_rules: false}}
"""


BESIDE_THEIR_LABELS = """() => [...document.querySelectorAll(".stacked td")].every(cell => {
    const size = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const least = cell.getBoundingClientRect().left + 7 * size;
    const content = document.createRange();
    content.selectNodeContents(cell);
    return [...content.getClientRects()].every(part => part.width <= 1 || part.left >= least);
})"""
HOSTS = ".tasks td[data-label='Pushes to'] bdi"
BROKEN_WORDS = """hosts => hosts.flatMap(host => [...host.childNodes]).filter(word => {
    const content = document.createRange();
    content.selectNodeContents(word);
    return new Set([...content.getClientRects()].map(line => line.top)).size > 1;
}).map(word => word.data)"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an exporter that has evaluated 2,000 tasks, one of them hostile, and can't read an app."""
    directory = tmp_path_factory.mktemp("browser")
    with Programs(directory) as programs:
        _, service = programs.start_simulator("--apps=1", f"--tasks={TASKS}", "--churn=0")
        assert ask(f"{service}/-/tasks", method="POST", body=ROW).status == 200
        config = directory / "rtcmpu.yml"
        production = account(service, more="requests_per_second: 50")
        config.write_text(CONFIGURATION.format(production=production))
        (directory / "rules.yml").write_text(RULES)
        _, address = programs.start_daemon(config)

        def all_is_evaluated() -> None:
            matching = ask_json(f"{address}/api/v1/violations?rule=everything&limit=1")["matching"]
            assert matching > TASKS * 0.99

        eventually(all_is_evaluated)
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def window(base: str, browser: Browser) -> Iterator[Opened]:
    """A window for most tests: the first page of each takes a second of the processor."""
    with opened(browser, base) as window:
        yield window


@pytest.fixture(scope="module")
def window_without_script(base: str, browser: Browser) -> Iterator[Opened]:
    """Another, in which no script runs."""
    with opened(browser, base, java_script_enabled=False) as window:
        yield window


@pytest.fixture
def shown(window: Opened) -> Iterator[Opened]:
    """The window without what other tests left in it, and in which nothing is complained about."""
    window.page.goto("about:blank")
    window.complaints.clear()
    yield window
    assert window.complaints == []


@pytest.fixture(scope="module")
def odd_task(window: Opened) -> str:
    """The path of the hostile task, as the table links to it."""
    window.go(f"{APP}?task_id=000-%3Cimg")
    return window.page.locator(".tasks tbody th a").first.get_attribute("href") or ""


@pytest.fixture(scope="module")
def paths(odd_task: str) -> tuple[str, ...]:
    """Every page."""
    return (
        "/",
        APP,
        f"{APP}?task_id=000-",
        odd_task,
        "/violations",
        "/changes",
        "/rules",
        f"{APP}/collect",
        "/apps/x/y",
        "/search?text=000-",
        "/config",
        "/families",
        "/api/v1/",
        "/nothing",
    )


def test_every_page_is_accessible_inert_and_fits(shown: Opened, paths: tuple[str, ...]) -> None:
    """No barrier that axe knows, contrast included; hostile text stays text; nothing leaves its place sideways.

    Names, addresses, messages and rules make no element and run nothing; what must not be shown is nowhere. In a table
    that became a list on a phone, no part of a cell is under the label. Nothing is complained about.
    """
    for path in paths:
        page = shown.go(path)
        assert page.locator("img, b b, i, u, script:not([src])").count() == 0, path
        assert "canary" not in page.content(), path
        for details in page.locator("summary").all()[:2]:
            details.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDE[0], path
        with shown.in_the_dark_on_a_phone():
            assert page.evaluate(BESIDE_THEIR_LABELS), path
            assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0], path
            assert shown.barriers() == [], f"{path} in the dark on a phone"
        assert shown.barriers() == [], path
    shown.complaints[:] = [one for one in shown.complaints if "404" not in one]  # some paths are of nothing


def test_hosts_break_at_dots(shown: Opened) -> None:
    """Where the column of hosts is narrow, a line ends before a dot, not within a word."""
    page = shown.go(f"{APP}?order=desc")
    assert page.locator(HOSTS).count() >= len(shown.rows(".tasks"))
    assert page.locator(HOSTS).evaluate_all(BROKEN_WORDS) == []


def test_the_hostile_task_is_shown_whole(shown: Opened, odd_task: str) -> None:
    """Its page says what can't be read, draws its panes and their overlap, and names its findings."""
    page = shown.go(odd_task)
    expect(page.locator("h1")).to_have_text(ODD_ID)
    expect(page.locator("svg .pane")).to_have_count(2)
    expect(page.locator("svg .overlap")).to_have_count(1)
    expect(page.locator("figcaption")).to_contain_text("1 pane not drawn")
    expect(page.locator("main")).to_contain_text(
        "Not readable: ChannelId, EncodeParams.VideoFramerate, MaxIdleTime, UserPanes.X"
    )
    expect(page.get_by_role("region", name="Findings")).to_contain_text("<img src=x onerror=alert(4)>")
    expect(page.get_by_role("region", name="Outputs")).to_contain_text("rtmp://a.example")


def test_apps_lead_to_their_tasks(base: str, shown: Opened) -> None:
    """From the status page through the app to a task, and back by the way that is shown above."""
    page = shown.go("/")
    expect(page.get_by_role("region", name="Apps")).to_contain_text("network error")
    page.get_by_role("link", name="app-1").click()
    expect(page.get_by_role("navigation", name="Pages of tasks").first).to_contain_text("2,001 tasks")
    page.locator(".tasks tbody th a").nth(1).click()
    expect(page.get_by_role("region", name="Outputs")).to_be_visible()
    page.get_by_role("navigation", name="Where this is").get_by_role("link", name="app-1").click()
    expect(page).to_have_url(base + APP)


@pytest.mark.parametrize("name", ["shown", "window_without_script"])
def test_filters_and_pages_work_with_and_without_a_script(request: pytest.FixtureRequest, name: str) -> None:
    """Tasks are narrowed and turned over; what was asked for stays in the address and in the form."""
    shown: Opened = request.getfixturevalue(name)
    page = shown.go(APP)
    assert len(shown.rows(".tasks")) == 50
    page.get_by_label("Region").select_option("EMAA-Saudi")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**task_region=EMAA-Saudi**")
    expect(page.locator(".tasks td[data-label=Region]").first).to_have_text("EMAA-Saudi")
    first = shown.rows(".tasks")
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".pager").first).to_contain_text("51\N{EN DASH}100 of")
    assert not set(first) & set(shown.rows(".tasks"))
    expect(page.get_by_label("Region")).to_have_value("EMAA-Saudi")
    page.get_by_role("link", name="Last", exact=True).click()
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.get_by_role("link", name="Idle timeout").click()
    expect(page.locator("[aria-sort]")).to_have_text("Idle timeout")
    assert set(page.locator(".tasks td[data-label=Region]").all_inner_texts()) == {"EMAA-Saudi"}


def test_a_filter_acts_while_it_is_typed(shown: Opened) -> None:
    """The table follows the field without another page, and the field keeps the keyboard."""
    page = shown.go(APP)
    wanted = shown.rows(".tasks")[7].split()[0]
    field = page.get_by_label("Task or channel")
    field.press_sequentially(wanted[:12])
    expect(page.locator(".tasks tbody tr")).to_have_count(1)
    expect(field).to_be_focused()
    assert wanted[:12] in page.url
    field.fill("")
    expect(page.locator(".tasks tbody tr")).to_have_count(50)


def test_violations_are_narrowed_and_turned_over(shown: Opened) -> None:
    """2,000 of them: by rule, by severity, by outcome, page by page."""
    page = shown.go("/violations")
    expect(page.get_by_role("region", name="By rule")).to_be_hidden()
    page.locator("#by-rule summary").click()
    expect(page.get_by_role("region", name="By rule")).to_contain_text("everything")
    page.locator("select[name=rule]").select_option("everything")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**rule=everything")
    expect(page.locator(".rules-table tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Last", exact=True).click()
    expect(page.get_by_role("region", name="One by one")).to_contain_text("<img src=x onerror=alert(4)>")
    page.get_by_label("Show").select_option("exempted")
    expect(page.locator("#findings")).to_contain_text("exemption: agreed")
    page.get_by_label("Severity").select_option("critical")
    expect(page.locator("#findings")).to_contain_text("Nothing is found.")


def test_a_task_id_is_copied_whole_and_times_are_local(base: str, browser: Browser) -> None:
    """The button beside a TaskId puts it on the clipboard; times are those of the browser's zone, with UTC on hover."""
    permissions = ["clipboard-read", "clipboard-write"]
    with opened(browser, base, permissions=permissions, timezone_id="Asia/Kolkata") as shown:
        page = shown.go(APP)
        wanted = page.locator(".tasks tbody .id > a").nth(3).inner_text()
        page.get_by_role("button", name=f"Copy {wanted}").click()
        expect(page.get_by_role("button", name=f"Copied {wanted}")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == wanted
        clock = page.locator("footer time")
        expect(clock).to_have_text(re.compile(r"[0-9-]{10} [0-9:]{8} \+05:30"))
        expect(clock).to_have_attribute("title", re.compile(r"[0-9-]{10} [0-9:]{8} UTC"))
        assert shown.complaints == []


def test_apps_are_filtered_and_sorted(shown: Opened) -> None:
    """The status page narrows while it is typed, and keeps filter and order while it refreshes."""
    page = shown.go("/")
    assert [row.split()[0] for row in shown.rows(".apps")] == ["far", "app-1"]
    page.get_by_role("link", name="App", exact=True).click()
    expect(page.locator("[aria-sort=ascending]")).to_have_text("App")
    assert [row.split()[0] for row in shown.rows(".apps")] == ["app-1", "far"]
    page.get_by_label("App, name, account or owner").press_sequentially("unreach")
    expect(page.locator(".apps tbody tr")).to_have_count(1)
    assert "sort=app" in page.url


def test_rules_are_found_and_opened(shown: Opened) -> None:
    """A rule is found while its name is typed, and says what it expects and whom it exempts."""
    page = shown.go("/rules")
    page.get_by_label("Name, title or owner").press_sequentially("everything")
    expect(page.locator("article")).to_have_count(1)
    page.locator("summary").click()
    expect(page.locator("article")).to_contain_text("Exemption agreed")
    expect(page.locator("article")).to_contain_text("until the end of 2099-12-31")


def test_the_keyboard_suffices(shown: Opened) -> None:
    """The first key leads past the navigation; fields, buttons, tables and details are all reached and seen."""
    page = shown.go(APP)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    expect(page.get_by_role("link", name="To the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => `${e.tagName} ${e.name || e.getAttribute('aria-label') || e.innerText}` + "
                "(getComputedStyle(e).outlineStyle === 'none' ? ' unseen' : ''))(document.activeElement)"
            )
        )
    assert not [one for one in reached if one.endswith(" unseen")]
    for wanted in ("BUTTON Check now", "SUMMARY How it is collected", "INPUT task_id", "DIV Tasks"):
        assert wanted in reached
    page.get_by_label("Task or channel").focus()
    page.keyboard.type("000-")
    page.keyboard.press("Enter")
    expect(page.locator(".tasks tbody tr")).to_have_count(1)


def test_an_app_is_collected_on_demand(shown: Opened) -> None:
    """The button leads to a report that goes on while requests are sent, and ends with what was found."""
    page = shown.go(APP)
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("#report")).to_contain_text("page 1 of 100 rows: 1 to 100")
    expect(page.locator("#report")).to_contain_text("2,001", timeout=30_000)
    expect(page.locator("#report")).to_contain_text("no difference")


def test_a_reading_that_fails_says_why_without_a_script(window_without_script: Opened) -> None:
    """Every attempt is there with its reason."""
    page = window_without_script.go("/apps/unreachable/far")
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("#report")).to_contain_text("attempt 3")
    expect(page.locator("#report dl")).to_contain_text("network error")


def test_pages_of_a_large_app_are_small(base: str) -> None:
    """No page of thousands of tasks or violations is large, the last one and sorted ones included."""
    for path in (APP, f"{APP}?page=40", f"{APP}?sort=bitrate&order=desc", "/violations?page=40", "/"):
        answer = ask(f"{base}{path}")
        assert answer.status == 200
        assert len(answer.body) < 200_000
