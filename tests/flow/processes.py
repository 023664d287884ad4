"""The service as real processes: the lines of the Procfile, run by a shell."""

from collections.abc import Mapping
from pathlib import Path

from webhook_svc.stage.processes import Program, child_environment
from webhook_svc.stage.processes import until as until

ROOT = Path(__file__).parents[2]


def procfile() -> dict[str, str]:
    """Name → line."""
    lines = (line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines() if line.strip())
    return {name.strip(): command.strip() for name, _, command in lines}


def environment(toml: str, url: str, port: int) -> dict[str, str]:
    return child_environment(toml, url=url, port=port)


class Line(Program):
    """A command line that bash runs; one program takes its place."""

    def __init__(self, line: str, environ: Mapping[str, str], log: Path) -> None:
        super().__init__(["bash", "-c", line], environ, log, cwd=ROOT)
