import RecordLayer
import TLSWire

@_implementationOnly import CNIOBoringSSL

/// BoringSSL's form of a credential, and the leaf's public key. Set up once and then only read.
final class CredentialHandle {
    /// An `SSL_CREDENTIAL`.
    let credential: OpaquePointer
    /// An `EVP_PKEY`.
    private let publicKey: OpaquePointer

    var isRSA: Bool { EVP_PKEY_id(self.publicKey) == EVP_PKEY_RSA }

    init(_ description: ServerCredential) throws(EngineError) {
        ErrorQueue.clear()
        guard let leaf = description.chain.first else { throw EngineError("an empty certificate chain") }
        self.publicKey = try Self.publicKey(ofCertificate: leaf)
        guard let credential = SSL_CREDENTIAL_new_x509() else {
            EVP_PKEY_free(self.publicKey)
            throw EngineError("a certificate", ErrorQueue.self)
        }
        self.credential = credential
        // All properties are there, so deinit frees what is thrown away.
        try self.setChain(description.chain)
        switch description.key {
        case .remote(let schemes): try self.setRemoteKey(schemes)
        case .local(let pkcs8): try self.setLocalKey(pkcs8)
        }
        if let response = description.ocspResponse { try self.setOCSPResponse(response) }
    }

    deinit {
        SSL_CREDENTIAL_free(self.credential)
        EVP_PKEY_free(self.publicKey)
    }

    private func setChain(_ chain: [[UInt8]]) throws(EngineError) {
        // Parsed here, so that what is no certificate shows now.
        for certificate in chain.dropFirst() { EVP_PKEY_free(try Self.publicKey(ofCertificate: certificate)) }
        let buffers: [OpaquePointer?] = chain.map { CRYPTO_BUFFER_new($0, $0.count, nil) }
        defer { for buffer in buffers { CRYPTO_BUFFER_free(buffer) } }
        guard !buffers.contains(nil),
            SSL_CREDENTIAL_set1_cert_chain(self.credential, buffers, buffers.count) == 1
        else { throw EngineError("a certificate chain", ErrorQueue.self) }
    }

    private func setRemoteKey(_ schemes: [SignatureScheme]) throws(EngineError) {
        let usable: [UInt16] = schemes.map(\.rawValue).filter { scheme in
            SSL_get_signature_algorithm_key_type(scheme) == EVP_PKEY_id(self.publicKey) && !Self.isWeak(scheme)
        }
        guard !usable.isEmpty else { throw EngineError("no signature scheme suits the certificate's key") }
        guard SSL_CREDENTIAL_set1_signing_algorithm_prefs(self.credential, usable, usable.count) == 1,
            SSL_CREDENTIAL_set_private_key_method(self.credential, Callbacks.signing.pointer) == 1
        else { throw EngineError("signature schemes", ErrorQueue.self) }
    }

    private func setLocalKey(_ pkcs8: Secret) throws(EngineError) {
        let key: OpaquePointer? = pkcs8.withUnsafeBytes { bytes in
            var reader = CBS()
            CBS_init(&reader, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
            let key: OpaquePointer? = EVP_parse_private_key(&reader)
            guard CBS_len(&reader) == 0 else {
                EVP_PKEY_free(key)
                return nil
            }
            return key
        }
        defer { EVP_PKEY_free(key) }
        guard let key else { throw EngineError("a private key in PKCS #8", ErrorQueue.self) }
        guard EVP_PKEY_cmp(key, self.publicKey) == 1 else {
            ErrorQueue.clear()
            throw EngineError("the private key is not the certificate's")
        }
        guard SSL_CREDENTIAL_set1_private_key(self.credential, key) == 1 else {
            throw EngineError("a private key", ErrorQueue.self)
        }
    }

    private func setOCSPResponse(_ response: [UInt8]) throws(EngineError) {
        guard (1..<(1 << 24)).contains(response.count) else {
            throw EngineError("an OCSP response of \(response.count) bytes")
        }
        let buffer: OpaquePointer? = CRYPTO_BUFFER_new(response, response.count, nil)
        defer { CRYPTO_BUFFER_free(buffer) }
        guard let buffer, SSL_CREDENTIAL_set1_ocsp_response(self.credential, buffer) == 1 else {
            throw EngineError("an OCSP response", ErrorQueue.self)
        }
    }

    /// SHA-1 is of no use to any client worth serving.
    private static func isWeak(_ scheme: UInt16) -> Bool { scheme >> 8 == 0x02 }

    private static func publicKey(ofCertificate certificate: [UInt8]) throws(EngineError) -> OpaquePointer {
        let key: OpaquePointer? = certificate.withUnsafeBufferPointer { bytes in
            var next: UnsafePointer<UInt8>? = bytes.baseAddress
            let parsed: OpaquePointer? = d2i_X509(nil, &next, bytes.count)
            defer { X509_free(parsed) }
            guard let parsed, next == bytes.baseAddress.map({ $0 + bytes.count }) else { return nil }
            return X509_get_pubkey(parsed)
        }
        guard let key else { throw EngineError("a certificate in DER", ErrorQueue.self) }
        return key
    }

    // MARK: Verifying

    func verifies(_ signature: [UInt8], _ scheme: SignatureScheme, _ content: [UInt8]) -> Bool {
        ErrorQueue.clear()
        defer { ErrorQueue.clear() }
        guard SSL_get_signature_algorithm_key_type(scheme.rawValue) == EVP_PKEY_id(self.publicKey),
            let context = EVP_MD_CTX_new()
        else { return false }
        defer { EVP_MD_CTX_free(context) }
        var keyContext: OpaquePointer?
        guard
            EVP_DigestVerifyInit(
                context, &keyContext, SSL_get_signature_algorithm_digest(scheme.rawValue), nil, self.publicKey) == 1
        else { return false }
        if SSL_is_signature_algorithm_rsa_pss(scheme.rawValue) == 1 {
            // The salt is as long as the digest (RFC 8446 §4.2.3).
            guard EVP_PKEY_CTX_set_rsa_padding(keyContext, RSA_PKCS1_PSS_PADDING) == 1,
                EVP_PKEY_CTX_set_rsa_pss_saltlen(keyContext, -1) == 1
            else { return false }
        }
        return EVP_DigestVerify(context, signature, signature.count, content, content.count) == 1
    }
}
