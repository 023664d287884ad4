"""Flows of providers, run with answers that a test hands out."""

from collections.abc import Generator, Iterable
from typing import Any

from webhook_svc.core.outgoing import Answer, Call, Login, Request, Save
from webhook_svc.core.ports import Step


def driven(steps: Generator[Step, Answer, Any], *answers: Answer) -> tuple[list[Step], Any]:
    """Every step but the logins, and what the flow returns; the answers are handed out in order to those that ask."""
    left, seen = list(answers), list[Step]()
    try:
        step = next(steps)
        while True:
            if isinstance(step, Login):
                step = steps.send(Answer(status=200, body=b"tok-1"))
                continue
            seen.append(step)
            step = steps.send(left.pop(0) if isinstance(step, Call | Save) else Answer(status=0))
    except StopIteration as end:
        assert [] == left
        return seen, end.value


def requests(seen: Iterable[Step]) -> list[Request]:
    return [step.request for step in seen if isinstance(step, Call | Save)]
