import Admission
import NIOCore
import TLSWire

extension EdgeLoop {
    /// Serves a client of a handoff site, or one of a keyless site that offers no TLS 1.3.
    func serveHandoff(_ handOver: HelloHandOver) {
        guard let site = self.terminatedSites[handOver.site.name],
            let name = handOver.serverName ?? self.configuration.defaultSite
        else { return handOver.channel.close(promise: nil) }
        self.whenItsTurn(handOver, site) { self.handOff($0, name: name, site: site) }
    }

    private func handOff(_ handOver: HelloHandOver, name: ServerName, site: TerminatedSite) {
        let channel = handOver.channel
        let isKeyless = if case .keyless = handOver.site.mode { true } else { false }
        let handshake = HandoffHandshakeHandler(
            .init(
                serverName: name, clientIP: handOver.client.address?.bytes,
                pool: site.pool, applicationProtocols: site.configuration.applicationProtocols,
                needsForwardSecrecy: isKeyless, limits: self.helloLimits,
                onSessionFault: { site.report.sessionFault($0, of: handOver) }),
            hello: handOver.hello)
        let supervisor = HandshakeSupervisor(
            timeout: self.configuration.limits.handshakeTimeout,
            outcome: { self.record($0, of: handOver, site) },
            established: { channel, applicationProtocol in
                self.established(handOver)
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
