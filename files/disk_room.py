"""How much room there is on the disks of this host; nothing is changed.

Request: {"paths": [folders, of which one may not be there yet]}
Answer:  {"room": {path: {"disk": number that two paths of one file system share, "free": bytes}}}
"""

import os


def there(path):
    """PATH, or the folder above it that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def room(paths):
    found = {}
    for path in paths:
        place = there(path)
        figures = os.statvfs(place)
        found[path] = {"disk": os.stat(place).st_dev, "free": figures.f_bavail * figures.f_frsize}
    return found


def answer(request):
    return {"room": room(request["paths"])}
