import NIOCore
import RecordLayer
import TLSCrypto
import TLSWire

@_implementationOnly import CNIOBoringSSL

/// BoringSSL's side of one handshake: owns the `SSL` and its two memory BIOs, drives it a record at a time, and keeps what the
/// callbacks tell. ``ServerHandshake`` and its successors say what may be called when.
///
/// The `SSL` refers back to this object without a reference. That is safe: it is only entered from methods of this object, and
/// freed in its `deinit`.
///
/// It may go from thread to thread: one value refers to it at a time, which cannot be copied, and is consumed by what makes the next
/// one. BoringSSL binds an `SSL` to no thread; its error queues are emptied before and after each call.
final class HandshakeMachine: @unchecked Sendable {
    let context: ServerContext
    /// An `SSL`. Its reference keeps the `SSL_CTX`; the table of keys and policy is kept by `context`.
    private let ssl: OpaquePointer
    /// Memory `BIO`s; the `SSL` owns them.
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer

    var secrets = LoggedSecrets()
    /// Made only where the client's Finished is verified elsewhere: the library has its own.
    private var transcript = ServerTranscript()
    /// TLS 1.3: the server's Finished is written.
    private(set) var hasSentFlight = false
    /// What the library waits to have signed.
    private(set) var request: SignatureRequest?
    /// The answer; the library takes it when it is driven again.
    private(set) var signature: [UInt8]?
    /// NewSessionTicket messages of TLS 1.3.
    private(set) var tickets = ByteBuffer()
    /// Of the ticket that the client offers.
    var ticketKey: TicketKey?
    private(set) var alertSent: UInt8?
    /// One that ends the handshake.
    private var alertReceived: UInt8?
    private var shownCredential: Int?
    /// Bytes from the client.
    private var received = 0

    init(_ context: ServerContext) throws(EngineError) {
        ErrorQueue.clear()
        guard let ssl = SSL_new(context.context) else { throw EngineError("a handshake", ErrorQueue.self) }
        guard let incoming = BIO_new(BIO_s_mem()), let outgoing = BIO_new(BIO_s_mem()) else {
            SSL_free(ssl)
            throw EngineError("a handshake's buffers", ErrorQueue.self)
        }
        self.context = context
        self.ssl = ssl
        self.incoming = incoming
        self.outgoing = outgoing
        // "Nothing now", and not "nothing ever again".
        BIO_set_mem_eof_return(incoming, -1)
        SSL_set_bio(ssl, incoming, outgoing)
        SSL_set_accept_state(ssl)
        SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        SSL_set_ex_data(self.ssl, 0, nil)
        SSL_free(self.ssl)
    }

    /// Whose handshake it is, for the callbacks.
    static func of(_ ssl: OpaquePointer?) -> HandshakeMachine? {
        SSL_get_ex_data(ssl, 0).map { Unmanaged<HandshakeMachine>.fromOpaque($0).takeUnretainedValue() }
    }

    // MARK: Driving

    enum State: Equatable {
        case wantsInput
        case wantsSignature
        case completed
        case failed(HandshakeFailure)
    }

    /// Gives the library whole records, one by one, while it has nothing to do but read, and leaves the rest: what follows a
    /// handshake is not for the library, which would keep a part of it. Stops when the server's flight of TLS 1.3 is out, too.
    func read(_ input: inout ByteBuffer) -> State {
        let isBehindFlight: Bool = self.hasSentFlight
        while true {
            guard let header = RecordHeader(in: input, at: input.readerIndex) else { return .wantsInput }
            guard ContentType(rawValue: header.contentType) != nil else {
                return self.fail(.refused("unexpected record"), .unexpectedMessage)
            }
            if isBehindFlight, let alert = Self.alertInTheClear(header, input) { return .failed(.clientAlert(alert)) }
            // The library would call it a record that it cannot decode (RFC 8446 §5).
            if isBehindFlight, header.contentType == ContentType.handshake.rawValue {
                return self.fail(.refused("a handshake message in the clear"), .unexpectedMessage)
            }
            // Of a record that is too long the header is enough: the library sees it, and makes the alert.
            let isTooLong: Bool = header.payloadLength > (isBehindFlight ? Self.longestTLS13 : Self.longest)
            let length: Int = RecordHeader.length + (isTooLong ? 0 : header.payloadLength)
            guard input.readableBytes >= length else { return .wantsInput }
            self.received += length
            // Behind the flight a Finished is to come, whose bytes may be the key holder's own: what the client sent before it was in bounds.
            let most: Int = ServerHandshake.maximumBytes + (isBehindFlight ? Self.finishedBytes : 0)
            guard self.received <= most else {
                return self.fail(.refused("more bytes than a handshake needs"), .decodeError)
            }
            let written: Int32 = input.withUnsafeReadableBytes { bytes in
                BIO_write(self.incoming, bytes.baseAddress, Int32(truncatingIfNeeded: length))
            }
            input.moveReaderIndex(forwardBy: length)
            guard written == length else {
                return self.fail(.engine("no memory for the client's bytes"), .internalError)
            }
            let state: State = self.advance()
            guard state == .wantsInput, isBehindFlight == self.hasSentFlight else { return state }
            // A library that did not want all of a record that is too long would wait for the rest for ever.
            if isTooLong { return self.fail(.refused("a record that is too long"), .recordOverflow) }
        }
    }

