import NIOSSL
import PeerLink
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The edge at the other end of a connection, as the certificate says that it has shown.
struct ConnectedEdge: Equatable, Sendable {
    var name: String
    /// Validity, both ends included; seconds since 1970.
    var notBefore: Int64
    var notAfter: Int64

    /// - Throws: ``PeerIdentityError``, also if the peer is a key holder.
    init(handler: NIOSSLHandler) throws(PeerIdentityError) {
        let certificate = try PeerIdentity.certificate(handler: handler)
        let identity = try PeerIdentity(certificate: certificate)
        guard identity.role == .edge else { throw .wrongRole(expected: .edge, got: identity) }
        self.name = identity.name
        self.notBefore = Int64(certificate.notValidBefore.timeIntervalSince1970)
        self.notAfter = Int64(certificate.notValidAfter.timeIntervalSince1970)
    }

    func isValid(at seconds: Int64) -> Bool {
        self.notBefore <= seconds && seconds <= self.notAfter
    }
}
