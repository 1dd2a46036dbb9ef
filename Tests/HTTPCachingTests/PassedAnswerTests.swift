import HTTPCaching
import HTTPFields
import NIOCore
import Testing

/// What a client gets of a response that is not stored, although its conditions and range were kept from the origin.
@Suite struct PassedAnswerTests {
    private static let page = [
        ("ETag", "\"a\""), ("Last-Modified", "Sun, 06 Nov 1994 08:00:00 GMT"), ("Date", arrivalDate),
        ("Cache-Control", "private"),
    ]

    private func judge(
        _ asked: [(String, String)], _ fields: [(String, String)] = Self.page, status: Int = 200, length: Int64? = 1000,
        method: RequestMethod = .get
    ) -> PassedAnswer {
        request(asked, method: method).judge(response(fields, status: status, length: length))
    }

    @Test func conditionsAreJudgedOnWhatCame() {
        #expect(self.judge([("If-None-Match", "\"a\"")]) == .notModified)
        #expect(self.judge([("If-None-Match", "W/\"a\", \"b\"")]) == .notModified)
        #expect(self.judge([("If-None-Match", "\"b\"")]) == .whole)
        #expect(self.judge([("If-Modified-Since", "Sun, 06 Nov 1994 08:00:00 GMT")]) == .notModified)
        #expect(self.judge([("If-Modified-Since", "Sun, 06 Nov 1994 07:59:59 GMT")]) == .whole)
        // If-None-Match alone counts (RFC 9110 §13.1.3).
        #expect(
            self.judge([("If-None-Match", "\"b\""), ("If-Modified-Since", "Sun, 06 Nov 1994 08:00:00 GMT")]) == .whole)
        #expect(self.judge([("If-None-Match", "\"a\"")], status: 404) == .whole)
        #expect(self.judge([("If-None-Match", "\"a\"")], length: nil) == .notModified)
    }

    /// A page that says nothing about its age is new each time, whatever date a client has.
    @Test func withoutLastModifiedNoDateMatches() {
        #expect(self.judge([("If-Modified-Since", "Mon, 07 Nov 1994 08:00:00 GMT")], [("Date", arrivalDate)]) == .whole)
    }

    @Test func oneRangeIsTakenOut() {
        #expect(self.judge([("Range", "bytes=0-1")]) == .part(0...1, total: 1000))
        #expect(self.judge([("Range", "bytes=990-")]) == .part(990...999, total: 1000))
        #expect(self.judge([("Range", "bytes=-3")]) == .part(997...999, total: 1000))
        #expect(self.judge([("Range", "bytes=1000-")]) == .unsatisfiable(total: 1000))
        #expect(self.judge([("Range", "bytes=0-1")], status: 203) == .whole)
        #expect(self.judge([("Range", "bytes=0-1")], length: nil) == .whole)
        #expect(self.judge([("Range", "bytes=0-1,500-501")]) == .whole)
        #expect(self.judge([("Range", "lines=0-1")]) == .whole)
        #expect(self.judge([("Range", "bytes=0-1"), ("If-None-Match", "\"a\"")]) == .notModified)
        #expect(self.judge([("Range", "bytes=0-1")], method: .head) == .whole)
    }

    @Test func ifRangeHasToHold() {
        #expect(self.judge([("Range", "bytes=0-1"), ("If-Range", "\"a\"")]) == .part(0...1, total: 1000))
        #expect(self.judge([("Range", "bytes=0-1"), ("If-Range", "\"b\"")]) == .whole)
        #expect(self.judge([("Range", "bytes=0-1"), ("If-Range", "W/\"a\"")]) == .whole)
    }

    @Test func aBodyIsCutAsItComes() {
        for sizes in [[1], [3, 4], [100], [7, 1]] {
            var cut = BodyCut(skip: 5, left: 4)
            var out = ""
            var sent = 0
            var turn = 0
            while sent < 20 {
                let size = min(sizes[turn % sizes.count], 20 - sent)
                turn += 1
                var bytes = ByteBuffer(string: String("abcdefghijklmnopqrst".dropFirst(sent).prefix(size)))
                sent += size
                cut.take(&bytes)
                out += String(buffer: bytes)
            }
            #expect(out == "fghi")
            #expect(cut.isDone)
        }
        #expect(PassedAnswer.notModified.cut?.isDone == true)
        #expect(PassedAnswer.whole.cut == nil)
    }

    @Test func whatIsKnownToBePrivateIsAskedForAsTheClientDid() {
        let asked = request([("If-None-Match", "\"a\""), ("Range", "bytes=0-1"), ("Accept-Encoding", "gzip")])
        let all = asked.originRequest()
        #expect(all.asksForAll)
        #expect(!all.sendsRange)
        let passed = asked.originRequest(asClient: true)
        #expect(!passed.asksForAll)
        #expect(passed.sendsRange)
    }

    @Test func onlyWhatWillHappenAgainIsRemembered() {
        #expect(Collapsing.remembers(.isPrivate, status: 200))
        #expect(Collapsing.remembers(.setCookie, status: 404))
        #expect(!Collapsing.remembers(.isPrivate, status: 503))
        // A condition or range of one client's says nothing about the next.
        #expect(!Collapsing.remembers(.notModified, status: 304))
        #expect(!Collapsing.remembers(.partial, status: 206))
        #expect(!Collapsing.remembers(.requestNoStore, status: 200))
    }
}
