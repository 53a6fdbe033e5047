"""As much of firewalld as a zone takes: on the system bus, with the zones' rules in its table. SIGHUP is a reload."""

import signal
import socket
import struct
import subprocess
import sys

NAME = "org.fedoraproject.FirewallD1"
PATH = "/org/fedoraproject/FirewallD1"
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
BUS = [(1, "o", "/org/freedesktop/DBus"), (2, "s", "org.freedesktop.DBus"), (6, "s", "org.freedesktop.DBus")]

bus = socket.socket(socket.AF_UNIX)
serial = 0
rounds = 1
trusted = []


def pad(data, to):
    return data + bytes(-len(data) % to)


def text(data, value):
    return pad(data, 4) + struct.pack("<I", len(value)) + value.encode() + b"\0"


def send(kind, fields, signature="", body=b""):
    global serial
    serial += 1
    head = b""
    for code, form, value in fields + ([(8, "g", signature)] if signature else []):
        head = pad(head, 8) + bytes([code, 1]) + form.encode() + b"\0"
        if form == "u":
            head = pad(head, 4) + struct.pack("<I", value)
        elif form == "g":
            head += bytes([len(value)]) + value.encode() + b"\0"
        else:
            head = text(head, value)
    fixed = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), serial, len(head))
    bus.sendall(pad(fixed + head, 8) + body)


def read(length):
    data = b""
    while len(data) < length:
        more = bus.recv(length - len(data))
        if not more:
            sys.exit()
        data += more
    return data


def string(data, at):
    at += -at % 4
    (length,) = struct.unpack_from("<I", data, at)
    return data[at + 4 : at + 4 + length].decode(), at + 5 + length


def receive():
    fixed = read(16)
    body_length, number, head_length = struct.unpack("<III", fixed[4:])
    head = read(head_length + -head_length % 8)[:head_length]
    body = read(body_length)
    fields, at = {}, 0
    while at < len(head):
        at += -at % 8
        code, form = head[at], chr(head[at + 2])
        at += 4
        if form == "u":
            at += -at % 4
            (fields[code],) = struct.unpack_from("<I", head, at)
            at += 4
        elif form == "g":
            length = head[at]
            fields[code] = head[at + 1 : at + 1 + length].decode()
            at += length + 2
        else:
            fields[code], at = string(head, at)
    words, at = [], 0
    for form in fields.get(8, ""):
        if form != "s":
            break
        word, at = string(body, at)
        words.append(word)
    return fixed[1], number, fields, words


def enforce():
    rules = ["flush chain inet firewalld filter_FORWARD_ZONES"]
    for card in trusted:
        rules.append(f'add rule inet firewalld filter_FORWARD_ZONES iifname "{card}" goto filter_FWD_trusted comment "{rounds}"')
    rules.append("add rule inet firewalld filter_FORWARD_ZONES goto filter_FWD_public")
    subprocess.run(["nft", "-f", "-"], input="\n".join(rules).encode(), check=True)


def answer(method, words):
    if method == "getZones":
        names = text(text(b"", "public"), "trusted")
        return "as", struct.pack("<I", len(names)) + names
    if method == "getZoneOfInterface":
        return "s", text(b"", "trusted" if words[0] in trusted else "")
    if method == "changeZoneOfInterface" and words[0] == "trusted":
        trusted.append(words[1])
    elif method == "removeInterface" and words[0] == "trusted":
        trusted.remove(words[1])
    else:
        raise ValueError(method)
    enforce()
    return "s", text(b"", words[0])


def reload(*_):
    global rounds
    rounds += 1
    trusted.clear()
    enforce()
    send(SIGNAL, [(1, "o", PATH), (2, "s", NAME), (3, "s", "Reloaded")])


bus.connect("/run/dbus/system_bus_socket")
bus.sendall(b"\0AUTH EXTERNAL 30\r\n")
assert bus.recv(256).startswith(b"OK ")
bus.sendall(b"BEGIN\r\n")
send(CALL, BUS + [(3, "s", "Hello")])
send(CALL, BUS + [(3, "s", "RequestName")], "su", pad(text(b"", NAME), 4) + bytes(4))
enforce()
signal.signal(signal.SIGHUP, reload)
print("ready", flush=True)
while True:
    kind, number, fields, words = receive()
    if kind != CALL:
        continue
    reply = [(5, "u", number), (6, "s", fields[7])]
    try:
        send(RETURN, reply, *answer(fields[3], words))
    except (ValueError, IndexError) as error:
        send(ERROR, reply + [(4, "s", NAME + ".Exception")], "s", text(b"", str(error)))
