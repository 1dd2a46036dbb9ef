import HTTPCaching
import NIOHTTP1
import Testing

@Suite("Vary")
struct VariantKeyTests {
    @Test(
        "A star in any place matches no request",
        arguments: [["*"], ["*, *"], ["*", "*"], [", *"], ["", "*"], ["*, Foo"], ["Foo, *"], ["Foo", "*"], ["a b"]])
    func star(lines: [String]) {
        let response = HTTPHeaders(lines.map { ("Vary", $0) })
        #expect(VaryField.names(response) == nil)
        #expect(VariantKey(response: response, request: [:]) == nil)
    }

    @Test func namesAreFoldedAndSorted() {
        let response = HTTPHeaders([("Vary", "Foo, ,BAR"), ("vary", "foo"), ("Vary", "")])
        #expect(VaryField.names(response) == ["bar", "foo"])
        #expect(VariantKey(response: ["Vary": ""], request: [:]) == .invariant)
    }

    @Test func tooManyNamesMatchNothing() {
        let names = (0..<VaryField.maximumNames).map { "x\($0)" }.joined(separator: ", ")
        #expect(VaryField.names(["Vary": names]) != nil)
        #expect(VaryField.names(["Vary": names + ", more"]) == nil)
    }

    @Test func anAbsentFieldIsAValueOfItsOwn() throws {
        let absent = try #require(VariantKey(response: ["Vary": "Foo"], request: [:]))
        #expect(absent.matches(["Bar": "1"]))
        #expect(!absent.matches(["Foo": "1"]))
        #expect(!absent.matches(["Foo": ""]))
        let present = try #require(VariantKey(response: ["Vary": "Foo"], request: ["foo": "1"]))
        #expect(present.matches(["FOO": "1"]))
        #expect(!present.matches([:]))
        #expect(!present.matches(["Foo": "2"]))
    }

    @Test func valuesAreComparedByteByByte() throws {
        let plain = try #require(VariantKey(response: ["Vary": "Foo"], request: ["Foo": "K"]))
        let kelvin = try #require(VariantKey(response: ["Vary": "Foo"], request: ["Foo": "\u{212A}"]))
        #expect(plain != kelvin && Set([plain, kelvin]).count == 2)
        #expect(!plain.matches(["Foo": "\u{212A}"]) && !kelvin.matches(["Foo": "K"]))
        #expect(plain.matches(["Foo": "K"]) && kelvin.matches(["Foo": "\u{212A}"]))
    }

    @Test func entityTagsAreComparedByteByByte() throws {
        let plain = EntityTag(opaque: "K")
        let kelvin = EntityTag(opaque: "\u{212A}")
        #expect(plain != kelvin && !plain.matchesStrongly(kelvin) && !plain.matchesWeakly(kelvin))
        #expect(plain.matchesStrongly(EntityTag(opaque: "K")))
    }

    @Test(
        "What doesn't count",
        arguments: [
            ("prefer", ["1,2"], ["1", "2"]), ("via", ["1,2"], [" 1, 2 "]),
            ("forwarded", ["\"a, b\",c"], ["\"a, b\" , c"]),
            ("accept-language", ["en, de"], ["de, en"]), ("accept-language", ["en, de"], ["eN, De"]),
            ("accept-language", ["en, de"], [" en ,   de"]),
            ("accept-language", ["en;q=0.50, de;q=1.0"], ["de,EN ; Q=0.5"]),
            ("accept-encoding", ["gzip, deflate, br, zstd"], ["zstd,br,deflate,gzip"]),
            ("accept-encoding", ["gzip, deflate, br"], ["br,deflate,gzip"]), ("accept-encoding", ["gzip"], [" gzip"]),
            ("accept-encoding", ["gzip, deflate"], ["deflate,gzip"]), ("accept-encoding", ["identity"], [" identity"]),
            ("accept-encoding", ["gzip, br"], ["br", "x-gzip"]), ("accept-encoding", ["gzip, br;q=0"], ["gzip"]),
            ("accept", ["text/html, */*;q=0.8"], ["*/*; q=0.80,text/html"]),
        ])
    func same(name: String, one: [String], other: [String]) {
        let requests = [one, other].map { lines in HTTPHeaders(lines.map { (name, $0) }) }
        let values = requests.map { VaryNormalisation.value(of: name, in: $0) }
        #expect(values[0] == values[1])
    }

    @Test(
        "What does",
        arguments: [
            ("foo", "a", "A"), ("foo", "1,2", "2,1"), ("foo", "s=a, b", "s=a,b"), ("cookie", "s=a, b", "s=a,b"),
            ("user-agent", "A (b,  c)", "A (b, c)"), ("forwarded", "\"a, b\"", "\"a,b\""),
            ("accept-encoding", "gzip", "br"),
            ("accept-encoding", "gzip", "gzip, br"), ("accept-encoding", "gzip, br", "gzip, br;q=0.5"),
            ("accept-encoding", "*", "*, gzip;q=0"), ("accept-encoding", "identity;q=0, gzip", "gzip"),
            ("accept-encoding", "", "gzip"), ("accept-language", "en", "en-GB"), ("accept-language", "en;q=0", "en"),
            ("accept", "text/html;level=\"A\"", "text/html;level=\"a\""),
            ("accept", "a/b;p=\";q=1\"", "a/b;p=\""), ("cookie", "a=1; b=2", "b=2; a=1"),
        ])
    func different(name: String, one: String, other: String) {
        #expect(
            VaryNormalisation.value(of: name, in: HTTPHeaders([(name, one)]))
                != VaryNormalisation.value(of: name, in: HTTPHeaders([(name, other)])))
    }
}
