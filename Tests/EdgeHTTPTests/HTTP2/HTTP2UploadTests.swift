import NIOCore
import TestWire
import Testing

@testable import EdgeHTTP

/// Uploads without a length: every chunk is whole before the last one is written (RFC 9112 §7.1).
@Suite(.timeLimit(.minutes(2))) struct HTTP2UploadTests {
    /// Frames in one burst, and sizes of frames. An origin that reads slowly makes the edge write in parts.
    @Test(arguments: [(8, 16_384), (15, 16_384), (32, 4_096), (64, 1_024), (1, 100)], [false, true])
    func burstsArriveWhole(burst: (count: Int, size: Int), tls: Bool) async throws {
        let total = burst.count * burst.size
        try await ProxyBench.run(tls: tls, http2: true) { wire, _ in
            while true {
                let head = try await wire.readHead()
                guard head.hasPrefix("POST") else {
                    try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    continue
                }
                try await Task.sleep(for: .milliseconds(5))
                var trailers = ""
                let body = try await wire.readChunked(trailers: &trailers)
                let sum = body.readableBytesView.reduce(into: 0) { $0 = ($0 &* 31 &+ Int($1)) & 0xFFFF_FFFF }
                let text = "\(body.readableBytes) \(sum)"
                try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
            }
        } test: { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2()
            // A connection to the origin that is there already.
            try await wire.send(RawFrames.frame(.headers, flags: 5, stream: 1, RawFrames.get()))
            _ = try await wire.readFrame(.headers)
            var post = RawFrames.block([
                (":method", "POST"), (":scheme", "https"), (":path", "/up"), (":authority", ProxyBench.host),
            ])
            post.append(contentsOf: RawFrames.block([("x-a", "b")]))
            var sum = 0
            for round in 0..<8 {
                let stream = UInt32(2 * round + 3)
                var bytes = RawFrames.frame(.headers, flags: 4, stream: stream, post)
                sum = 0
                for number in 0..<burst.count {
                    let part = (0..<burst.size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ number &+ round) }
                    sum = part.reduce(into: sum) { $0 = ($0 &* 31 &+ Int($1)) & 0xFFFF_FFFF }
                    bytes.writeImmutableBuffer(
                        RawFrames.frame(.data, flags: number == burst.count - 1 ? 1 : 0, stream: stream, part))
                }
                try await wire.send(bytes)
                while case let frame = try await wire.readFrame(), frame.stream != stream || frame.kind != .headers {
                    #expect(frame.kind != .reset && frame.kind != .goAway)
                    if frame.kind == .reset || frame.kind == .goAway { return }
                }
                #expect(try await String(buffer: wire.readFrame(.data).payload) == "\(total) \(sum)")
            }
        }
    }
}
