import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A digest that came over the wire, for ECDSA.
///
/// swift-crypto's ECDSA reads any digest's bytes. Its RSA accepts only its own digest types, which no other code can make;
/// see ``RSABlock`` for that.
struct RawDigest: Digest {
    /// The largest of all; what an instance holds is asked of the instance.
    static let byteCount: Int = 64

    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try self.bytes.withUnsafeBytes(body)
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(self.bytes)
    }
}
