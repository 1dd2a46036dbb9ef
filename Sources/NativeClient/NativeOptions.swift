public import NIOCore
public import NativeHandshake
public import TLSWire

/// How to reach an origin by the native handshake, and what to insist on.
public struct NativeOptions: Sendable {
    /// The site: asked for in the hello, and what the certificate must be for.
    public var serverName: ServerName
    /// Where to connect: the edge.
    public var host: String
    public var port: Int
    /// Which of the two key agreements. There is no fall-back from one to the other.
    public var variant: NativeVariant
    public var roots: ClientRoots = .system
    /// Accepted, preferred first; the origin chooses.
    public var suites: [NativeSuite] = NativeSuite.allCases
    /// Kinds of certificate keys accepted.
    public var keyKinds: [NativeKeyKind] = NativeKeyKind.allCases
    /// A third party that knows the site's key; nil: the certificate alone says.
    public var keyDirectory: KeyDirectory?
    /// For the connection and the whole handshake, chain verification and key directory included.
    public var timeout: TimeAmount = .seconds(15)
    /// How long the stream may be silent in both directions; nil: for ever.
    public var idleTimeout: TimeAmount? = .minutes(5)
    /// Whether events show the first four bytes of secrets. For demonstrations only.
    public var showsSecrets = false

    public init(serverName: ServerName, host: String, port: Int, variant: NativeVariant = .originDerived) {
        self.serverName = serverName
        self.host = host
        self.port = port
        self.variant = variant
    }
}

/// What happens on the way to a native stream, in order.
public enum NativeEvent: Sendable {
    /// The TCP connection stands.
    case connected(address: String)
    /// The machine did something.
    case step(NativeStep)
    /// The chain as the origin sent it, leaf first.
    case certificates([CertificateSummary])
    /// The chain is verified; the path leads from leaf to root.
    case chainVerified(path: [CertificateSummary])
    /// The key directory has this certificate's key.
    case directoryAgrees
    /// The key directory could not be asked, which the options allow.
    case directoryUnavailable(String)
    /// Both sides have proved to have the same key.
    case established(NativeVariant, NativeSuite, NativeKeyKind)
}

/// An event, and when it happened: since the client began to connect.
public struct TimedNativeEvent: Sendable {
    public var event: NativeEvent
    public var time: TimeAmount

    public init(event: NativeEvent, time: TimeAmount) {
        self.event = event
        self.time = time
    }
}