    /// More than a record with a Finished has, padding of some clients included.
    private static let finishedBytes = 256
    private static let longest: Int = RecordHeader.maximumCiphertextLength
    /// RFC 8446 §5.2.
    private static let longestTLS13: Int = RecordHeader.maximumPlaintextLength + 256

    /// Some clients, OpenSSL's among them, refuse the flight before they protect anything. The library would call it a record that
    /// does not decrypt.
    private static func alertInTheClear(_ header: RecordHeader, _ input: ByteBuffer) -> UInt8? {
        guard header.contentType == ContentType.alert.rawValue, header.payloadLength == 2 else { return nil }
        return input.getInteger(at: input.readerIndex + RecordHeader.length + 1)
    }

    /// Goes on with the signature that the library waits for.
    func sign(_ signature: [UInt8]) -> State {
        self.signature = signature
        let state: State = self.advance()
        self.signature = nil
        self.request = nil
        guard case .failed(.engine) = state else { return state }
        return .failed(.notSigned("BoringSSL does not take the signature"))
    }

    private func advance() -> State {
        ErrorQueue.clear()
        defer { ErrorQueue.clear() }
        let result: Int32 = SSL_do_handshake(self.ssl)
        guard result != 1 else { return .completed }
        switch SSL_get_error(self.ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsInput
        case SSL_ERROR_WANT_PRIVATE_KEY_OPERATION where self.request != nil: return .wantsSignature
        default:
            let reason: String = ErrorQueue.takeReason()
            if let alert = self.alertReceived { return .failed(.clientAlert(alert)) }
            guard self.alertSent == nil || self.alertSent == Alert.Description.internalError.rawValue else {
                return .failed(.refused(reason))
            }
            return self.fail(.engine(reason), .internalError)
        }
    }

    private func fail(_ failure: HandshakeFailure, _ alert: Alert.Description) -> State {
        self.sendAlert(alert)
        return .failed(failure)
    }

    /// Behind what the library holds back, such as a ServerHello whose flight waits for its signature. Nothing if an alert was sent
    /// before.
    func sendAlert(_ alert: Alert.Description) {
        guard self.alertSent == nil else { return }
        ErrorQueue.clear()
        SSL_send_fatal_alert(self.ssl, alert.rawValue)
        ErrorQueue.clear()
    }

    /// What is for the client. Not to be called once the session is exported: the library would protect it with keys that are lent.
    func takeOutput() -> ByteBuffer {
        var start: UnsafePointer<UInt8>?
        var count = 0
        guard BIO_mem_contents(self.outgoing, &start, &count) == 1, count > 0 else { return ByteBuffer() }
        let output = ByteBuffer(bytes: UnsafeRawBufferPointer(start: start, count: count))
        BIO_reset(self.outgoing)
        return output
    }

    // MARK: What the callbacks tell

    func note(isWritten: Bool, type: Int32, _ bytes: UnsafeRawBufferPointer) {
        switch type {
        case SSL3_RT_ALERT where bytes.count == 2:
            if isWritten {
                self.alertSent = bytes[1]
            } else if bytes[0] == SSL3_AL_FATAL || bytes[1] == Alert.Description.closeNotify.rawValue {
                self.alertReceived = bytes[1]
            }
        case SSL3_RT_HANDSHAKE:
            if isWritten, self.hasSentFlight, bytes.first == HandshakeType.newSessionTicket.rawValue {
                self.tickets.writeBytes(bytes)
            }
            if isWritten, bytes.first == HandshakeType.certificate.rawValue {
                self.shownCredential = self.context.index(of: SSL_get0_selected_credential(self.ssl))
            }
            if isWritten, bytes.first == HandshakeType.finished.rawValue, SSL_version(self.ssl) == TLS1_3_VERSION {
                self.hasSentFlight = true
            }
            if !self.context.policy.verifiesFinished { self.transcript.add(bytes, isServers: isWritten) }
        default: break
        }
    }

    /// - Returns: false for a second one: a handshake takes one signature.
    func wantSignature(_ scheme: UInt16, _ content: UnsafeRawBufferPointer) -> Bool {
        guard self.request == nil, self.signature == nil,
            let credential = self.context.index(of: SSL_get0_selected_credential(self.ssl))
        else { return false }
        self.request = SignatureRequest(
            scheme: SignatureScheme(rawValue: scheme), content: Array(content), credential: credential)
        return true
    }

