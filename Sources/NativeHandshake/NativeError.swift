/// Why a native handshake or stream ended on the side that noticed. ``alert`` is what the other side is told.
public enum NativeError: Error, Equatable, Sendable, CustomStringConvertible {
    // The peer's violations.
    /// The first byte begins no record of this protocol.
    case notNative
    case unsupportedVersion(UInt8)
    /// A record's or message's length is beyond the bound for the one who sends it.
    case tooLarge
    /// A message that may not stand here.
    case unexpectedMessage
    /// A message whose contents are wrong; names the field.
    case malformed(String)
    /// The hello asks for a variant that does not exist.
    case unknownVariant(UInt8)
    /// The origin chose what the client did not offer.
    case notOffered(String)
    /// An X25519 share that gives nothing secret.
    case weakShare
    /// A signature by the certificate's key does not verify: a message was changed on the way, or the peer is not the origin.
    case badSignature
    /// The Finished is wrong. On the origin's side this is also what a secret that did not decrypt comes to.
    case badFinished
    /// A protected record that is forged, altered, replayed, or out of order.
    case badRecord
    /// A record without data, or anything after the end of data.
    case afterEnd
    /// The connection ended without the end being said: data may be missing.
    case truncated
    // The two don't match.
    case nothingInCommon(String)
    case variantNotAllowed(NativeVariant)
    case unknownName
    // This side's.
    /// The certificate's key cannot be used; the text says why.
    case unsupportedKey(String)
    /// The chain, its dates or names, or the key directory's answer; the text says what.
    case certificateRefused(String)
    case timeout(String)
    /// A private-key operation or the random generator failed, or the caller went out of turn.
    case internalFailure(String)
    /// The other side sent this alert. In the clear it proves nothing but that the connection is over.
    case alert(NativeAlert)

    /// What to tell the other side; nil where it already knows, or is gone.
    public var alert: NativeAlert? {
        switch self {
        case .notNative, .malformed, .unknownVariant, .weakShare: .decodeError
        case .unsupportedVersion: .unsupportedVersion
        case .tooLarge: .tooLarge
        case .unexpectedMessage, .notOffered, .afterEnd: .unexpectedMessage
        case .badSignature: .badSignature
        case .badFinished: .badFinished
        case .badRecord: .badRecord
        case .nothingInCommon: .nothingInCommon
        case .variantNotAllowed: .notAllowed
        case .unknownName: .unknownName
        case .unsupportedKey, .certificateRefused: .badCertificate
        case .timeout: .timeout
        case .internalFailure: .internalError
        case .alert, .truncated: nil
        }
    }

    /// Constant text for logs, audit lines and metrics.
    public var reason: String {
        switch self {
        case .notNative: "not native"
        case .unsupportedVersion: "unsupported version"
        case .tooLarge: "too large"
        case .unexpectedMessage: "unexpected message"
        case .malformed: "malformed message"
        case .unknownVariant: "unknown variant"
        case .notOffered: "choice not offered"
        case .weakShare: "weak share"
        case .badSignature: "bad signature"
        case .badFinished: "wrong finished"
        case .badRecord: "bad record"
        case .afterEnd: "record after the end"
        case .truncated: "truncated"
        case .nothingInCommon: "nothing in common"
        case .variantNotAllowed: "variant not allowed"
        case .unknownName: "unknown name"
        case .unsupportedKey: "unsupported key"
        case .certificateRefused: "certificate refused"
        case .timeout: "timeout"
        case .internalFailure: "internal failure"
        case .alert: "alert received"
        }
    }

    public var description: String {
        switch self {
        case .unsupportedVersion(let version): "version \(version) of the native handshake; this side speaks version 1"
        case .malformed(let what): "malformed message: \(what)"
        case .unknownVariant(let number): "the hello asks for variant \(number), which does not exist"
        case .notOffered(let what): "the origin chose what was not offered: \(what)"
        case .weakShare: "the X25519 share has a small order"
        case .badSignature:
            "a signature does not verify: a message was changed on the way, or this is not the certificate's owner"
        case .badFinished: "the Finished does not verify: the two sides did not derive the same key"
        case .badRecord: "a protected record does not open: it was altered, replayed or reordered"
        case .truncated: "the connection ended before the other side said that it is done; data may be missing"
        case .nothingInCommon(let what): "nothing in common: \(what)"
        case .variantNotAllowed(let variant): "the \(variant) variant is not allowed here"
        case .unsupportedKey(let why), .certificateRefused(let why): why
        case .timeout(let what): "timeout: \(what)"
        case .internalFailure(let what): "internal failure: \(what)"
        case .alert(let alert): "the other side sent the alert \"\(alert)\""
        case .notNative: "the bytes are no record of the native handshake"
        case .tooLarge, .unexpectedMessage, .afterEnd, .unknownName: self.reason
        }
    }
}
