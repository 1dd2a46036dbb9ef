import Channels
import KeyProtocol
import NIOCore
package import PeerLink
package import RecordLayer
package import TLSEngine
package import TLSWire

/// Why a handshake, or the session that came of it, ended where TLS ends at this edge: in both modes.
package enum TerminationFailure: Error, Equatable, CustomStringConvertible {
    // The client's doing.

    /// The ClientHello, or a later flight, is larger than a request of the key protocol may be: bytes.
    case flightTooLarge(Int)
    /// A record of a type that may not stand there.
    case unexpectedRecord(UInt8)
    /// A record longer than any version allows.
    case recordTooLong(Int)
    /// Refused early data beyond its bound, before the second ClientHello.
    case tooMuchEarlyData
    /// More turns than any handshake takes.
    case tooManyTurns
    /// The client can do nothing better than a key exchange by RSA, which the site's mode excludes.
    case noForwardSecrecy
    /// An authority's check of the name (RFC 8737), and no key holder has an order open.
    case noOrder
    /// The TLS engine, here or at the key holder, refused the client, and said this.
    case refused(String)
    /// A record that breaks the protocol.
    case records(RecordError)
    /// The client sent this alert.
    case alert(UInt8)
    /// close_notify in place of the Finished.
    case closedEarly

    // The key holder's, or ours.

    /// No answer, or a refusal.
    case keyHolder(LinkFailure)
    /// The key holder has too much to do to be asked in time.
    case turnedAway(HandshakeGate.Refusal)
    /// An answer that makes no sense.
    case badAnswer(String)
    /// The client did not take the signature, and it is by another key than that of the certificate that was shown.
    case wrongSignature
    /// The TLS engine failed here, without the client's or the key holder's doing.
    case engine(String)
    /// More was sent with one TLS 1.2 key than it may protect.
    case writeKeyExhausted

    /// What the client is told where nothing else tells it already; nil where the client would not listen.
    package var alert: Alert.Description? {
        switch self {
        case .flightTooLarge: .decodeError
        case .unexpectedRecord, .tooMuchEarlyData, .tooManyTurns: .unexpectedMessage
        case .recordTooLong: .recordOverflow
        case .noForwardSecrecy: .handshakeFailure
        case .noOrder: .noApplicationProtocol
        case .records(let error): error.alert
        case .keyHolder, .turnedAway, .badAnswer, .engine: .internalError
        case .refused, .alert, .closedEarly, .wrongSignature, .writeKeyExhausted: nil
        }
    }

    /// Whether the operator should look at it, and not only the client.
    package var isOurs: Bool {
        switch self {
        case .keyHolder, .badAnswer, .wrongSignature, .engine: true
        default: false
        }
    }

    /// Whether the key holder may have another certificate by now than the one that was shown.
    package var meansOutdated: Bool {
        switch self {
        case .keyHolder(.refused(.certificateNotFound)), .keyHolder(.refused(.keyNotFound)), .wrongSignature: true
        default: false
        }
    }

    /// Constant text, for a metric's label.
    package var reason: String {
        switch self {
        case .flightTooLarge: "handshake too large"
        case .unexpectedRecord: "unexpected content type"
        case .recordTooLong: "record overflow"
        case .tooMuchEarlyData: "too much early data"
        case .tooManyTurns: "too many turns"
        case .noForwardSecrecy: "no forward secrecy"
        case .noOrder: "no order"
        case .refused: "refused"
        case .records(let error): error.reason
        case .alert: "alert from client"
        case .closedEarly: "closed before Finished"
        case .keyHolder: "key holder"
        case .turnedAway: "turned away"
        case .badAnswer: "bad answer"
        case .wrongSignature: "wrong signature"
        case .engine: "TLS engine"
        case .writeKeyExhausted: "write key exhausted"
        }
    }

    package var description: String {
        switch self {
        case .flightTooLarge(let bytes):
            "the client's handshake messages take \(bytes) bytes, and the key protocol carries \(HandoffLimits.flightBytes)"
        case .unexpectedRecord(let type): "a record of type \(type) out of place"
        case .recordTooLong(let length): "a record of \(length) bytes"
        case .tooMuchEarlyData: "too much early data after a HelloRetryRequest"
        case .tooManyTurns: "the handshake took more than \(HandoffLimits.turns) turns"
        case .noForwardSecrecy: "the client offers nothing better than a key exchange by RSA"
        case .noOrder: "an authority's check of the name, and no order for a certificate is open"
        case .refused(let reason): "the handshake was refused: \(reason)"
        case .records(let error): error.reason
        case .alert(let code): "the client sent the alert \(TLSNames.alert(code))"
        case .closedEarly: "the client closed before its Finished"
        case .keyHolder(let failure): "\(failure)"
        case .turnedAway(let refusal): "\(refusal)"
        case .badAnswer(let why): "the key holder's answer makes no sense: \(why)"
        case .wrongSignature:
            "the client sent decrypt_error, and rightly: the key holder signed with another key than that of the certificate shown"
        case .engine(let reason): "the TLS engine failed: \(reason)"
        case .writeKeyExhausted: "the TLS 1.2 key has protected all that it may"
        }
    }

    package init(_ failure: HandshakeFailure) {
        self =
            switch failure {
            case .clientAlert(let code): .alert(code)
            case .refused(let reason): .refused(reason)
            case .notSigned(let reason): .badAnswer(reason)
            case .engine(let reason): .engine(reason)
            }
    }

    package static func == (a: TerminationFailure, b: TerminationFailure) -> Bool { "\(a)" == "\(b)" }
}
