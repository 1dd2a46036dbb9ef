import HTTPCaching
import HTTPFields
import Synchronization
import Testing

@Suite("Vary")
struct VariantKeyTests {
    @Test(
        "A star in any place matches no request",
        arguments: [["*"], ["*, *"], ["*", "*"], [", *"], ["", "*"], ["*, Foo"], ["Foo, *"], ["Foo", "*"], ["a b"]])
    func star(lines: [String]) {
        let response = section(lines.map { ("Vary", $0) })
        #expect(VaryField.names(response) == nil)
        #expect(VariantKey(response: response, request: request()) == nil)
    }

    @Test func namesAreFoldedAndSorted() throws {
        let response = section([("Vary", "Foo, ,BAR"), ("vary", "foo"), ("Vary", "")])
        #expect(VaryField.names(response)?.map(\.text) == ["bar", "foo"])
        let mixed = section([("Vary", "Zoo, Cookie, accept, apple")])
        #expect(VaryField.names(mixed)?.map(\.text) == ["accept", "apple", "cookie", "zoo"])
        #expect(VariantKey(response: section([("Vary", "")]), request: request()) == .invariant)
    }

    @Test func tooManyNamesMatchNothing() {
        let names = (0..<VaryField.maximumNames).map { "x\($0)" }.joined(separator: ", ")
        #expect(VaryField.names(section([("Vary", names)])) != nil)
        #expect(VaryField.names(section([("Vary", names + ", more")])) == nil)
    }

    private func key(_ vary: String, _ fields: [(String, String)]) throws -> VariantKey {
        try #require(VariantKey(response: section([("Vary", vary)]), request: request(fields)))
    }

    @Test func anAbsentFieldIsAValueOfItsOwn() throws {
        let absent = try self.key("Foo", [])
        #expect(absent.matches(request([("Bar", "1")])))
        #expect(!absent.matches(request([("Foo", "1")])))
        #expect(!absent.matches(request([("Foo", "")])))
        let present = try self.key("Foo", [("foo", "1")])
        #expect(present.matches(request([("FOO", "1")])))
        #expect(!present.matches(request()))
        #expect(!present.matches(request([("Foo", "2")])))
        #expect(!present.matches(request([("Foo", "1"), ("Foo", "1")])))
    }

    @Test func valuesAreComparedByteByByte() throws {
        let plain = try self.key("Foo", [("Foo", "K")])
        let kelvin = try self.key("Foo", [("Foo", "\u{212A}")])
        #expect(plain != kelvin && Set([plain, kelvin]).count == 2)
        #expect(!plain.matches(request([("Foo", "\u{212A}")])) && !kelvin.matches(request([("Foo", "K")])))
        #expect(plain.matches(request([("Foo", "K")])) && kelvin.matches(request([("Foo", "\u{212A}")])))
    }

    @Test(
        "Two values that differ in bytes that are not UTF-8 are different",
        arguments: ["Cookie", "Foo", "Accept-Language", "Prefer"])
    func bytesThatAreNoText(name: String) throws {
        func asked(_ last: UInt8) -> CacheRequest {
            let fields = section([(Array(name.utf8), Array("s=".utf8) + [last])])
            return CacheRequest(method: .get, fields: fields, rule: CacheRule())
        }
        let one = try #require(VariantKey(response: section([("Vary", name)]), request: asked(0xE8)))
        let other = try #require(VariantKey(response: section([("Vary", name)]), request: asked(0xE9)))
        #expect(one != other)
        #expect(one.matches(asked(0xE8)) && !one.matches(asked(0xE9)) && !other.matches(asked(0xE8)))
        #expect(one.key(of: asked(0xE9)) == other)
    }

    @Test("What the edge says about the client selects, without being among the client's fields")
    func sourceOfSelectors() throws {
        final class Edge: SelectorSource {
            let address: String
            init(address: String) { self.address = address }
            func forEachSelectorLine(_ name: FieldName, _ body: (UnsafeRawBufferPointer) -> Void) {
                guard name == FieldName(.xForwardedFor) else { return }
                Array(self.address.utf8).withUnsafeBytes { body($0) }
            }
        }
        func asked(_ address: String) -> CacheRequest {
            CacheRequest(
                method: .get, fields: section([("X-Forwarded-For", "192.0.2.66"), ("Foo", "1")]), rule: CacheRule(),
                source: Edge(address: address))
        }
        let vary = section([("Vary", "X-Forwarded-For, Foo")])
        let one = try #require(VariantKey(response: vary, request: asked("192.0.2.1")))
        #expect(one.matches(asked("192.0.2.1")) && !one.matches(asked("192.0.2.2")))
        // The origin gets no Foo from this edge.
        #expect(one.selectors.map(\.value) == [nil, Array("192.0.2.1".utf8)])
    }

