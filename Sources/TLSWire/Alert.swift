public import NIOCore

/// A TLS alert (RFC 8446 §6).
public struct Alert: Equatable, Sendable {
    public enum Level: UInt8, Sendable {
        case warning = 1
        case fatal = 2
    }

    /// The alerts of RFC 8446 §6.2, and those of TLS 1.2 that peers still send.
    public enum Description: UInt8, CaseIterable, Sendable {
        case closeNotify = 0
        case unexpectedMessage = 10
        case badRecordMAC = 20
        case decryptionFailed = 21
        case recordOverflow = 22
        case decompressionFailure = 30
        case handshakeFailure = 40
        case noCertificate = 41
        case badCertificate = 42
        case unsupportedCertificate = 43
        case certificateRevoked = 44
        case certificateExpired = 45
        case certificateUnknown = 46
        case illegalParameter = 47
        case unknownCA = 48
        case accessDenied = 49
        case decodeError = 50
        case decryptError = 51
        case exportRestriction = 60
        case protocolVersion = 70
        case insufficientSecurity = 71
        case internalError = 80
        case inappropriateFallback = 86
        case userCanceled = 90
        case noRenegotiation = 100
        case missingExtension = 109
        case unsupportedExtension = 110
        case certificateUnobtainable = 111
        case unrecognizedName = 112
        case badCertificateStatusResponse = 113
        case badCertificateHashValue = 114
        case unknownPSKIdentity = 115
        case certificateRequired = 116
        case noApplicationProtocol = 120

        /// The RFC's name, such as `unrecognized_name`.
        public var name: String {
            switch self {
            case .closeNotify: return "close_notify"
            case .unexpectedMessage: return "unexpected_message"
            case .badRecordMAC: return "bad_record_mac"
            case .decryptionFailed: return "decryption_failed"
            case .recordOverflow: return "record_overflow"
            case .decompressionFailure: return "decompression_failure"
            case .handshakeFailure: return "handshake_failure"
            case .noCertificate: return "no_certificate"
            case .badCertificate: return "bad_certificate"
            case .unsupportedCertificate: return "unsupported_certificate"
            case .certificateRevoked: return "certificate_revoked"
            case .certificateExpired: return "certificate_expired"
            case .certificateUnknown: return "certificate_unknown"
            case .illegalParameter: return "illegal_parameter"
            case .unknownCA: return "unknown_ca"
            case .accessDenied: return "access_denied"
            case .decodeError: return "decode_error"
            case .decryptError: return "decrypt_error"
            case .exportRestriction: return "export_restriction"
            case .protocolVersion: return "protocol_version"
            case .insufficientSecurity: return "insufficient_security"
            case .internalError: return "internal_error"
            case .inappropriateFallback: return "inappropriate_fallback"
            case .userCanceled: return "user_canceled"
            case .noRenegotiation: return "no_renegotiation"
            case .missingExtension: return "missing_extension"
            case .unsupportedExtension: return "unsupported_extension"
            case .certificateUnobtainable: return "certificate_unobtainable"
            case .unrecognizedName: return "unrecognized_name"
            case .badCertificateStatusResponse: return "bad_certificate_status_response"
            case .badCertificateHashValue: return "bad_certificate_hash_value"
            case .unknownPSKIdentity: return "unknown_psk_identity"
            case .certificateRequired: return "certificate_required"
            case .noApplicationProtocol: return "no_application_protocol"
            }
        }
    }

    public var level: Level
    public var description: Description

    /// Closure alerts (close_notify, user_canceled) and no_renegotiation are warnings, all others are fatal.
    public init(_ description: Description) {
        switch description {
        case .closeNotify, .userCanceled, .noRenegotiation: level = .warning
        default: level = .fatal
        }
        self.description = description
    }

    public init(level: Level, description: Description) {
        self.level = level
        self.description = description
    }

    /// Reads the two bytes of an alert record's payload; nil for another length, level or description.
    public init?(payload: ByteBuffer) {
        guard payload.readableBytes == 2,
            let level: Level = payload.getInteger(at: payload.readerIndex, as: UInt8.self).flatMap(Level.init),
            let description: Description = payload.getInteger(at: payload.readerIndex + 1, as: UInt8.self)
                .flatMap(Description.init)
        else { return nil }
        self.init(level: level, description: description)
    }

    /// The alert as one unprotected record: 7 bytes.
    ///
    /// - Parameter version: the record's legacy version; 0x0303 suits a server that has not negotiated one.
    public func record(version: UInt16 = 0x0303) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(RecordHeader.length + 2)
        buffer.writeInteger(ContentType.alert.rawValue)
        buffer.writeInteger(version)
        buffer.writeInteger(UInt16(2))
        buffer.writeInteger(level.rawValue)
        buffer.writeInteger(description.rawValue)
        return buffer
    }
}
