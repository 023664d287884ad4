"""The README's chapters on providers and sinks are what `webhook-svc providers NAME` and `webhook-svc sinks` print:
`python -m tests.readme` writes them.
"""

import sys
from pathlib import Path

from webhook_svc.cli.plugins import sink_facts
from webhook_svc.core.registry import guide_of
from webhook_svc.providers import PROVIDERS
from webhook_svc.sinks import SINKS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- python -m tests.readme writes what follows -->", "<!-- and ends here -->"
SINKS_BEGIN, SINKS_END = "<!-- python -m tests.readme writes this table -->", "<!-- and the table ends here -->"
ELSEWHERE = ("generic",)
"""Shown whole under "Configuration by example"."""


def chapter() -> str:
    """A section for each provider: what it is, and its guide."""
    names = [name for name in PROVIDERS.names() if name not in ELSEWHERE]
    return "\n\n".join(_section(name) for name in names)


def sinks() -> str:
    """A line for each kind of sink."""
    heads = ("kind", "what it is", "a repeat", "how arrival is proved", "largest file", "extra")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in sink_facts(SINKS):
        extra = f"`[{one['extra']}]`" if one["extra"] else ""
        cells = (f"`{one['name']}`", one["what"], one["repeat"], one["proof"], one["largest"], extra)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_chapter(text: str) -> str:
    return _filled(_filled(text, BEGIN, END, chapter()), SINKS_BEGIN, SINKS_END, sinks())


def _filled(text: str, begin: str, end: str, content: str) -> str:
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def _section(name: str) -> str:
    kind = PROVIDERS.load(name)
    what = (sys.modules[kind.__module__].__doc__ or "").split("\n", 1)[0]
    return f"### `{name}`\n\n{what}\n\n{guide_of(kind).strip()}"


if __name__ == "__main__":
    README.write_text(with_chapter(README.read_text("utf-8")), "utf-8")
