"""A headless browser that looks at pages, and pages' common checks."""

from __future__ import annotations

import shutil
import types
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("look.js").read_text()
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
]  # fmt: skip
# WCAG's least contrast of text, level AA.
READABLE = 4.5


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium under selenium; a visible skip without it."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no chromium and chromedriver on PATH: pages are not looked at")
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(option)
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture(scope="session")
def look(browser):
    """Shows a page, and says what it is like."""

    def shown(path, *, width=1200, scheme="light", media=""):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"media": media, "features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        browser.get(path.as_uri())
        found = types.SimpleNamespace(**browser.execute_script(SCRIPT))
        found.console = browser.get_log("browser")
        return found

    return shown


@pytest.fixture(scope="session")
def check_page(look):
    """What must hold of every page; gives what it is like on a wide and light screen."""

    def checked(path, verdict):
        wide = look(path)
        assert wide.verdict.strip().endswith(verdict)
        assert wide.verdictIsInView
        assert wide.heading == "verdict"
        # Nothing is loaded, nor could be: the icon and the pictures are in the file.
        assert not wide.resources
        assert [link[:40] for link in wide.links if not link.startswith(("data:", "#"))] == []
        assert "default-src 'none'" in path.read_text()
        assert not wide.console
        assert not wide.dangling
        assert not wide.repeated
        assert not wide.tablesWithoutHeaders
        assert not wide.tablesWithoutName
        assert all(image["width"] > 0 and image["alt"] for image in wide.images)
        assert all(wide.plots)
        for scheme, media in (("light", ""), ("dark", ""), ("dark", "print")):
            narrow = look(path, width=360, scheme=scheme, media=media)
            assert not narrow.console
            assert narrow.verdictIsInView
            assert narrow.faintest["contrast"] >= READABLE, (scheme, media, narrow.faintest)
            if not media:
                assert narrow.width <= 360, (scheme, narrow.width)
        return wide

    return checked
