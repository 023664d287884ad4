"""The service as a platform runs it, by the Procfile's lines: workers in generations, one with a clock that jumps."""

import itertools
import random
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.flow.processes import ROOT, procfile
from tests.flow.trouble.clock import ProcessClock
from tests.flow.trouble.workers import Crew
from webhook_svc.prove.rounds import victims
from webhook_svc.prove.service import Commands, Service
from webhook_svc.stage.processes import Program

CHILD = 0.15
"""The share of blows to the web process that hit gunicorn's child alone."""


class Site(Service):
    """`web`, `worker with a clock of its own`, and a crew of `workers` - 1 that is replaced as a whole."""

    def __init__(
        self, environ: Mapping[str, str], home: Path, *, workers: int, commands: Commands | None = None
    ) -> None:
        lines = procfile()
        self.clock = ProcessClock(home / "clock")
        self.spared = False
        """While it is so, nobody is killed: a fault is on whose effect a killed worker would hide."""
        bash = ("bash", "-c")
        commands = commands or Commands(web=(*bash, f"exec {lines['web']}"), worker=(*bash, f"exec {lines['worker']}"))
        super().__init__(commands, environ, home, workers=0, cwd=ROOT)
        numbers = itertools.count(1)
        try:
            self.programs["clocked"] = self.start("clocked", (*bash, self.clock.line("webhook-svc worker")))
            self.crew = Crew(lambda: self.another_worker(f"worker {next(numbers)}"), size=workers - 1)
        except BaseException:  # nobody has it yet who could end what runs already
            self.close()
            raise

    def everybody(self) -> dict[str, Program]:
        return {**self.programs, **{f"worker {number}": one for number, one in enumerate(self.crew.now, 1)}}

    def revive(self) -> int:
        dead = [program for program in self.everybody().values() if program.dead]
        for program in dead:
            program.start_again()
        return len(dead)

    def let_go(self) -> None:
        """SIGTERM to every worker, and they have gone when this returns. The crew stays away until it is filled."""
        with suppress(ProcessLookupError):  # it has just been killed
            self.programs["clocked"].signal(signal.SIGTERM)
        self.crew.let_go()
        self.crew.wait()

    def strike(self, chance: random.Random) -> list[str]:
        """One blow. The names of those that it killed; they are started again at once."""
        living = {name: one for name, one in self.everybody().items() if not one.dead}
        named = victims(chance, [name for name in living if name != "web"])
        hit = [name for name in named if name in living]
        for name in hit:
            if (name, len(hit)) == ("web", 1) and chance.random() < CHILD:
                living[name].kill_child()
            else:
                living[name].kill()
        self.revive()
        return hit
