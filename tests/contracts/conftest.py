"""What the contracts of sinks and the vault are held against: real servers where they can run, else stand-ins."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .rigs import rig_of
from .rigs.base import SECRETS, Bundle, Kept, Rig
from .rigs.s3 import moto
from .rigs.servers import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture
def s3_endpoint(servers: Servers) -> str:
    return servers.get("moto", moto)


@pytest.fixture
def start() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def rig(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path, start: ExitStack) -> Rig:
    """The rig of the sink that the test is parametrised with (`indirect`)."""
    return rig_of(request.param)(servers, tmp_path, start)


@pytest.fixture
def bundle() -> type[Bundle]:
    return Bundle


@pytest.fixture
def progress() -> Kept:
    return Kept()


@pytest.fixture
def secrets() -> tuple[str, ...]:
    return SECRETS
