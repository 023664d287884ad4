"""What a misbehaving file looks like on the wire, and what it leaves on the simulator's side."""

import http.client
import threading
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response

from webhook_svc.simulators.quirks import FILE_QUIRKS, Quirks
from webhook_svc.simulators.serve import serve


def test_a_reset_connection_ends_without_a_word_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    quirks = Quirks(FILE_QUIRKS)
    quirks.add("reset", 1)
    app, serving = Flask(__name__), list[threading.Thread]()

    @app.get("/file")
    def file() -> Response:
        serving.append(threading.current_thread())
        return quirks.file(b"%PDF-" + bytes(100))

    with serve(app) as served:
        connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=10)
        connection.request("GET", "/file")
        with pytest.raises(ConnectionResetError):
            connection.getresponse().read()
        connection.close()
        serving[0].join()
    assert [] == caplog.records
