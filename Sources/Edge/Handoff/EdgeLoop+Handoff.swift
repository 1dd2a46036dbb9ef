import Admission
import EdgeModel
import NIOCore
import TLSWire

extension EdgeLoop {
    /// Serves a client of a handoff site, or one of a keyless site that offers no TLS 1.3.
    func serveHandoff(_ client: LeasedClient) {
        self.whenItsTurn(client.handOver, client.site) { handOver, permit in
            // The lease may have ended while the client stood in line.
            self.serveLeased(handOver) { self.handOff($0, permit) }
        }
    }

    private func handOff(_ client: LeasedClient, _ permit: KeyPermit) {
        let (handOver, name, site, domain) = (client.handOver, client.name, client.site, client.domain)
        let channel = handOver.channel
        let isKeyless = if case .keyless = handOver.site.mode { true } else { false }
        let handshake = HandoffHandshakeHandler(
            .init(
                serverName: name, clientIP: handOver.client.address?.bytes,
                pool: site.pool, excluded: client.served.excluded,
                applicationProtocols: site.configuration.applicationProtocols, needsForwardSecrecy: isKeyless,
                limits: self.helloLimits,
                turn: { self.enterGate(handOver, site, .underWay) },
                onSessionFault: { site.report.sessionFault($0, of: handOver) }),
            permit: permit, hello: handOver.hello)
        let supervisor = HandshakeSupervisor(
            timeout: self.configuration.limits.handshakeTimeout,
            outcome: { self.record($0, of: handOver, site) },
            established: { channel, applicationProtocol in
                try domain.established(channel)
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
