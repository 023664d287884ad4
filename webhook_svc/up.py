"""Web and worker in one process with one committer: everything that one machine needs."""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication

from .log import dict_config
from .web.server import options, settle
from .wiring import Service, die, warn
from .worker import Worker


class Up(BaseApplication):
    """gunicorn's master supervises one process that serves callbacks and works them off."""

    def __init__(self, make: Callable[[], Service]) -> None:
        """`make` is called in the serving process."""
        self._make = make
        self._worker: tuple[Worker, threading.Thread] | None = None
        super().__init__()

    def load_config(self) -> None:
        config = self._make().config
        settings = options(config) | {
            "workers": 1,
            "post_worker_init": self._start,
            "worker_exit": self._stop,
            "logconfig_dict": dict_config(config.log.level, config.log.format),
            "graceful_timeout": int(config.worker.drain) + 5,
        }
        for key, value in settings.items():
            self.cfg.set(key, value)

    def load(self) -> Any:
        self._service = self._make()
        warn(self._service.config, self._service)
        return self._service.app()

    def _start(self, server: Any) -> None:
        settle(server)
        worker = self._service.worker()
        thread = threading.Thread(target=self._work, args=(worker,), name="worker", daemon=True)
        self._worker = (worker, thread)
        thread.start()

    def _work(self, worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:  # callbacks without anybody who works them off: better a restart than silence
            structlog.get_logger().critical("worker.died", exc_info=error)
            die()

    def _stop(self, _arbiter: Any, _server: Any) -> None:
        if self._worker is not None:
            worker, thread = self._worker
            worker.stop()
            thread.join()
            self._service.close()
