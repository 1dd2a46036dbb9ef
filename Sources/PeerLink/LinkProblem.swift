import NIOCore
import NIOSSL
import Telemetry

/// Why a link could not be set up, or broke, in words: another port and another identity are told apart.
enum LinkProblem {
    static func text(_ error: any Error) -> String {
        switch error {
        case NIOSSLError.handshakeFailed(let reason), let reason as BoringSSLError: self.handshake("\(reason)")
        case NIOSSLError.uncleanShutdown: "the connection broke off"
        default: SystemError.text(error)
        }
    }

    /// - Parameter reason: as the TLS library has it: names of its reasons in capitals.
    static func handshake(_ reason: String) -> String {
        func says(_ names: String...) -> Bool { names.contains { reason.contains($0) } }
        if says("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "INVALID_OUTER_RECORD_TYPE") {
            return "what listens there does not speak TLS; is that the key holder's port?"
        }
        if says("CERTIFICATE_VERIFY_FAILED") {
            return "its certificate is not of this fleet's authority, or has expired; "
                + "is that the key holder's port, and are both identities of one authority?"
        }
        if says("EOF during handshake") {
            return "what listens there closed the connection during the TLS handshake; is that the key holder's port?"
        }
        if says("UNRECOGNIZED_NAME") {
            return "what listens there serves sites by their names; is that the key holder's port, or an edge's?"
        }
        if says("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "CERTIFICATE_REQUIRED") {
            return "it does not accept this edge's identity: its authority is another one, or the identity has expired"
        }
        return "the TLS handshake failed: \(reason)"
    }
}
