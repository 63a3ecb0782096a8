# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""usage: services.py NAME PORT[,PORT] [ASK]

A stand-in for a service, which the lab's closed hosts cannot install: nginx, PostgreSQL, Metabase, a partner's API. It answers
every connection with its own name and the address that it saw the client come from. With ASK=ADDRESS:PORT it asks another
one before, over a connection of its own, and passes on what that said: as Metabase reads a database.
"""

from __future__ import annotations

import json
import socket
import sys
import threading


def answer(name: str, client: str, ask: str) -> bytes:
    found = {"service": name, "client": client}
    if ask:
        address, _colon, port = ask.rpartition(":")
        try:
            with socket.create_connection((address, int(port)), 3) as other:
                found["asked"] = json.loads(other.makefile().readline())
        except OSError as error:
            found["asked"] = str(error)
    return json.dumps(found).encode() + b"\n"


def serve(name: str, port: int, ask: str) -> None:
    with socket.create_server(("0.0.0.0", port)) as server:
        while True:
            connection, client = server.accept()
            with connection:
                try:
                    connection.sendall(answer(name, client[0], ask))
                except OSError:
                    continue


def main(name: str, ports: str, ask: str = "") -> None:
    threads = [threading.Thread(target=serve, args=(name, int(port), ask)) for port in ports.split(",")]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
