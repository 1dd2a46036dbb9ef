@_implementationOnly import CNIOBoringSSL

/// What BoringSSL calls while a handshake is driven. Each only notes, or answers from what is there: none calls out of this module, so
/// nothing is entered twice.
enum Callbacks {
    /// A table that BoringSSL keeps a pointer to: never freed, never changed.
    struct Table<Methods>: @unchecked Sendable {
        let pointer: UnsafePointer<Methods>

        init(_ methods: Methods) {
            let memory = UnsafeMutablePointer<Methods>.allocate(capacity: 1)
            memory.initialize(to: methods)
            self.pointer = UnsafePointer(memory)
        }
    }

    static func install(on context: OpaquePointer, choosesProtocol: Bool) {
        SSL_CTX_set_keylog_callback(context) { ssl, line in
            guard let line, let machine = HandshakeMachine.of(ssl) else { return }
            machine.secrets.log(line)
        }
        SSL_CTX_set_msg_callback(context) { isWritten, _, type, bytes, count, ssl, _ in
            HandshakeMachine.of(ssl)?.note(
                isWritten: isWritten == 1, type: type, UnsafeRawBufferPointer(start: bytes, count: count))
        }
        guard choosesProtocol else { return }
        SSL_CTX_set_alpn_select_cb(
            context,
            { ssl, chosen, chosenLength, offered, offeredLength, _ in
                guard let machine = HandshakeMachine.of(ssl), let chosen, let chosenLength else {
                    return SSL_TLSEXT_ERR_ALERT_FATAL
                }
                let offered = UnsafeBufferPointer(start: offered, count: Int(offeredLength))
                // It is copied before the callback's caller returns, out of the client's own bytes.
                guard let name = machine.choose(from: offered) else { return SSL_TLSEXT_ERR_ALERT_FATAL }
                chosen.pointee = name.baseAddress
                chosenLength.pointee = UInt8(truncatingIfNeeded: name.count)
                return SSL_TLSEXT_ERR_OK
            }, nil)
    }

    /// Of credentials whose key is elsewhere.
    static let signing = Table(
        SSL_PRIVATE_KEY_METHOD(
            sign: { ssl, _, _, _, scheme, content, count in
                guard let machine = HandshakeMachine.of(ssl),
                    machine.wantSignature(scheme, UnsafeRawBufferPointer(start: content, count: count))
                else { return ssl_private_key_failure }
                return ssl_private_key_retry
            },
            // RSA key exchange, as a raw operation on a block of the client's choice: never.
            decrypt: { _, _, _, _, _, _ in ssl_private_key_failure },
            complete: { ssl, output, length, room in
                guard let machine = HandshakeMachine.of(ssl), let output, let length else {
                    return ssl_private_key_failure
                }
                guard let signature = machine.signature else { return ssl_private_key_retry }
                guard signature.count <= room else { return ssl_private_key_failure }
                UnsafeMutableRawBufferPointer(start: output, count: room).copyBytes(from: signature)
                length.pointee = signature.count
                return ssl_private_key_success
            }))

    static let tickets = Table(
        SSL_TICKET_AEAD_METHOD(
            max_overhead: { _ in SiteTicketKeys.overhead },
            seal: { ssl, output, length, room, session, count in
                // No ticket, and the handshake goes on.
                length?.pointee = 0
                guard let machine = HandshakeMachine.of(ssl), let keys = machine.context.policy.tickets?.keys,
                    let length, let output,
                    let written = keys.seal(
                        UnsafeRawBufferPointer(start: session, count: count),
                        into: UnsafeMutableRawBufferPointer(start: output, count: room), after: machine.ticketKey)
                else { return 1 }
                length.pointee = written
                return 1
            },
            open: { ssl, output, length, room, ticket, count in
                guard let machine = HandshakeMachine.of(ssl), let keys = machine.context.policy.tickets?.keys,
                    let length, let output,
                    let opened = keys.open(
                        UnsafeRawBufferPointer(start: ticket, count: count),
                        into: UnsafeMutableRawBufferPointer(start: output, count: room))
                else { return ssl_ticket_aead_ignore_ticket }
                machine.ticketKey = opened.key
                length.pointee = opened.length
                return ssl_ticket_aead_success
            }))
}
