"""Take the pictures of the README and the pages from a real model: a browser looks at what it made.

::

    ulmfit evaluate MODEL name:trec6 --train name:trec6 --report report.html
    ulmfit serve MODEL --port 8000 &
    python docs/pictures/take.py report.html http://127.0.0.1:8000/

Needs chromium with its chromedriver, and the packages selenium and pillow.
"""

from __future__ import annotations

import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

HERE = Path(__file__).resolve().parent
SIZE = (1100, 820)  # CSS pixels
QUESTION = "Who was the first person to reach the South Pole ?"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")


def browser() -> webdriver.Chrome:
    """Chromium without a window, in light colours."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--window-size={SIZE[0]},{SIZE[1] + 300}"):
        options.add_argument(flag)
    return webdriver.Chrome(options, Service(shutil.which("chromedriver")))


def save(driver: webdriver.Chrome, name: str, size: tuple[int, int] = SIZE) -> None:
    """What is to be seen now, cut to the size, as a small PNG: 128 colours are enough for text."""
    shown = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    small = shown.crop((0, 0, *size)).quantize(128, dither=Image.Dither.NONE)
    small.save(HERE / name, optimize=True)


def main(report: Path, service: str) -> None:
    """Both pictures."""
    driver = browser()
    driver.get(report.resolve().as_uri())
    save(driver, "report.png")
    driver.get(service)
    driver.find_element(By.ID, "text").send_keys(QUESTION)
    WebDriverWait(driver, 60).until(
        lambda page: page.find_elements(By.CSS_SELECTOR, "#marked mark")
    )
    time.sleep(1)  # until the bars stand still
    save(driver, "page.png", (SIZE[0], 880))
    driver.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
