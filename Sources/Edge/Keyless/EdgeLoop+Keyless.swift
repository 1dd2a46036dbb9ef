import Admission
import Channels
import EdgeModel
import NIOCore
import NIOSSL
import TLSWire

extension EdgeLoop {
    /// Serves a client of a keyless site.
    func serveKeyless(_ client: LeasedClient) {
        // A client that may resume needs no signature then; whether it does shows when the TLS library asks for one.
        if client.handOver.hello.offersPreSharedKey { return self.shakeHands(client, nil) }
        self.whenItsTurn(client.handOver, client.site) { handOver, permit in
            // The lease may have ended while the client stood in line.
            self.serveLeased(handOver) { self.shakeHands($0, permit) }
        }
    }

    /// - Parameter permit: For the signature, if its turn is now.
    private func shakeHands(_ client: LeasedClient, _ permit: KeyPermit?) {
        let (handOver, name, site, domain) = (client.handOver, client.name, client.site, client.domain)
        guard let certificate = client.served.certificate else { return handOver.channel.close(promise: nil) }
        let channel = handOver.channel
        let handshake = KeylessHandshake(
            serverName: name, clientIP: handOver.client.address?.bytes,
            pool: domain.pool, excluded: client.served.excluded,
            permit: permit, turn: { self.enterGate(handOver, site, $0) },
            onOutdated: { self.onOutdated(domain.pattern) })
        let session = HandshakeSupervisor(
            timeout: self.configuration.limits.handshakeTimeout,
            outcome: { self.record($0, of: handOver, site) },
            established: { channel, applicationProtocol in
                try domain.established(channel)
                self.established(handOver)
                try site.startHTTP(
                    on: channel, applicationProtocol: applicationProtocol, name: name, of: handOver,
                    logger: self.logger)
                channel.pipeline.syncOperations.removeHandler(handshake, promise: nil)
            })
        do {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(handshake)
            try pipeline.addHandler(
                NIOSSLServerHandler(context: try certificate.context()), name: ServerTLS.handlerName)
            try pipeline.addHandler(session)
            channel.pipeline.fireChannelRead(handOver.receivedBytes)
            channel.pipeline.fireChannelReadComplete()
            handshake.helloIsRead()
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            site.report.failed(error, of: handOver)
            channel.close(promise: nil)
        }
    }
}
