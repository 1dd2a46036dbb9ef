import HTTPCaching
import HTTPFields
import Testing

@Suite("Answers from the store")
struct AnswerTests {
    static let fields = [
        ("Cache-Control", "max-age=3600"), ("Date", arrivalDate), ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT"),
        ("Content-Type", "text/plain"), ("ETag", "\"x\""), ("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT"),
        ("Content-Encoding", "identity"), ("Content-Location", "/p"), ("Vary", "Accept"), ("X", "1"), ("x", "2"),
    ]

    @Test func aWholeResponseHasItsFieldsAgeAndLength() throws {
        let answer = answer(try stored(Self.fields), to: request(), after: 42)
        #expect(answer.status == 200)
        #expect(answer.body == .whole)
        #expect(answer.length == 10)
        let expected = Self.fields.map { "\($0.0): \($0.1)" } + ["Age: 42", "Content-Length: 10"]
        #expect(answer.fields.lines == expected)
    }

    @Test func anUnknownLengthIsNotAnnounced() throws {
        let answer = answer(try stored(Self.fields, length: nil), to: request())
        #expect(answer.body == .whole)
        #expect(answer.length == nil)
        #expect(!answer.fields.contains(name: "Content-Length"))
        let ranged = AnswerTests.answerTo([("Range", "bytes=0-1")], try stored(Self.fields, length: nil))
        #expect(ranged.status == 200)
    }

    @Test func headHasTheFieldsAlone() throws {
        let answer = answer(try stored(Self.fields), to: request([("Range", "bytes=0-1")], method: .head))
        #expect(answer.status == 200)
        #expect(answer.body == .none)
        #expect(answer.length == 0)
        #expect(answer.fields["Content-Length"] == ["10"])
    }

    @Test func noContentHasNoLength() throws {
        let answer = answer(try stored([("Cache-Control", "max-age=60")], status: 204, length: nil), to: request())
        #expect(answer.body == .none)
        #expect(!answer.fields.contains(name: "Content-Length"))
    }

    @Test func theOriginsOwnAnswerHasNoAgeUnlessItIsOld() throws {
        let own = answer(try stored(Self.fields), to: request(), source: .origin)
        #expect(!own.fields.contains(name: "Age"))
        let old = answer(try stored(Self.fields + [("Age", "7")]), to: request(), source: .origin)
        #expect(old.fields["Age"] == ["7"])
    }

    @Test func withheldFieldsAreForTheirRequestOnly() throws {
        let asked = request(rule: rule { $0.setCookie = .strip })
        guard
            case .store(let stored, let withheld) = asked.decideStoring(
                response(Self.fields + [("Set-Cookie", "a=b")]), key: key())
        else { throw NotStored() }
        let own = Answer(from: stored, to: asked, now: arrival, source: .origin, withheld: withheld) { "" }
        #expect(own.fields["Set-Cookie"] == ["a=b"])
        #expect(!answer(stored, to: asked).fields.contains(name: "Set-Cookie"))
    }

    @Test func theSitesEditsComeLast() throws {
        let edits = FieldEdits(remove: [try name("x"), try name("Age")], add: [.init(name: "X", value: "3")])
        let answer = answer(try stored(Self.fields), to: request(rule: rule { $0.responseFields = edits }))
        #expect(answer.fields["X"] == ["3"])
        #expect(!answer.fields.contains(name: "Age"))
    }

    static func answerTo(_ fields: [(String, String)], _ stored: StoredResponse) -> Answer {
        answer(stored, to: request(fields))
    }

