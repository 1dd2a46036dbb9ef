import NIOCore
import NIOSSL
import Telemetry

/// Why a link could not be set up, or broke, in words: another port and another identity are told apart.
package enum LinkProblem {
    static func text(_ error: any Error) -> String {
        switch error {
        case NIOSSLError.handshakeFailed(let reason), let reason as BoringSSLError: self.handshake("\(reason)")
        case NIOSSLError.uncleanShutdown: "the connection broke off"
        default: SystemError.text(error)
        }
    }

    static let identityRefused =
        "it does not accept this edge's identity: its authority is another one, or the identity has expired or is not "
        + "valid yet by its clock"

    /// - Parameter reason: as the TLS library has it: names of its reasons in capitals.
    static func handshake(_ reason: String) -> String {
        func says(_ names: String...) -> Bool { names.contains { reason.contains($0) } }
        if says("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "INVALID_OUTER_RECORD_TYPE") {
            return "what listens there does not speak TLS; is that the key holder's port?"
        }
        if says("CERTIFICATE_VERIFY_FAILED") {
            return "its certificate is not of this fleet's authority, has expired or is not valid yet; "
                + "is that the key holder's port, are both identities of one authority, and are the clocks right?"
        }
        if says("EOF during handshake") {
            return "what listens there closed the connection during the TLS handshake; is that the key holder's port?"
        }
        if says("UNRECOGNIZED_NAME") {
            return "what listens there serves sites by their names; is that the key holder's port, or an edge's?"
        }
        if says("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "CERTIFICATE_REQUIRED") {
            return Self.identityRefused
        }
        return "the TLS handshake failed: \(Self.name(in: reason))"
    }

    // MARK: At the key holder

    /// The same of a connection that this key holder took.
    package static func textOfTaken(_ error: any Error) -> String {
        switch error {
        case NIOSSLError.handshakeFailed(let reason), let reason as BoringSSLError: self.takenHandshake("\(reason)")
        case NIOSSLError.uncleanShutdown: "the connection broke off"
        default: SystemError.text(error)
        }
    }

    static func takenHandshake(_ reason: String) -> String {
        func says(_ names: String...) -> Bool { names.contains { reason.contains($0) } }
        if says("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "INVALID_OUTER_RECORD_TYPE") {
            return "the peer does not speak TLS"
        }
        if says("CERTIFICATE_VERIFY_FAILED") {
            return "the peer's identity is not of this fleet's authority, has expired or is not valid yet; "
                + "are the clocks right?"
        }
        if says("PEER_DID_NOT_RETURN_A_CERTIFICATE") { return "the peer showed no identity" }
        if says("EOF during handshake") { return "the peer closed the connection during the TLS handshake" }
        if says("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN") {
            return "the peer does not accept this key holder's identity: its authority is another one, or the identity "
                + "has expired or is not valid yet by the peer's clock"
        }
        return "the TLS handshake failed: \(Self.name(in: reason))"
    }

    /// Of the library's account, which names lines of its source, the reason alone.
    private static func name(in reason: String) -> String {
        guard let mark = reason.firstRange(of: "OPENSSL_internal:") else { return String(reason.prefix(200)) }
        return String(reason[mark.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "_" })
    }
}
