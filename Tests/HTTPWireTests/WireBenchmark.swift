import HTTPFields
import HTTPWire
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

/// Prints what a typical request head costs; nothing is asserted about time. In release mode the figures mean something.
@Suite(.serialized) struct WireBenchmark {
    /// What a browser sends for an image: 16 fields.
    static let browserHead = Array(
        """
        GET /assets/images/header-background-1200.webp?v=8f2a91 HTTP/1.1\r
        Host: www.example.test\r
        Connection: keep-alive\r
        sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"\r
        sec-ch-ua-mobile: ?0\r
        User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r
        sec-ch-ua-platform: "Linux"\r
        Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r
        Sec-Fetch-Site: same-origin\r
        Sec-Fetch-Mode: no-cors\r
        Sec-Fetch-Dest: image\r
        Referer: https://www.example.test/products/winter\r
        Accept-Encoding: gzip, deflate, br, zstd\r
        Accept-Language: en-GB,en;q=0.9,de;q=0.8\r
        Cookie: session=0123456789abcdef0123456789abcdef; consent=all; theme=dark\r
        If-None-Match: "64f1a2b3-4d2c"\r
        If-Modified-Since: Tue, 03 Sep 2024 10:00:00 GMT\r
        \r

        """.utf8)
    static let smallHead = Array(
        "GET /1k HTTP/1.1\r\nHost: www.example.test\r\nUser-Agent: load/1\r\nAccept: */*\r\n\r\n".utf8)

    @Test func requestHeads() throws {
        for (name, head) in [("browser, 16 fields", Self.browserHead), ("load tool, 3 fields", Self.smallHead)] {
            let input = ByteBuffer(bytes: head)
            var reader = RequestReader()
            let ours = try nanoseconds {
                reader.receive(input)
                guard case .head(let head)? = try reader.next(), head.fields.contains(.host),
                    case .end? = try reader.next()
                else { throw Unexpected() }
            }
            let channel = EmbeddedChannel(handler: ByteToMessageHandler(HTTPRequestDecoder()))
            let nio = try nanoseconds {
                try channel.writeInbound(input)
                guard case .head(let head)? = try channel.readInbound(as: HTTPServerRequestPart.self),
                    head.headers.contains(name: "host"),
                    case .end? = try channel.readInbound(as: HTTPServerRequestPart.self)
                else { throw Unexpected() }
            }
            _ = try channel.finish(acceptAlreadyClosed: true)
            var out = ByteBuffer()
            reader.receive(input)
            guard case .head(let parsed)? = try reader.next() else { throw Unexpected() }
            let writing = try nanoseconds {
                out.clear()
                var writer = try HeadWriter(parsed, to: &out)
                for field in parsed.fields { writer.add(field, of: parsed.fields, to: &out) }
                writer.finish(parsed.framing, to: &out)
            }
            print(
                "request head, \(name), \(head.count) bytes: read \(ours) ns, swift-nio \(nio) ns, written \(writing) ns"
            )
        }
    }

    /// The best of several rounds, each long enough for the clock.
    private func nanoseconds(_ body: () throws -> Void) throws -> Int {
        var best = Int.max
        for _ in 0..<20 {
            var count = 0
            let clock = ContinuousClock()
            let start = clock.now
            var elapsed = Duration.zero
            while elapsed < .milliseconds(10) {
                for _ in 0..<50 { try body() }
                count += 50
                elapsed = clock.now - start
            }
            best = min(best, Int(elapsed / .nanoseconds(1)) / count)
        }
        return best
    }
}
