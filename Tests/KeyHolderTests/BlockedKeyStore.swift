import Dispatch
import RecordLayer
import Synchronization
import TLSWire
import X509

@testable import KeyHolder

/// A store whose RSA keys are slow on the signing threads, as large ones are, and wait there until ``open()``.
final class BlockedKeyStore: KeyStore {
    private let semaphore = DispatchSemaphore(value: 0)
    private let begunMarks = Mutex<[UInt8]>([])
    private let first: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        (self.first, self.continuation) = AsyncStream.makeStream()
    }

    /// The last bytes of what was signed, in the order in which operations were begun.
    var marks: [UInt8] { self.begunMarks.withLock { $0 } }

    /// Returns when an operation has begun.
    func begun() async {
        for await _ in self.first { return }
    }

    func open() {
        self.semaphore.signal()
    }

    func key(
        from source: KeySource, for certified: Certificate.PublicKey
    ) throws(SiteLoadError) -> any StoredKey {
        BlockedKey(key: try SoftwareKeyStore().key(from: source), store: self)
    }

    private func pass(_ mark: UInt8) {
        self.begunMarks.withLock { $0.append(mark) }
        self.continuation.yield()
        // Once opened, open for good.
        self.semaphore.wait()
        self.semaphore.signal()
    }

    private struct BlockedKey: StoredKey {
        var key: any StoredKey
        var store: BlockedKeyStore
        var type: KeyType { self.key.type }
        var publicKey: Certificate.PublicKey { self.key.publicKey }

        func privateKeyInfo() -> Secret? { self.key.privateKeyInfo() }

        func cost(of operation: KeyOperation) -> KeyOperationCost {
            self.type.isRSA ? .offload : self.key.cost(of: operation)
        }

        func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8] {
            if self.type.isRSA, case .sign(_, let content) = operation { self.store.pass(content.bytes.last ?? 0) }
            return try self.key.perform(operation)
        }
    }
}
