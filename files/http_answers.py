"""Ask whether URLs answer as they should, or wait until they do.

Request: {"urls": [{"name", "url", "holds": text}], "wait": seconds|absent}
Answer:  {"failing": [{"name", "url", "detail"}]}
A uwsgi unit is `active` before its application has loaded, and also when it answers nothing but
500: only an answer with the right text in it counts.
"""

import http.client
import time
import urllib.error
import urllib.request

TIMEOUT = 20


def problem(wanted):
    """Why a URL does not answer as it should, or None."""
    try:
        with urllib.request.urlopen(wanted["url"], timeout=TIMEOUT) as response:
            text = response.read(65536).decode(errors="replace")
    except urllib.error.HTTPError as error:
        if error.code >= 400:
            return f"answers {error.code}"
        text = error.read(65536).decode(errors="replace")  # 300, the list of API versions
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"does not answer: {error}"
    return None if wanted["holds"] in text else "answers without {!r}".format(wanted["holds"])


def failing(urls):
    found = [(wanted, problem(wanted)) for wanted in urls]
    return [
        {"name": wanted["name"], "url": wanted["url"], "detail": detail}
        for wanted, detail in found
        if detail
    ]


def answer(request):
    deadline = time.monotonic() + request.get("wait", 0)
    while True:
        found = failing(request["urls"])
        if not found or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if found and "wait" in request:
        for wrong in found:
            print("{name}: {url} {detail}".format(**wrong))
        raise SystemExit(1)
    return {"failing": found}
