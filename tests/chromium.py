"""Debian's Chromium, which all tests of pages in one process of the tests share."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1240,1200",
]  # fmt: skip

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="the page is tried in Debian's browser: apt-get install chromium chromium-driver"
)


@contextmanager
def open_chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """Run a browser with its profile in a folder until the block ends."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in [*FLAGS, f"--user-data-dir={folder}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def new_tab(driver: webdriver.Chrome) -> Iterator[None]:
    """Work in a tab that knows nothing of those before: without their cookies, errors and emulated devices."""
    first = driver.current_window_handle
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.get_log("browser")
    driver.switch_to.new_window("tab")
    try:
        yield
    finally:
        driver.close()
        driver.switch_to.window(first)
