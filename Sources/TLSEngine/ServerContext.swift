import RecordLayer

@_implementationOnly import CNIOBoringSSL

/// What the handshakes of one site have in common: certificates, policy, ticket keys.
///
/// **Sharing.** A value may be used by any number of threads at a time. BoringSSL counts references to an `SSL_CTX` atomically and
/// only reads it once it is set up; all of that happens in the initialiser, there is no method that changes it, and the library's own
/// cache of sessions, which handshakes would write to, is off. What does change, the ticket keys, is ``SiteTicketKeys``' own. A
/// handshake keeps its context alive. To change certificates or policy, make another value: handshakes under way end as they began.
public final class ServerContext: @unchecked Sendable {
    public let policy: ServerPolicy
    public let credentials: [ServerCredential]

    /// An `SSL_CTX`, which has a reference to each credential.
    let context: OpaquePointer
    /// The `SSL_CREDENTIAL` of each credential, in their order, and the public key of its leaf. Only read.
    private let handles: [CredentialHandle]

    /// - Parameters:
    ///   - credentials: preferred first. A client is shown the first one that it can verify: whose schemes it names, and in TLS 1.2
    ///     whose curve.
    /// - Throws: ``EngineError`` for a chain, key or policy that can't be used: what is wrong, and not a handshake that fails later.
    public init(_ credentials: [ServerCredential], policy: ServerPolicy = ServerPolicy()) throws(EngineError) {
        guard !credentials.isEmpty else { throw EngineError("a server needs a certificate") }
        try Self.check(policy)
        self.policy = policy
        self.credentials = credentials
        ErrorQueue.clear()
        guard let context = SSL_CTX_new(TLS_with_buffers_method()) else {
            throw EngineError("no TLS context", ErrorQueue.self)
        }
        // A class that throws before all its properties are there runs no deinit.
        do throws(EngineError) {
            try Self.apply(policy, to: context)
            self.handles = try Self.add(credentials, policy, to: context)
        } catch {
            SSL_CTX_free(context)
            throw error
        }
        self.context = context
    }

    deinit { SSL_CTX_free(self.context) }

    /// Which credential a handshake uses; nil if it resumes a session.
    func index(of handle: OpaquePointer?) -> Int? {
        guard let handle else { return nil }
        return self.handles.firstIndex { $0.credential == handle }
    }

    /// Whether a signature is good, by the certificate that the client is shown. About 60 µs with P-256, 20 with RSA-2048.
    ///
    /// No handshake does it by itself: a client checks every signature. It is for a signer that checks its own work, and for finding
    /// out, after a client's `decrypt_error`, whose fault it was.
    public func verifies(_ signature: [UInt8], for request: SignatureRequest) -> Bool {
        guard self.handles.indices.contains(request.credential) else { return false }
        return self.handles[request.credential].verifies(signature, request.scheme, request.content)
    }

    // MARK: Setting up

    private static func check(_ policy: ServerPolicy) throws(EngineError) {
        guard policy.tls12Suites.allSatisfy({ $0.version == .tls12 }) else {
            throw EngineError("the suites of TLS 1.3 cannot be chosen")
        }
        guard !policy.tls12Suites.isEmpty || policy.versions.lowerBound == .tls13 else {
            throw EngineError("TLS 1.2 without a suite")
        }
        guard !policy.groups.isEmpty else { throw EngineError("no key exchange group") }
        for name in policy.applicationProtocols where !(1...255).contains(name.count) {
            throw EngineError("an application protocol's name has \(name.count) bytes")
        }
        if let tickets = policy.tickets {
            guard (1...604_800).contains(tickets.lifetime), (1...604_800).contains(tickets.tls12Lifetime) else {
                throw EngineError("a ticket's lifetime is 1 to 604800 seconds")
            }
            guard (1...16).contains(tickets.count) else { throw EngineError("1 to 16 tickets for each handshake") }
        }
    }

