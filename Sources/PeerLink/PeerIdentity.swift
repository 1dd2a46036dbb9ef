internal import KeyProtocol
public import NIOSSL
import SwiftASN1
public import X509

/// Who the other end of a mutual TLS link is, as its certificate says.
///
/// An identity is one URI in the leaf's subject alternative name: `latchstring:edge:NAME` or `latchstring:keyholder:NAME`.
/// The role is part of it so that an edge that is taken over cannot pose as a key holder, nor the other way round.
public struct PeerIdentity: Hashable, Sendable, CustomStringConvertible {
    public enum Role: String, Sendable, CaseIterable {
        case edge
        case keyholder
    }

    /// The URI scheme of identities.
    public static let scheme = "latchstring"

    public var role: Role
    /// As ``PartyName`` has it.
    public var name: String

    /// - Throws: ``PeerIdentityError/illegalName(_:)``.
    public init(role: Role, name: String) throws(PeerIdentityError) {
        guard PartyName.isLegal(name) else { throw .illegalName(name) }
        self.role = role
        self.name = name
    }

    /// Reads the identity from a URI such as `latchstring:edge:paris`.
    public init(uri: String) throws(PeerIdentityError) {
        let parts = uri.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == Self.scheme, let role = Role(rawValue: String(parts[1])) else {
            throw .notAnIdentity
        }
        try self.init(role: role, name: String(parts[2]))
    }

    /// Reads the identity from a certificate whose chain has been verified already: this checks no signature.
    ///
    /// - Throws: ``PeerIdentityError/notAnIdentity`` if there is none, ``PeerIdentityError/several`` if there is more than
    ///   one, so that no two readers of one certificate can disagree on who it is.
    public init(certificate: Certificate) throws(PeerIdentityError) {
        let names: SubjectAlternativeNames?
        do { names = try certificate.extensions.subjectAlternativeNames } catch { throw .unreadable }
        var found: PeerIdentity?
        for name in names ?? SubjectAlternativeNames([]) {
            guard case .uniformResourceIdentifier(let uri) = name, uri.hasPrefix(Self.scheme + ":") else { continue }
            guard found == nil else { throw .several }
            found = try PeerIdentity(uri: uri)
        }
        guard let found else { throw .notAnIdentity }
        self = found
    }

    /// Reads the identity of the peer that a TLS handler has shaken hands with.
    public init(handler: NIOSSLHandler) throws(PeerIdentityError) {
        try self.init(certificate: Self.certificate(handler: handler))
    }

    /// The certificate that the peer has shown.
    public static func certificate(handler: NIOSSLHandler) throws(PeerIdentityError) -> Certificate {
        guard let peer = handler.peerCertificate else { throw .noCertificate }
        do { return try Certificate(derEncoded: peer.toDERBytes()) } catch { throw .unreadable }
    }

    public var uri: String { "\(Self.scheme):\(self.role.rawValue):\(self.name)" }
    public var description: String { "\(self.role.rawValue) \(self.name)" }
}

public enum PeerIdentityError: Error, Equatable, Sendable, CustomStringConvertible {
    case noCertificate
    case unreadable
    case notAnIdentity
    case several
    case illegalName(String)
    case unexpected(expected: PeerIdentity, got: PeerIdentity)
    case wrongRole(expected: PeerIdentity.Role, got: PeerIdentity)

    public var description: String {
        switch self {
        case .noCertificate: "the peer showed no certificate"
        case .unreadable: "the peer's certificate cannot be read"
        case .notAnIdentity:
            "the certificate has no latchstring:edge:NAME or latchstring:keyholder:NAME in its subject alternative name; make one with `latchstring certs`"
        case .several: "the certificate has more than one latchstring: identity"
        case .illegalName(let name): "\"\(name.prefix(80))\" is no identity name: 1 to 64 of a-z, 0-9, '.' and '-'"
        case .unexpected(let expected, let got): "expected \(expected), but the peer is \(got)"
        case .wrongRole(let expected, let got): "expected a peer in the role \(expected.rawValue), but it is \(got)"
        }
    }
}
