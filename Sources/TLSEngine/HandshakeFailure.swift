public import TLSWire

/// Why a handshake was not brought to its end, and whose doing it was. A client that has to be told has been: the alert stands in the
/// output beside it.
public enum HandshakeFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The client ended it: this alert came. ``TLSWire/TLSNames/alert(_:)`` has its name.
    case clientAlert(UInt8)
    /// The client sent what does not belong there, or offers nothing that the site allows. The reason is for logs: BoringSSL's
    /// own word, or ours.
    case refused(String)
    /// The signature did not come, or cannot be one.
    case notSigned(String)
    /// Ours: BoringSSL failed without the client's doing, or did something that makes no session.
    case engine(String)

    public var description: String {
        switch self {
        case .clientAlert(let code): "the client sent \(TLSNames.alert(code))"
        case .refused(let reason): "handshake refused: \(reason)"
        case .notSigned(let reason): "no signature: \(reason)"
        case .engine(let reason): "the TLS engine failed: \(reason)"
        }
    }
}

/// What a server has chosen, for logs and audit lines.
public struct HandshakeFacts: Equatable, Sendable {
    /// ``TLSWire/TLSVersion/tls12`` or ``TLSWire/TLSVersion/tls13``.
    public var version: UInt16
    /// IANA number.
    public var suite: UInt16
    /// IANA number; nil with RSA key exchange.
    public var group: UInt16?
    /// By a ticket: no certificate was shown and nothing signed.
    public var resumed: Bool
    /// Which of the context's credentials was shown; nil if none was.
    public var credential: Int?
}

/// What is to be signed for a handshake to go on.
public struct SignatureRequest: Equatable, Sendable {
    public var scheme: SignatureScheme
    /// All that the signature covers, before any hash: in TLS 1.3 ``TLSWire/TLS13ServerSignature``, in TLS 1.2
    /// ``TLSWire/TLS12ServerKeyExchange``.
    public var content: [UInt8]
    /// Which of the context's credentials it is for.
    public var credential: Int
}
