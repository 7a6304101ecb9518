"""Values in words, for people: bounded, and whatever their class does.

Owns `describe`. Never raises. Read next: `failures.py`.
"""

import reprlib

_REPR = 200


def describe(value: object) -> str:
    """The value's repr, bounded, whatever its class does."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = _REPR
    try:
        text = short.repr(value)
    except Exception as error:  # noqa: BLE001 - a repr may raise anything
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= _REPR else text[: _REPR - 1] + "…"
