import NIOCore
import RecordLayer

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// CPU time of the record layer for each record, sealed and opened, as rows of docs/record-layer.md. `Benchmarks/recordcost/run` puts
/// `openssl speed` beside it.
@main
struct RecordCost {
    private static let suites: [(String, RecordSuite)] = [
        ("AES-128-GCM, TLS 1.3", .aes128GCMSHA256), ("AES-256-GCM, TLS 1.3", .aes256GCMSHA384),
        ("ChaCha20-Poly1305, TLS 1.3", .chaCha20Poly1305SHA256),
        ("AES-128-GCM, TLS 1.2", .ecdheECDSAAES128GCMSHA256),
    ]

    /// Bytes of content, and how many records are sealed before they are opened: little enough for a processor's cache.
    private static let sizes: [(bytes: Int, records: Int)] = [(100, 256), (1024, 128), (16_384, 16)]
    private static let rounds = 40

    static func main() throws {
        for (name, suite) in Self.suites {
            var cells: [String] = []
            for size in Self.sizes {
                let (seal, open) = try Self.measure(suite, size.bytes, size.records)
                cells.append("\(Self.text(seal)) / \(Self.text(open)) µs")
            }
            print("| \(name) | \(cells.joined(separator: " | ")) |")
        }
        let set = try Self.keys(.aes128GCMSHA256), larger = try Self.keys(.aes256GCMSHA384)
        print("the keys of both directions: \(Self.text(set)) µs (SHA-384: \(Self.text(larger)) µs)")
    }

    /// The best round of sealing, and of opening; microseconds for each record.
    private static func measure(_ suite: RecordSuite, _ bytes: Int, _ records: Int) throws -> (Double, Double) {
        var server = RecordSession(try Self.session(suite, mirrored: false))
        var client = RecordSession(try Self.session(suite, mirrored: true))
        let content = ByteBuffer(repeating: 0x61, count: bytes)
        var seal = Double.infinity
        var open = Double.infinity
        var output = ByteBuffer()
        output.reserveCapacity(records * (bytes + 64))
        for _ in 0..<Self.rounds {
            var sealed: [ByteBuffer] = []
            sealed.reserveCapacity(records)
            output.clear()
            let begin: Double = Self.now()
            for _ in 0..<records { try server.send(content, into: &output) }
            seal = min(seal, Self.now() - begin)
            // One record at a time, as a client that waits for each would send them.
            let length: Int = output.readableBytes / records
            while let record = output.readSlice(length: length) { sealed.append(record) }
            var opened: Int = 0
            let middle: Double = Self.now()
            for record in sealed { opened += client.receive(record).applicationData?.readableBytes ?? 0 }
            open = min(open, Self.now() - middle)
            guard opened == records * bytes else { throw NotOpened() }
        }
        return (seal / Double(records), open / Double(records))
    }

    private struct NotOpened: Error {}

    private static func keys(_ suite: RecordSuite) throws -> Double {
        let session: ExportedSession = try Self.session(suite, mirrored: false)
        var best = Double.infinity
        for _ in 0..<Self.rounds {
            let begin: Double = Self.now()
            for _ in 0..<100 { _ = RecordSession(session).canSend }
            best = min(best, Self.now() - begin)
        }
        return best / 100
    }

    /// - Parameter mirrored: The client's end, which is the same with the two directions exchanged.
    private static func session(_ suite: RecordSuite, mirrored: Bool) throws -> ExportedSession {
        func secret(_ byte: UInt8, _ count: Int) -> Secret { Secret([UInt8](repeating: byte, count: count)) }
        let (read, write): (UInt8, UInt8) = mirrored ? (2, 1) : (1, 2)
        let secrets: ExportedSession.Secrets
        switch suite.version {
        case .tls13:
            secrets = .tls13(
                client: secret(read, suite.hash.length), server: secret(write, suite.hash.length), finished: nil)
        case .tls12:
            func keys(_ byte: UInt8) -> TrafficKeys {
                TrafficKeys(key: secret(byte, suite.cipher.keyLength), iv: secret(byte, suite.ivLength))
            }
            secrets = .tls12(client: keys(read), server: keys(write))
        }
        return try ExportedSession(suite: suite, applicationProtocol: nil, secrets: secrets)
    }

    /// CPU time of this thread; microseconds.
    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
    }

    /// Two digits, as more would mean nothing.
    private static func text(_ microseconds: Double) -> String {
        microseconds < 1
            ? "0.\(Int((microseconds * 100).rounded()) / 10)\(Int((microseconds * 100).rounded()) % 10)"
            : "\(Int(microseconds)).\(Int(microseconds * 10) % 10)"
    }
}
