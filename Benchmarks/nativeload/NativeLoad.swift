import ArgumentParser
import Foundation
import NIOCore
import NIOPosix
import NativeClient
import NativeHandshake
import Synchronization
import TLSWire

/// Puts load on an edge with our own client library: native handshakes, and GETs over the streams behind them.
///
/// Prints one line of JSON, as the other load tools do.
@main
struct NativeLoad: AsyncParsableCommand {
    @Option(help: "The edge's port on 127.0.0.1.") var port: Int
    @Option(help: "The site's domain.") var name: String
    @Option(help: "PEM file with the authority of the site's certificate.") var roots: String
    @Option(help: "origin-derived or client-derived.") var variant: String
    @Option(help: "Connections at once.") var connections: Int = 8
    @Option(help: "GETs on each connection.") var requests: Int = 1
    @Option(help: "What to get.") var path: String
    @Option(help: "Bytes that the body must have.") var body: Int
    @Option(help: "How long to go on beginning work.") var seconds: Double

    private struct Tally {
        var done = 0
        var failed = 0
        var firstFailure: String?
    }

    private final class Counts: Sendable {
        let tally = Mutex(Tally())
    }

    private struct Report: Encodable {
        var done: Int
        var failed: Int
        var seconds: Double
        var firstFailure: String?
        var negotiated: String

        enum CodingKeys: String, CodingKey {
            case done, failed, seconds, negotiated
            case firstFailure = "first_failure"
        }
    }

    func run() async throws {
        guard let variant = NativeVariant.allCases.first(where: { "\($0)" == self.variant }) else {
            throw ValidationError("no variant is called \(self.variant)")
        }
        var options = NativeOptions(
            serverName: try ServerName(self.name), host: "127.0.0.1", port: self.port, variant: variant)
        options.roots = try .init(pem: String(contentsOfFile: self.roots, encoding: .utf8))
        options.suites = [.aes128GCMSHA256]
        let fixed = options
        let counts = Counts()
        let began = ContinuousClock.now
        let end = began + .seconds(self.seconds)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<self.connections {
                group.addTask {
                    while ContinuousClock.now < end {
                        do { try await self.connection(fixed, until: end, counts) } catch {
                            counts.tally.withLock {
                                $0.failed += 1
                                $0.firstFailure = $0.firstFailure ?? "\(error)"
                            }
                        }
                    }
                }
            }
        }
        let taken = ContinuousClock.now - began
        let sum = counts.tally.withLock { $0 }
        let report = Report(
            done: sum.done, failed: sum.failed, seconds: taken / .seconds(1), firstFailure: sum.firstFailure,
            negotiated: "native \(self.variant)")
        print(String(decoding: try JSONEncoder().encode(report), as: UTF8.self))
    }

    /// One connection and its GETs.
    private func connection(
        _ options: NativeOptions, until end: ContinuousClock.Instant, _ counts: Counts
    ) async throws {
        try await NativeConnection.with(options) { connection in
            var parts = connection.bytes.makeAsyncIterator()
            var received = ByteBuffer()
            for number in 1...self.requests {
                let isLast = number == self.requests || ContinuousClock.now >= end
                let close = isLast ? "Connection: close\r\n" : ""
                try await connection.send(
                    ByteBuffer(string: "GET \(self.path) HTTP/1.1\r\nHost: \(self.name)\r\n\(close)\r\n"))
                // A head, then as many bytes as were asked for.
                var head: Int?
                while head == nil || received.readableBytes < head! + self.body {
                    guard let part = try await parts.next() else { throw LoadFailure.short(received.readableBytes) }
                    received.writeImmutableBuffer(part)
                    head = head ?? Self.headLength(received)
                }
                guard received.getString(at: received.readerIndex, length: 12) == "HTTP/1.1 200" else {
                    throw LoadFailure.status(String(buffer: received.getSlice(at: 0, length: 12) ?? ByteBuffer()))
                }
                received.clear()
                counts.tally.withLock { $0.done += 1 }
                if isLast { break }
            }
        }
    }

    private static func headLength(_ bytes: ByteBuffer) -> Int? {
        let view = bytes.readableBytesView
        let end: [UInt8] = [13, 10, 13, 10]
        var index = view.startIndex
        while index + 4 <= min(view.endIndex, view.startIndex + 4096) {
            if view[index..<index + 4].elementsEqual(end) { return index + 4 - view.startIndex }
            index += 1
        }
        return nil
    }
}

enum LoadFailure: Error {
    case short(Int)
    case status(String)
}
