public import TLSWire

/// What a peer did wrong. Each ends the session, and maps to the alert that RFC 8446 or RFC 5246 names for it.
public enum RecordError: Error, Equatable, Sendable {
    /// A record that does not open: forged, replayed, reordered, altered, or too short to hold a tag.
    case badRecordMAC
    /// A record longer than the version and suite allow (RFC 8446 §5.2, RFC 5246 §6.2.3).
    case recordOverflow
    /// A record whose type may not stand here; the outer type in TLS 1.3 where that decides.
    case unexpectedContentType(UInt8)
    /// A TLS 1.2 record, or one of TLS 1.3 before the Finished, of another version than 0x0303.
    case wrongRecordVersion(UInt16)
    /// TLS 1.3: a record that is nothing but padding (RFC 8446 §5.4).
    case missingContentType
    /// A handshake or alert record without content (RFC 8446 §5.1).
    case emptyMessage(ContentType)
    /// A ChangeCipherSpec that is not the compatibility one, comes after the Finished, or too often (RFC 8446 §5).
    case changeCipherSpec
    /// An alert that is not two bytes long, or in TLS 1.2 of an unknown level.
    case malformedAlert
    /// A handshake message that may not stand here.
    case unexpectedHandshakeMessage(UInt8)
    /// A handshake message whose length its type does not allow.
    case handshakeLength(UInt8)
    /// A KeyUpdate that neither asks nor doesn't ask for an update in turn (RFC 8446 §4.6.3).
    case keyUpdateRequest(UInt8)
    /// Bytes after a message that changes keys, in the same record (RFC 8446 §5.1).
    case messageAcrossKeyChange
    /// Another kind of record in the middle of a fragmented handshake message (RFC 8446 §5.1).
    case interleavedHandshake
    /// The client's Finished does not carry the verify_data that the handshake calls for.
    case finishedMismatch
    case tooManyEmptyRecords
    case tooManyKeyUpdates
    case tooManyWarnings
    case tooMuchEarlyData
    /// TLS 1.2: renegotiation, after it was refused.
    case renegotiation
    /// The client used up the sequence numbers of its key.
    case sequenceExhausted

    /// The alert to send.
    public var alert: Alert.Description {
        switch self {
        case .badRecordMAC: return .badRecordMAC
        case .recordOverflow: return .recordOverflow
        case .wrongRecordVersion: return .protocolVersion
        case .malformedAlert, .handshakeLength: return .decodeError
        case .keyUpdateRequest: return .illegalParameter
        case .finishedMismatch: return .decryptError
        case .renegotiation: return .handshakeFailure
        case .unexpectedContentType, .missingContentType, .emptyMessage, .changeCipherSpec, .unexpectedHandshakeMessage,
            .messageAcrossKeyChange, .interleavedHandshake, .tooManyEmptyRecords, .tooManyKeyUpdates, .tooManyWarnings,
            .tooMuchEarlyData, .sequenceExhausted:
            return .unexpectedMessage
        }
    }

    /// Constant text, for logs and as a label of a metric.
    public var reason: String {
        switch self {
        case .badRecordMAC: return "bad record MAC"
        case .recordOverflow: return "record overflow"
        case .unexpectedContentType: return "unexpected content type"
        case .wrongRecordVersion: return "wrong record version"
        case .missingContentType: return "missing content type"
        case .emptyMessage: return "empty message"
        case .changeCipherSpec: return "change cipher spec out of place"
        case .malformedAlert: return "malformed alert"
        case .unexpectedHandshakeMessage: return "unexpected handshake message"
        case .handshakeLength: return "handshake message of wrong length"
        case .keyUpdateRequest: return "illegal KeyUpdate"
        case .messageAcrossKeyChange: return "message across key change"
        case .interleavedHandshake: return "interleaved handshake message"
        case .finishedMismatch: return "wrong Finished"
        case .tooManyEmptyRecords: return "too many empty records"
        case .tooManyKeyUpdates: return "too many KeyUpdates"
        case .tooManyWarnings: return "too many warnings"
        case .tooMuchEarlyData: return "too much early data"
        case .renegotiation: return "renegotiation"
        case .sequenceExhausted: return "sequence numbers exhausted"
        }
    }
}

/// What the caller asked for and may not have. Nothing was written, and the session stands as before.
public enum RecordMisuse: Error, Equatable, Sendable {
    /// Application data or tickets before the client's Finished was verified.
    case handshakeIncomplete
    /// Something to send after ``RecordSession/close()``, or after the session failed.
    case closed
    /// Post-handshake messages in TLS 1.2, which has none.
    case noPostHandshakeMessages
    /// Something other than whole NewSessionTicket messages.
    case notTickets
    /// The write key has protected all that it may, and cannot be replaced: close the session.
    case writeKeyExhausted
    /// The cipher refused its key or nonce, whose lengths were checked: a fault in this module.
    case cipherFailure
}
