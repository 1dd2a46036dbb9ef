import HTTPCaching
import HTTPFields
import Testing

@Suite("Accept-Encoding is reduced to the codings that matter")
struct AcceptedCodingsTests {
    /// Chromium, Firefox, Safari.
    private static let browsers = ["gzip, deflate, br, zstd", "gzip, deflate, br, zstd", "gzip, deflate, br"]

    private func asked(_ value: String?, _ rule: CacheRule = CacheRule(), method: RequestMethod = .get) -> CacheRequest
    {
        request(
            value.map { [("Accept-Encoding", $0), ("Other", "1")] } ?? [("Other", "1")], method: method, rule: rule)
    }

    private func sent(_ request: CacheRequest, to stored: StoredResponse? = nil) -> [String] {
        request.fields.edited(by: request.originRequest(validating: stored))["Accept-Encoding"]
    }

    @Test("Three browsers share a variant, and the origin gets what all of them accept")
    func browsers() throws {
        let fields = [("Cache-Control", "max-age=60"), ("Vary", "Accept-Encoding"), ("Content-Encoding", "br")]
        let stored = try stored(fields, to: self.asked(Self.browsers[0]))
        for browser in Self.browsers {
            #expect(stored.variant.matches(self.asked(browser)))
            #expect(self.sent(self.asked(browser)) == ["br, gzip"])
        }
        #expect(!stored.variant.matches(self.asked("gzip")))
        #expect(!stored.variant.matches(self.asked(nil)))
    }

    @Test(
        "What remains",
        arguments: [
            ("gzip", "gzip"), ("gzip, deflate", "gzip"), ("x-gzip", "gzip"), ("BR;q=0.1, GZIP;q=1.000", "br, gzip"),
            ("deflate", "identity"), ("identity", "identity"), ("", "identity"), ("br;q=0, gzip", "gzip"),
            ("*", "br, gzip"),
            ("*;q=0.5, br;q=0.000", "gzip"), ("gzip;q=0", "identity"),
            // The client's own words where the plain form is refused, or what it says can't be read.
            ("identity;q=0, gzip", "identity;q=0, gzip"), ("*;q=0, gzip", "*;q=0, gzip"), ("gzip;x=1", "gzip;x=1"),
            ("gzip;q=2", "gzip;q=2"), ("g zip", "g zip"), ("gzip;q=0.0001", "gzip;q=0.0001"),
        ])
    func reduced(value: String, expected: String) {
        #expect(self.sent(self.asked(value)) == [expected])
        let name = FieldName(.acceptEncoding)
        let selected = VaryNormalisation.value(of: name, [Array(expected.utf8)])
        #expect(self.asked(value).selectorValue(name) == selected)
    }

    @Test(
        "What is not reduced is not stored where the response varies by it", arguments: ["identity;q=0, x1", "g zip"])
    func ownWords(value: String) throws {
        let varying = [("Cache-Control", "max-age=60"), ("Vary", "Accept-Encoding")]
        #expect(refusal(varying, to: self.asked(value))?.rawValue == "accept-encoding-not-reduced")
        #expect(refusal([("Cache-Control", "max-age=60")], to: self.asked(value)) == nil)
        // What others get says nothing of this one.
        for other in ["gzip", nil] { #expect(refusal(varying, to: self.asked(other)) == nil) }
        #expect(refusal(varying, to: self.asked(value, rule { $0.codings = nil })) == nil)
    }

    @Test("No field stays no field, and several lines are one list")
    func lines() {
        #expect(self.sent(self.asked(nil)) == [])
        let several = request([("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")])
        #expect(self.sent(several) == ["br, gzip"])
    }

    @Test("A site names its own codings, or none")
    func settings() {
        #expect(self.sent(self.asked(Self.browsers[0], rule { $0.codings = ["zstd", "br"] })) == ["zstd, br"])
        #expect(self.sent(self.asked(Self.browsers[0], rule { $0.codings = nil })) == [Self.browsers[0]])
    }

    @Test("Requests that have nothing to do with the store keep their own words")
    func bypassed() {
        #expect(self.sent(self.asked(Self.browsers[0], rule { $0.bypass = true })) == [Self.browsers[0]])
        #expect(self.sent(self.asked(Self.browsers[0], method: .post)) == [Self.browsers[0]])
    }

    @Test("A HEAD that went out with its client's own codings says nothing about the stored variant")
    func head() throws {
        let fields = [("Cache-Control", "max-age=60"), ("Vary", "Accept-Encoding"), ("ETag", "\"br\"")]
        let stored = try stored(fields, to: self.asked(Self.browsers[0]))
        let asked = self.asked(Self.browsers[0], method: .head)
        guard case .unaffected = asked.update(stored, withHEAD: response([("ETag", "\"zstd\"")])) else {
            Issue.record("affected")
            return
        }
    }
}
