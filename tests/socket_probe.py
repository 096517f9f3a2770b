"""A Jupyter server extension for the tests: it tells which kernel WebSockets send without delay.

GET /socket-probe answers with the TCP_NODELAY option of each open one, read from its socket.
"""

import socket
from functools import wraps

from jupyter_server.base.handlers import APIHandler
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from jupyter_server.utils import url_path_join
from tornado.web import authenticated

OPENED = []


def remembered(open_socket):
    """The handler's own `open`, after which the probe knows the handler."""

    @wraps(open_socket)
    async def open_and_remember(self, *arguments, **named):
        await open_socket(self, *arguments, **named)
        OPENED.append(self)

    return open_and_remember


class SocketProbe(APIHandler):
    """Answers with one number for each open kernel WebSocket: 0 if its messages may be delayed."""

    @authenticated
    def get(self):
        self.finish({"nodelay": [nodelay(handler) for handler in OPENED if handler.ws_connection]})


def nodelay(handler):
    """The socket's own word on whether Nagle's algorithm is off."""
    own_socket = handler.ws_connection.stream.socket
    return own_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def _jupyter_server_extension_points():
    return [{"module": "tests.socket_probe"}]


def _load_jupyter_server_extension(server):
    KernelWebsocketHandler.open = remembered(KernelWebsocketHandler.open)
    address = url_path_join(server.web_app.settings["base_url"], "/socket-probe")
    server.web_app.add_handlers(".*$", [(address, SocketProbe)])
