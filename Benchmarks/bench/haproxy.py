"""HAProxy in TCP mode as a peer: one thread, no logs."""

_HEAD = """\
global
    nbthread 1
    maxconn 4000
{tuning}
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s

backend origin
    server origin 127.0.0.1:{origin}
"""

_FRONTEND = """
frontend relay{port}
    bind 127.0.0.1:{port} backlog 4096
{routing}"""

_BY_NAME = """\
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req_ssl_hello_type 1 }}
    use_backend origin if {{ req.ssl_sni -i {name} }}
"""

_SPLICE = """\
    option splice-request
    option splice-response
"""


def configuration(path, origin_raw, relays, relay_name, buffer=None):
    """Writes a configuration. relays: (port, whether to splice, whether the server name is read) each."""
    # A bigger buffer is a global setting, so it takes a process of its own.
    tuning = f"    tune.bufsize {buffer}\n" if buffer else ""
    text = _HEAD.format(origin=origin_raw, tuning=tuning)
    for port, splice, by_name in relays:
        routing = (_SPLICE if splice else "") + (
            _BY_NAME.format(name=relay_name) if by_name else "    default_backend origin\n")
        text += _FRONTEND.format(port=port, routing=routing)
    with open(path, "w") as file:
        file.write(text)
    return path


def command(binary, configuration_path):
    return [binary, "-db", "-f", configuration_path]
