@_implementationOnly import CNIOBoringSSL

/// A key of one AEAD, set up once: a message changes no more than its nonce.
///
/// The schedule of the key is not written after the initialiser, so several threads may seal and open with one value at a time. It
/// can't be copied; it is erased and freed when the owner lets go.
///
/// What repeats a nonce is the caller's bug, and nothing here can see it. How many messages a key may protect is the caller's to count,
/// too (RFC 8446 §5.5).
public struct AEADKey: ~Copyable, @unchecked Sendable {
    /// An `EVP_AEAD_CTX`. Nil if the key has the wrong length or there is no memory: then nothing seals or opens.
    let context: UnsafeMutableRawPointer?
    public let algorithm: AEADAlgorithm

    /// - Parameter key: ``AEADAlgorithm/keyLength`` bytes. With any other number of them, the value seals and opens nothing.
    public init(_ algorithm: AEADAlgorithm, key: UnsafeRawBufferPointer) {
        self.algorithm = algorithm
        guard key.count == algorithm.keyLength,
            let context = EVP_AEAD_CTX_new(
                algorithm.pointer, key.baseAddress?.assumingMemoryBound(to: UInt8.self), key.count,
                AEADAlgorithm.tagLength)
        else {
            ERR_clear_error()
            self.context = nil
            return
        }
        self.context = UnsafeMutableRawPointer(context)
    }

    deinit {
        // BoringSSL erases what it frees.
        EVP_AEAD_CTX_free(self.context?.assumingMemoryBound(to: EVP_AEAD_CTX.self))
    }

    /// Protects one message, without a copy in between: `content`, what follows it in `second` and `third`, and `trailer` are one plaintext.
    ///
    /// - Parameters:
    ///   - content: where the output begins, or anywhere outside of the output. Empty is allowed, for all parts.
    ///   - second, third: outside of the output.
    ///   - trailer: the last bytes of the plaintext, outside of the output: the inner content type of a TLS 1.3 record, which has
    ///     no room behind the content.
    ///   - output: gets ciphertext and tag; exactly as long as all parts and the tag together.
    ///   - nonce: ``AEADAlgorithm/nonceLength`` bytes.
    ///   - data: authenticated beside it.
    /// - Returns: false for lengths that do not fit, or if BoringSSL refuses: the output is zeros then.
    public borrowing func seal(
        _ content: UnsafeRawBufferPointer,
        _ second: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        _ third: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        trailer: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        into output: UnsafeMutableRawBufferPointer, nonce: UnsafeRawBufferPointer,
        authenticating data: UnsafeRawBufferPointer
    ) -> Bool {
        guard let base = output.baseAddress else { return false }
        let length: Int = content.count + second.count + third.count + trailer.count
        var written = 0
        guard let context = self.context, nonce.count == self.algorithm.nonceLength,
            output.count == length + AEADAlgorithm.tagLength
        else {
            SecretMemory.erase(output)
            return false
        }
        let isSealed: Bool = withUnsafeTemporaryAllocation(of: CRYPTO_IOVEC.self, capacity: 4) { parts in
            var (count, place) = (0, base)
            func add(_ part: UnsafeRawBufferPointer) {
                guard let start = part.baseAddress, part.count > 0 else { return }
                (parts.baseAddress.map { $0 + count })?.initialize(
                    to: CRYPTO_IOVEC(
                        out: place.assumingMemoryBound(to: UInt8.self), in: start.assumingMemoryBound(to: UInt8.self),
                        len: part.count))
                count += 1
                place += part.count
            }
            add(content)
            add(second)
            add(third)
            add(trailer)
            var beside = CRYPTO_IVEC(in: data.baseAddress?.assumingMemoryBound(to: UInt8.self), len: data.count)
            return EVP_AEAD_CTX_sealv(
                context.assumingMemoryBound(to: EVP_AEAD_CTX.self), parts.baseAddress, count,
                place.assumingMemoryBound(to: UInt8.self), &written, AEADAlgorithm.tagLength,
                nonce.baseAddress?.assumingMemoryBound(to: UInt8.self), nonce.count, &beside, 1) == 1
        }
        guard isSealed else {
            ERR_clear_error()
            SecretMemory.erase(output)
            return false
        }
        return true
    }

    /// Opens one message.
    ///
    /// - Parameters:
    ///   - sealed: the ciphertext and its tag.
    ///   - output: gets the plaintext; exactly as long as the ciphertext. Begins where `sealed` does, or lies outside of it.
    ///   - nonce: ``AEADAlgorithm/nonceLength`` bytes.
    /// - Returns: whether it is authentic. If not, the output is zeros: nothing of a forgery stays there.
    public borrowing func open(
        _ sealed: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, nonce: UnsafeRawBufferPointer,
        authenticating data: UnsafeRawBufferPointer
    ) -> Bool {
        let length: Int = sealed.count - AEADAlgorithm.tagLength
        guard let context = self.context, nonce.count == self.algorithm.nonceLength, length >= 0,
            output.count == length, let input = sealed.baseAddress,
            EVP_AEAD_CTX_open_gather(
                context.assumingMemoryBound(to: EVP_AEAD_CTX.self),
                output.baseAddress?.assumingMemoryBound(to: UInt8.self),
                nonce.baseAddress?.assumingMemoryBound(to: UInt8.self), nonce.count,
                input.assumingMemoryBound(to: UInt8.self), length,
                (input + length).assumingMemoryBound(to: UInt8.self), AEADAlgorithm.tagLength,
                data.baseAddress?.assumingMemoryBound(to: UInt8.self), data.count) == 1
        else {
            ERR_clear_error()
            SecretMemory.erase(output)
            return false
        }
        return true
    }
}
