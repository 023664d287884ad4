"""The web process alone, served as config/gunicorn.py has it: `python -m webhook_svc.prove.web`."""

from typing import Any

from gunicorn.app.base import BaseApplication

from ..log import dict_config
from ..web.server import options
from ..wiring import configured, wsgi


class Web(BaseApplication):
    """gunicorn without its command line, and without a file of its own."""

    def load_config(self) -> None:
        config = configured()
        logging = dict_config(config.log.level, config.log.format)
        for key, value in (options(config) | {"logconfig_dict": logging}).items():
            self.cfg.set(key, value)

    def load(self) -> Any:
        return wsgi()


if __name__ == "__main__":
    Web().run()
