import KeyProtocol
import TLSEngine

/// Why a handshake was not brought to its end.
enum HandoffFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The client's doing, or what it offers and the site does not: the TLS library has made the alert.
    case tls(String)
    /// Our bug: a turn of a handshake that takes none.
    case outOfTurn
    /// The TLS library asked for something else than one signature over a server's handshake with this client.
    case unexpectedKeyUse
    case keyFailed(KeyOperationError)
    /// What the key gave is no signature of its own, or none that the TLS library takes.
    case wrongSignature
    /// The key operation could not be done in time, or was not.
    case notInTime(WorkRefusal)
    /// The grant was gone by the time the key was to be used, or the connection was.
    case keyNotUsed
    /// The TLS library failed, or made no session.
    case export(String)

    init(_ failure: HandshakeFailure) {
        switch failure {
        case .clientAlert: self = .tls("TLS handshake failed: \(failure)")
        case .refused(let reason): self = .tls("TLS handshake failed: \(reason)")
        case .notSigned: self = .wrongSignature
        case .engine(let reason): self = .export(reason)
        }
    }

    /// What the edge is told in place of progress; nil where it gets an alert to pass on.
    var code: KeyErrorCode? {
        switch self {
        case .tls: nil
        case .keyFailed, .wrongSignature, .unexpectedKeyUse: .cryptographyFailed
        case .notInTime(let refusal): refusal.code
        case .outOfTurn, .keyNotUsed, .export: .internalError
        }
    }

    var outcome: AuditOutcome {
        switch self {
        case .tls: .handshakeFailed
        case .keyFailed, .wrongSignature, .unexpectedKeyUse: .cryptographyFailed
        case .notInTime(let refusal): refusal.outcome
        case .keyNotUsed: .abandoned
        case .outOfTurn, .export: .handshakeFailed
        }
    }

    var description: String {
        switch self {
        case .tls(let reason): reason
        case .outOfTurn: "the handshake takes no turn now"
        case .unexpectedKeyUse: "the TLS library asked the key for something else than a server's handshake needs"
        case .keyFailed(let error): "the key operation failed: \(error)"
        case .wrongSignature: "the signature is not the key's"
        case .notInTime(.overloaded): "too many key operations under way"
        case .notInTime(.pastDeadline): "the deadline passed while the key operation waited"
        case .keyNotUsed: "the key operation was not done"
        case .export(let reason): "no session to export: \(reason)"
        }
    }

    /// The description as the protocol's reason: 1 to 255 printable ASCII characters.
    var reason: String {
        let text: [UInt8] = self.description.utf8.prefix(255).map {
            (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?")
        }
        return String(decoding: text, as: UTF8.self)
    }
}
