import HTTPCaching
import HTTPFields
import Testing

@Suite("304 and HEAD")
struct FresheningTests {
    static let fields = [
        ("Cache-Control", "max-age=2"), ("Date", arrivalDate), ("ETag", "\"x\""), ("A", "1"), ("a", "2"), ("B", "1"),
        ("Content-Type", "text/plain"), ("Surrogate-Key", "old"),
    ]
    static let later = arrival + 10_000
    static let laterDate = "Sun, 06 Nov 1994 08:49:47 GMT"

    static func freshen(
        _ update: [(String, String)], _ stored: StoredResponse, _ asked: CacheRequest = request()
    ) -> Freshening {
        asked.freshen(stored, with: response(update, status: 304, length: 99, at: Self.later))
    }

    @Test func everyFieldReplacesItsNamesakes() throws {
        let old = try stored(Self.fields)
        let update = [
            ("Date", Self.laterDate), ("ETag", "\"x\""), ("A", "3"), ("C", "4"), ("Content-Length", "99"),
            ("Content-Range", "x"), ("Connection", "D"), ("D", "5"), ("Keep-Alive", "x"),
            ("Cache-Control", "max-age=60"), ("Surrogate-Key", "new"), ("Age", "7"),
        ]
        guard case .renewed(let new, let withheld) = Self.freshen(update, old) else { throw NotStored() }
        #expect(
            new.fields.lines == [
                "B: 1", "Content-Type: text/plain", "Date: \(Self.laterDate)", "ETag: \"x\"", "A: 3", "C: 4",
                "Cache-Control: max-age=60", "Surrogate-Key: new",
            ])
        #expect(withheld == nil || withheld?.isEmpty == true)
        #expect(new.status == 200)
        #expect(new.extent == .complete(length: 10))
        #expect(new.freshness.lifetime == 60_000)
        #expect(new.freshness.initialAge == 7000)
        #expect(new.responseTime == Self.later)
        #expect(new.tags == ["new"])
    }

    @Test func whatA304OmitsStays() throws {
        guard case .renewed(let new, _) = Self.freshen([], try stored(Self.fields).invalidated()) else {
            throw NotStored()
        }
        #expect(new.fields["A"] == ["1", "2"])
        // Fresh again, for as long as it said before, counted from now.
        #expect(new.fields["Date"] == [Self.laterDate])
        #expect(new.isFresh(at: Self.later + 1999))
        #expect(!new.isFresh(at: Self.later + 2000))
    }

    @Test(
        "Which 304 speaks of what is stored",
        arguments: [
            ([("ETag", "\"x\"")], [("ETag", "\"x\"")], true), ([("ETag", "\"x\"")], [("ETag", "\"y\"")], false),
            ([("ETag", "\"x\"")], [("ETag", "W/\"x\"")], true), ([("ETag", "W/\"x\"")], [("ETag", "\"x\"")], true),
            ([("ETag", "W/\"x\"")], [("ETag", "W/\"y\"")], false), ([("ETag", "\"x\"")], [("ETag", "junk")], false),
            ([("Last-Modified", arrivalDate)], [("ETag", "\"y\"")], true),
            ([("Last-Modified", arrivalDate)], [("Last-Modified", arrivalDate)], true),
            ([("Last-Modified", arrivalDate)], [("Last-Modified", laterDate)], false),
            ([("Last-Modified", arrivalDate)], [], true),
            ([("ETag", "\"x\""), ("Last-Modified", arrivalDate)], [("Last-Modified", laterDate)], true),
        ] as [([(String, String)], [(String, String)], Bool)])
    func selection(old: [(String, String)], update: [(String, String)], isSame: Bool) throws {
        let result = Self.freshen(update, try stored(old))
        if case .mismatch = result { #expect(!isSame) } else { #expect(isSame) }
    }

    @Test func aTagThatDiffersInWeaknessStaysAsItIs() throws {
        guard case .renewed(let new, _) = Self.freshen([("ETag", "\"x\"")], try stored([("ETag", "W/\"x\"")])) else {
            throw NotStored()
        }
        #expect(new.fields["ETag"] == ["W/\"x\""])
    }

    @Test func whatMayNoLongerBeStoredIsServedOnce() throws {
        let result = Self.freshen([("Cache-Control", "private, max-age=60")], try stored(Self.fields))
        guard case .onlyOnce(let new, _, .isPrivate) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(new.fields["B"] == ["1"])
        guard case .mismatch = Self.freshen([("Vary", "*")], try stored(Self.fields)) else {
            Issue.record("Vary: * matches nothing")
            return
        }
    }

    @Test func cookiesOfA304AreForItsClient() throws {
        let old = try stored(Self.fields)
        guard case .renewed(let new, let withheld) = Self.freshen([("Set-Cookie", "a=b")], old) else {
            throw NotStored()
        }
        #expect(!new.fields.contains(name: "Set-Cookie"))
        #expect(withheld?["Set-Cookie"] == ["a=b"])
        let keeping = request(rule: rule { $0.setCookie = .store })
        guard case .renewed(let both, _) = Self.freshen([("Set-Cookie", "a=b")], old, keeping) else {
            throw NotStored()
        }
        #expect(both.fields["Set-Cookie"] == ["a=b"])
    }

    @Test func varyIsReadAnew() throws {
        let asked = request([("Foo", "1")])
        guard case .renewed(let new, _) = Self.freshen([("Vary", "Foo")], try stored(Self.fields), asked) else {
            throw NotStored()
        }
        #expect(new.variant.matches(asked))
        #expect(!new.variant.matches(request()))
    }

    @Test(
        "HEAD",
        arguments: [
            ([("ETag", "\"x\"")], 10, 200, "renewed"), ([], nil, 200, "renewed"),
            ([("ETag", "\"y\"")], 10, 200, "invalidated"),
            ([], 11, 200, "invalidated"), ([("Last-Modified", arrivalDate)], 10, 200, "invalidated"),
            ([], 10, 404, "unaffected"), ([], 10, 304, "unaffected"),
            ([("Cache-Control", "no-store")], 10, 200, "invalidated"),
            ([("Vary", "*")], 10, 200, "invalidated"),
        ] as [([(String, String)], Int64?, Int, String)])
    func head(update: [(String, String)], length: Int64?, status: Int, result: String) throws {
        let old = try stored(Self.fields)
        let head = request(method: .head)
        switch head.update(
            old, withHEAD: response(update + [("A", "9")], status: status, length: length, at: Self.later))
        {
        case .unaffected: #expect(result == "unaffected")
        case .renewed(let new):
            #expect(result == "renewed")
            #expect(new.fields["A"] == ["9"])
            #expect(new.fields["B"] == ["1"])
            #expect(new.extent == .complete(length: 10))
            #expect(new.isFresh(at: Self.later))
        case .invalidated(let new):
            #expect(result == "invalidated")
            #expect(!new.isFresh(at: arrival))
        }
    }

    @Test func headOfOthersDoesNotTouchIt() throws {
        let old = try stored(Self.fields)
        let personal = request([("Authorization", "x")], method: .head)
        guard case .unaffected = personal.update(old, withHEAD: response([], length: 11)) else {
            Issue.record("authorized")
            return
        }
        guard case .unaffected = request().update(old, withHEAD: response([], length: 11)) else {
            Issue.record("not HEAD")
            return
        }
    }
}
