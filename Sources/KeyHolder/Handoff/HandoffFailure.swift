import KeyProtocol

/// Why a handshake was not brought to its end.
enum HandoffFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The client's doing, or what it offers and the site does not: the TLS library has made the alert.
    case tls(String)
    /// Our bug or an edge's: there is nothing that TLS could tell the client.
    case keyUseOutsideHandshake
    /// The TLS library asked for something else than one signature over a server's handshake, or one decryption where RSA
    /// key exchange is allowed.
    case unexpectedKeyUse
    case keyFailed(KeyOperationError)
    /// The key operation could not be done in time, or was not.
    case notInTime(WorkRefusal)
    /// The grant was gone by the time the key was to be used, or the connection was.
    case keyNotUsed
    /// What the TLS library wrote or logged does not make a session.
    case export(String)

    /// - Parameter operation: What failed. A client that sends a block as large as the modulus can make a decryption fail.
    init(_ error: KeyOperationError, of operation: KeyOperation) {
        if case .rawRSA = operation {
            self = .tls("the client's encrypted secret cannot be decrypted")
        } else {
            self = .keyFailed(error)
        }
    }

    /// What the edge is told in place of progress; nil where it gets an alert to pass on.
    var code: KeyErrorCode? {
        switch self {
        case .tls: nil
        case .keyFailed, .unexpectedKeyUse: .cryptographyFailed
        case .notInTime(let refusal): refusal.code
        case .keyUseOutsideHandshake, .keyNotUsed, .export: .internalError
        }
    }

    var outcome: AuditOutcome {
        switch self {
        case .tls: .handshakeFailed
        case .keyFailed, .unexpectedKeyUse, .keyUseOutsideHandshake: .cryptographyFailed
        case .notInTime(let refusal): refusal.outcome
        case .keyNotUsed: .abandoned
        case .export: .handshakeFailed
        }
    }

    var description: String {
        switch self {
        case .tls(let reason): reason
        case .keyUseOutsideHandshake: "the key was asked for outside of a handshake"
        case .unexpectedKeyUse: "the TLS library asked the key for something else than a server's handshake needs"
        case .keyFailed(let error): "the key operation failed: \(error)"
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
