@_implementationOnly import CNIOBoringSSL

/// The hashes of TLS, and their MACs.
public enum HashAlgorithm: Sendable, CaseIterable {
    case sha256
    case sha384

    /// Bytes of a digest.
    public var length: Int { self == .sha256 ? 32 : 48 }
    /// The longest digest, in bytes.
    public static let maximumLength = 48
    /// What the compression function takes at a time, in bytes.
    public var blockLength: Int { self == .sha256 ? 64 : 128 }

    /// BoringSSL's table for it: constant, and shared by all threads.
    var pointer: OpaquePointer? { self == .sha256 ? EVP_sha256() : EVP_sha384() }

    /// The digest of the bytes.
    public func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.maximumLength) { output, count in
            self.hash(bytes, UnsafeRawBufferPointer(start: nil, count: 0), into: UnsafeMutableRawBufferPointer(output))
            count = self.length
        }
    }

    /// HMAC (RFC 2104) over the bytes.
    ///
    /// BoringSSL's own leaves the padded key on the stack; here it is erased.
    ///
    /// - Parameters:
    ///   - key: of any length.
    ///   - output: ``length`` bytes or more; the rest is left alone.
    public func authenticate(
        _ bytes: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) {
        let blockLength: Int = self.blockLength
        withUnsafeTemporaryAllocation(byteCount: blockLength, alignment: 8) { pad in
            defer { SecretMemory.erase(pad) }
            for index in 0..<blockLength { pad[index] = 0 }
            if key.count > blockLength {
                self.hash(key, UnsafeRawBufferPointer(start: nil, count: 0), into: pad)
            } else {
                pad.copyMemory(from: key)
            }
            for index in 0..<blockLength { pad[index] ^= 0x36 }
            self.hash(UnsafeRawBufferPointer(pad), bytes, into: output)
            for index in 0..<blockLength { pad[index] ^= 0x36 ^ 0x5C }
            self.hash(
                UnsafeRawBufferPointer(pad),
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(output)[..<self.length]),
                into: output)
        }
    }

    /// Hashes both parts, one after the other, with a state on the stack, which is erased.
    private func hash(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) {
        precondition(output.count >= self.length)
        let digest = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        switch self {
        case .sha256:
            withUnsafeTemporaryAllocation(of: SHA256_CTX.self, capacity: 1) { state in
                defer { SecretMemory.erase(UnsafeMutableRawBufferPointer(state)) }
                SHA256_Init(state.baseAddress)
                if !first.isEmpty { SHA256_Update(state.baseAddress, first.baseAddress, first.count) }
                if !second.isEmpty { SHA256_Update(state.baseAddress, second.baseAddress, second.count) }
                SHA256_Final(digest, state.baseAddress)
            }
        case .sha384:
            withUnsafeTemporaryAllocation(of: SHA512_CTX.self, capacity: 1) { state in
                defer { SecretMemory.erase(UnsafeMutableRawBufferPointer(state)) }
                SHA384_Init(state.baseAddress)
                if !first.isEmpty { SHA384_Update(state.baseAddress, first.baseAddress, first.count) }
                if !second.isEmpty { SHA384_Update(state.baseAddress, second.baseAddress, second.count) }
                SHA384_Final(digest, state.baseAddress)
            }
        }
    }
}

/// A digest over bytes that come one after the other. What it held is erased when it is released.
public struct RunningHash: ~Copyable {
    public let algorithm: HashAlgorithm
    /// An `EVP_MD_CTX`.
    private let context: UnsafeMutableRawPointer

    public init(_ algorithm: HashAlgorithm) {
        // There is one way to fail: no memory, where Swift's own allocations end the process as well.
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, algorithm.pointer, nil) == 1 else {
            preconditionFailure("no memory for a hash")
        }
        self.algorithm = algorithm
        self.context = UnsafeMutableRawPointer(context)
    }

    deinit { EVP_MD_CTX_free(self.context.assumingMemoryBound(to: EVP_MD_CTX.self)) }

    public borrowing func update(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        EVP_DigestUpdate(self.context.assumingMemoryBound(to: EVP_MD_CTX.self), bytes.baseAddress, bytes.count)
    }

    /// - Parameter output: as long as a digest, or longer; the rest is left alone.
    public consuming func finish(into output: UnsafeMutableRawBufferPointer) { self.write(to: output) }

    public consuming func finish() -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: self.algorithm.length)
        digest.withUnsafeMutableBytes { self.write(to: $0) }
        return digest
    }

    private borrowing func write(to output: UnsafeMutableRawBufferPointer) {
        precondition(output.count >= self.algorithm.length)
        EVP_DigestFinal_ex(
            self.context.assumingMemoryBound(to: EVP_MD_CTX.self),
            output.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
    }
}
