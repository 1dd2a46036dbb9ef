import CLibCrypto

/// The hash functions and MACs of the suites.
extension RecordHash {
    /// The longest digest, in bytes.
    static let maximumLength = 48
    /// What the compression function takes at a time, in bytes.
    private var blockLength: Int { self == .sha256 ? 64 : 128 }

    /// The digest of the bytes.
    func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.maximumLength) { output, count in
            hash(bytes, UnsafeRawBufferPointer(start: nil, count: 0), into: UnsafeMutableRawBufferPointer(output))
            count = length
        }
    }

    /// HMAC (RFC 2104) over the bytes.
    ///
    /// - Parameter key: at most a block, as all keys of TLS are: none is longer than a digest.
    func authenticate(_ bytes: UnsafeRawBufferPointer, key: Secret) -> Secret {
        Secret(count: length) { authenticate(bytes, key: key, into: $0) }
    }

    /// libcrypto's own HMAC would look its algorithms up for every call, which takes five times as long as this.
    func authenticate(_ bytes: UnsafeRawBufferPointer, key: Secret, into output: UnsafeMutableRawBufferPointer) {
        let blockLength: Int = blockLength
        precondition(key.count <= blockLength, "no key of TLS is longer than a block")
        withUnsafeTemporaryAllocation(byteCount: blockLength, alignment: 8) { pad in
            for index in 0..<blockLength { pad[index] = 0x36 }
            key.withUnsafeBytes { key in
                for index in 0..<key.count { pad[index] ^= key[index] }
            }
            hash(UnsafeRawBufferPointer(pad), bytes, into: output)
            for index in 0..<blockLength { pad[index] ^= 0x36 ^ 0x5C }
            hash(
                UnsafeRawBufferPointer(pad),
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(output)[..<length]),
                into: output)
            OPENSSL_cleanse(pad.baseAddress, blockLength)
        }
    }

    /// Hashes both parts, one after the other.
    private func hash(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) {
        precondition(output.count >= length)
        let context: OpaquePointer? = EVP_MD_CTX_new()
        // It erases what it held.
        defer { EVP_MD_CTX_free(context) }
        let succeeded: Bool =
            EVP_DigestInit_ex2(context, LibCrypto.algorithm(self), nil) == 1
            && (first.isEmpty || EVP_DigestUpdate(context, first.baseAddress, first.count) == 1)
            && (second.isEmpty || EVP_DigestUpdate(context, second.baseAddress, second.count) == 1)
            && EVP_DigestFinal_ex(context, output.baseAddress?.assumingMemoryBound(to: UInt8.self), nil) == 1
        // SHA-2 fails only without memory, or on a system without it, where no handshake gets this far.
        precondition(succeeded, "libcrypto cannot compute SHA-2")
    }
}
