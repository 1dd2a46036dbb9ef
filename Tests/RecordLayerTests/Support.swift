import NIOCore
import TLSWire

@testable import RecordLayer

/// Bytes from hexadecimal text; white space between them is for the eye.
func hex(_ text: String) -> [UInt8] {
    let digits: [UInt8] = text.compactMap { $0.hexDigitValue.map(UInt8.init) }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

func secret(_ text: String) -> Secret { Secret(hex(text)) }

/// Repeatable random numbers, so that a failure can be seen again.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z: UInt64 = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> ByteBuffer {
        var buffer = ByteBuffer()
        for _ in 0..<((count + 7) / 8) { buffer.writeInteger(next()) }
        return buffer.getSlice(at: 0, length: count) ?? ByteBuffer()
    }
}

/// A session with made-up keys, and the client's end of it, built of the parts that protect single records.
struct Pair: ~Copyable {
    var session: RecordSession
    /// Seals what the client sends.
    var client: RecordSealer
    /// Opens what the session sends.
    var reader: RecordOpener
    let verifyData: Secret
    let clientSecret: Secret

    static func keys(_ suite: RecordSuite, _ seed: UInt8) -> TrafficKeys {
        TrafficKeys(
            key: Secret([UInt8](repeating: seed, count: suite.cipher.keyLength)),
            iv: Secret([UInt8](repeating: seed ^ 0xFF, count: suite.ivLength)))
    }

    /// - Parameter finishedToCome: TLS 1.3 only; the client's sealer is then that of the handshake epoch.
    init(
        _ suite: RecordSuite, finishedToCome: Bool = false, earlyDataOffered: Bool = false,
        limits: RecordLimits = RecordLimits(), clientSequence: UInt64 = 0, serverSequence: UInt64 = 0
    ) throws {
        clientSecret = Secret([UInt8](repeating: 1, count: suite.hash.length))
        let serverSecret = Secret([UInt8](repeating: 2, count: suite.hash.length))
        verifyData = Secret([UInt8](repeating: 3, count: suite.hash.length))
        let secrets: ExportedSession.Secrets
        switch suite.version {
        case .tls13:
            secrets = .tls13(
                client: clientSecret, server: serverSecret,
                finished: finishedToCome
                    ? ExportedSession.ClientFinished(keys: Self.keys(suite, 4), verifyData: verifyData) : nil)
            client =
                finishedToCome
                ? RecordSealer(suite: suite, keys: Self.keys(suite, 4), sequence: 0)
                : RecordSealer(suite: suite, secret: clientSecret, sequence: clientSequence)
            reader = RecordOpener(suite: suite, secret: serverSecret, sequence: serverSequence)
        case .tls12:
            secrets = .tls12(client: Self.keys(suite, 4), server: Self.keys(suite, 5))
            client = RecordSealer(suite: suite, keys: Self.keys(suite, 4), sequence: clientSequence)
            reader = RecordOpener(suite: suite, keys: Self.keys(suite, 5), sequence: serverSequence)
        }
        session = RecordSession(
            try ExportedSession(
                suite: suite, applicationProtocol: Array("http/1.1".utf8), secrets: secrets,
                clientSequence: clientSequence, serverSequence: serverSequence),
            earlyDataOffered: earlyDataOffered, limits: limits)
    }

    /// One record from the client.
    mutating func record(_ type: ContentType, _ content: [UInt8], padding: Int = 0) throws -> ByteBuffer {
        var buffer = ByteBuffer()
        try content.withUnsafeBytes { try client.seal(type, $0, padding: padding, into: &buffer) }
        return buffer
    }

    mutating func receive(_ type: ContentType, _ content: [UInt8], padding: Int = 0) throws -> Reception {
        session.receive(try record(type, content, padding: padding))
    }

    /// Opens what the session wrote, following its key updates, as (type, content).
    mutating func read(_ output: ByteBuffer?) throws -> [Message] {
        var output: ByteBuffer = output ?? ByteBuffer()
        var messages: [Message] = []
        while let header = RecordHeader(in: output, at: output.readerIndex) {
            var content = ByteBuffer()
            let opened = try reader.open(output, at: output.readerIndex, header: header, into: &content)
            content.moveWriterIndex(forwardBy: opened.length)
            output.moveReaderIndex(forwardBy: RecordHeader.length + header.payloadLength)
            let message = Message(type: opened.type, content: Array(content.readableBytesView))
            if message.type == 22, message.content.first == 24 { reader.update() }
            messages.append(message)
        }
        return messages
    }

    struct Message: Equatable {
        var type: UInt8
        var content: [UInt8]

        static func alert(_ description: Alert.Description) -> Message {
            let alert = Alert(description)
            return Message(type: 21, content: [alert.level.rawValue, description.rawValue])
        }
        static func fatal(_ description: Alert.Description) -> Message {
            Message(type: 21, content: [2, description.rawValue])
        }
        static func keyUpdate(_ request: UInt8) -> Message {
            Message(type: 22, content: [24, 0, 0, 1, request])
        }
    }

    var finished: [UInt8] {
        [20, 0, 0, UInt8(verifyData.count)] + verifyData.withUnsafeBytes { Array($0) }
    }
}

extension RecordSuite {
    static var tls13: [RecordSuite] { allCases.filter { $0.version == .tls13 } }
    static var tls12: [RecordSuite] { allCases.filter { $0.version == .tls12 } }
}

extension ByteBuffer {
    static func concatenating(_ buffers: [ByteBuffer]) -> ByteBuffer {
        var result = ByteBuffer()
        for buffer in buffers { result.writeImmutableBuffer(buffer) }
        return result
    }
}

extension RecordSealer {
    mutating func seal(
        _ type: ContentType, _ content: ByteBuffer, padding: Int = 0, into output: inout ByteBuffer
    ) throws(RecordMisuse) {
        try content.withUnsafeReadableBytes { bytes throws(RecordMisuse) in
            try seal(type, bytes, padding: padding, into: &output)
        }
    }
}