    /// The first protocol of ours that the client offers, as it stands in the offer.
    func choose(from offered: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
        for own in self.context.policy.applicationProtocols {
            var rest = offered[...]
            // The library has checked the list.
            while let length = rest.popFirst(), rest.count >= Int(length) {
                let name = UnsafeBufferPointer(rebasing: rest.prefix(Int(length)))
                if name.elementsEqual(own) { return name }
                rest = rest.dropFirst(Int(length))
            }
        }
        return nil
    }

    // MARK: What has been negotiated

    /// Nil before the server has chosen.
    var facts: HandshakeFacts? {
        guard let cipher: OpaquePointer = SSL_get_pending_cipher(self.ssl) ?? SSL_get_current_cipher(self.ssl) else {
            return nil
        }
        let group: UInt16 = SSL_get_group_id(self.ssl)
        return HandshakeFacts(
            version: UInt16(truncatingIfNeeded: SSL_version(self.ssl)), suite: SSL_CIPHER_get_protocol_id(cipher),
            group: group == 0 ? nil : group, resumed: SSL_session_reused(self.ssl) == 1,
            credential: self.shownCredential)
    }

    private var applicationProtocol: [UInt8]? {
        var start: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(self.ssl, &start, &count)
        return count == 0 ? nil : Array(UnsafeBufferPointer(start: start, count: Int(count)))
    }

    // MARK: The session

    /// TLS 1.3, when the flight is out.
    func exportTLS13() throws(HandshakeFailure) -> ExportedSession {
        guard let suite = self.suite, let client = self.secrets.clientApplication,
            let server = self.secrets.serverApplication
        else { throw .engine("the library did not say all that a session needs") }
        defer { self.secrets = LoggedSecrets() }
        guard !self.context.policy.verifiesFinished else {
            return try self.session(suite, .tls13(client: client, server: server, finished: nil))
        }
        guard let digest = self.transcript.digest, let clientHandshake = self.secrets.clientHandshake else {
            throw .engine("the library did not say all that a session needs")
        }
        let schedule = TLS13KeySchedule(suite)
        let finished = ExportedSession.ClientFinished(
            keys: schedule.trafficKeys(suite.cipher, secret: clientHandshake),
            verifyData: schedule.verifyData(baseSecret: clientHandshake, transcriptHash: digest))
        return try self.session(suite, .tls13(client: client, server: server, finished: finished))
    }

    /// TLS 1.2, when the library has verified the client's Finished.
    func exportTLS12() throws(HandshakeFailure) -> ExportedSession {
        guard let suite = self.suite, suite.version == .tls12 else { throw .engine("no suite of TLS 1.2") }
        let keyLength: Int = suite.cipher.keyLength
        let ivLength: Int = suite.ivLength
        let length: Int = 2 * (keyLength + ivLength)
        guard SSL_get_key_block_len(self.ssl) == length else { throw .engine("a key block of another length") }
        let keys: (client: TrafficKeys, server: TrafficKeys)? = withUnsafeTemporaryAllocation(
            byteCount: length, alignment: 8
        ) { block in
            defer { SecretMemory.erase(block) }
            guard SSL_generate_key_block(self.ssl, block.baseAddress?.assumingMemoryBound(to: UInt8.self), length) == 1
            else { return nil }
            // Client key, server key, client IV, server IV (RFC 5246 §6.3).
            func part(_ start: Int, _ length: Int) -> Secret {
                Secret(UnsafeRawBufferPointer(rebasing: block[start..<(start + length)]))
            }
            return (
                TrafficKeys(key: part(0, keyLength), iv: part(2 * keyLength, ivLength)),
                TrafficKeys(key: part(keyLength, keyLength), iv: part(2 * keyLength + ivLength, ivLength))
            )
        }
        guard let keys else { throw .engine("no key block") }
        return try self.session(
            suite, .tls12(client: keys.client, server: keys.server), clientSequence: SSL_get_read_sequence(self.ssl),
            serverSequence: SSL_get_write_sequence(self.ssl))
    }

    private var suite: RecordSuite? { self.facts.flatMap { RecordSuite(rawValue: $0.suite) } }

    private func session(
        _ suite: RecordSuite, _ secrets: ExportedSession.Secrets, clientSequence: UInt64 = 0, serverSequence: UInt64 = 0
    ) throws(HandshakeFailure) -> ExportedSession {
        do throws(ExportedSessionError) {
            return try ExportedSession(
                suite: suite, applicationProtocol: self.applicationProtocol, secrets: secrets,
                clientSequence: clientSequence, serverSequence: serverSequence)
        } catch {
            throw .engine("\(error)")
        }
    }
}
