import Crypto
import FleetBus

/// A signer with its own count.
struct TestSigner {
    let key = Curve25519.Signing.PrivateKey()
    let name: String
    var counter: UInt64 = 100

    init(_ name: String) { self.name = name }

    var publicKey: SignerKey { SignerKey(self.key) }

    func listed(_ rights: PurgeRights = .everything) -> Signer {
        Signer(name: self.name, key: self.publicKey, rights: rights)
    }

    /// Another order, as the entry at `id`.
    mutating func next(
        at id: StreamID, _ targets: [FleetPurge.Target] = [.url("https://www.test/a")], fleet: String = "test",
        time: Int64 = 1_000_000_000_000, generation: Generation = .test
    ) throws -> (StreamEntry, PurgeEntry) {
        self.counter += 1
        let order = self.order(self.counter, targets, fleet: fleet, time: time, generation: generation)
        return (StreamEntry(id: id, payload: try order.signed(by: self.key)), order)
    }

    func order(
        _ counter: UInt64, _ targets: [FleetPurge.Target] = [.url("https://www.test/a")], fleet: String = "test",
        time: Int64 = 1_000_000_000_000, generation: Generation = .test
    ) -> PurgeEntry {
        PurgeEntry(
            fleet: fleet, signer: self.publicKey, counter: counter, time: time, generation: generation,
            purge: FleetPurge(targets: targets, isSoft: false))
    }
}

extension Generation {
    static let test = Generation([UInt8](repeating: 7, count: 16))!
    static let other = Generation([UInt8](repeating: 8, count: 16))!
}
