import NIOCore
import TLSWire

extension EdgeLoop {
    /// Serves a client of a handoff site.
    func serveHandoff(_ handOver: HelloHandOver) {
        let channel = handOver.channel
        guard let site = self.terminatedSites[handOver.site.name],
            let name = handOver.serverName ?? self.configuration.defaultSite
        else { return channel.close(promise: nil) }
        let handshake = HandoffHandshakeHandler(
            .init(
                serverName: name, clientIP: channel.remoteAddress.flatMap(IPAddress.init)?.unmapped.bytes,
                pool: site.pool, applicationProtocols: site.configuration.applicationProtocols,
                limits: self.helloLimits,
                onSessionFault: { site.report.sessionFault($0, of: handOver) }),
            hello: handOver.hello)
        let supervisor = HandshakeSupervisor(
            timeout: self.configuration.limits.handshakeTimeout,
            outcome: { site.report.record($0, of: handOver) },
            established: { channel, applicationProtocol in
                try site.startHTTP(
                    on: channel, applicationProtocol: applicationProtocol, name: name, of: handOver,
                    logger: self.logger)
            })
        do {
            try channel.pipeline.syncOperations.addHandlers([handshake, supervisor])
            handshake.start(handOver.receivedBytes)
        } catch {
            site.report.failed(error, of: handOver)
            channel.close(promise: nil)
        }
    }
}
