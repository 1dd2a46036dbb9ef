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
        if let certificate = domain.current {
            return self.shakeHands(handOver, name: name, site: site, domain: domain, certificate: certificate)
        }
        domain.certificate().assumeIsolated().whenComplete { result in
            guard handOver.channel.isActive else { return }
            switch result {
            case .success(let certificate):
                self.shakeHands(handOver, name: name, site: site, domain: domain, certificate: certificate)
            case .failure(let error):
                site.report.failed(error, of: handOver)
                LingeringCloseHandler.begin(
                    on: handOver.channel, sending: Alert(.internalError).record(), limits: self.helloLimits)
            }
        }
    }

    private func shakeHands(
        _ handOver: HelloHandOver, name: ServerName, site: TerminatedSite, domain: KeylessDomain,
        certificate: SiteCertificate
    ) {
        let channel = handOver.channel
        let handshake = KeylessHandshake(
            serverName: name, clientIP: channel.remoteAddress.flatMap(IPAddress.init)?.unmapped.bytes,
            pool: domain.pool,
            onOutdated: { self.onOutdated(domain.pattern) })
        let session = HandshakeSupervisor(
            timeout: self.configuration.limits.handshakeTimeout,
            outcome: { site.report.record($0, of: handOver) },
            established: { channel, applicationProtocol in
                try site.startHTTP(
                    on: channel, applicationProtocol: applicationProtocol, name: name, of: handOver,
                    logger: self.logger)
                channel.pipeline.syncOperations.removeHandler(handshake, promise: nil)
            })
        do {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandlers([handshake, NIOSSLServerHandler(context: certificate.context), session])
            channel.pipeline.fireChannelRead(handOver.receivedBytes)
            channel.pipeline.fireChannelReadComplete()
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            site.report.failed(error, of: handOver)
            channel.close(promise: nil)
        }
    }
}
