"""Ask whether URLs answer as they should, or wait until they do.

Request: {"urls": [{"name", "url", "holds": text}], "wait": seconds|absent}
Answer:  {"failing": [{"name", "url", "detail"}]}
A uwsgi unit is `active` before its application has loaded, and also when it answers nothing but
500: only an answer with the right text in it counts.
"""

import time

import rest

TIMEOUT = 20


def problem(wanted):
    """Why a URL does not answer as it should, or None."""
    try:
        answer = rest.ask("GET", wanted["url"], timeout=TIMEOUT)
    except rest.Failed as error:
        return str(error)
    # 300 is the list of API versions.
    if answer.status >= 400 or 300 < answer.status < 400:
        return answer.said()
    if wanted["holds"] not in answer.text:
        return "{} answers {}, but without {!r}".format(answer.what, answer.status, wanted["holds"])
    return None


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
            print("{name}: {detail}".format(**wrong))
        raise SystemExit(1)
    return {"failing": found}
