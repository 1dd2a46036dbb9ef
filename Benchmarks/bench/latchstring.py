"""Our edge and key holder for a run: one event loop each, configured as an operator would."""

import dataclasses
import os

from . import certificates
from .processes import Server, free_port

_KEYHOLDER = """\
role: keyholder
listen: 127.0.0.1:{port}
native: 127.0.0.1:{native_port}
identity:
  certificate: {certificates}/keyholder-{keyholder}.pem
  key: {certificates}/keyholder-{keyholder}.key
  authority: {certificates}/authority.pem
sites:
{sites}grants:
  - edge: {edge}
    sites: [{keyless_names}]
    operations: [keyless, native]
    rate: 1000000
  - edge: {edge}
    sites: [{handoff_names}]
    operations: [handoff]
    rate: 1000000
audit: audit.jsonl
log: {{level: warning, format: text}}
threads: 1
"""

_KEYHOLDER_SITE = """\
  - certificate: {chain}
    key: {key}
    application: 127.0.0.1:{origin_http}
"""

_EDGE = """\
role: edge
listen: [127.0.0.1:{port}]
identity:
  certificate: {certificates}/edge-{edge}.pem
  key: {certificates}/edge-{edge}.key
  authority: {certificates}/authority.pem
keyholders:
  {keyholder}:
    addresses: [127.0.0.1:{keyholder_port}]
    native: 127.0.0.1:{native_port}
    deadline: 2s
sites:
  - domains: [{keyless_names}]
    mode: keyless
    keyholder: {keyholder}
    native: {keyholder}
    origin:
      url: http://127.0.0.1:{origin_http}
  - domains: [{handoff_names}]
    mode: handoff
    keyholder: {keyholder}
    origin:
      url: http://127.0.0.1:{origin_http}
  - domains: [{relay_name}]
    mode: relay
    origin:
      address: 127.0.0.1:{origin_raw}
# All load comes from one address: what one client may take is not what is measured here.
limits: {{exempt: [127.0.0.0/8]}}
log: {{level: warning, format: text}}
threads: 1
"""


@dataclasses.dataclass
class Latchstring:
    edge: Server
    keyholder: Server
    port: int  # where clients reach the edge
    keyholder_port: int
    native_port: int  # where edges reach the key holder for native clients
    certificates: str  # the directory

    def stop(self):
        self.edge.stop()
        self.keyholder.stop()


def start(binary, core, directory, certificate_directory, origin):
    keyholder_port, native_port, port = free_port(), free_port(), free_port()
    sites = ""
    for names in (certificates.SITES, certificates.HANDOFF_SITES):
        for name in names.values():
            chain, key = certificates.site_paths(certificate_directory, name)
            sites += _KEYHOLDER_SITE.format(chain=chain, key=key, origin_http=origin.http)
    keyholder = _serve(binary, "keyholder", "keyholder", core, directory, keyholder_port,
                       _KEYHOLDER.format(port=keyholder_port, native_port=native_port, sites=sites,
                                         **_common(certificate_directory)))
    try:
        edge = start_edge(binary, "edge", core, directory, certificate_directory, origin, port, keyholder_port,
                          native_port)
    except BaseException:
        keyholder.stop()
        raise
    return Latchstring(edge, keyholder, port, keyholder_port, native_port, certificate_directory)


def start_edge(binary, name, core, directory, certificate_directory, origin, port, keyholder_port, native_port):
    """One more edge, whose key holder is reached at this port."""
    return _serve(binary, "edge", name, core, directory, port, _EDGE.format(
        port=port, keyholder_port=keyholder_port, native_port=native_port, origin_http=origin.http, origin_raw=origin.raw,
        relay_name=certificates.RELAY_NAME, **_common(certificate_directory)))


def _common(certificate_directory):
    return {"certificates": certificate_directory, "edge": certificates.EDGE, "keyholder": certificates.KEYHOLDER,
            "keyless_names": ", ".join(certificates.SITES.values()),
            "handoff_names": ", ".join(certificates.HANDOFF_SITES.values())}


def _serve(binary, role, name, core, directory, port, configuration):
    path = os.path.join(directory, name + ".yaml")
    with open(path, "w") as file:
        file.write(configuration)
    return Server("latchstring " + name, [binary, role, "--config", path], core, directory, port)
