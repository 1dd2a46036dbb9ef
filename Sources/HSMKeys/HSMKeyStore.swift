public import HSMWire
public import KeyHolder
public import Logging
import Synchronization
import TLSWire
public import X509

/// Keys from PEM files, and keys on tokens that a PKCS #11 module reaches.
///
/// One for the life of a key holder: a reload brings its sites to the same one, so that a PIN that a token refused is remembered.
public final class HSMKeyStore: KeyStore {
    /// The worker, as this same program runs it.
    public static let workerCommand = "hsm-worker"

    private let module: TokenModule?
    private let program: [String]
    private let files = SoftwareKeyStore()
    private let desk: LoginDesk
    private let logger: Logger
    /// For the audit.
    public let events = TokenEvents()
    /// A pool lives as long as a key of its token does.
    private let pools = Mutex<[WorkerPool.Configuration: WeakPool]>([:])

    private struct WeakPool {
        weak var pool: WorkerPool?
    }

    /// - Parameters:
    ///   - module: nil: there are no tokens.
    ///   - refusedPINs: Path of the file that remembers over restarts which PINs were refused; nil: nothing does.
    ///   - program: What is run as a worker, with arguments. By default the program that runs now, even if its file was replaced.
    public init(
        _ module: TokenModule?, refusedPINs: String? = nil, logger: Logger,
        program: [String] = ["/proc/self/exe", HSMKeyStore.workerCommand]
    ) {
        self.module = module
        self.desk = LoginDesk(refused: refusedPINs.map { RefusedPINs(path: $0) })
        self.logger = logger
        self.program = program
    }

    /// Whether every token that is in use did what it was last asked.
    public var isWell: Bool {
        self.pools.withLock { $0.values.compactMap(\.pool) }.allSatisfy(\.isWell)
    }

    /// For a key on a token, this has it sign once by each scheme, and verifies that with the certificate's key.
    public func key(
        from source: KeySource, for certified: Certificate.PublicKey
    ) throws(SiteLoadError) -> any StoredKey {
        guard case .token(let uri) = source else { return try self.files.key(from: source, for: certified) }
        guard let module = self.module else {
            throw .token(uri.name, reason: "the key holder was started without hsm.module; write it, and restart")
        }
        let pin = uri.pinFile.map { PINSource.file($0) } ?? module.pin
        let pool = self.pool(
            WorkerPool.Configuration(module: module, token: uri.token, pin: pin, program: self.program))
        guard let key = TokenKey(uri.key, of: certified, in: pool) else {
            throw .token(
                uri.name,
                reason: "the certificate's key is of another kind than P-256, P-384 and RSA of 2048 to 4096 bits")
        }
        do throws(HSMError) { try pool.prepare() } catch { throw .token(uri.name, reason: "\(error)") }
        var random = SystemRandomNumberGenerator()
        for scheme in key.type.schemes {
            // A transcript hash that no handshake has.
            let hash = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
            let content = SignedContent.tls13Server(transcriptHash: hash)
            do throws(HSMError) {
                _ = try key.sign(scheme, content.bytes, .load)
            } catch {
                throw .token(uri.name, reason: "\(error)")
            }
        }
        return key
    }

    private func pool(_ configuration: WorkerPool.Configuration) -> WorkerPool {
        self.pools.withLock { pools in
            pools = pools.filter { $0.value.pool != nil }
            if let pool = pools[configuration]?.pool { return pool }
            let pool = WorkerPool(configuration, desk: self.desk, events: self.events, logger: self.logger)
            pools[configuration] = WeakPool(pool: pool)
            return pool
        }
    }
}
