import HTTPCaching
import HTTPFields
import NIOCore
import Testing

@Suite("Bytes that are not UTF-8")
struct ByteTests {
    private static func bytes(_ text: String, _ last: UInt8) -> [UInt8] { Array(text.utf8) + [last] }

    private static func tag(_ byte: UInt8) -> [UInt8] { [0x22, byte, 0x22] }

    private static func asked(_ fields: [(String, [UInt8])]) -> CacheRequest {
        CacheRequest(method: .get, fields: section(fields.map { (Array($0.0.utf8), $0.1) }), rule: CacheRule())
    }

    private static func fields(_ more: [(String, [UInt8])]) -> FieldSection {
        section(([("Cache-Control", Array("max-age=60".utf8))] + more).map { (Array($0.0.utf8), $0.1) })
    }

    @Test("One visitor's page is not another's, if only a byte of the cookie tells them apart")
    func varyingByCookie() throws {
        let one = Self.asked([("Cookie", Self.bytes("session=", 0xE8))])
        let other = Self.asked([("Cookie", Self.bytes("session=", 0xE9))])
        let page = try stored(Self.fields([("Vary", Array("Cookie".utf8))]), to: one)
        #expect(one.lookup([page], now: arrival) != .fetch(.varyMiss, superseded: nil))
        #expect(other.lookup([page], now: arrival) == .fetch(.varyMiss, superseded: nil))
    }

    @Test("An entity tag that differs in such a byte is another one: no 304, no part, no renewal")
    func entityTags() throws {
        let page = try stored(Self.fields([("ETag", Self.tag(0xE8))]))
        let same = Self.asked([("If-None-Match", Self.tag(0xE8))])
        let other = Self.asked([("If-None-Match", Self.tag(0xE9))])
        #expect(answer(page, to: same).status == 304)
        #expect(answer(page, to: other).status == 200)
        let range: [(String, [UInt8])] = [("Range", Array("bytes=0-1".utf8))]
        #expect(answer(page, to: Self.asked(range + [("If-Range", Self.tag(0xE8))])).status == 206)
        #expect(answer(page, to: Self.asked(range + [("If-Range", Self.tag(0xE9))])).status == 200)
        let update = response(section([(Array("ETag".utf8), Self.tag(0xE9))]), status: 304)
        guard case .mismatch = request().freshen(page, with: update) else {
            Issue.record("renewed by a 304 about something else")
            return
        }
    }

    @Test("What is stored, asked about, read from disk and answered are the origin's bytes")
    func unchanged() throws {
        let values: [(String, [UInt8])] = [
            ("X-Latin", Array("caf".utf8) + [0xE9, 0x20, 0xFF]), ("ETag", Self.tag(0x80)), ("X-Cut", [0xC3]),
            ("Content-Disposition", Array("attachment; filename=\"".utf8) + [0xFC, 0x22]),
        ]
        let arrived = Self.fields(values)
        let origin = OriginResponse(
            status: 200, reason: [0x4F, 0x4B, 0x20, 0xE9], fields: arrived, bodyLength: 10, requestTime: arrival,
            responseTime: arrival)
        guard case .store(let page, _) = request().decideStoring(origin, key: key()) else { throw NotStored() }
        var buffer = ByteBuffer()
        try page.encode(into: &buffer)
        for page in [page, try StoredResponse(decoding: buffer)] {
            let head = answer(page, to: request()).head
            #expect(Array(head.reason) == [0x4F, 0x4B, 0x20, 0xE9])
            let fields = head.section
            for (text, value) in values {
                let field = try #require(fields.first(try name(text)))
                #expect(fields.copy(field.value) == value, "\(text)")
            }
            let question = request().originRequest(validating: page).added
            #expect(question.first(.ifNoneMatch).map { question.copy($0.value) } == Self.tag(0x80))
        }
    }
}
