public import KeyProtocol

/// Why a request over a link got no answer, or why a link ended.
public enum LinkFailure: Error, Sendable, CustomStringConvertible {
    case notConnected
    case overloaded
    case timedOut
    /// No connection was made.
    case unreachable(String)
    /// The key holder, or the network, ended the connection.
    case lost(String)
    /// This edge ended it.
    case closed(String)
    case wrongPeer(PeerIdentityError)
    case refused(KeyErrorCode)
    /// The key holder knows no leases: it speaks an earlier revision of the key protocol.
    case formerRevision
    case unencodable(String)
    case badAnswer(String)

    public var description: String {
        switch self {
        case .notConnected: "no key holder is connected"
        case .overloaded: "too many requests are under way"
        case .timedOut: "the key holder did not answer in time"
        case .unreachable(let why): "cannot connect to the key holder: \(why)"
        case .lost(let why): "the link to the key holder broke: \(why)"
        case .closed(let why): "this edge closed the link: \(why)"
        case .wrongPeer(let error): "not the key holder that was expected: \(error)"
        case .refused(.noGrant):
            "this edge has no grant at the key holder; give it one in the key holder's file and reload"
        case .refused(let code): "the key holder refused: \(code)"
        case .formerRevision:
            "the key holder is older than this edge and does not give its leases; upgrade the key holder"
        case .unencodable(let why): "the request cannot be encoded: \(why)"
        case .badAnswer(let why): "the key holder's answer makes no sense: \(why)"
        }
    }

    /// A short constant for metric labels.
    public var label: String {
        switch self {
        case .notConnected: "not-connected"
        case .overloaded: "overloaded"
        case .timedOut: "timed-out"
        case .unreachable: "unreachable"
        case .lost: "lost"
        case .closed: "closed"
        case .wrongPeer: "wrong-peer"
        case .refused(.noGrant): "no-grant"
        case .refused: "refused"
        case .formerRevision: "former-revision"
        case .unencodable: "unencodable"
        case .badAnswer: "bad-answer"
        }
    }
}
