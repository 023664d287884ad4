"""How much of one kind from one place is too much: a counter per name that forgets by the minute."""

import threading
from collections import OrderedDict

WINDOW = 60.0
_NAMES = 10_000


class Throttle:
    """Allows `limit` per minute and name. Memory is bounded: the names unheard of longest are forgotten first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, name: str, now: float) -> bool:
        """Counts one, and says whether it is within the limit."""
        with self._lock:
            start, count = self._seen.pop(name, (now, 0))
            if not start <= now < start + WINDOW:
                start, count = now, 0
            self._seen[name] = (start, count + 1)
            while len(self._seen) > _NAMES:
                self._seen.popitem(last=False)
            return count < self.limit
