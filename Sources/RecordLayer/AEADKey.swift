import CLibCrypto

/// A key of one of the bulk ciphers, for one direction.
///
/// The cipher is set up once; a record changes no more than its nonce. That is what makes short records cheap: libcrypto's
/// look-up of an algorithm alone costs more than the protection of one.
///
/// The context is written by every record, so there must be one owner: it can't be copied, and is freed, with its keys
/// erased, when the owner lets go. That is also why it may be sent to another thread, although a pointer may not.
struct AEADKey: ~Copyable, @unchecked Sendable {
    enum Direction: Int32 {
        case open = 0
        case seal = 1
    }

    /// Nil if libcrypto lacks memory, or the cipher, which ``ExportedSession`` checks: then nothing seals or opens.
    private let context: OpaquePointer?
    private let cipher: RecordCipher

    init(_ cipher: RecordCipher, key: Secret, _ direction: Direction) {
        self.cipher = cipher
        guard let algorithm: OpaquePointer = LibCrypto.algorithm(cipher), let context = EVP_CIPHER_CTX_new() else {
            context = nil
            return
        }
        let isReady: Bool = key.withUnsafeBytes { key in
            key.count == cipher.keyLength
                && EVP_CipherInit_ex2(
                    context, algorithm, key.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, direction.rawValue,
                    nil) == 1
        }
        guard isReady else {
            EVP_CIPHER_CTX_free(context)
            ERR_clear_error()
            self.context = nil
            return
        }
        self.context = context
    }

    deinit {
        // Erases the expanded key before it frees it.
        EVP_CIPHER_CTX_free(context)
    }

    /// Protects one record, without a copy in between.
    ///
    /// - Parameters:
    ///   - content: what to encrypt; elsewhere than the output, or nil if it stands there already.
    ///   - trailer: bytes of plaintext that stand in the output behind where the content goes.
    ///   - output: gets ciphertext and tag; as long as content, trailer and tag together.
    ///   - nonce: 12 bytes.
    ///   - data: authenticated beside it.
    /// - Returns: false if libcrypto refuses; the output then holds nothing of use to anyone.
    mutating func seal(
        _ content: UnsafeRawBufferPointer?, trailer: Int, into output: UnsafeMutableRawBufferPointer,
        nonce: UnsafeRawPointer, authenticating data: UnsafeRawBufferPointer
    ) -> Bool {
        let length: Int = output.count - RecordCipher.tagLength
        guard let context, let base = output.baseAddress, length >= 0, trailer <= length else { return false }
        let succeeded: Bool =
            EVP_CipherInit_ex2(context, nil, nil, nonce.assumingMemoryBound(to: UInt8.self), -1, nil) == 1
            && Self.update(context, nil, data.baseAddress, data.count)
            && Self.update(context, base, content?.baseAddress ?? UnsafeRawPointer(base), length - trailer)
            && Self.update(context, base + (length - trailer), base + (length - trailer), trailer)
            && Self.finish(context, base + length)
            && Self.withTag(base + length) { EVP_CIPHER_CTX_get_params(context, $0) == 1 }
        if !succeeded {
            ERR_clear_error()
            OPENSSL_cleanse(base, output.count)
        }
        return succeeded
    }

    /// Opens one record, out of the ciphertext into the output.
    ///
    /// - Parameters:
    ///   - sealed: the ciphertext and its tag.
    ///   - output: gets the plaintext; at least as long as that. If the record isn't authentic, nothing of it stays here.
    /// - Returns: whether it is authentic.
    mutating func open(
        _ sealed: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer,
        nonce: UnsafeRawPointer, authenticating data: UnsafeRawBufferPointer
    ) -> Bool {
        let length: Int = sealed.count - RecordCipher.tagLength
        guard let context, let input = sealed.baseAddress, let base = output.baseAddress, length >= 0,
            output.count >= length
        else { return false }
        // libcrypto takes the tag through a pointer that could be written to, and only reads it.
        let tag = UnsafeMutableRawPointer(mutating: input + length)
        let isAuthentic: Bool =
            EVP_CipherInit_ex2(context, nil, nil, nonce.assumingMemoryBound(to: UInt8.self), -1, nil) == 1
            && Self.withTag(tag) { EVP_CIPHER_CTX_set_params(context, $0) == 1 }
            && Self.update(context, nil, data.baseAddress, data.count)
            && Self.update(context, base, input, length)
            && Self.finish(context, base + length)
        if !isAuthentic {
            ERR_clear_error()
            OPENSSL_cleanse(base, length)
        }
        return isAuthentic
    }

    /// Nothing to do counts as done; without an output, the input is authenticated only.
    @inline(__always)
    private static func update(
        _ context: OpaquePointer, _ output: UnsafeMutableRawPointer?, _ input: UnsafeRawPointer?, _ count: Int
    ) -> Bool {
        guard count > 0 else { return true }
        var written: Int32 = 0
        return EVP_CipherUpdate(
            context, output?.assumingMemoryBound(to: UInt8.self), &written,
            input?.assumingMemoryBound(to: UInt8.self), Int32(truncatingIfNeeded: count)) == 1
    }

    /// Writes nothing: these are stream ciphers. When opening, this is what compares the tags, in constant time.
    @inline(__always)
    private static func finish(_ context: OpaquePointer, _ output: UnsafeMutableRawPointer) -> Bool {
        var written: Int32 = 0
        return EVP_CipherFinal_ex(context, output.assumingMemoryBound(to: UInt8.self), &written) == 1
    }

    /// The parameter through which libcrypto gives and takes tags.
    @inline(__always)
    private static func withTag(
        _ tag: UnsafeMutableRawPointer, _ body: (UnsafeMutablePointer<OSSL_PARAM>) -> Bool
    ) -> Bool {
        withUnsafeTemporaryAllocation(of: OSSL_PARAM.self, capacity: 2) { parameters in
            guard let first = parameters.baseAddress else { return false }
            first.initialize(
                to: OSSL_PARAM_construct_octet_string(LibCrypto.tagName, tag, RecordCipher.tagLength))
            (first + 1).initialize(to: OSSL_PARAM_construct_end())
            return body(first)
        }
    }
}
