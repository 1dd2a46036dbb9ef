/// The custom functions of a latchstring key holder: what our own edges ask, instead of the digest opcodes.
///
/// In each, the key holder sees what it signs, or makes it itself. A request carries ``Opcode/custom``, the name (item `13`), the server
/// name (`02`), the client's address where known (`03`) and the payload (`12`).
public enum KeyFunction: String, Sendable, CaseIterable {
    /// No payload; the answer is a ``CertificateAnswer``.
    case certificate = "latchstring.certificate/2"
    /// The payload is a ``LeaseRequest``, without a server name; the answer is a ``LeaseAnswer``, which may take as long as
    /// half of the lease. What an edge asks first on each connection, so its number rises with that of any other function: no
    /// edge has a lease at a key holder that does not have all that it may ask.
    case lease = "latchstring.lease/2"
    /// The payload is a ``SignTLS13Request``; the answer is the bare signature.
    case signTLS13 = "latchstring.sign-tls13/1"
    /// The payload is a ``HandshakeBegin``; the answer is a ``HandshakeProgress``.
    case handshakeBegin = "latchstring.handshake-begin/2"
    /// The payload is a ``HandshakeContinue``; the answer is a ``HandshakeProgress``.
    case handshakeContinue = "latchstring.handshake-continue/2"
    /// The payload is a ``HandshakeForget``; the answer has no payload.
    case handshakeForget = "latchstring.handshake-forget/1"
    /// The payload is a ``ChallengeRequest``; the answer is a ``ChallengeAnswer``.
    case challenge = "latchstring.challenge/1"
}

/// How an edge may serve a site.
public enum TrustMode: String, Sendable, Hashable, CaseIterable {
    case relay
    case handoff
    case keyless
}

/// What a grant allows and an audit line names. A ping needs no grant.
public enum Operation: String, Sendable, Hashable, CaseIterable {
    case certificate
    case signTLS13 = "sign-tls13"
    /// Having the key holder run whole handshakes of clients that offer no TLS 1.3, and being lent their sessions. For what a
    /// TLS 1.2 server signs there is no other way: it has no context string, so it is signed only where it is made.
    case handshakeTLS12 = "handshake-tls12"
    /// The same for every client.
    case handoff
    /// Bringing native handshakes of clients (docs/native-handshake.md), and forwarding the streams that follow.
    case native
    case rsaSign = "rsa-sign"
    case ecdsaSign = "ecdsa-sign"
    case ed25519Sign = "ed25519-sign"
    case rsaDecrypt = "rsa-decrypt"

    /// Whether it is done on digests or ciphertexts, by stock opcodes.
    public var isStock: Bool {
        switch self {
        case .rsaSign, .ecdsaSign, .ed25519Sign, .rsaDecrypt: true
        default: false
        }
    }

    /// What stock peers use: each signs or decrypts whatever it is given.
    public static let stock: Set<Operation> = Set(Self.allCases.filter(\.isStock))
    /// What an edge needs to serve a site in ``TrustMode/keyless`` mode.
    public static let keyless: Set<Operation> = [.certificate, .signTLS13, .handshakeTLS12]
    /// What an edge needs to serve a site in ``TrustMode/handoff`` mode.
    public static let handingOff: Set<Operation> = [.certificate, .handoff]
}
