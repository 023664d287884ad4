"""The sinks by what they promise, as tests are parametrised with them."""

import pytest

from tests.kinds import sink_kind
from webhook_svc.core.settings import fields_of
from webhook_svc.sinks import SINKS

from .rigs import rig_of

ALL = SINKS.names()
CARRIERS = [name for name in ALL if sink_kind(name).carries_files]
CREATE_ONLY = [name for name in ALL if sink_kind(name).create_only]
STORES = [name for name in ALL if "manifest" in {field[0] for field in fields_of(sink_kind(name).Settings)}]
OVER_HTTP = [name for name in ALL if rig_of(name).over_http]

every_sink = pytest.mark.parametrize("rig", ALL, indirect=True)
every_carrier = pytest.mark.parametrize("rig", CARRIERS, indirect=True)
every_sink_over_http = pytest.mark.parametrize("rig", OVER_HTTP, indirect=True)
every_create_only_sink_over_http = pytest.mark.parametrize(
    "rig", [name for name in OVER_HTTP if name in CREATE_ONLY], indirect=True
)
every_create_only_sink = pytest.mark.parametrize("rig", CREATE_ONLY, indirect=True)
every_store = pytest.mark.parametrize("rig", STORES, indirect=True)
