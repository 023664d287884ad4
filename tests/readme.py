"""The README's chapter on providers is what `webhook-svc providers NAME` prints: `python -m tests.readme` writes it."""

import sys
from pathlib import Path

from webhook_svc.core.registry import guide_of
from webhook_svc.providers import PROVIDERS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- python -m tests.readme writes what follows -->", "<!-- and ends here -->"
ELSEWHERE = ("generic",)
"""Shown whole under "Configuration by example"."""


def chapter() -> str:
    """A section for each provider: what it is, and its guide."""
    names = [name for name in PROVIDERS.names() if name not in ELSEWHERE]
    return "\n\n".join(_section(name) for name in names)


def with_chapter(text: str) -> str:
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{chapter()}\n\n{END}{after}"


def _section(name: str) -> str:
    kind = PROVIDERS.load(name)
    what = (sys.modules[kind.__module__].__doc__ or "").split("\n", 1)[0]
    return f"### `{name}`\n\n{what}\n\n{guide_of(kind).strip()}"


if __name__ == "__main__":
    README.write_text(with_chapter(README.read_text("utf-8")), "utf-8")
