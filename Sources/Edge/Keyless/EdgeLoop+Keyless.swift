import Admission
import NIOCore
import NIOSSL
import TLSWire

extension EdgeLoop {
    /// Serves a client of a keyless site, as soon as the certificate is there.
    func serveKeyless(_ handOver: HelloHandOver) {
        guard let site = self.terminatedSites[handOver.site.name],
            let name = handOver.serverName ?? self.configuration.defaultSite,
            let domain = self.keylessDomains.value(for: name)
        else { return handOver.channel.close(promise: nil) }
        // A client that may resume needs no signature then; whether it does shows when the TLS library asks for one.
        if handOver.hello.offersPreSharedKey {
            return self.withCertificate(handOver, name: name, site: site, domain: domain, hasTurn: false)
        }
        self.whenItsTurn(handOver, site) {
            self.withCertificate($0, name: name, site: site, domain: domain, hasTurn: true)
        }
    }

    private func withCertificate(
        _ handOver: HelloHandOver, name: ServerName, site: TerminatedSite, domain: KeylessDomain, hasTurn: Bool
    ) {
        if let certificate = domain.current {
            return self.shakeHands(
                handOver, name: name, site: site, domain: domain, certificate: certificate, hasTurn: hasTurn)
        }
        self.wait(for: domain.certificate(), handOver) { result, handOver in
            switch result {
            case .success(let certificate):
                self.shakeHands(
                    handOver, name: name, site: site, domain: domain, certificate: certificate, hasTurn: hasTurn)
            case .failure(let error):
                site.report.failed(error, of: handOver)
                LingeringCloseHandler.begin(
                    on: handOver.channel, sending: Alert(.internalError).record(), limits: self.helloLimits)
            }
        }
    }

    private func shakeHands(
        _ handOver: HelloHandOver, name: ServerName, site: TerminatedSite, domain: KeylessDomain,
        certificate: SiteCertificate, hasTurn: Bool
    ) {
        let channel = handOver.channel
        let handshake = KeylessHandshake(
            serverName: name, clientIP: handOver.client.address?.bytes,
            pool: domain.pool,
            turn: { hasTurn ? .pass : self.enterGate(handOver, site) },
            onOutdated: { self.onOutdated(domain.pattern) })
        let session = HandshakeSupervisor(
            timeout: self.configuration.limits.handshakeTimeout,
            outcome: { self.record($0, of: handOver, site) },
            established: { channel, applicationProtocol in
                self.established(handOver)
                try site.startHTTP(
                    on: channel, applicationProtocol: applicationProtocol, name: name, of: handOver,
                    logger: self.logger)
                channel.pipeline.syncOperations.removeHandler(handshake, promise: nil)
            })
        do {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandlers([handshake, NIOSSLServerHandler(context: try certificate.context()), session])
            channel.pipeline.fireChannelRead(handOver.receivedBytes)
            channel.pipeline.fireChannelReadComplete()
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            site.report.failed(error, of: handOver)
            channel.close(promise: nil)
        }
    }
}
