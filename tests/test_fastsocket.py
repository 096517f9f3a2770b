"""The kernel's WebSocket sends without delay when, and only when, cnnlab.fastsocket is loaded."""

import json
from urllib.request import Request, urlopen

import pytest
import websocket

from cnnlab import fastsocket
from tests.browser.lab import server

PROTOCOL = "v1.kernel.websocket.jupyter.org"  # the one that JupyterLab asks for


@pytest.mark.server
@pytest.mark.parametrize(("extensions", "nodelay"), [(["cnnlab.fastsocket"], 1), ([], 0)])
def test_socket_option_follows_the_extension(extensions, nodelay, tmp_path):
    with server(tmp_path, tmp_path / "home", extensions=(*extensions, "tests.socket_probe")) as lab:
        kernel = ask(lab, "api/kernels", method="POST", data=b"{}")["id"]
        connection = connect(lab, kernel)
        assert connection.recv()  # after its first message the connection is fully open
        assert ask(lab, "socket-probe") == {"nodelay": [nodelay]}
        connection.close()


def ask(lab, path, **how):
    """The server's JSON answer to one request."""
    request = Request(f"{lab.url}{path}", headers={"Authorization": f"token {lab.token}"}, **how)
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def connect(lab, kernel):
    """A WebSocket to a kernel's channels, as JupyterLab opens one."""
    address = f"{lab.url}api/kernels/{kernel}/channels?token={lab.token}&session_id=test"
    return websocket.create_connection(address.replace("http", "ws", 1), subprotocols=[PROTOCOL], timeout=60)


def test_loading_twice_wraps_once(monkeypatch):
    monkeypatch.setattr(fastsocket.KernelWebsocketHandler, "open", original_open)
    fastsocket._load_jupyter_server_extension(SilentServer)
    once = fastsocket.KernelWebsocketHandler.open
    fastsocket._load_jupyter_server_extension(SilentServer)
    assert fastsocket.KernelWebsocketHandler.open is once is not original_open
    assert once.__wrapped__ is original_open


async def original_open(self):
    """Stands for the handler's own."""


class SilentServer:
    """A server whose log goes nowhere."""

    class log:
        info = staticmethod(lambda message: None)
