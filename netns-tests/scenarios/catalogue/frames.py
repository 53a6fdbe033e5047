"""Frames as bytes, whatever they claim, and a card that puts them on its wire.

Whatever room a frame has left is filled with a mark, by which others tell that it is one of these."""
import socket
import struct

MARK = bytes.fromhex('b0b1b2b3')
# Such that an option which fills up a message of neighbour discovery is of whole eights.
LENGTH = 118


def filled(begin, end=LENGTH):
    """Bytes begin..end of a frame, each as its place in the mark is."""
    return bytes(MARK[at % 4] for at in range(begin, end))


def mac(text):
    return bytes.fromhex(text.replace(':', ''))


def ip(text):
    return socket.inet_pton(socket.AF_INET6 if ':' in text else socket.AF_INET, text)


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack('!H', ~total & 0xffff)


def ether(to, sender, kind, content):
    frame = mac(to) + mac(sender) + struct.pack('!H', kind) + content
    return frame + filled(len(frame))


def tagged(frame, vlan):
    return frame[:12] + struct.pack('!HH', 0x8100, vlan) + frame[12:]


def arp(operation, sender, sender_ip, target, target_ip):
    head = struct.pack('!HHBBH', 1, 0x0800, 6, 4, operation)
    return head + mac(sender) + ip(sender_ip) + mac(target) + ip(target_ip)


def ipv4(sender, to, protocol, content):
    head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(content), 0, 0, 64, protocol, 0) + ip(sender) + ip(to)
    return head[:10] + checksum(head) + head[12:] + content


def ipv6(sender, to, following, content):
    return struct.pack('!IHBB', 6 << 28, len(content), following, 255) + ip(sender) + ip(to) + content


def summed(sender, to, protocol, content, at):
    """With its checksum in the two bytes there."""
    head = ip(sender) + ip(to) + struct.pack('!II', len(content), protocol)
    return content[:at] + checksum(head + content) + content[at + 2:]


def udp(sender, to, from_port, to_port):
    six = ':' in sender
    payload = filled(62 if six else 42)
    datagram = struct.pack('!HHHH', from_port, to_port, 8 + len(payload), 0) + payload
    datagram = summed(sender, to, 17, datagram, 6)
    return ipv6(sender, to, 17, datagram) if six else ipv4(sender, to, 17, datagram)


def icmp6(sender, to, kind, body):
    """What is left is an option that nobody knows, so that the message is a good one."""
    message = struct.pack('!BBH', kind, 0, 0) + body
    begin = 54 + len(message) + 2
    if begin < LENGTH:
        message += bytes([253, (LENGTH - begin + 2) // 8]) + filled(begin)
    return ipv6(sender, to, 58, summed(sender, to, 58, message, 2))


def advertised_neighbour(sender, to, target, at):
    return icmp6(sender, to, 136, struct.pack('!I', 0xa0000000) + ip(target) + bytes([2, 1]) + mac(at))


def asked_neighbour(sender, to, target, at):
    return icmp6(sender, to, 135, struct.pack('!I', 0) + ip(target) + bytes([1, 1]) + mac(at))


def advertised_router(sender, prefix):
    router = struct.pack('!BBHII', 64, 0, 1800, 0, 0)
    option = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 86400, 14400, 0) + ip(prefix)
    return icmp6(sender, 'ff02::1', 134, router + option)


def redirected(sender, to, target, destination):
    return icmp6(sender, to, 137, struct.pack('!I', 0) + ip(target) + ip(destination))


def flood(card, make, count):
    """Each frame as make says for its number."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((card, 0))
    for number in range(count):
        wire.send(make(number))


def always(frame):
    return lambda number: frame
