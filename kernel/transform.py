"""One input transformer: `%%rank[0,2-3]` means `%%rank [0,2-3]`.

Owns that rewriting of a cell's first line. Never looks at the rest of the cell. Read next: `magics.py`.
"""

import re

_TIGHT = re.compile(r"^(%%rank)(?=\[)")


def spread_rank(lines: list[str]) -> list[str]:
    """Put the space in that IPython needs to see the magic's name.

    >>> spread_rank(["%%rank[0,2-3] --background\\n", "x = 1\\n"])
    ['%%rank [0,2-3] --background\\n', 'x = 1\\n']
    """
    if not lines or not _TIGHT.match(lines[0]):
        return lines
    return [_TIGHT.sub(r"\1 ", lines[0]), *lines[1:]]
