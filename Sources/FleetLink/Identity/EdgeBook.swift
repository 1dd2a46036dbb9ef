public import FleetBus
internal import Foundation
internal import PeerLink
internal import SwiftASN1
internal import X509

/// Whose reports are believed: those of edges whose identity the fleet's authority has issued.
public struct EdgeBook: Sendable {
    private let fleet: String
    private let authorities: [Certificate]
    private struct Known {
        var certificate: [UInt8]
        var key: Certificate.PublicKey
        /// Seconds since 1970.
        var notAfter: Int64
        /// What was read last, and what it says: it is read again and again.
        var bytes: [UInt8]
        var report: EdgeReport
        var heartbeat: EdgeHeartbeat
    }

    /// Edges whose certificate was found good, by their names.
    private var known: [String: Known] = [:]

    public enum Failure: Error, Equatable, CustomStringConvertible {
        case unreadable(String)

        public var description: String {
            switch self {
            case .unreadable(let path): "\"\(path)\" holds no PEM certificate of a fleet authority"
            }
        }
    }

    public init(fleet: String, authorityPEM: String, path: String = "authority.pem") throws(Failure) {
        guard let documents = try? PEMDocument.parseMultiple(pemString: authorityPEM), !documents.isEmpty,
            let authorities = try? documents.map({ try Certificate(pemDocument: $0) })
        else { throw .unreadable(path) }
        self.fleet = fleet
        self.authorities = authorities
    }

    public init(fleet: String, authorityFile: String) throws(Failure) {
        guard let text = try? String(contentsOfFile: authorityFile, encoding: .utf8) else {
            throw .unreadable(authorityFile)
        }
        try self.init(fleet: fleet, authorityPEM: text, path: authorityFile)
    }

    /// Reads a heartbeat, if an edge of this fleet signed it, and remembers the edge's certificate.
    ///
    /// - Parameters:
    ///   - name: the field that it stood under, which must be the edge's name.
    ///   - now: seconds since 1970.
    public mutating func heartbeat(_ bytes: [UInt8], of name: String, now: Int64) -> (EdgeReport, EdgeHeartbeat)? {
        if let known = self.known[name], known.notAfter < now { self.known[name] = nil }
        if let known = self.known[name], known.bytes == bytes { return (known.report, known.heartbeat) }
        var found: (certificate: [UInt8], key: Certificate.PublicKey, notAfter: Int64)?
        let report = EdgeReport.open(bytes) { report, signed, signature in
            guard report.fleet == self.fleet, report.edge == name,
                let certificate = EdgeHeartbeat.certificate(of: report)
            else { return false }
            if let known = self.known[name], known.certificate == certificate {
                found = (certificate, known.key, known.notAfter)
            } else {
                guard let issued = self.key(of: certificate, name: name, now: now) else { return false }
                found = (certificate, issued.key, issued.notAfter)
            }
            return found.map { Self.isValid(signature, signed, $0.key) } ?? false
        }
        guard let report, let found, let heartbeat = EdgeHeartbeat(report) else { return nil }
        self.known[name] = Known(
            certificate: found.certificate, key: found.key, notAfter: found.notAfter, bytes: bytes, report: report,
            heartbeat: heartbeat)
        return (report, heartbeat)
    }

    /// Reads an acknowledgement, if an edge signed it whose heartbeat has been read.
    public func acknowledgement(_ bytes: [UInt8]) -> EdgeAcknowledgement? {
        EdgeReport.open(bytes) { report, signed, signature in
            guard report.fleet == self.fleet, let known = self.known[report.edge] else { return false }
            return Self.isValid(signature, signed, known.key)
        }.flatMap { EdgeAcknowledgement($0) }
    }

    private static func isValid(_ signature: [UInt8], _ signed: [UInt8], _ key: Certificate.PublicKey) -> Bool {
        guard let algorithm = EdgeSeal.algorithm(of: key) else { return false }
        return key.isValidSignature(signature, for: signed, signatureAlgorithm: algorithm)
    }

    /// The key of an edge's certificate: issued by the authority itself, in its time, and with this edge's identity.
    private func key(
        of bytes: [UInt8], name: String, now: Int64
    ) -> (key: Certificate.PublicKey, notAfter: Int64)? {
        guard let certificate = try? Certificate(derEncoded: bytes),
            let identity = try? PeerIdentity(certificate: certificate), identity.role == .edge, identity.name == name
        else { return nil }
        let date = Date(timeIntervalSince1970: TimeInterval(now))
        guard certificate.notValidBefore <= date, date <= certificate.notValidAfter else { return nil }
        if case .isCertificateAuthority? = try? certificate.extensions.basicConstraints { return nil }
        let issuer = self.authorities.first {
            $0.subject == certificate.issuer && $0.publicKey.isValidSignature(certificate.signature, for: certificate)
        }
        guard issuer != nil else { return nil }
        return (certificate.publicKey, Int64(certificate.notValidAfter.timeIntervalSince1970))
    }
}