    private static func apply(_ policy: ServerPolicy, to context: OpaquePointer) throws(EngineError) {
        guard SSL_CTX_set_min_proto_version(context, policy.versions.lowerBound.rawValue) == 1,
            SSL_CTX_set_max_proto_version(context, policy.versions.upperBound.rawValue) == 1
        else { throw EngineError("versions", ErrorQueue.self) }
        // With it, the two lists below are what is preferred; what is equal there, the client chooses.
        SSL_CTX_set_options(context, UInt32(SSL_OP_CIPHER_SERVER_PREFERENCE))
        // Always a list of our own: the default has CBC suites, and RSA key exchange.
        guard SSL_CTX_set_strict_cipher_list(context, CipherList.text(policy.tls12Suites)) == 1 else {
            throw EngineError("cipher suites", ErrorQueue.self)
        }
        var flags = [UInt32](repeating: UInt32(SSL_GROUP_FLAG_EQUAL_PREFERENCE_WITH_NEXT), count: policy.groups.count)
        flags[flags.count - 1] = 0
        guard SSL_CTX_set1_group_ids_with_flags(context, policy.groups, flags, policy.groups.count) == 1 else {
            throw EngineError("key exchange groups", ErrorQueue.self)
        }
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF)
        SSL_CTX_set_early_data_enabled(context, 0)
        if let tickets = policy.tickets {
            let site: [UInt8] = tickets.keys.context
            guard SSL_CTX_set_session_id_context(context, site, site.count) == 1,
                SSL_CTX_set_num_tickets(context, tickets.count) == 1
            else { throw EngineError("session tickets", ErrorQueue.self) }
            SSL_CTX_set_ticket_aead_method(context, Callbacks.tickets.pointer)
            SSL_CTX_set_session_psk_dhe_timeout(context, tickets.lifetime)
            SSL_CTX_set_timeout(context, tickets.tls12Lifetime)
        } else {
            SSL_CTX_set_options(context, UInt32(SSL_OP_NO_TICKET))
        }
        Callbacks.install(on: context, choosesProtocol: !policy.applicationProtocols.isEmpty)
    }

    private static func add(
        _ credentials: [ServerCredential], _ policy: ServerPolicy, to context: OpaquePointer
    ) throws(EngineError) -> [CredentialHandle] {
        let exchangesWithRSA: Bool = policy.tls12Suites.contains { !$0.hasForwardSecrecy }
        var handles: [CredentialHandle] = []
        for credential in credentials {
            let handle = try CredentialHandle(credential)
            if exchangesWithRSA, handle.isRSA, case .remote = credential.key {
                throw EngineError("RSA key exchange needs the key here: it is never asked for from elsewhere")
            }
            guard SSL_CTX_add1_credential(context, handle.credential) == 1 else {
                throw EngineError("a certificate", ErrorQueue.self)
            }
            handles.append(handle)
        }
        return handles
    }
}

/// BoringSSL's language for lists of suites.
private enum CipherList {
    /// Suites with forward secrecy are equal to each other, and better than all others, which are equal to each other.
    static func text(_ suites: [RecordSuite]) -> String {
        [true, false].compactMap { secrecy in
            let names: [String] = suites.filter { $0.hasForwardSecrecy == secrecy }.map(Self.name)
            return names.isEmpty ? nil : "[" + names.joined(separator: "|") + "]"
        }.joined(separator: ":")
    }

    private static func name(_ suite: RecordSuite) -> String {
        switch suite {
        case .rsaAES128GCMSHA256: "AES128-GCM-SHA256"
        case .rsaAES256GCMSHA384: "AES256-GCM-SHA384"
        case .ecdheECDSAAES128GCMSHA256: "ECDHE-ECDSA-AES128-GCM-SHA256"
        case .ecdheECDSAAES256GCMSHA384: "ECDHE-ECDSA-AES256-GCM-SHA384"
        case .ecdheRSAAES128GCMSHA256: "ECDHE-RSA-AES128-GCM-SHA256"
        case .ecdheRSAAES256GCMSHA384: "ECDHE-RSA-AES256-GCM-SHA384"
        case .ecdheRSAChaCha20Poly1305SHA256: "ECDHE-RSA-CHACHA20-POLY1305"
        case .ecdheECDSAChaCha20Poly1305SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305"
        // The policy was checked: these are of TLS 1.3, which has no such list.
        case .aes128GCMSHA256, .aes256GCMSHA384, .chaCha20Poly1305SHA256: ""
        }
    }
}
