internal import Crypto
internal import HTTPCaching
internal import NIOConcurrencyHelpers

/// Which keys the disk may hold: a hash and a count for each, so that most misses never ask the disk.
///
/// Memory: between 12 and 24 bytes for each key, whose number is bounded by `DiskLimits.entries`.
final class KeyFilter: Sendable {
    /// In stripes, so that none is held for long while it grows.
    private let stripes: [NIOLockedValueBox<[UInt64: UInt8]>] = (0..<64).map { _ in NIOLockedValueBox([:]) }

    /// The same on every run: it stands in the index. Eight bytes of SHA-256, so that no client can make keys that meet.
    static func hash(_ key: CacheKey) -> UInt64 {
        var hash = SHA256()
        var site: String = key.site
        var uri: String = key.uri
        site.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        withUnsafeBytes(of: UInt8(0)) { hash.update(bufferPointer: $0) }
        uri.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        return hash.finalize().prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    func count(_ hash: UInt64) -> Int {
        self.stripe(hash).withLockedValue { Int($0[hash] ?? 0) }
    }

    func add(_ hash: UInt64) {
        self.stripe(hash).withLockedValue { counts in
            // A count at its end stays there: it is then wrong only in saying yes.
            if counts[hash, default: 0] < UInt8.max { counts[hash, default: 0] += 1 }
        }
    }

    func remove(_ hash: UInt64) {
        self.stripe(hash).withLockedValue { counts in
            guard let count = counts[hash], count < UInt8.max else { return }
            counts[hash] = count > 1 ? count - 1 : nil
        }
    }

    func replace(with hashes: [UInt64]) {
        for stripe in self.stripes { stripe.withLockedValue { $0 = [:] } }
        for hash in hashes { self.add(hash) }
    }

    private func stripe(_ hash: UInt64) -> NIOLockedValueBox<[UInt64: UInt8]> {
        self.stripes[Int(truncatingIfNeeded: hash >> 58)]
    }
}