    /// Counts what is asked of it.
    private final class Counting: SelectorSource {
        let asked = Counter()
        let value: String

        init(_ value: String) { self.value = value }

        func forEachSelectorLine(_ name: FieldName, _ body: (UnsafeRawBufferPointer) -> Void) {
            self.asked.add()
            Array(self.value.utf8).withUnsafeBytes { body($0) }
        }
    }

    private final class Counter: Sendable {
        private let count = Atomic(0)
        func add() { self.count.add(1, ordering: .relaxed) }
        var current: Int { self.count.load(ordering: .relaxed) }
    }

    @Test("One look-up makes the request's value once, however many variants there are", arguments: [1, 2, 32])
    func valuesAreMadeOnce(count: Int) throws {
        let fields = [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language, Accept")]
        let variants = try (0..<count).map {
            try stored(fields, to: request([("Accept-Language", "x\($0)"), ("Accept", "a/b")]))
        }
        let source = Counting("de, en")
        let asked = CacheRequest(
            method: .get, fields: section([("Accept-Language", "de, en"), ("Accept", "de, en")]), rule: CacheRule(),
            source: source)
        #expect(asked.lookup(variants, now: arrival) == .fetch(.varyMiss, superseded: nil))
        #expect(source.asked.current <= 2)
        #expect(variants[0].displaced(from: variants, request: asked).isEmpty)
        #expect(source.asked.current <= 4)
    }

    @Test(
        "What no client sends is compared as it was sent",
        arguments: ["accept", "accept-language", "accept-encoding", "prefer"])
    func longValuesAreNotNormalised(name: String) throws {
        let field = try #require(FieldName(name))
        func value(_ members: [String]) -> [UInt8] {
            VaryNormalisation.value(of: field, [Array(members.joined(separator: ", ").utf8)])
        }
        // By length.
        let long = String(repeating: "a", count: 508)
        #expect(value(["b", long]) == value(["b", long]))
        #expect(value(["b", long]).count == 510)
        #expect(value(["b", long + "cc"]) == Array("b, \(long)cc".utf8))
        // By number, where they are sorted.
        guard name != "prefer" else { return }
        let many = (0..<32).map { "m\($0)" }
        #expect(value(many) == value(many.reversed()))
        #expect(value(many + ["n"]) == Array((many + ["n"]).joined(separator: ", ").utf8))
        #expect(
            VaryNormalisation.value(of: field, [Array(long.utf8), Array(long.utf8)]) == Array("\(long)\n\(long)".utf8))
    }

    /// A tag with the bytes that it stands in.
    private struct Tag {
        let bytes: [UInt8]
        let tag: EntityTag

        init?(_ bytes: [UInt8]) {
            guard let tag = EntityTag(bytes.span, 0..<bytes.count) else { return nil }
            self.bytes = bytes
            self.tag = tag
        }

        func isWeakly(_ other: Tag) -> Bool {
            self.tag.matchesWeakly(self.bytes.span, other.tag, in: other.bytes.span)
        }

        func isStrongly(_ other: Tag) -> Bool {
            self.tag.matchesStrongly(self.bytes.span, other.tag, in: other.bytes.span)
        }
    }

    @Test func entityTagsAreComparedByteByByte() throws {
        let plain = try #require(Tag(Array("\"K\"".utf8)))
        for other in [Array("\"\u{212A}\"".utf8), [0x22, 0xE8, 0x22], [0x22, 0xE9, 0x22]] {
            let tag = try #require(Tag(other))
            #expect(!plain.isStrongly(tag) && !plain.isWeakly(tag) && tag.isStrongly(tag))
        }
        let weak = try #require(Tag(Array("W/\"K\"".utf8)))
        #expect(plain.isStrongly(plain) && plain.isWeakly(weak) && !plain.isStrongly(weak))
        for text in ["x", "\"", "\"x", "W/x", "w/\"x\"", "\"x\"y", "\"a b\"", "", "W/"] {
            #expect(Tag(Array(text.utf8)) == nil, "\(text)")
        }
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
    func same(name: String, one: [String], other: [String]) throws {
        let name = try #require(FieldName(name))
        let values = [one, other].map { lines in VaryNormalisation.value(of: name, lines.map { self.trimmed($0) }) }
        #expect(values[0] == values[1])
    }

    /// As a section has it.
    private func trimmed(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return Array(bytes[bytes.span.trimmed(0..<bytes.count)])
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
    func different(name: String, one: String, other: String) throws {
        let name = try #require(FieldName(name))
        #expect(
            VaryNormalisation.value(of: name, [Array(one.utf8)])
                != VaryNormalisation.value(of: name, [Array(other.utf8)]))
    }
}
