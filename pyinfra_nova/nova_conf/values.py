"""Values written so that oslo.config reads them back unchanged."""

from __future__ import annotations

from jinja2 import Undefined
from pydantic import SecretStr

from pyinfra_nova.site.secrets import forbidden_character


def option(value: object) -> str:
    r"""VALUE as oslo.config reads it back unchanged.

    oslo.config substitutes ``$name``, and reads ``\$`` and ``$$`` as a dollar sign, the former even
    after another backslash; it strips outer white space, then one pair of equal outer quotes
    (oslo_config/cfg.py ``_substitute``, iniparser.py ``_split_key_value``).

    Raises:
        ValueError: the text does not fit on one line, or not into a list.
    """
    if isinstance(value, Undefined):
        return str(value)  # StrictUndefined raises
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        items = [option(item) for item in value]
        # oslo.config has no way to write these (oslo_config/types.py, List).
        if any("," in item or item[:1] in "\"'" for item in items):
            raise ValueError("an item of a list is empty, quoted or holds a comma")
        return ",".join(items)
    text = str(value)
    if found := forbidden_character(text):
        raise ValueError(f"an option value contains {found}")
    text = text.replace("$", "\\$")
    quoted = text[:1] in ("'", '"') and text[0] == text[-1]
    return f'"{text}"' if quoted or text != text.strip() else text
