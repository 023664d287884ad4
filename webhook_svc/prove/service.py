"""The service under proof: one web process and several workers, which are killed and start again."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..stage.processes import Program, answers, until

PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """What is started; both listen to the environment."""

    web: Sequence[str]
    worker: Sequence[str]


class Service:
    """Every process of it is a Program by its name: `web`, `worker 1` and so on. Use it as a context manager."""

    def __init__(
        self, commands: Commands, environ: Mapping[str, str], home: Path, *, workers: int, cwd: Path | None = None
    ) -> None:
        self.url = f"http://127.0.0.1:{environ['PORT']}"
        self.programs: dict[str, Program] = {}
        self.environ = environ
        self._home = home
        self._cwd = cwd or home
        self._commands = commands
        self._stack = ExitStack()
        with self._stack:
            self.programs["web"] = self.start("web", commands.web)
            for number in range(1, workers + 1):
                self.programs[f"worker {number}"] = self.start(f"worker {number}", commands.worker)
            until(self.ready, "the service to be ready", PATIENCE, self.programs["web"].tail)
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """kill -9 of all."""
        self._stack.close()

    @property
    def workers(self) -> list[str]:
        return [name for name in self.programs if name != "web"]

    def ready(self) -> bool:
        return answers(f"{self.url}/readyz")

    def start(self, name: str, command: Sequence[str]) -> Program:
        """A further process of the service, which ends with it at the latest."""
        program = Program(command, self.environ, self._home / f"{name.replace(' ', '-')}.log", cwd=self._cwd)
        self._stack.callback(program.kill)
        return program

    def another_worker(self, name: str) -> Program:
        return self.start(name, self._commands.worker)

    def revive(self) -> int:
        """What a platform does: what is dead starts again. How many that were."""
        dead = [program for program in self.programs.values() if program.dead]
        for program in dead:
            program.start_again()
        return len(dead)

    def kill(self, names: Sequence[str]) -> None:
        for name in names:
            self.programs[name].kill()
