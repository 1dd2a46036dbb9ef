public import NIOCore
import TLSCrypto
import TLSWire

extension RecordSession {
    /// Takes bytes from the client, in any split.
    ///
    /// Everything that can be opened is, even if a later record turns out wrong: ``Reception/applicationData`` is what
    /// came before it, and ``Reception/end`` says that nothing follows. A caller who can't write should not read
    /// either: replies are bounded by what is received only.
    ///
    /// - Parameter memory: empty: takes what is opened.
    public mutating func receive(_ bytes: ByteBuffer, to memory: consuming ByteBuffer = ByteBuffer()) -> Reception {
        var reception = Reception()
        guard isReading else { return reception }
        var bytes: ByteBuffer = bytes
        // What is opened goes here, and so does, behind the writer index, what turns out to be for us.
        var plaintext: ByteBuffer = consume memory
        do throws(RecordError) {
            // First the rest of the record that was begun before, then records where they stand.
            while isReading, input.readableBytes > 0, bytes.readableBytes > 0 {
                try completeInput(from: &bytes)
                // Moved out, so that there is one reference to it while it is read.
                var record = ByteBuffer()
                swap(&record, &input)
                let isWhole: Bool = try receiveRecord(&record, into: &plaintext, &reception)
                if !isWhole { swap(&record, &input) }
            }
            while isReading, try receiveRecord(&bytes, into: &plaintext, &reception) {}
        } catch {
            fail(error, &reception)
        }
        if !isReading {
            input = ByteBuffer()
        } else if bytes.readableBytes > 0 {
            // A copy, since less than a record should not keep all that was received with it.
            input = ByteBuffer()
            input.writeImmutableBuffer(bytes)
        }
        if plaintext.readableBytes > 0 { reception.applicationData = plaintext }
        answerKeyUpdate(&reception)
        return reception
    }

    /// Takes from the bytes what the kept part of a record lacks to be a header, or to be whole.
    private mutating func completeInput(from bytes: inout ByteBuffer) throws(RecordError) {
        func take(upTo length: Int) {
            let missing: Int = max(length - input.readableBytes, 0)
            if var part: ByteBuffer = bytes.readSlice(length: min(missing, bytes.readableBytes)) {
                input.writeBuffer(&part)
            }
        }
        take(upTo: RecordHeader.length)
        guard let header = RecordHeader(in: input, at: input.readerIndex) else { return }
        _ = try checkHeader(header)
        take(upTo: RecordHeader.length + header.payloadLength)
    }

    /// The connection's input ended (EOF): with or without close_notify?
    public mutating func receiveEndOfInput() -> EndOfInput {
        guard isReading else { return .closed }
        phase = .ended
        input = ByteBuffer()
        return .truncated
    }

    private var isReading: Bool {
        switch phase {
        case .awaitingFinished, .established: return true
        case .peerClosed, .ended: return false
        }
    }

    private var isAwaitingFinished: Bool {
        if case .awaitingFinished = phase { return true }
        return false
    }

    private mutating func fail(_ error: RecordError, _ reception: inout Reception) {
        phase = .ended
        reception.end = .failed(error)
        reply(Alert(level: .fatal, description: error.alert), &reception)
        writeClosed = true
    }

    private mutating func reply(_ alert: Alert, _ reception: inout Reception) {
        guard !writeClosed else { return }
        var output: ByteBuffer = reception.reply ?? ByteBuffer()
        sealAlert(alert, into: &output)
        reception.reply = output.readableBytes > 0 ? output : nil
    }

    /// One answer for however many requests came together.
    private mutating func answerKeyUpdate(_ reception: inout Reception) {
        guard let request: KeyUpdateRequest = keyUpdateOwed else { return }
        keyUpdateOwed = nil
        guard canSend else { return }
        var output: ByteBuffer = reception.reply ?? ByteBuffer()
        // It fails only when the sequence numbers are used up, and then so does all that would follow.
        try? sealKeyUpdate(request, into: &output)
        reception.reply = output.readableBytes > 0 ? output : nil
    }

    // MARK: Records

