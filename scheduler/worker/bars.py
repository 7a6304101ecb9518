"""Plain tqdm inside a task: its bars become progress of the task instead of text on stderr.

Owns the three methods of `tqdm.std.tqdm` that are stood in for once user code has imported it. A bar that
was given a file of its own, or that is opened between tasks, is left alone. Never imports tqdm. Read next:
`newcomers.py`, `tracking.py`.
"""

import io
from functools import cache
from typing import Any

from . import tracking
from .newcomers import once_imported

_MARK = "_cellmesh_tracker"
_FILE = 4  # the place of `file` among the positional arguments of a bar


@cache
def follow() -> None:
    """From now on, in this process; once is enough."""
    once_imported("tqdm.std", _stand_in)


class _Nowhere(io.StringIO):
    """Where the text of a bar goes that is shown otherwise."""

    def write(self, text: str) -> int:
        return len(text)


def _stand_in(module: Any) -> None:
    bar_class = module.tqdm
    begin, display, close = bar_class.__init__, bar_class.display, bar_class.close

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        speaker = tracking.tracker()
        ours = speaker is not None and len(args) <= _FILE and kwargs.get("file") is None
        if ours and not kwargs.get("gui"):
            kwargs["file"] = _Nowhere()
            setattr(self, _MARK, speaker)
        begin(self, *args, **kwargs)

    def shown(self: Any, *args: Any, **kwargs: Any) -> Any:
        speaker = getattr(self, _MARK, None)
        if speaker is None:
            return display(self, *args, **kwargs)
        speaker.tell(self, self.n, self.total, _text(self))
        return True

    def closed(self: Any) -> None:
        speaker = getattr(self, _MARK, None)
        open_ = not getattr(self, "disable", True)
        close(self)
        if speaker is not None and open_:
            speaker.tell(self, self.n, self.total, _text(self), last=True)

    bar_class.__init__, bar_class.display, bar_class.close = __init__, shown, closed


def _text(bar: Any) -> str:
    described = str(getattr(bar, "desc", "") or "").rstrip(": ")
    more = str(getattr(bar, "postfix", "") or "")
    return " ".join(part for part in (described, more) if part)
