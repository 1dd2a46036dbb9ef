public import NIOCore

/// What one side tells the other when it gives up. One byte; says no more than the other side may know.
public enum NativeAlert: UInt8, CaseIterable, Error, Sendable, CustomStringConvertible {
    case unexpectedMessage = 1
    case decodeError = 2
    case tooLarge = 3
    case unsupportedVersion = 4
    /// No site of that name at the edge or the key holder.
    case unknownName = 5
    /// The site, or the key holder's grant to the edge, does not allow the native handshake or this variant.
    case notAllowed = 6
    /// No suite, or no kind of key, in common.
    case nothingInCommon = 7
    /// The client does not accept the chain, or the key directory disagrees.
    case badCertificate = 8
    /// A signature does not verify.
    case badSignature = 9
    /// A Finished is wrong, or (same answer) the encrypted secret did not decrypt.
    case badFinished = 10
    /// A protected record does not open.
    case badRecord = 11
    case timeout = 12
    /// Too many handshakes now.
    case busy = 13
    case internalError = 14
    /// No key holder could be reached, or not the application behind it.
    case unavailable = 15

    public var description: String {
        switch self {
        case .unexpectedMessage: "unexpected message"
        case .decodeError: "decode error"
        case .tooLarge: "too large"
        case .unsupportedVersion: "unsupported version"
        case .unknownName: "unknown name"
        case .notAllowed: "not allowed"
        case .nothingInCommon: "nothing in common"
        case .badCertificate: "bad certificate"
        case .badSignature: "bad signature"
        case .badFinished: "bad finished"
        case .badRecord: "bad record"
        case .timeout: "timeout"
        case .busy: "busy"
        case .internalError: "internal error"
        case .unavailable: "unavailable"
        }
    }

    /// The alert in a record of its own, in the clear.
    public var record: ByteBuffer {
        ByteBuffer(bytes: [NativeRecordType.alert.rawValue, NativeNumbers.version, 0, 1, self.rawValue])
    }
}
