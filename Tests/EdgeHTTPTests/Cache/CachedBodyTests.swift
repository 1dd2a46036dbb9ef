import CacheStorage
import HTTPFields
import NIOCore
import NIOEmbedded
import Testing

@testable import EdgeHTTP
@testable import HTTPCaching

/// A stored body on its way to a client that takes so much and no more.
@Suite struct CachedBodyTests {
    /// A client's side: what it takes, what it got, how often it was flushed.
    private final class Client {
        var room: Int
        var got = ByteBuffer()
        var pieces: [Int] = []
        var flushes = 0
        /// The room after a flush, if that is another.
        var roomAfterFlush: Int?

        init(room: Int) {
            self.room = room
        }

        func pump(_ body: CachedBody) -> CachedBody.Progress {
            body.pump(
                room: { self.room },
                send: { bytes in
                    self.pieces.append(bytes.readableBytes)
                    self.got.writeImmutableBuffer(bytes)
                },
                flush: {
                    self.flushes += 1
                    if let room = self.roomAfterFlush { self.room = room }
                })
        }
    }

    private static func bytes(_ count: Int) -> ByteBuffer {
        ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
    }

    private static func body(_ chunks: [ByteBuffer]) -> CachedBody {
        CachedBody(chunks, of: StoredBody(chunks: chunks))
    }

    @Test func aSmallBodyGoesInOnePieceAndIsNotFlushed() {
        let client = Client(room: 65_536)
        guard case .end = client.pump(Self.body([Self.bytes(1024)])) else {
            Issue.record("not at its end")
            return
        }
        #expect(client.got == Self.bytes(1024))
        #expect(client.pieces == [1024])
        #expect(client.flushes == 0)
    }

    @Test func chunksAreSentInOrderAndFlushedTwoByTwo() {
        let chunks = (0..<4).map { _ in Self.bytes(65_536) } + [Self.bytes(10)]
        let client = Client(room: 65_536)
        guard case .end = client.pump(Self.body(chunks)) else {
            Issue.record("not at its end")
            return
        }
        #expect(client.got == chunks.reduce(into: ByteBuffer()) { $0.writeImmutableBuffer($1) })
        #expect(client.flushes == 2)
    }

    @Test func aClientThatTakesNoMoreIsAskedAgain() {
        let client = Client(room: 10_000)
        client.roomAfterFlush = 0
        let body = Self.body([Self.bytes(150_000)])
        guard case .blocked = client.pump(body) else {
            Issue.record("not blocked")
            return
        }
        #expect(client.got.readableBytes == 140_000)
        client.room = 65_536
        client.roomAfterFlush = nil
        guard case .end = client.pump(body) else {
            Issue.record("not at its end")
            return
        }
        #expect(client.got == Self.bytes(150_000))
    }

    @Test func tinyWindowsCostNoTinyPieces() {
        let client = Client(room: 1)
        let body = Self.body([Self.bytes(10_000)])
        guard case .end = client.pump(body) else {
            Issue.record("not at its end")
            return
        }
        #expect(client.pieces == [4096, 4096, 1808])
    }

    @Test func whatIsStillToComeIsWaitedFor() throws {
        let store = ResponseStore()
        let writer = store.soloFill(for: CacheKey(site: "s", uri: "https://a/"))
        let stored = try StoredResponse.passing(length: 6)
        _ = writer.begin(stored)
        let body = CachedBody(writer.fill.followUnwoken().body())
        let client = Client(room: 65_536)
        guard case .pending = client.pump(body) else {
            Issue.record("not pending")
            return
        }
        _ = writer.append(ByteBuffer(string: "abc"))
        guard case .pending = client.pump(body) else {
            Issue.record("not pending")
            return
        }
        #expect(String(buffer: client.got) == "abc")
        _ = writer.append(ByteBuffer(string: "def"))
        writer.finish()
        guard case .end = client.pump(body) else {
            Issue.record("not at its end")
            return
        }
        #expect(String(buffer: client.got) == "abcdef")
    }

    @Test func aBodyThatBreaksOffSaysSo() throws {
        let store = ResponseStore()
        let writer = store.soloFill(for: CacheKey(site: "s", uri: "https://a/"))
        _ = writer.begin(try .passing(length: 6))
        let body = CachedBody(writer.fill.followUnwoken().body())
        _ = writer.append(ByteBuffer(string: "abc"))
        writer.fail(.originFailed("reset"))
        let client = Client(room: 65_536)
        guard case .truncated(.originFailed("reset")) = client.pump(body) else {
            Issue.record("not truncated")
            return
        }
        #expect(String(buffer: client.got) == "abc")
        // Nothing follows.
        guard case .end = client.pump(body) else {
            Issue.record("it goes on")
            return
        }
        #expect(client.pieces == [3])
    }

    @Test func partsStandBetweenTheirTexts() {
        let whole = Self.bytes(1000)
        let stored = StoredBody(chunks: [whole])
        let multipart = MultipartBody(
            ranges: [0...9, 990...999], total: 1000, offset: 0, contentType: nil, boundary: "x")
        let loop = EmbeddedEventLoop()
        let body = CachedBody(multipart) { stored.reader(range: $0, on: loop, wake: {}) }
        let client = Client(room: 65_536)
        guard case .end = client.pump(body) else {
            Issue.record("not at its end")
            return
        }
        #expect(client.got.readableBytes == Int(multipart.length))
        #expect(client.pieces.contains(10))
    }

    @Test func aCancelledBodyIsOver() {
        let body = Self.body([Self.bytes(10)])
        body.cancel()
        let client = Client(room: 100)
        guard case .end = client.pump(body) else {
            Issue.record("it goes on")
            return
        }
        #expect(client.pieces.isEmpty)
    }
}

extension StoredResponse {
    fileprivate static func passing(length: Int64) throws -> StoredResponse {
        let head = try EncodedHead(status: 200, reason: "OK".utf8)
        return StoredResponse(
            head: head, requestTime: 0, responseTime: 0, variant: .invariant, extent: .complete(length: length),
            freshness: Freshness(initialAge: 0, lifetime: 0, source: .none), tags: [])
    }
}
