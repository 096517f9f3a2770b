"""A Jupyter server extension that sends each kernel message at once.

One move of a slider comes back as several small messages on one WebSocket.
Nagle's algorithm holds the second of them until the browser has acknowledged the
first, and the browser's system waits up to 40 ms with that acknowledgement in the
hope of sending it along with data. `set_nodelay(True)` ends the waiting, at the
price of a few more packets.

Only `cnnlab open` loads this, from its command line; installing cnnlab changes no
server. By hand:

    jupyter lab --ServerApp.jpserver_extensions="{'cnnlab.fastsocket': True}"
"""

from functools import wraps

from jupyter_server.services.kernels.websocket import KernelWebsocketHandler


def without_delay(open_socket):
    """The handler's own `open`, with Nagle's algorithm switched off first.

    `open` is the earliest moment: before it, tornado switches the algorithm back on
    when it has sent the handshake.
    """

    @wraps(open_socket)
    async def open_without_delay(self, *arguments, **named):
        self.set_nodelay(True)
        return await open_socket(self, *arguments, **named)

    open_without_delay.sends_at_once = True
    return open_without_delay


def _jupyter_server_extension_points():
    """Tell the server that this module is an extension."""
    return [{"module": "cnnlab.fastsocket"}]


def _load_jupyter_server_extension(server):
    """Make every kernel WebSocket opened from now on send at once; a second call changes nothing."""
    if not hasattr(KernelWebsocketHandler.open, "sends_at_once"):
        KernelWebsocketHandler.open = without_delay(KernelWebsocketHandler.open)
    server.log.info("cnnlab: kernel messages are sent without delay")
