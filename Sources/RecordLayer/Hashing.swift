import CLibCrypto

/// The hash functions and MACs of the suites.
extension RecordHash {
    /// The longest digest, in bytes.
    static let maximumLength = 48

    private var function: OpaquePointer { self == .sha256 ? EVP_sha256() : EVP_sha384() }

    /// The digest of the bytes.
    func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.maximumLength) { output, count in
            // It fails only without memory, or without the hash: then no handshake got this far.
            let succeeded: Bool =
                EVP_Digest(bytes.baseAddress, bytes.count, output.baseAddress, nil, function, nil) == 1
            precondition(succeeded, "libcrypto has no SHA-2")
            count = length
        }
    }

    /// HMAC (RFC 2104) over the bytes.
    func authenticate(_ bytes: UnsafeRawBufferPointer, key: Secret) -> Secret {
        Secret(count: length) { output in
            key.withUnsafeBytes { key in
                let result = HMAC(
                    function, key.baseAddress, Int32(key.count),
                    bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count,
                    output.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
                precondition(result != nil, "libcrypto has no HMAC with SHA-2")
            }
        }
    }
}