    @Test(
        "Conditions",
        arguments: [
            ([("If-None-Match", "\"x\"")], 304), ([("If-None-Match", "W/\"x\"")], 304), ([("If-None-Match", "*")], 304),
            ([("If-None-Match", "\"a\", \"x\", \"b\"")], 304),
            ([("If-None-Match", "\"a\""), ("If-None-Match", "\"x\"")], 304),
            ([("If-None-Match", "\"a,b\",\"x\"")], 304), ([("If-None-Match", "\"a\"")], 200),
            ([("If-None-Match", "x")], 200),
            ([("If-None-Match", "w/\"x\"")], 200), ([("If-None-Match", "")], 200),
            // If-None-Match alone counts where both are there.
            ([("If-None-Match", "\"a\""), ("If-Modified-Since", arrivalDate)], 200),
            ([("If-None-Match", "\"x\""), ("If-Modified-Since", "Sun, 06 Nov 1904 07:49:37 GMT")], 304),
            ([("If-Modified-Since", "Sun, 06 Nov 1994 07:49:37 GMT")], 304),
            ([("If-Modified-Since", "Sunday, 06-Nov-94 07:49:37 GMT")], 304),
            ([("If-Modified-Since", "Sun Nov  6 07:49:37 1994")], 304), ([("If-Modified-Since", arrivalDate)], 304),
            ([("If-Modified-Since", "Sun, 06 Nov 1994 07:49:36 GMT")], 200),
            ([("If-Modified-Since", "yesterday")], 200),
            ([("If-Modified-Since", arrivalDate), ("If-Modified-Since", arrivalDate)], 200),
            ([("If-None-Match", "\"x\""), ("Range", "bytes=0-1")], 304),
        ] as [([(String, String)], Int)])
    func conditions(fields: [(String, String)], code: Int) throws {
        #expect(Self.answerTo(fields, try stored(Self.fields)).status == code)
    }

