"""marks.py - sends many read marks, one after the other, and prints how many got each status.

usage: marks.py SOCKET USER FIRST COUNT     POST /read with the ids FIRST .. FIRST + COUNT - 1
"""
import collections
import re
import socket
import struct
import sys

path, user, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def record(kind, body):
    """A FastCGI record (specification, section 3.3)."""
    return struct.pack('>BBHHBB', 1, kind, 1, len(body), 0, 0) + body


def request(body):
    params = {'REQUEST_METHOD': 'POST', 'PATH_INFO': '/read', 'QUERY_STRING': '', 'REMOTE_USER': user,
              'CONTENT_TYPE': 'application/x-www-form-urlencoded', 'CONTENT_LENGTH': str(len(body))}
    text = b''.join(bytes([len(name), len(value)]) + name.encode() + value.encode()
                    for name, value in params.items())
    begin = record(1, struct.pack('>HB5x', 1, 0))
    return begin + record(4, text) + record(4, b'') + record(5, body) + record(5, b'')


statuses = collections.Counter()
for number in range(first, first + count):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(request(f'id={number}'.encode()))
        answer = b''
        while piece := connection.recv(65536):
            answer += piece
    statuses[re.search(rb'Status: (\d+)', answer)[1].decode()] += 1
for status, times in sorted(statuses.items()):
    print(status, times)
