import NIOCore
import TLSWire

@_implementationOnly import CNIOBoringSSL

/// BoringSSL's own client side, in process: it can be told what to offer, and keeps sessions.
final class BoringClient {
    struct Options {
        var versions: ClosedRange<UInt16> = TLSVersion.tls12...TLSVersion.tls13
        var ciphers: String?
        var groups: [UInt16] = []
        var schemes: [UInt16] = []
        var protocols: [String] = []
        var asksForOCSP = false
        var session: Session?
        /// Whether the certificate is taken; the signature is checked in any case.
        var verifies = true
    }

    /// A session that may be resumed.
    final class Session {
        let pointer: OpaquePointer
        init(_ pointer: OpaquePointer) { self.pointer = pointer }
        deinit { SSL_SESSION_free(self.pointer) }
    }

    private let context: OpaquePointer
    private let ssl: OpaquePointer
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    private(set) var sessions: [Session] = []
    private(set) var isDone = false
    private(set) var failure: String?
    private(set) var alert: UInt8?

    init(_ options: Options = Options()) {
        self.context = SSL_CTX_new(TLS_with_buffers_method())
        SSL_CTX_set_min_proto_version(self.context, options.versions.lowerBound)
        SSL_CTX_set_max_proto_version(self.context, options.versions.upperBound)
        if let ciphers = options.ciphers { SSL_CTX_set_strict_cipher_list(self.context, ciphers) }
        if !options.groups.isEmpty { SSL_CTX_set1_group_ids(self.context, options.groups, options.groups.count) }
        if !options.schemes.isEmpty {
            SSL_CTX_set_verify_algorithm_prefs(self.context, options.schemes, options.schemes.count)
        }
        SSL_CTX_set_session_cache_mode(self.context, SSL_SESS_CACHE_CLIENT)
        SSL_CTX_sess_set_new_cb(self.context) { ssl, session in
            guard let session, let client = BoringClient.of(ssl) else { return 0 }
            client.sessions.append(Session(session))
            return 1
        }
        self.ssl = SSL_new(self.context)
        self.incoming = BIO_new(BIO_s_mem())
        self.outgoing = BIO_new(BIO_s_mem())
        BIO_set_mem_eof_return(self.incoming, -1)
        SSL_set_bio(self.ssl, self.incoming, self.outgoing)
        SSL_set_connect_state(self.ssl)
        SSL_set_tlsext_host_name(self.ssl, TestSite.name)
        if options.verifies {
            SSL_set_custom_verify(self.ssl, SSL_VERIFY_PEER) { _, _ in ssl_verify_ok }
        } else {
            SSL_set_custom_verify(self.ssl, SSL_VERIFY_PEER) { _, _ in ssl_verify_invalid }
        }
        let protocols: [UInt8] = options.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !protocols.isEmpty { SSL_set_alpn_protos(self.ssl, protocols, protocols.count) }
        if options.asksForOCSP { SSL_enable_ocsp_stapling(self.ssl) }
        if let session = options.session { SSL_set_session(self.ssl, session.pointer) }
        SSL_set_msg_callback(self.ssl) { isWritten, _, type, bytes, count, ssl, _ in
            guard isWritten == 0, type == SSL3_RT_ALERT, count == 2, let bytes else { return }
            BoringClient.of(ssl)?.alert = bytes.load(fromByteOffset: 1, as: UInt8.self)
        }
        SSL_set_ex_data(self.ssl, 0, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        SSL_free(self.ssl)
        SSL_CTX_free(self.context)
    }

    private static func of(_ ssl: OpaquePointer?) -> BoringClient? {
        SSL_get_ex_data(ssl, 0).map { Unmanaged<BoringClient>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Takes bytes from the server and gives those for it.
    func advance(_ bytes: ByteBuffer = ByteBuffer()) -> ByteBuffer {
        self.feed(bytes)
        ERR_clear_error()
        if !self.isDone, self.failure == nil {
            let result = SSL_do_handshake(self.ssl)
            if result == 1 {
                self.isDone = true
            } else if SSL_get_error(self.ssl, result) != SSL_ERROR_WANT_READ {
                self.failure = Self.reason()
            }
        }
        return self.takeOutput()
    }

    /// Data that the server sent, and with it sessions.
    func read(_ bytes: ByteBuffer) -> ByteBuffer {
        self.feed(bytes)
        var data = ByteBuffer()
        var chunk = [UInt8](repeating: 0, count: 20_000)
        while true {
            ERR_clear_error()
            let count = SSL_read(self.ssl, &chunk, Int32(chunk.count))
            guard count > 0 else {
                if SSL_get_error(self.ssl, count) == SSL_ERROR_SSL { self.failure = Self.reason() }
                return data
            }
            data.writeBytes(chunk[..<Int(count)])
        }
    }

    func write(_ data: ByteBuffer) -> ByteBuffer {
        _ = data.withUnsafeReadableBytes { SSL_write(self.ssl, $0.baseAddress, Int32($0.count)) }
        return self.takeOutput()
    }

    var isResumed: Bool { SSL_session_reused(self.ssl) == 1 }
    var group: UInt16 { SSL_get_group_id(self.ssl) }
    var version: UInt16 { UInt16(truncatingIfNeeded: SSL_version(self.ssl)) }
    var suite: UInt16 { SSL_get_current_cipher(self.ssl).map { SSL_CIPHER_get_protocol_id($0) } ?? 0 }
    var scheme: UInt16 { SSL_get_peer_signature_algorithm(self.ssl) }

    var applicationProtocol: String {
        var start: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(self.ssl, &start, &count)
        return String(decoding: UnsafeBufferPointer(start: start, count: Int(count)), as: UTF8.self)
    }

    var ocspResponse: [UInt8] {
        var start: UnsafePointer<UInt8>?
        var count = 0
        SSL_get0_ocsp_response(self.ssl, &start, &count)
        return Array(UnsafeBufferPointer(start: start, count: count))
    }

    /// The leaf in DER.
    var certificate: [UInt8] {
        guard let chain = SSL_get0_peer_certificates(self.ssl), let leaf = sk_CRYPTO_BUFFER_value(chain, 0) else {
            return []
        }
        return Array(UnsafeBufferPointer(start: CRYPTO_BUFFER_data(leaf), count: CRYPTO_BUFFER_len(leaf)))
    }

    private func feed(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        _ = bytes.withUnsafeReadableBytes { BIO_write(self.incoming, $0.baseAddress, Int32($0.count)) }
    }

    private func takeOutput() -> ByteBuffer {
        var start: UnsafePointer<UInt8>?
        var count = 0
        guard BIO_mem_contents(self.outgoing, &start, &count) == 1, count > 0 else { return ByteBuffer() }
        let output = ByteBuffer(bytes: UnsafeRawBufferPointer(start: start, count: count))
        BIO_reset(self.outgoing)
        return output
    }

    private static func reason() -> String {
        let code = ERR_get_error()
        defer { ERR_clear_error() }
        return ERR_reason_error_string(code).map { String(cString: $0) } ?? "\(code)"
    }
}
