/// Why the first bytes of a connection are not an acceptable ClientHello.
public enum HelloRejection: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes begin like an HTTP request (or HTTP/2's preface): a client took the TLS port for a plain one.
    case plainHTTP
    /// The bytes are no TLS record of a handshake. SSL 2.0's hello is none.
    case notTLS
    /// The hello is, or says that it will be, larger than the reader's cap.
    case tooLarge
    /// A record says that it carries more than 2^14 bytes.
    case recordTooLong
    /// A handshake record without a byte in it (RFC 8446 §5.1 forbids it; in bulk, it is an attack).
    case emptyRecord
    /// A record whose version isn't 3.x, after the first.
    case badRecordVersion
    /// A record of another content type before the hello was complete.
    case unexpectedRecord
    /// The first handshake message is not a ClientHello.
    case unexpectedMessage
    /// More handshake data in the record in which the hello ends (RFC 8446 §5.1 forbids it).
    case dataAfterHello
    /// The hello was complete, and its contents are wrong.
    case malformed(ClientHelloError)

    /// The alert to send before closing; nil where the peer doesn't speak TLS: just close.
    public var alert: Alert.Description? {
        switch self {
        case .plainHTTP, .notTLS: return nil
        case .tooLarge: return .decodeError
        case .recordTooLong: return .recordOverflow
        case .badRecordVersion: return .protocolVersion
        case .emptyRecord, .unexpectedRecord, .unexpectedMessage, .dataAfterHello: return .unexpectedMessage
        case .malformed(let error): return error.alert
        }
    }

    /// A constant for each case, without what the client sent: fit for a metric's label.
    public var reason: String {
        switch self {
        case .plainHTTP: return "plain HTTP"
        case .notTLS: return "not TLS"
        case .tooLarge: return "hello too large"
        case .recordTooLong: return "record too long"
        case .emptyRecord: return "empty handshake record"
        case .badRecordVersion: return "bad record version"
        case .unexpectedRecord: return "unexpected record"
        case .unexpectedMessage: return "unexpected message"
        case .dataAfterHello: return "handshake data after hello"
        case .malformed(let error): return error.reason
        }
    }

    public var description: String {
        if case .malformed(let error) = self { return error.description }
        return reason
    }
}
