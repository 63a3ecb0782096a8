"""Answer every client with its own address, over TCP and UDP: serve.py [PORT]."""

import os
import signal
import socket
import sys
import threading

port = int(sys.argv[1]) if len(sys.argv) > 1 else 80


def tcp():
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=50) as server:
        while True:
            client, peer = server.accept()
            with client:
                client.sendall(peer[0].encode())


def udp():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", port))
        while True:
            peer = server.recvfrom(64)[1]
            server.sendto(peer[0].encode(), peer)


# The first process of a container ignores a signal that it does not handle, and Docker waits ten seconds for it.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
threading.Thread(target=udp, daemon=True).start()
tcp()