    /// Takes one record off the input; false if it isn't all there.
    private mutating func receiveRecord(
        _ input: inout ByteBuffer, into plaintext: inout ByteBuffer, _ reception: inout Reception
    ) throws(RecordError) -> Bool {
        let start: Int = input.readerIndex
        guard let header = RecordHeader(in: input, at: start) else { return false }
        let isProtected: Bool = try checkHeader(header)
        guard input.readableBytes >= RecordHeader.length + header.payloadLength else { return false }
        defer { input.moveReaderIndex(to: start + RecordHeader.length + header.payloadLength) }
        guard isProtected else {
            try receiveUnprotected(header, input, &reception)
            return true
        }
        if plaintext.capacity == 0 {
            // For all that can come of what is on hand, so that it need not grow.
            plaintext.reserveCapacity(input.readableBytes)
        }
        let record: RecordOpener.Opened
        do throws(RecordError) {
            record = try opener.open(input, at: start, header: header, into: &plaintext)
        } catch .badRecordMAC where mayBeEarlyData {
            counts.skippedEarlyData += RecordHeader.length + header.payloadLength
            guard counts.skippedEarlyData <= limits.skippedEarlyData else { throw .tooMuchEarlyData }
            reception.skippedEarlyData = true
            return true
        }
        mayBeEarlyData = false
        if suite.version == .tls13, opener.sequence == limits.recordsPerKey, keyUpdateOwed == nil {
            keyUpdateOwed = .requested
        }
        try dispatch(record, &plaintext, &reception)
        return true
    }

    /// Checks what can be told before a record is whole, so that nothing is kept for one that will be refused. Changes nothing; a method
    /// that says so would be given a copy of the session.
    ///
    /// - Returns: whether the record is protected.
    private mutating func checkHeader(_ header: RecordHeader) throws(RecordError) -> Bool {
        let type = ContentType(rawValue: header.contentType)
        switch suite.version {
        case .tls12:
            guard type != nil else { throw .unexpectedContentType(header.contentType) }
            guard header.version == RecordVersion.tls12.rawValue else { throw .wrongRecordVersion(header.version) }
        case .tls13:
            // The record's version is to be ignored (RFC 8446 §5.1); it is authenticated all the same. Until the Finished only
            // what clients write is taken, as OpenSSL and BoringSSL do.
            if isAwaitingFinished, type != .alert, header.version != RecordVersion.tls12.rawValue {
                throw .wrongRecordVersion(header.version)
            }
            switch type {
            case .applicationData: break
            case .changeCipherSpec:
                guard isAwaitingFinished, !handshake.isPartial, header.payloadLength == 1 else {
                    throw .changeCipherSpec
                }
                return false
            case .alert where isAwaitingFinished && opener.sequence == 0:
                // From a client that could not make sense of our flight, and so has no keys.
                guard header.payloadLength == 2 else { throw .malformedAlert }
                return false
            default: throw .unexpectedContentType(header.contentType)
            }
        }
        guard header.payloadLength <= opener.maximumPayloadLength else { throw .recordOverflow }
        return true
    }

    /// TLS 1.3, before the Finished: a compatibility ChangeCipherSpec, or an alert.
    private mutating func receiveUnprotected(
        _ header: RecordHeader, _ input: ByteBuffer, _ reception: inout Reception
    ) throws(RecordError) {
        let body: Int = input.readerIndex + RecordHeader.length
        if header.contentType == ContentType.alert.rawValue {
            guard let (level, code) = input.getMultipleIntegers(at: body, as: (UInt8, UInt8).self) else {
                throw .malformedAlert
            }
            try receiveAlert(level: level, code: code, &reception)
            if reception.end == nil {
                // A warning, and the handshake ends all the same, as BoringSSL takes it.
                endedByAlert(code, &reception)
            }
            return
        }
        counts.changeCipherSpecs += 1
        guard input.getInteger(at: body, as: UInt8.self) == 1, counts.changeCipherSpecs <= limits.changeCipherSpecs
        else { throw .changeCipherSpec }
    }

    /// - Parameter plaintext: has the record's content behind its writer index; application data stays.
    private mutating func dispatch(
        _ record: RecordOpener.Opened, _ plaintext: inout ByteBuffer, _ reception: inout Reception
    ) throws(RecordError) {
        guard let type = ContentType(rawValue: record.type) else { throw .unexpectedContentType(record.type) }
        guard type == .handshake || !handshake.isPartial else { throw .interleavedHandshake }
        switch type {
        case .applicationData:
            guard !isAwaitingFinished else { throw .unexpectedContentType(record.type) }
            guard record.length > 0 else {
                counts.emptyRecords += 1
                guard counts.emptyRecords <= limits.emptyRecords else { throw .tooManyEmptyRecords }
                return
            }
            counts.emptyRecords = 0
            counts.keyUpdates = 0
            plaintext.moveWriterIndex(forwardBy: record.length)
        case .handshake:
            guard record.length > 0 else { throw .emptyMessage(.handshake) }
            try receiveHandshake(Self.content(record, &plaintext)[...], &reception)
        case .alert:
            guard record.length > 0 else { throw .emptyMessage(.alert) }
            guard record.length == 2 else { throw .malformedAlert }
            let payload: [UInt8] = Self.content(record, &plaintext)
            try receiveAlert(level: payload[0], code: payload[1], &reception)
        case .changeCipherSpec:
            throw .changeCipherSpec
        }
    }

