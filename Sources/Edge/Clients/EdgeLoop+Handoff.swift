import Admission
import EdgeModel
import EdgeTLS
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
        let (handOver, site) = (client.handOver, client.site)
        let channel = handOver.channel
        let isKeyless = if case .keyless = handOver.site.mode { true } else { false }
        let handshake = ForwardedHandshakeHandler(
            .init(
                serverName: client.name, clientIP: handOver.client.address?.bytes,
                pool: site.pool, excluded: client.served.excluded,
                applicationProtocols: site.applicationProtocols, needsForwardSecrecy: isKeyless,
                turn: { self.enterGate(handOver, site, .underWay) }),
            permit: permit, hello: handOver.hello, watch: self.watch(over: client))
        do {
            try channel.pipeline.syncOperations.addHandler(handshake)
            handshake.start(handOver.receivedBytes)
        } catch {
            site.report.failed(error, of: handOver)
            channel.close(promise: nil)
        }
    }
}
