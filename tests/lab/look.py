"""Look at a page as a browser shows it; runs where Chromium is, with Debian's own Python.

Arguments: the page's address, a file for a screenshot. Prints in JSON what is seen of each host of
the page: its name, state, whether it is visible, and how wide its bars are; and what the browser
had to fetch or complain about.
"""

import json
import sys

from selenium import webdriver
from selenium.webdriver.common.by import By

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1100,760")


def main():
    url, picture = sys.argv[1:]
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(
        service=webdriver.chrome.service.Service("/usr/bin/chromedriver"), options=options
    )
    driver.get(url)
    hosts = [
        {
            "name": card.get_attribute("data-host"),
            "state": card.get_attribute("data-state"),
            "visible": card.is_displayed() and card.size["width"] > 100,
            "bars": [bar.size["width"] for bar in card.find_elements(By.TAG_NAME, "svg")],
        }
        for card in driver.find_elements(By.CSS_SELECTOR, ".host")
    ]
    driver.save_screenshot(picture)
    fetched = driver.execute_script("return performance.getEntriesByType('resource').length")
    said = [entry["message"] for entry in driver.get_log("browser")]
    print(json.dumps({"hosts": hosts, "fetched": fetched, "said": said}))
    driver.quit()


main()
