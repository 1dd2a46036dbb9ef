import NIOCore
import TLSWire

@testable import RecordLayer

/// What came of a script.
struct Outcome: Equatable {
    var delivered = ByteBuffer()
    var completed = false
    var end: Reception.End?
    var endOfInput: EndOfInput?
}

/// A session, and both ends' view of what it should do.
struct Play: ~Copyable {
    private var script: Slice<UnsafeBufferPointer<UInt8>>
    private let suite: RecordSuite
    private var session: RecordSession
    private var outcome = Outcome()

    /// The client's end.
    private var client: RecordSealer
    private var reader: RecordOpener
    private let applicationSecret: Secret
    private let verifyData: Secret
    private var isBeforeFinished: Bool
    /// Right Finished messages that were sent, whole and sealed as they should be.
    private var finishedSent = false

    /// Application data that the client sealed, in order.
    private var sealed = ByteBuffer()
    /// How much of it may be delivered: all, until a record of the client's was damaged.
    private var deliverable: Int?
    /// Application data that the caller sent.
    private var sent = ByteBuffer()
    private var read = ByteBuffer()
    private var lastRecord = ByteBuffer()
    private var counter: UInt8 = 0

    init(_ input: UnsafeBufferPointer<UInt8>) {
        let suites: [RecordSuite] = RecordSuite.allCases
        let suite: RecordSuite = suites[Int(input[0] & 0x0F) % suites.count]
        let isTLS13: Bool = suite.version == .tls13
        let isBeforeFinished: Bool = isTLS13 && input[0] & 0x10 != 0
        let sequence: UInt64 = input[1] & 0x03 == 3 && !isBeforeFinished ? .max - UInt64(input[1] >> 4) : 0
        var limits = RecordLimits()
        limits.recordsPerKey = input[1] & 0x04 == 0 ? limits.recordsPerKey : 3
        limits.skippedEarlyData = 400
        limits.emptyRecords = 3
        limits.keyUpdates = 3

        func keys(_ byte: UInt8) -> TrafficKeys {
            TrafficKeys(
                key: Secret([UInt8](repeating: byte, count: suite.cipher.keyLength)),
                iv: Secret([UInt8](repeating: byte, count: suite.ivLength)))
        }
        func secret(_ byte: UInt8) -> Secret { Secret([UInt8](repeating: byte, count: suite.hash.length)) }
        applicationSecret = secret(1)
        // Nothing that a script would hit on.
        verifyData = Secret((0..<suite.hash.length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) })
        let secrets: ExportedSession.Secrets
        if !isTLS13 {
            secrets = .tls12(client: keys(4), server: keys(5))
            client = RecordSealer(suite: suite, keys: keys(4), sequence: sequence)
            reader = RecordOpener(suite: suite, keys: keys(5), sequence: sequence)
        } else if isBeforeFinished {
            secrets = .tls13(
                client: applicationSecret, server: secret(2), finished: .init(keys: keys(4), verifyData: verifyData))
            client = RecordSealer(suite: suite, keys: keys(4), sequence: 0)
            reader = RecordOpener(suite: suite, secret: secret(2), sequence: 0)
        } else {
            secrets = .tls13(client: applicationSecret, server: secret(2), finished: nil)
            client = RecordSealer(suite: suite, secret: applicationSecret, sequence: sequence)
            reader = RecordOpener(suite: suite, secret: secret(2), sequence: sequence)
        }
        guard
            let exported = try? ExportedSession(
                suite: suite, applicationProtocol: nil, secrets: secrets, clientSequence: sequence,
                serverSequence: sequence)
        else { fatalError("a session that fits its suite") }
        session = RecordSession(exported, earlyDataOffered: input[0] & 0x20 != 0, limits: limits)
        self.suite = suite
        self.isBeforeFinished = isBeforeFinished
        script = input.dropFirst(3)
    }

    /// - Parameter segment: bytes in a piece; nil for single bytes at first, then growing pieces.
    consuming func run(segment: Int?) -> Outcome {
        while let command: UInt8 = script.popFirst() {
            var wire = ByteBuffer()
            perform(command, &wire)
            while wire.readableBytes > 0 {
                let size: Int = segment ?? 1 + wire.readerIndex / 16
                if let part: ByteBuffer = wire.readSlice(length: min(size, wire.readableBytes)) { feed(part) }
            }
        }
        if deliverable == nil, outcome.end == nil, outcome.endOfInput == nil, !sawGarbage {
            require(outcome.delivered == sealed || isBeforeFinished, "data was lost")
        }
        require(read == sent, "the client does not read what was sent")
        return outcome
    }

    /// Bytes that the client's cipher had no part in: what follows them may be lost, or be read as part of a record.
    private var sawGarbage = false

    // MARK: What happens

    private mutating func perform(_ command: UInt8, _ wire: inout ByteBuffer) {
        switch command & 0x0F {
        case 0, 1: seal(.applicationData, content(), into: &wire)
        case 2:
            // Any type, any content, well sealed.
            let types: [ContentType] = [.changeCipherSpec, .alert, .handshake, .applicationData]
            seal(types[Int(next() & 3)], taken(), into: &wire)
        case 3:
            let finished: [UInt8] = [20, 0, 0, UInt8(verifyData.count)] + verifyData.withUnsafeBytes { Array($0) }
            if command & 0x80 == 0 {
                seal(.handshake, finished, into: &wire)
            } else {
                seal(.handshake, Array(finished.prefix(Int(command >> 4))), into: &wire)
                seal(.handshake, Array(finished.dropFirst(Int(command >> 4))), into: &wire)
            }
            if isBeforeFinished {
                client = RecordSealer(suite: suite, secret: applicationSecret, sequence: 0)
                isBeforeFinished = false
                finishedSent = true
            }
        case 4:
            seal(.handshake, [24, 0, 0, 1, command >> 7], into: &wire)
            client.update()
        case 5:
            sawGarbage = true
            wire.writeBytes(taken())
        case 6:
            damaged(into: &wire) { bytes, choice in
                bytes.setInteger((bytes.getInteger(at: choice) ?? UInt8(0)) ^ 0x40, at: choice)
            }
        case 7: damaged(into: &wire) { bytes, choice in bytes.moveWriterIndex(to: choice) }
        case 8:
            // Replay.
            guard lastRecord.readableBytes > 0 else { return }
            stopDelivery()
            wire.writeImmutableBuffer(lastRecord)
        case 9:
            // Reordering.
            var second = ByteBuffer()
            stopDelivery()
            seal(.applicationData, content(), into: &second)
            seal(.applicationData, content(), into: &wire)
            // Out of sequence numbers, there may be one only. It stays at home, and a replay of it would be its first arrival.
            if wire.readableBytes > 0 { wire.writeBuffer(&second) } else { lastRecord.clear() }
        case 10:
            sawGarbage = true
            wire.writeBytes([20, 3, 3, 0, 1, 1])
        case 11: send(Int(next()) * (command & 0x80 == 0 ? 1 : 200))
        case 12: check(output: try? session.sendPostHandshake(ByteBuffer(bytes: [4, 0, 0, 2, 1, 2])))
        case 13: check(output: session.close())
        case 14:
            check(output: session.abort(.internalError))
            if outcome.end == nil { outcome.end = .alert(0) }
        default:
            let end: EndOfInput = session.receiveEndOfInput()
            if outcome.endOfInput == nil { outcome.endOfInput = end }
        }
    }

    private mutating func feed(_ part: ByteBuffer) {
        let isOver: Bool = outcome.end != nil || outcome.endOfInput != nil
        let reception: Reception = session.receive(part)
        if isOver { require(reception == Reception(), "something came after the end") }
        if reception.handshakeCompleted {
            require(finishedSent && !outcome.completed, "a Finished that nobody sent")
            outcome.completed = true
        }
        if let data: ByteBuffer = reception.applicationData {
            let start: Int = outcome.delivered.readableBytes
            outcome.delivered.writeImmutableBuffer(data)
            require(
                outcome.delivered.readableBytes <= deliverable ?? sealed.readableBytes,
                "data that was not sent, or tampered with")
            require(sealed.getSlice(at: start, length: data.readableBytes) == data, "other data than was sent")
        }
        require(reception.reply?.readableBytes ?? 0 <= 200 + part.readableBytes, "a reply that amplifies")
        check(output: reception.reply)
        if let end = reception.end {
            require(outcome.end == nil)
            outcome.end = end
            if case .failed(let error) = end { require(!error.reason.isEmpty) }
        }
    }

    private mutating func send(_ count: Int) {
        let data: [UInt8] = fresh(count)
        let isAllowed: Bool = session.canSend
        guard let output = try? session.send(ByteBuffer(bytes: data)) else { return }
        require(isAllowed, "sent where sending is over, or before the Finished")
        sent.writeBytes(data)
        check(output: output)
    }

    /// The client opens all that the session writes.
    private mutating func check(output: ByteBuffer?) {
        guard var output: ByteBuffer = output else { return }
        while let header = RecordHeader(in: output, at: output.readerIndex) {
            var content = ByteBuffer()
            guard
                let opened = try? reader.open(output, at: output.readerIndex, header: header, into: &content)
            else { fatalError("a record that the client cannot open") }
            content.moveWriterIndex(forwardBy: opened.length)
            output.moveReaderIndex(forwardBy: RecordHeader.length + header.payloadLength)
            if opened.type == ContentType.applicationData.rawValue { read.writeImmutableBuffer(content) }
            if opened.type == ContentType.handshake.rawValue, content.readableBytesView.first == 24 { reader.update() }
        }
        require(output.readableBytes == 0, "less than a record")
    }

    // MARK: What the client seals

    private mutating func seal(_ type: ContentType, _ content: [UInt8], into wire: inout ByteBuffer) {
        var record = ByteBuffer()
        let padding: Int = suite.version == .tls13 && counter & 7 == 0 ? Int(counter) : 0
        let succeeded: Bool = content.withUnsafeBytes {
            (try? client.seal(type, $0, padding: padding, into: &record)) != nil
        }
        guard succeeded else { return }
        if type == .applicationData { sealed.writeBytes(content) }
        lastRecord = record
        wire.writeBuffer(&record)
    }

    /// A record that is changed on its way.
    private mutating func damaged(into wire: inout ByteBuffer, by change: (inout ByteBuffer, Int) -> Void) {
        stopDelivery()
        var record = ByteBuffer()
        seal(.applicationData, content(), into: &record)
        guard record.readableBytes > 0 else { return }
        change(&record, Int(next()) % record.readableBytes)
        lastRecord = record
        wire.writeBuffer(&record)
    }

    /// Nothing that is sealed from now on may be delivered: a sequence number is missing, or stands in the wrong place.
    private mutating func stopDelivery() {
        if deliverable == nil { deliverable = sealed.readableBytes }
    }

    // MARK: Script

    private mutating func next() -> UInt8 { script.popFirst() ?? 0 }

    /// Bytes from the script.
    private mutating func taken() -> [UInt8] {
        let length = Int(next())
        let bytes: [UInt8] = Array(script.prefix(length))
        script = script.dropFirst(bytes.count)
        return bytes
    }

    /// Content of a length from the script, different every time.
    private mutating func content() -> [UInt8] {
        let length: UInt8 = next()
        return fresh(length == 255 ? 1 << 14 : Int(length))
    }

    private mutating func fresh(_ count: Int) -> [UInt8] {
        counter &+= 1
        let first: UInt8 = counter
        return [UInt8](repeating: first, count: count)
    }
}

/// A precondition that says which one it was in a release build, too.
func require(_ condition: Bool, _ message: @autoclosure () -> String = "an invariant") {
    guard condition else { fatalError(message()) }
}