    @Test func notModifiedHasTheValidatorsButNothingAboutTheBody() throws {
        let answer = Self.answerTo([("If-None-Match", "\"x\"")], try stored(Self.fields))
        #expect(answer.body == .none)
        #expect(answer.length == 0)
        #expect(
            answer.fields.names == [
                "Cache-Control", "Date", "Expires", "ETag", "Content-Location", "Vary", "X", "x", "Age",
            ])
        let untagged = try stored(Self.fields.filter { $0.0 != "ETag" })
        let since = Self.answerTo([("If-Modified-Since", arrivalDate)], untagged)
        #expect(since.fields.contains(name: "Last-Modified"))
    }

    @Test func withoutLastModifiedTheDateCounts() throws {
        let response = try stored([("Cache-Control", "max-age=60"), ("Date", arrivalDate)])
        #expect(Self.answerTo([("If-Modified-Since", arrivalDate)], response).status == 304)
        #expect(Self.answerTo([("If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")], response).status == 200)
    }

    @Test func onlySuccessesAreNotModified() throws {
        let response = try stored(Self.fields, status: 404)
        #expect(Self.answerTo([("If-None-Match", "\"x\"")], response).status == 404)
        #expect(Self.answerTo([("Range", "bytes=0-1")], response).status == 404)
    }

    @Test(
        "Single ranges of ten bytes",
        arguments: [
            ("bytes=0-1", 0, 1), ("bytes=1-", 1, 9), ("bytes=-1", 9, 9), ("bytes=-20", 0, 9), ("bytes=0-100", 0, 9),
            ("BYTES=5-5", 5, 5), ("bytes= 2-3 , ", 2, 3), ("bytes=9-9223372036854775807999", 9, 9),
            ("bytes=0-1,1-3", 0, 3), ("bytes=5-6,0-1", 0, 6), ("bytes=20-30,2-3", 2, 3),
        ] as [(String, Int64, Int64)])
    func singleRanges(text: String, first: Int64, last: Int64) throws {
        let answer = Self.answerTo([("Range", text)], try stored(Self.fields))
        #expect(answer.status == 206)
        #expect(answer.body == .range(first...last))
        #expect(answer.length == last - first + 1)
        #expect(answer.fields["Content-Range"] == ["bytes \(first)-\(last)/10"])
        #expect(answer.fields["Content-Length"] == ["\(last - first + 1)"])
        #expect(answer.fields["ETag"] == ["\"x\""])
        #expect(answer.fields["Age"] == ["0"])
    }

    @Test(
        "Ranges that count as absent",
        arguments: [
            "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes=3-1", "lines=0-1", "bytes 0-1", "bytes=0-1-2",
            "bytes=0 -1", "bytes=,", "bytes=" + (0...32).map { "\($0)-\($0)" }.joined(separator: ","),
        ])
    func ignoredRanges(text: String) throws {
        #expect(Self.answerTo([("Range", text)], try stored(Self.fields)).status == 200)
    }

    @Test(arguments: ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99-,50-60", "bytes=9223372036854775807999-"])
    func unsatisfiableRanges(text: String) throws {
        let answer = Self.answerTo([("Range", text)], try stored(Self.fields))
        #expect(answer.status == 416)
        #expect(answer.body == .none)
        #expect(answer.fields["Content-Range"] == ["bytes */10"])
        #expect(answer.fields["Content-Length"] == ["0"])
        #expect(!answer.fields.contains(name: "Content-Type"))
    }

    @Test func anEmptyBodyHasNoRanges() throws {
        let empty = try stored(Self.fields, length: 0)
        #expect(Self.answerTo([("Range", "bytes=-5")], empty).status == 200)
        #expect(Self.answerTo([("Range", "bytes=0-")], empty).status == 416)
    }

    @Test func severalRangesAreMultipart() throws {
        let large = try stored(Self.fields, length: 1000)
        let answer = Self.answerTo([("Range", "bytes=500-509,0-1,-2")], large)
        #expect(answer.status == 206)
        guard case .multipart(let multipart) = answer.body else {
            Issue.record("\(answer.body)")
            return
        }
        #expect(answer.fields["Content-Type"] == ["multipart/byteranges; boundary=BOUNDARY"])
        #expect(!answer.fields.contains(name: "Content-Range"))
        #expect(multipart.parts.map(\.range) == [500...509, 0...1, 998...999])
        #expect(
            String(decoding: multipart.parts[0].preamble, as: UTF8.self)
                == "--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 500-509/1000\r\n\r\n")
        #expect(multipart.parts[1].preamble.starts(with: "\r\n--BOUNDARY\r\n".utf8))
        #expect(multipart.closing == Array("\r\n--BOUNDARY--\r\n".utf8))
        var length = Int64(multipart.closing.count)
        for part in multipart.parts { length += Int64(part.preamble.count + part.range.count) }
        #expect(answer.length == length)
        #expect(answer.fields["Content-Length"] == ["\(length)"])
    }

    @Test(
        "If-Range",
        arguments: [
            ("\"x\"", 206), ("W/\"x\"", 200), ("\"y\"", 200), ("x", 200), ("Sun, 06 Nov 1994 07:49:37 GMT", 206),
            ("Sun, 06 Nov 1994 07:49:38 GMT", 200), (arrivalDate, 200),
        ])
    func ifRange(text: String, code: Int) throws {
        let answer = Self.answerTo([("Range", "bytes=0-1"), ("If-Range", text)], try stored(Self.fields))
        #expect(answer.status == code)
    }

    @Test func weakValidatorsDontHoldForRanges() throws {
        let weak = try stored([("Cache-Control", "max-age=60"), ("ETag", "W/\"x\"")])
        #expect(Self.answerTo([("Range", "bytes=0-1"), ("If-Range", "W/\"x\"")], weak).status == 200)
        // Changed within the second in which it was sent: another change may have followed.
        let recent = try stored([
            ("Cache-Control", "max-age=60"), ("Last-Modified", arrivalDate), ("Date", arrivalDate),
        ])
        #expect(Self.answerTo([("Range", "bytes=0-1"), ("If-Range", arrivalDate)], recent).status == 200)
    }

    @Test func partsAreServedFromWhereTheyBegin() throws {
        let part = try stored(
            [("Cache-Control", "max-age=10"), ("Content-Range", "bytes 100-199/1000"), ("Content-Type", "a/b")],
            status: 206, length: 100, to: request([("Range", "bytes=100-199")]))
        let one = Self.answerTo([("Range", "bytes=110-119")], part)
        #expect(one.status == 206)
        #expect(one.body == .range(10...19))
        #expect(one.fields["Content-Range"] == ["bytes 110-119/1000"])
        let all = Self.answerTo([("Range", "bytes=100-199")], part)
        #expect(all.body == .range(0...99))
        let unknown = try stored(
            [("Cache-Control", "max-age=10"), ("Content-Range", "bytes 100-199/*")], status: 206, length: 100,
            to: request([("Range", "bytes=100-199")]))
        #expect(Self.answerTo([("Range", "bytes=110-119")], unknown).fields["Content-Range"] == ["bytes 110-119/*"])
    }

    @Test func aPartThatNobodyAskedForIsPassedOnAsItIs() throws {
        let asked = request([("Range", "bytes=-5")])
        let part = try stored(
            [("Cache-Control", "max-age=10"), ("Content-Range", "bytes 0-4/10")], status: 206, length: 5, to: asked)
        let answer = answer(part, to: asked)
        #expect(answer.status == 206)
        #expect(answer.body == .whole)
        #expect(answer.length == 5)
        #expect(answer.fields["Content-Range"] == ["bytes 0-4/10"])
    }
}
