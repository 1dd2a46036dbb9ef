import HTTPFields
import NIOCore
import Testing

@testable import HTTPWire

/// What waits in a reader takes memory for itself, and not for everything that went through before it.
@Suite struct MemoryTests {
    /// Cut so that the buffer is never empty between two calls: an end of the next message is always there.
    private static func pieces(_ message: String, count: Int) -> [ByteBuffer] {
        var all = ByteBuffer(string: String(repeating: message, count: count))
        var pieces: [ByteBuffer] = []
        while let piece = all.readSlice(length: min(message.utf8.count + 3, max(1, all.readableBytes))),
            piece.readableBytes > 0
        {
            pieces.append(piece)
        }
        return pieces
    }

    @Test(arguments: [
        "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40\r\n\r\n0123456789012345678901234567890123456789",
        "POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    ])
    func requestsDoNotAddUp(message: String) throws {
        var reader = RequestReader()
        var requests = 0
        var most = 0
        for piece in Self.pieces(message, count: 20_000) {
            reader.receive(piece)
            while let event = try reader.next() {
                if case .end = event { requests += 1 }
            }
            most = max(most, reader.input.buffer.capacity)
        }
        #expect(requests == 20_000)
        // A piece is a slice of all of them, but for what is copied behind a rest.
        #expect(most <= 4096)
    }

    @Test func responsesDoNotAddUp() throws {
        let message = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
        var reader = ResponseReader()
        var most = 0
        for _ in 0..<20_000 {
            reader.expect(.get)
            var all = ByteBuffer(string: message)
            while let piece = all.readSlice(length: min(7, max(1, all.readableBytes))), piece.readableBytes > 0 {
                reader.receive(piece)
                while let event = try reader.next() { if case .end = event { break } }
                most = max(most, reader.input.buffer.capacity)
            }
            #expect(reader.isIdle)
        }
        #expect(most <= 4096)
    }

    /// A head that says that no content follows ends its request, and takes no further call.
    @Test func aRequestWithoutContentIsOverWithItsHead() throws {
        var reader = RequestReader()
        reader.receive(ByteBuffer(string: "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"))
        guard case .head? = try reader.next() else {
            Issue.record("no head")
            return
        }
        #expect(!reader.isBetweenRequests)
        reader.endWithoutContent()
        #expect(reader.isBetweenRequests && reader.input.buffer.capacity == 0)

        reader.receive(ByteBuffer(string: "POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab"))
        guard case .head? = try reader.next() else {
            Issue.record("no head")
            return
        }
        reader.endWithoutContent()
        guard case .body(let bytes)? = try reader.next(), case .end? = try reader.next() else {
            Issue.record("the content was lost")
            return
        }
        #expect(bytes == ByteBuffer(string: "ab"))
    }
}
