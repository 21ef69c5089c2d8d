"""The page in a real browser: Debian's chromium, without a window."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service as Chromedriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests import tiny
from tests.apps.serve.conftest import occluding, served, until
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.serve.app import Service

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None,
    reason="there is no chromium with its chromedriver here",
)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
]
SAD = "the story was lovely and 😀 the ending was awful ."


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options, Chromedriver(CHROMEDRIVER))
    yield found
    found.quit()


class Page:
    """What a user sees and does."""

    def __init__(self, driver: webdriver.Chrome, address: str, path: str = "/") -> None:
        self.driver = driver
        driver.get(f"{address}{path}")

    def ready(self) -> Page:
        until(lambda: self.run("return 'ready' in document.body.dataset") is True)
        return self

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def __getitem__(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        found = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector
        )
        assert isinstance(found, list)
        return found

    def type(self, text: str) -> None:
        self.run(
            "const t = document.getElementById('text'); t.value = arguments[0];"
            "t.dispatchEvent(new Event('input', {bubbles: true}))",
            text,
        )

    def faults(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]


@pytest.fixture
def page(driver: webdriver.Chrome, client: httpx.Client) -> Iterator[Page]:
    found = Page(driver, str(client.base_url).rstrip("/")).ready()
    yield found
    assert found.faults() == []  # nothing forbidden by the policy, nothing missing


def test_typing_shows_the_label_and_the_words_that_decided(page: Page) -> None:
    assert page.driver.switch_to.active_element == page["text"]  # one can type at once
    page["text"].send_keys("the story was lovely and the ending was awful .")
    until(lambda: "awful" in page.texts("#marked mark.for"))
    assert page["label"].text == "sad"
    assert page["why-title"].text == "Words that decided about sad"
    assert [bar.text.splitlines()[0] for bar in page.all("#bars .bar")] == ["sad", "glad"]
    widths = page.run("return [...document.querySelectorAll('.fill')].map(e => e.style.width)")
    assert sum(float(width.rstrip("%")) for width in widths) == pytest.approx(100, abs=0.1)
    until(lambda: page["spoken"].get_attribute("textContent") == f"sad, {page['confidence'].text}")
    page["clear"].click()
    until(lambda: page["answer-empty"].is_displayed())
    assert not page["why"].is_displayed()


def test_another_label_is_explained_by_the_keyboard_alone(page: Page) -> None:
    page.type(SAD)
    until(lambda: "awful" in page.texts("#marked mark.for"))
    assert page["marked"].get_attribute("textContent") == SAD  # whatever counts its characters
    page.all("#bars button")[1].send_keys(Keys.ENTER)
    until(lambda: "awful" in page.texts("#marked mark.against"))
    assert page["why-title"].text == "Words that decided about glad"
    assert page.driver.switch_to.active_element.text.startswith("glad")
    assert page["label"].text == "sad"


def test_an_answer_that_comes_late_is_thrown_away(page: Page) -> None:
    """The first request is held up, and cannot be cancelled, until the second is answered."""
    page.run("""
        const real = window.fetch; let first = true; window.late = 0;
        window.fetch = async (path, options) => {
            const hold = path === "/predict" && first;
            if (hold) first = false;
            const answer = await real(path, hold ? {...options, signal: undefined} : options);
            if (hold) { await new Promise(go => setTimeout(go, 1500)); window.late += 1; }
            return answer;
        };
    """)
    page.type("the film was awful .")
    until(lambda: page["answer"].get_attribute("aria-busy") == "true")
    time.sleep(0.4)
    page.type("the film was lovely .")
    until(lambda: page["label"].text == "glad")
    until(lambda: page.run("return window.late") == 1)
    time.sleep(0.2)
    assert page["label"].text == "glad"
    assert page["marked"].get_attribute("textContent") == "the film was lovely ."


DROP = """
const data = new DataTransfer();
data.items.add(new File([arguments[0]], arguments[1], {type: "text/csv"}));
for (const kind of ["dragenter", "dragover", "drop"])
    window.dispatchEvent(
        new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
"""


def test_a_csv_is_dropped_and_its_labels_are_taken_home(
    page: Page, downloads: Path, predictor: Predictor
) -> None:
    texts = tiny.labelled_texts(250, seed=8)[0]
    rows = [[str(n), f'{text} "so", they\nsaid', "ü"] for n, text in enumerate(texts)]
    source = downloads / "source.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["id", "review", "predicted_label"], *rows]
        )
    page.run(DROP, source.read_text("utf-8"), "films.csv")
    until(lambda: page["table"].is_displayed())
    assert page["file-name"].text == "films.csv"
    assert page["column"].get_attribute("value") == "1"  # it is called review
    assert page["start"].text == "Label 250 rows"
    assert len(page.all("#preview tbody tr")) == 5
    page["start"].send_keys(Keys.ENTER)
    until(lambda: page["download"].is_displayed())
    assert page["work-note"].text.startswith("All 250 rows have their label.")
    assert len(page.all("#results tbody tr")) == 200
    page["download"].click()
    found = downloads / "films-labelled.csv"
    until(found.exists)
    with found.open(newline="", encoding="utf-8") as file:
        header, *written = csv.reader(file)
    added = ["predicted_label_2", "probability_glad", "probability_sad"]
    assert header == ["id", "review", "predicted_label", *added]
    assert [row[:3] for row in written] == rows
    chances = predictor.predict_proba([row[1] for row in rows])
    assert [row[3] for row in written] == predictor.decide(chances)
    assert [float(row[5]) for row in written] == pytest.approx(chances[:, 1].tolist(), abs=1e-5)


def test_other_delimiters_encodings_and_no_header(page: Page) -> None:
    page.run(
        "const bytes = new Uint8Array(arguments[0]);" + DROP.replace("[arguments[0]]", "[bytes]"),
        list("caf\u00e9;1\nthe film was lovely .;2\n".encode("cp1252")),
        "a.csv",
    )
    until(lambda: page["table"].is_displayed())
    assert "it was read as Windows-1252" in page["file-note"].text
    page["header"].click()
    assert page["start"].text == "Label 2 rows"
    assert page.texts("#preview th") == ["1", "2"]
    assert page.texts("#preview td:first-child") == ["café", "the film was lovely ."]


def test_a_row_that_is_wider_than_all_before_keeps_its_cells(page: Page, downloads: Path) -> None:
    texts = tiny.labelled_texts(120, seed=9)[0]
    lines = [f"{number},{text}" for number, text in enumerate(texts)]
    lines[110] += ",late,later"
    page.run(DROP, "\n".join(["id,review", *lines]), "wide.csv")
    until(lambda: page["start"].is_displayed() and page["start"].text == "Label 120 rows")
    page["start"].click()
    until(lambda: page["download"].is_displayed())
    page["download"].click()
    found = downloads / "wide-labelled.csv"
    until(found.exists)
    with found.open(newline="", encoding="utf-8") as file:
        header, *written = csv.reader(file)
    assert header[:2] == ["id", "review"]
    assert header[4:] == ["predicted_label", "probability_glad", "probability_sad"]
    assert {len(row) for row in written} == {len(header)}
    assert written[110][:4] == ["110", texts[110], "late", "later"]
    assert written[109][:4] == ["109", texts[109], "", ""]


def test_what_is_no_csv(page: Page) -> None:
    page.run(DROP, "", "empty.csv")
    until(lambda: page["problem"].is_displayed())
    assert page["problem"].text == "empty.csv has no rows."
    page.run(DROP, "a\0b", "a.xlsx")
    until(lambda: page["problem"].text == "a.xlsx is not a CSV file.")


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_scrolling_aside(page: Page, width: int) -> None:
    metrics = {"width": width, "height": 700, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.type(f"{SAD} {'endless' * 40}")
        until(lambda: bool(page.texts("#marked mark.for")))
        assert page.run("return document.documentElement.scrollWidth") <= width
        page.run(DROP, f"text,{'column' * 20}\n{SAD},{'x' * 300}\n", "a.csv")
        until(lambda: page["table"].is_displayed())
        assert page.run("return document.documentElement.scrollWidth") <= width
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CONTRAST = """
const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(v => v / 255)
        .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
};
const ground = e => {
    for (; e; e = e.parentElement) {
        const colour = getComputedStyle(e).backgroundColor;
        if (!/rgba|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
};
const hasText = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
return [...document.querySelectorAll("h1,h2,p,label,button,a,span,td,th,textarea")]
    .filter(e => e.checkVisibility({visibilityProperty: true}) && hasText(e))
    .map(e => [light(getComputedStyle(e).color), light(ground(e)), e.id + " " + e.textContent])
    .map(([a, b, what]) => [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), what])
    .filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_both_schemes(page: Page, scheme: str) -> None:
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    page.type(SAD)
    until(lambda: bool(page.texts("#marked mark.for")))
    dark = page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(18, 19, 25)"
    assert dark == (scheme == "dark")
    assert page.run(CONTRAST) == []


def test_every_control_has_a_name(page: Page) -> None:
    page.run(DROP, "text,more\na,b\n", "a.csv")
    until(lambda: page["table"].is_displayed())
    for control in page.all("button, input, select, textarea, progress, [role=region]"):
        if control.is_displayed():
            assert control.accessible_name, control.get_attribute("outerHTML")
    page["tab-file"].send_keys(Keys.ARROW_LEFT)
    assert page["tab-text"].get_attribute("aria-selected") == "true"
    assert page["panel-text"].is_displayed()


def test_a_token_is_asked_for(driver: webdriver.Chrome, predictor: Predictor) -> None:
    token = "correct-horse-battery"
    service = Service(predictor, occluding(predictor), token=token)
    with served(service) as client:
        page = Page(driver, str(client.base_url).rstrip("/"))
        until(lambda: page["ask"].is_displayed())
        page["token"].send_keys("a-wrong-horse-battery" + Keys.ENTER)
        until(lambda: page["ask-problem"].is_displayed())
        page["token"].send_keys(token + Keys.ENTER)
        page.ready()
        page.type(SAD)
        until(lambda: "awful" in page.texts("#marked mark.for"))
        page.faults()  # the refusals are among them


def test_the_interface_is_described_without_help_from_elsewhere(
    driver: webdriver.Chrome, client: httpx.Client
) -> None:
    page = Page(driver, str(client.base_url).rstrip("/"), "/docs").ready()
    shown = page["calls"].text
    for word in ("POST", "/predict", "min_confidence", "429", "curl http://127.0.0.1"):
        assert word in shown
    assert page.faults() == []


def test_a_service_that_has_gone_is_said(driver: webdriver.Chrome, predictor: Predictor) -> None:
    with served(Service(predictor)) as client:
        page = Page(driver, str(client.base_url).rstrip("/")).ready()
    page.type(SAD)
    until(lambda: page["problem"].is_displayed())
    assert page["problem"].text == "The service does not answer. Is it still running?"
    page.faults()
