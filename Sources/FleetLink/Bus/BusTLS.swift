internal import FleetBus
internal import NIOCore
internal import NIOSSL

/// How TLS is spoken to a bus: its certificate is verified, always.
public struct BusTLS: Sendable {
    private let context: NIOSSLContext
    /// The name that the certificate must have; nil: the address's host.
    private let name: String?

    /// - Parameters:
    ///   - roots: path of a PEM file with the authorities to trust; nil: the system's.
    ///   - name: the name that the certificate must have, where it is not the address's host.
    public init(roots: String?, name: String?) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.certificateVerification = .fullVerification
        if let roots { configuration.trustRoots = .file(roots) }
        configuration.shutdownTimeout = .seconds(1)
        self.context = try NIOSSLContext(configuration: configuration)
        self.name = name
    }

    func handler(for address: BusAddress) throws -> NIOSSLClientHandler {
        let name = self.name ?? address.host
        // An address is verified as such, and has no SNI.
        let isAddress = (try? SocketAddress(ipAddress: name, port: 0)) != nil
        return try NIOSSLClientHandler(context: self.context, serverHostname: isAddress ? nil : name)
    }
}