    private static func content(_ record: RecordOpener.Opened, _ plaintext: inout ByteBuffer) -> [UInt8] {
        plaintext.withUnsafeMutableWritableBytes { Array($0.prefix(record.length)) }
    }

    // MARK: Alerts

    private mutating func receiveAlert(
        level: UInt8, code: UInt8, _ reception: inout Reception
    ) throws(RecordError) {
        let description = Alert.Description(rawValue: code)
        if description == .closeNotify {
            phase = .peerClosed
            reception.end = .closed
            if suite.version == .tls12 {
                reply(Alert(.closeNotify), &reception)
                writeClosed = true
            }
            return
        }
        let isWarning: Bool
        switch suite.version {
        // The level says nothing in TLS 1.3, and unknown alerts are errors (RFC 8446 §6).
        case .tls13: isWarning = description == .userCanceled
        case .tls12:
            guard let level = Alert.Level(rawValue: level) else { throw .malformedAlert }
            isWarning = level == .warning
        }
        if isWarning {
            counts.warnings += 1
            guard counts.warnings <= limits.warnings else { throw .tooManyWarnings }
            return
        }
        endedByAlert(code, &reception)
    }

    private mutating func endedByAlert(_ code: UInt8, _ reception: inout Reception) {
        phase = .ended
        writeClosed = true
        reception.end = .alert(code)
    }

    // MARK: Handshake messages

    private mutating func receiveHandshake(
        _ content: ArraySlice<UInt8>, _ reception: inout Reception
    ) throws(RecordError) {
        var rest: ArraySlice<UInt8> = content
        var refused = 0
        while true {
            let expected: HandshakeType? = expectedMessage
            let length: Int = expected == .finished ? suite.hash.length : 1
            let attempts: Int = counts.renegotiations
            let limits: RecordLimits = limits
            let message = try handshake.next(&rest) { type, actual throws(RecordError) in
                if let expected {
                    guard type == expected.rawValue else { throw .unexpectedHandshakeMessage(type) }
                    guard actual == length else { throw .handshakeLength(type) }
                    return .collect
                }
                guard type == HandshakeType.clientHello.rawValue else { throw .unexpectedHandshakeMessage(type) }
                refused += 1
                guard attempts + refused <= limits.renegotiations, actual <= limits.skippedHandshakeMessage else {
                    throw .renegotiation
                }
                return .skip
            }
            guard let message else { break }
            guard rest.isEmpty else { throw .messageAcrossKeyChange }
            if expected == .finished {
                try receiveFinished(message.body)
                reception.handshakeCompleted = true
            } else {
                try receiveKeyUpdate(message.body[0])
            }
        }
        if refused > 0 {
            counts.renegotiations += refused
            reply(Alert(.noRenegotiation), &reception)
        }
    }

    /// The only message that may come now; nil in TLS 1.2, where there is none.
    private var expectedMessage: HandshakeType? {
        guard suite.version == .tls13 else { return nil }
        return isAwaitingFinished ? .finished : .keyUpdate
    }

    private mutating func receiveFinished(_ received: [UInt8]) throws(RecordError) {
        guard case .awaitingFinished(let verifyData, let next) = phase else { return }
        let isRight: Bool = received.withUnsafeBytes { received in
            verifyData.withUnsafeBytes { SecretMemory.areEqual(received, $0) }
        }
        guard isRight else { throw .finishedMismatch }
        opener = RecordOpener(suite: suite, secret: next, sequence: 0)
        phase = .established
        isVerified = true
    }

    private mutating func receiveKeyUpdate(_ value: UInt8) throws(RecordError) {
        guard let request = KeyUpdateRequest(rawValue: value) else { throw .keyUpdateRequest(value) }
        counts.keyUpdates += 1
        guard counts.keyUpdates <= limits.keyUpdates else { throw .tooManyKeyUpdates }
        opener.update()
        // An answer must not ask for one in turn (RFC 8446 §4.6.3), and a key that was just replaced needs no request.
        if request == .requested {
            keyUpdateOwed = .notRequested
        } else if keyUpdateOwed == .requested {
            keyUpdateOwed = nil
        }
    }
}
