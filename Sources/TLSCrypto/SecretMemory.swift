@_implementationOnly import CNIOBoringSSL

/// What is done with memory that holds secrets.
public enum SecretMemory {
    /// Overwrites the bytes with zeros, in a way that the compiler does not leave out.
    public static func erase(_ bytes: UnsafeMutableRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        OPENSSL_cleanse(base, bytes.count)
    }

    /// Compares in constant time. Only whether the lengths differ shows.
    public static func areEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        left.count == right.count && CRYPTO_memcmp(left.baseAddress, right.baseAddress, left.count) == 0
    }

    /// Fills the bytes from BoringSSL's random generator, which ends the process if the system has no randomness to give.
    public static func randomize(_ bytes: UnsafeMutableRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        RAND_bytes(base.assumingMemoryBound(to: UInt8.self), bytes.count)
    }
}
