import EdgeModel
import EdgeTLS
import NIOCore

extension EdgeLoop {
    /// What watches over a client's handshake, and serves HTTP once it is done.
    func watch(over client: LeasedClient) -> HandshakeWatch {
        let (handOver, name, site, domain) = (client.handOver, client.name, client.site, client.domain)
        return HandshakeWatch(
            .init(
                timeout: self.configuration.limits.handshakeTimeout, deadlines: self.deadlines,
                memory: self.recordMemory, limits: self.helloLimits,
                outcome: { self.record($0, of: handOver, site) },
                established: { channel, applicationProtocol in
                    try domain.established(channel)
                    self.established(handOver)
                    try site.startHTTP(
                        on: channel, applicationProtocol: applicationProtocol, name: name, of: handOver,
                        logger: self.logger)
                },
                onSessionFault: { site.report.sessionFault($0, of: handOver) }))
    }
}
