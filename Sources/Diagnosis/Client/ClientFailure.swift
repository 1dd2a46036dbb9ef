import NIOSSL
import TLSWire

/// Why the client ended without a complete response.
public struct ClientFailure: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Phase: Equatable, Sendable {
        /// No TCP connection.
        case connect
        /// TLS handshake or certificate verification.
        case handshake
        /// After the handshake: no response, or not a whole one.
        case response
    }

    public var phase: Phase
    /// What happened.
    public var reason: String
    /// What it usually means, or what to try; may be empty.
    public var advice: String

    public init(phase: Phase, reason: String, advice: String = "") {
        self.phase = phase
        self.reason = reason
        self.advice = advice
    }

    public var description: String { advice.isEmpty ? reason : "\(reason) (\(advice))" }

    /// A failure that an alert from the server explains.
    static func alert(_ code: UInt8, phase: Phase) -> ClientFailure {
        ClientFailure(
            phase: phase, reason: "the server sent the alert \(TLSNames.alert(code))",
            advice: AlertAdvice.meaning(of: code) ?? "")
    }
}

/// What alerts from an edge usually mean.
public enum AlertAdvice {
    public static func meaning(of code: UInt8) -> String? {
        guard let alert = Alert.Description(rawValue: code) else { return nil }
        switch alert {
        case .closeNotify: return "the server closed the connection in good order"
        case .unrecognizedName: return "the edge has no site of that name"
        case .protocolVersion: return "the server doesn't accept the TLS versions offered"
        case .handshakeFailure, .insufficientSecurity:
            return "nothing in common: cipher suites, groups, or signature schemes for the site's key type"
        case .noApplicationProtocol: return "the server speaks none of the ALPN protocols offered"
        case .internalError:
            return
                "the server failed on its side; an edge says so when no key holder answers in time or none grants the site"
        case .accessDenied: return "the server refuses this client"
        case .decodeError, .illegalParameter, .unexpectedMessage, .decryptError, .badRecordMAC, .recordOverflow:
            return
                "the server could not make sense of what it received; is something between here and there altering it?"
        case .certificateRequired: return "the server wants a client certificate; is this a key holder's port?"
        default: return nil
        }
    }

    /// The alert that a TLS library's error stands for. BoringSSL's reasons for received alerts are 1000 plus the
    /// alert's number, in the low 12 bits of its error code; NIOSSL gives the code as text only.
    static func code(in error: any Error) -> UInt8? {
        guard case .handshakeFailed(.sslError(let stack))? = error as? NIOSSLError else {
            guard case .sslError(let stack)? = error as? BoringSSLError else { return nil }
            return code(in: stack)
        }
        return code(in: stack)
    }

    private static func code(in stack: NIOBoringSSLErrorStack) -> UInt8? {
        for item: BoringSSLInternalError in stack {
            let words: [Substring] = item.description.split(separator: " ")
            guard words.count > 1, let code = UInt32(words[1]) else { continue }
            let reason: UInt32 = code & 0xFFF
            if (1000...1255).contains(reason) { return UInt8(reason - 1000) }
        }
        return nil
    }
}
