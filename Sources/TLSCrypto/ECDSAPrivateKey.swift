@_implementationOnly import CNIOBoringSSL

/// An ECDSA private key (FIPS 186-5 §6).
///
/// BoringSSL erases the key when it is released. It is never changed, so threads may use it at the same time.
public final class ECDSAPrivateKey: @unchecked Sendable {
    public enum Curve: Sendable {
        case p256
        case p384
        case p521

        fileprivate var identifier: CInt {
            switch self {
            case .p256: NID_X9_62_prime256v1
            case .p384: NID_secp384r1
            case .p521: NID_secp521r1
            }
        }

        /// Bytes of a private key.
        public var length: Int {
            switch self {
            case .p256: 32
            case .p384: 48
            case .p521: 66
            }
        }
    }

    public let curve: Curve
    /// An `EC_KEY`.
    private let key: OpaquePointer
    /// Bytes of the longest signature.
    private let longestSignature: Int

    /// - Parameter scalar: big-endian, of ``Curve/length`` bytes.
    /// - Returns: nil where it is no private key of the curve's.
    public init?(_ curve: Curve, scalar: UnsafeRawBufferPointer) {
        guard scalar.count == curve.length, let key = EC_KEY_new_by_curve_name(curve.identifier) else { return nil }
        guard EC_KEY_oct2priv(key, scalar.baseAddress?.assumingMemoryBound(to: UInt8.self), scalar.count) == 1 else {
            EC_KEY_free(key)
            ERR_clear_error()
            return nil
        }
        self.curve = curve
        self.key = key
        self.longestSignature = ECDSA_size(key)
    }

    deinit { EC_KEY_free(self.key) }

    /// - Parameter digest: what a hash function gave; of a longer one than the curve's order the first bits are signed.
    /// - Returns: DER of an `ECDSA-Sig-Value` (RFC 3279 §2.2.3); nil where BoringSSL fails.
    public func sign(digest: UnsafeRawBufferPointer) -> [UInt8]? {
        let bytes = digest.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let signature = [UInt8](unsafeUninitializedCapacity: self.longestSignature) { output, count in
            var length: CUnsignedInt = 0
            count = ECDSA_sign(0, bytes, digest.count, output.baseAddress, &length, self.key) == 1 ? Int(length) : 0
        }
        guard !signature.isEmpty else {
            ERR_clear_error()
            return nil
        }
        return signature
    }

    /// Lends the private key: big-endian, of ``Curve/length`` bytes, erased afterwards.
    public func withScalar<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeTemporaryAllocation(byteCount: self.curve.length, alignment: 8) {
            (scalar: UnsafeMutableRawBufferPointer) throws(Failure) -> Result in
            defer { SecretMemory.erase(scalar) }
            let written = EC_KEY_priv2oct(
                self.key, scalar.baseAddress?.assumingMemoryBound(to: UInt8.self), scalar.count)
            precondition(written == scalar.count, "a private key is as long as its curve's order")
            return try body(UnsafeRawBufferPointer(scalar))
        }
    }
}
