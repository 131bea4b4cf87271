"""Use a guest's noVNC page as a person does; runs where Chromium is, with Debian's own Python.

Arguments: the page's address, a file for a screenshot, then in turn what to wait for on the screen
and what to type once it is seen. Prints what is read last; exits with 1 when something is not seen,
or when the browser does not trust the server, which it prints in the browser's words.
"""

import io
import subprocess
import sys
import time

from PIL import Image, ImageOps
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

DEADLINE = 60
NOT_TRUSTED = "ERR_CERT_"
"""On Chromium's own page in the place of one whose server it does not trust."""
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=800,560")


def started():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS:
        options.add_argument(flag)
    service = webdriver.chrome.service.Service("/usr/bin/chromedriver")
    return webdriver.Chrome(service=service, options=options)


def connect(driver):
    """Debian's vnc_auto.html is noVNC's whole application, which waits for a click."""
    button = WebDriverWait(driver, DEADLINE).until(
        expected_conditions.element_to_be_clickable((By.ID, "noVNC_connect_button"))
    )
    button.click()


def canvas_of(driver):
    """The guest's screen; it has no size before the guest's has arrived."""
    return WebDriverWait(driver, DEADLINE).until(
        expected_conditions.visibility_of_element_located(
            (By.CSS_SELECTOR, "#noVNC_container canvas")
        )
    )


def read(canvas):
    """The text on the screen: white on black, and small for one who reads by machine."""
    image = Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("L")
    larger = ImageOps.invert(image).resize((image.width * 3, image.height * 3), Image.LANCZOS)
    stream = io.BytesIO()
    larger.save(stream, "PNG")
    command = ["tesseract", "-", "-", "--psm", "6"]
    return subprocess.run(command, input=stream.getvalue(), capture_output=True).stdout.decode()


def seen(driver, text):
    """What is on the screen once TEXT is; the whole deadline for a guest that is still booting."""
    deadline = time.monotonic() + DEADLINE
    while True:
        screen = read(canvas_of(driver))
        if text in screen or time.monotonic() > deadline:
            return screen
        time.sleep(1)


def typed(driver, text):
    """One key after the other: the emulated keyboard has a short memory."""
    for letter in text:
        canvas_of(driver).send_keys(letter)
        time.sleep(0.05)


def main():
    url, picture, *script = sys.argv[1:]
    driver = started()
    screen = ""
    try:
        driver.get(url)
        said = driver.find_element(By.TAG_NAME, "body").text
        if NOT_TRUSTED in said:
            print(said)
            return 1
        connect(driver)
        for number, text in enumerate(script):
            if number % 2:
                typed(driver, text + "\n")
                continue
            screen = seen(driver, text)
            if text not in screen:
                print(f"{text!r} is not on the screen, but:\n{screen}")
                return 1
        driver.save_screenshot(picture)
    finally:
        driver.quit()
    print(screen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
