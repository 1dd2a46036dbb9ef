import Admission
import EdgeModel
import EdgeTLS
import NIOCore
import TLSEngine
import TLSWire

extension EdgeLoop {
    /// Serves a client of a keyless site.
    func serveKeyless(_ client: LeasedClient) {
        // A client that may resume needs no signature then; whether it does shows when the TLS engine asks for one.
        if client.handOver.hello.offersPreSharedKey {
            // Whatever stands in the hello: what it costs here is bounded.
            guard self.gate.mayResume(client.handOver.network, now: .now()) else {
                return self.turnAway(client.handOver, client.site, .clientRate)
            }
            return self.shakeHands(client, nil)
        }
        self.whenItsTurn(client.handOver, client.site) { handOver, permit in
            // The lease may have ended while the client stood in line.
            self.serveLeased(handOver) { self.shakeHands($0, permit) }
        }
    }

    /// - Parameter permit: For the signature, if its turn is now.
    private func shakeHands(_ client: LeasedClient, _ permit: KeyPermit?) {
        let (handOver, site, domain) = (client.handOver, client.site, client.domain)
        let channel = handOver.channel
        guard let certificate = client.served.certificate else { return channel.close(promise: nil) }
        do {
            let handshake = try KeylessHandshakeHandler(
                .init(
                    serverName: client.name, clientIP: handOver.client.address?.bytes,
                    pool: domain.pool, served: client.served,
                    turn: { self.enterGate(handOver, site, $0) },
                    onOutdated: { self.onOutdated(domain.pattern) },
                    renewal: domain.renewal),
                certificate: certificate, permit: permit, watch: self.watch(over: client))
            try channel.pipeline.syncOperations.addHandler(handshake)
            handshake.start(handOver.receivedBytes)
        } catch let error as EngineError {
            site.report.failed(TerminationFailure.engine("\(error)"), of: handOver)
            self.refuse(channel, .internalError)
        } catch {
            site.report.failed(error, of: handOver)
            channel.close(promise: nil)
        }
    }
}
