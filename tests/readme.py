"""The README's tables of providers and sinks are what `webhook-svc providers` and `webhook-svc sinks` print:
`python -m tests.readme` writes them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from webhook_svc.cli.plugins import provider_facts, sink_facts
from webhook_svc.providers import PROVIDERS
from webhook_svc.sinks import SINKS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- python -m tests.readme writes what follows -->", "<!-- and ends here -->"
SINKS_BEGIN, SINKS_END = "<!-- python -m tests.readme writes this table -->", "<!-- and the table ends here -->"
GUIDES = "webhook_svc/providers"


def providers() -> str:
    """A line for each provider; its guide is a file beside its code."""
    heads = ("provider", "proved by", "handshake", "document", "certificate", "audit", "list", "inferred")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in provider_facts(PROVIDERS):
        parts = [_mark(part in one["parts"]) for part in ("document", "certificate", "audit")]
        cells = (
            _named(one),
            one["verify"],
            one["handshake"] or "-",
            *parts,
            _mark(one["list"]),
            one["inferred"] or "-",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _named(facts: Mapping[str, Any]) -> str:
    file = f"{GUIDES}/{facts['name'].replace('-', '_')}.md"
    file = file if (README.parent / file).is_file() else f"{GUIDES}/{facts['name']}.md"
    return f"[`{facts['name']}`]({file})" if (README.parent / file).is_file() else f"`{facts['name']}`"


def _mark(there: bool) -> str:
    return "yes" if there else "-"


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
    return _filled(_filled(text, BEGIN, END, providers()), SINKS_BEGIN, SINKS_END, sinks())


def _filled(text: str, begin: str, end: str, content: str) -> str:
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


if __name__ == "__main__":
    README.write_text(with_chapter(README.read_text("utf-8")), "utf-8")
