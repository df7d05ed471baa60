"""The HTML report in a real browser: it renders, asks nobody for anything, and can be operated."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from bench.model import Run
from bench.report.html import run_report
from tests.unit.factories import (
    a_deployment,
    a_failed_trial,
    a_measurement,
    a_run,
    a_trial,
    a_usage,
)

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
DRIVER = shutil.which("chromedriver")
HOSTILE = (
    '<img src="http://192.0.2.1/x" onerror="document.title=1"></script>'
    '<script>document.title="x"</script>'
)
PHONE, DESKTOP = 360, 1280
DEADLINE = 30.0

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="NOT TESTED: the HTML report. It needs chromium and chromedriver:"
        " apt-get install chromium chromium-driver",
    ),
]


def the_run() -> Run:
    """Return three rounds of four deployments, one of them without a valid trial."""
    rates = {"gevent-uwsgi": 170.0, "sync-uwsgi": 120.0, "nginx-uwsgi": 150.0}
    trials = []
    for round_ in (1, 2, 3):
        for name, rate in rates.items():
            deployment = a_deployment(
                name,
                threads=50 if name.startswith("sync") else None,
                async_cores=None if name.startswith("sync") else 2000,
                proxy="nginx/uwsgi.conf" if name.startswith("nginx") else None,
            )
            trials.append(
                a_trial(
                    deployment,
                    round=round_,
                    folder=f"0{round_}-{name}",
                    measurement=a_measurement(rate + round_),
                    usage={"server": a_usage(), "api": a_usage(cpu_seconds=0.5)},
                )
            )
        trials.append(a_failed_trial("broken", HOSTILE, round=round_, folder=f"0{round_}-broken"))
    return a_run(*trials, rounds=3, skipped={"other": HOSTILE})


def write_samples(run: Run, folder: Path) -> None:
    columns = "seconds,role,cpu_seconds,threads,processes,memory_bytes,open_files,connections"
    for trial in run.trials:
        if not trial.valid:
            continue
        own = folder / trial.folder
        own.mkdir()
        rows = [
            f"{n / 5},{role},{n / 10:.2f},{n + 5},5,{10**8 + n * 10**6},20,{min(200, n * 20)}"
            for n in range(30)
            for role in ("server", "api", "client")
        ]
        (own / "samples.csv").write_text("\n".join([columns, *rows]))


@dataclass
class Browser:
    """A page as its reader has it before them."""

    driver: webdriver.Chrome

    def open(self, page: Path, *, width: int = DESKTOP, dark: bool = False) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < DESKTOP,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        for kind in ("browser", "performance"):
            self.log(kind)
        self.driver.get(page.as_uri())
        self.run("try { localStorage.clear() } catch {}")
        self.wait(lambda: self.run("return document.documentElement.dataset.ready") == "yes")

    def command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return what was logged since it was last asked for."""
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], object]) -> None:
        until = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < until, "the page did not get there"
            time.sleep(0.02)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def focus_on(self, selector: str) -> None:
        """Get there with the Tab key alone."""
        for _ in range(200):
            self.press(Keys.TAB)
            if self.run("return document.activeElement.matches(arguments[0])", selector):
                return
        pytest.fail(f"the Tab key does not lead to {selector}")

    def ranked(self) -> list[str]:
        rows = self.all("#table-ranking tbody tr")
        return [str(row.get_attribute("data-deployment")) for row in rows if row.is_displayed()]

    def requests(self) -> list[str]:
        messages = [json.loads(e["message"])["message"] for e in self.log("performance")]
        return [
            m["params"]["request"]["url"]
            for m in messages
            if m["method"] == "Network.requestWillBeSent"
        ]

    def chart_text(self, name: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", name))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    options = Options()
    options.binary_location = str(CHROMIUM)
    # no sandbox: root has none, and the page is our own; no /dev/shm: containers keep it small
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run = the_run()
    write_samples(run, folder)
    file = folder / "report.html"
    file.write_text(run_report(run, folder), "utf-8")
    return file


def test_it_renders_without_a_complaint_and_asks_nobody(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert "gevent-uwsgi is fastest" in browser.find("h1").text
    assert browser.log("browser") == []
    outside = [url for url in browser.requests() if not url.startswith(("file:", "data:"))]
    assert outside == []
    entries = browser.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [name for name in entries if not name.startswith("data:")] == []


def test_the_policy_stops_what_would_be_loaded_or_run(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run(
        "const image = new Image(); image.src = 'http://192.0.2.1/x'; document.body.append(image);"
        "const script = document.createElement('script'); script.textContent = 'document.title=1';"
        "document.body.append(script); fetch('http://192.0.2.1/').catch(() => 0);"
    )
    said = " ".join(entry["message"] for entry in browser.log("browser"))
    assert said.count("Content Security Policy") >= 3
    assert browser.driver.title != "1"


def test_foreign_text_stays_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert HOSTILE in browser.find(".failure p").text
    assert browser.all("img") == []
    assert browser.driver.title.startswith("api: ")


def test_every_chart_is_drawn_with_its_figures(browser: Browser, page: Path) -> None:
    browser.open(page)
    for name in ("ranking", "ceiling", "latency", "cpu", "memory"):
        text = browser.chart_text(f"#chart-{name} svg")
        assert "gevent-uwsgi" in text, name
        assert browser.run(
            "return document.querySelector(arguments[0]).getBoundingClientRect().width > 300",
            f"#chart-{name} svg",
        )
    assert "172" in browser.chart_text("#chart-ranking svg")
    for figure in ("cpu", "threads", "memory", "connections"):
        lines = browser.all(f"#chart-timeline-{figure} svg .mark-line path")
        assert len(lines) == 3, figure
        dashes = {line.get_attribute("stroke-dasharray") for line in lines}
        assert len(dashes) == 3, "lines differ by more than their colour"


def test_the_filter_works_by_keyboard_and_in_tables_and_charts(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    assert set(browser.ranked()) == {"gevent-uwsgi", "nginx-uwsgi", "sync-uwsgi", "broken"}
    browser.focus_on("#filter-name")
    browser.press("UWSGI")
    browser.wait(lambda: "broken" not in browser.ranked())
    assert browser.find("#filter-count").text == "3 of 4 deployments shown"
    browser.press(Keys.TAB, "t")  # the group "threads", as a select finds it by its letter
    assert browser.find("#filter-group").get_attribute("value") == "Serves requests by: threads"
    browser.wait(lambda: browser.ranked() == ["sync-uwsgi"])
    browser.wait(lambda: "gevent-uwsgi" not in browser.chart_text("#chart-ranking svg"))
    assert "sync-uwsgi" in browser.chart_text("#chart-ranking svg")
    trials = [option.text for option in browser.all("#trial option")]
    assert trials == [f"sync-uwsgi, round {n}" for n in (1, 2, 3)]
    assert [f.is_displayed() for f in browser.all(".failure")] == [False, False]


def test_only_valid_ones(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.focus_on("#filter-valid")
    browser.press(Keys.SPACE)
    browser.wait(lambda: "broken" not in browser.ranked())
    browser.press(Keys.SPACE)
    browser.wait(lambda: "broken" in browser.ranked())


def test_sorting_works_by_keyboard_and_says_so(browser: Browser, page: Path) -> None:
    browser.open(page)
    headings = [head.text for head in browser.all("#table-ranking thead th")]
    column = next(n for n, text in enumerate(headings, 1) if text.startswith("req/s"))
    head = f"#table-ranking thead th:nth-child({column})"
    fastest_first = ["gevent-uwsgi", "nginx-uwsgi", "sync-uwsgi", "broken"]
    browser.focus_on(f"{head} button")
    browser.press(Keys.ENTER)
    assert browser.ranked() == fastest_first
    assert browser.find(head).get_attribute("aria-sort") == "descending"
    browser.press(Keys.ENTER)
    assert browser.ranked() == [*reversed(fastest_first[:3]), "broken"], "unknown stays last"
    assert browser.find(head).get_attribute("aria-sort") == "ascending"
    others = browser.all(f"#table-ranking thead th:not(:nth-child({column}))")
    assert {other.get_attribute("aria-sort") for other in others} == {"none"}


def test_another_trial_and_fewer_roles(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.find("#trial").get_attribute("value") == "01-gevent-uwsgi"
    browser.focus_on("#trial")
    browser.press(Keys.ARROW_DOWN)
    browser.focus_on("[name=role]")
    browser.press(Keys.SPACE)
    lines = "#chart-timeline-cpu svg .mark-line path"
    browser.wait(lambda: len(browser.all(lines)) == 2)


def test_the_focus_is_seen(browser: Browser, page: Path) -> None:
    browser.open(page)
    for _ in range(12):
        browser.press(Keys.TAB)
        style = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid"


def luminance(colour: str) -> float:
    parts = colour[colour.index("(") + 1 : colour.index(")")].split(",")[:3]
    values = [float(part) / 255 for part in parts]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_can_be_read(browser: Browser, page: Path, dark: bool) -> None:
    browser.open(page, dark=dark)
    paper = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.2) is dark
    # WCAG 2.2, 1.4.3 (text) and 1.4.11 (what a chart is read by)
    for selector, least in (
        ("body", 4.5), (".eyebrow", 4.5), ("nav a", 4.5), ("caption", 4.5), ("td", 4.5),
        ("thead button", 4.5), (".note", 4.5), ("tr.invalid td", 4.5),
    ):  # fmt: skip
        colour = browser.find(selector).value_of_css_property("color")
        assert contrast(colour, paper) >= least, selector
    script = "return getComputedStyle(document.querySelector(arguments[0])).{}"
    text = browser.run(script.format("fill"), "#chart-ranking .mark-text text")
    assert contrast(text, paper) >= 4.5
    for line in range(3):
        path = browser.all("#chart-timeline-cpu .mark-line path")[line]
        assert contrast(path.value_of_css_property("stroke"), paper) >= 3


def test_the_toggle_changes_page_and_charts(browser: Browser, page: Path) -> None:
    browser.open(page)

    def colours() -> tuple[str, str]:
        text = browser.find("#chart-ranking .mark-text text").value_of_css_property("fill")
        return browser.find("body").value_of_css_property("background-color"), text

    light = colours()
    browser.focus_on("#theme")
    assert browser.find("#theme").text == "Dark"
    browser.press(Keys.ENTER)
    dark = colours()
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    assert browser.find("#theme").text == "Light"


@pytest.mark.parametrize("width", [320, PHONE, 768])
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    wide = browser.run(
        "return [...document.querySelectorAll('main *, header *')].filter((e) =>"
        " e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.table, pre, svg'))"
        ".map((e) => e.tagName + '.' + e.className)"
    )
    assert wide == []


def test_the_basics_of_accessibility(browser: Browser, page: Path) -> None:
    browser.open(page)
    problems = browser.run("""
      const problems = [];
      const all = (s) => [...document.querySelectorAll(s)];
      const named = (e) => e.getAttribute("aria-label") || e.getAttribute("aria-labelledby");
      for (const e of all("img, [role=img], svg:not([aria-hidden])")) {
        if (!e.closest("[role=img]") || !named(e.closest("[role=img]"))) problems.push(e.outerHTML);
      }
      for (const e of all("input, select")) if (!e.labels.length && !named(e)) problems.push(e.id);
      for (const e of all("button")) if (!e.textContent.trim()) problems.push("nameless button");
      for (const e of all("section, nav")) if (!named(e)) problems.push(e.id);
      for (const e of all("[aria-labelledby]")) {
        if (!document.getElementById(e.getAttribute("aria-labelledby"))) problems.push(e.id);
      }
      for (const e of all(".table, pre")) if (e.tabIndex !== 0) problems.push("by mouse only");
      for (const role of ["main", "header", "footer", "nav"]) {
        if (all(`body > ${role}, header > ${role}`).length !== 1) problems.push(role);
      }
      const levels = all("h1, h2, h3, h4").map((e) => Number(e.tagName[1]));
      levels.forEach((l, n) => { if (n && l > levels[n - 1] + 1) problems.push(`h${l}`); });
      if (document.documentElement.lang !== "en") problems.push("no language");
      return problems;
    """)
    assert problems == []


def test_without_scripts_every_figure_is_still_there(browser: Browser, page: Path) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.driver.get(page.as_uri())
        assert "172" in browser.find("#table-ranking").text
        assert not browser.find("#theme").is_displayed()
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)
