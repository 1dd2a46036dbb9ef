/// What reaches the tokens of a key holder: settings fill it, the store of keys acts on it.
public struct TokenModule: Hashable, Sendable {
    /// Path of the PKCS #11 module, a shared library.
    public var module: String
    /// Where the PIN is, unless a key's name says so; nil: nowhere.
    public var pin: PINSource?
    /// Processes for each token, each with one session.
    public var workers: Int
    /// For an operation. One that takes longer is given up, and its process ended.
    public var timeout: Duration

    public init(module: String, pin: PINSource? = nil, workers: Int = 2, timeout: Duration = .seconds(2)) {
        self.module = module
        self.pin = pin
        self.workers = workers
        self.timeout = timeout
    }

    public static let workerRange: ClosedRange<Int> = 1...16
    public static let timeoutRange: ClosedRange<Duration> = .milliseconds(100) ... .seconds(30)
}

/// Where a PIN is.
public enum PINSource: Hashable, Sendable {
    /// A path.
    case file(String)
    /// The name of a credential that systemd handed to the service.
    case credential(String)
}
