"""Which of these answer: ask.py NAME=PROTO/SOURCE/ADDRESS/PORT ... prints the names that do. All are asked at once."""

import concurrent.futures
import socket
import sys


def answers(question):
    proto, source, address, port = question.split("/")
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as client:
        client.settimeout(1.0)
        try:
            client.bind((source, 0))
            client.connect((address, int(port)))
            if proto == "udp":
                client.send(b"?")
            return bool(client.recv(64))
        except OSError:
            return False


questions = dict(word.split("=") for word in sys.argv[1:])
with concurrent.futures.ThreadPoolExecutor(len(questions)) as pool:
    for name, answered in zip(questions, pool.map(answers, questions.values())):
        if answered:
            print(name)
