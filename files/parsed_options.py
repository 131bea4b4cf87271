"""Read a configuration file with oslo.config's own parser, as the daemons do.

Request: {"path", "salt"}
Answer:  {"error": text|null, "options": {"section/option": digest of the salt and its values}}
Values leave the host only as digests: some are passwords.
"""

import hashlib


def digest(salt, values):
    return hashlib.sha256("\0".join([salt, *values]).encode()).hexdigest()


def answer(request):
    from oslo_config import cfg

    sections = {}
    try:
        cfg.ConfigParser(request["path"], sections).parse()
    except (OSError, cfg.ConfigFileParseError) as error:
        return {"error": str(error), "options": {}}
    return {
        "error": None,
        "options": {
            f"{section}/{option}": digest(request["salt"], values)
            for section, options in sections.items()
            for option, values in options.items()
        },
    }
