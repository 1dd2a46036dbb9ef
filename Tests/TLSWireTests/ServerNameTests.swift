import TLSWire
import Testing

@Suite("Server names and patterns")
struct ServerNameTests {
    static func error(_ text: String) -> ServerNameError? {
        do {
            _ = try ServerName(text)
            return nil
        } catch {
            return error
        }
    }

    @Test("good names, in lower case")
    func good() throws {
        #expect(try ServerName("WWW.Example.TEST").rawValue == "www.example.test")
        #expect(try ServerName("localhost").rawValue == "localhost")
        #expect(try ServerName("_dmarc.xn--bcher-kva.example").rawValue == "_dmarc.xn--bcher-kva.example")
        #expect(try ServerName("1.2.3.4.example").rawValue == "1.2.3.4.example")
        #expect(try ServerName("0xfg").rawValue == "0xfg")
        #expect(try ServerName("a--b.c").rawValue == "a--b.c")
        let (lower, upper) = (try ServerName("A.test"), try ServerName("a.TEST"))
        #expect(lower == upper)
    }

    @Test("lengths")
    func lengths() {
        let label = String(repeating: "a", count: 63)
        let longest: String = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")
        #expect(longest.utf8.count == 253)
        #expect(Self.error(longest) == nil)
        #expect(Self.error(longest + "b") == .tooLong)
        #expect(Self.error(longest + ".") == .trailingDot)
        #expect(Self.error(longest + ".b") == .tooLong)
        #expect(Self.error(label + "a.test") == .labelTooLong)
        #expect(Self.error("") == .empty)
    }

    @Test(
        "what resolvers take for an address is no name",
        arguments: [
            "127.0.0.1", "10.1", "1", "0x7f.1", "0x7F000001", "a.0x", "::1", "fe80::1", "[::1]", "1.2.3.256", "a.1",
        ])
    func addresses(text: String) {
        #expect(Self.error(text) == .ipAddress)
    }

    @Test("bad characters and shapes")
    func bad() {
        #expect(Self.error("a.test.") == .trailingDot)
        #expect(Self.error(".") == .emptyLabel)
        #expect(Self.error("a..b") == .emptyLabel)
        #expect(Self.error("-a.test") == .misplacedHyphen)
        #expect(Self.error("a-.test") == .misplacedHyphen)
        #expect(Self.error("a.test:80") == .illegalCharacter(0x3A))
        #expect(Self.error("a\n.test") == .illegalCharacter(0x0A))
        #expect(Self.error("\u{212A}elvin.test") == .illegalCharacter(0xE2))
        #expect(Self.error("a%00.test") == .illegalCharacter(0x25))
    }

    @Test("every error says what to do")
    func descriptions() {
        let errors: [ServerNameError] = [
            .empty, .tooLong, .emptyLabel, .labelTooLong, .illegalCharacter(0x2F), .illegalCharacter(0xC3),
            .illegalCharacter(0), .misplacedHyphen, .trailingDot, .ipAddress, .misplacedWildcard,
        ]
        #expect(Set(errors.map(\.description)).count == errors.count)
        #expect(ServerNameError.illegalCharacter(0x2F).description.contains("'/'"))
    }

    @Test("patterns")
    func patterns() throws {
        let wildcard = try ServerNamePattern("*.Example.test")
        #expect(wildcard.description == "*.example.test" && wildcard.isWildcard)
        #expect(wildcard.matches(try ServerName("www.example.test")))
        #expect(!wildcard.matches(try ServerName("example.test")))
        #expect(!wildcard.matches(try ServerName("a.b.example.test")))
        #expect(!wildcard.matches(try ServerName("wwwexample.test")))
        let exact = try ServerNamePattern("www.example.test")
        #expect(exact.matches(try ServerName("WWW.example.test")))
        #expect(!exact.matches(try ServerName("example.test")))
        #expect(throws: ServerNameError.misplacedWildcard) { try ServerNamePattern("*") }
        #expect(throws: ServerNameError.misplacedWildcard) { try ServerNamePattern("*.*.test") }
        #expect(throws: ServerNameError.misplacedWildcard) { try ServerNamePattern("w*.test") }
        #expect(throws: ServerNameError.misplacedWildcard) { try ServerNamePattern("a.*.test") }
        #expect(throws: ServerNameError.empty) { try ServerNamePattern("*.") }
    }

    @Test("the table: exact beats wildcard, one label only, no duplicates")
    func table() throws {
        var table = ServerNameTable<Int>()
        #expect(table.isEmpty)
        #expect(table.insert(1, for: try ServerNamePattern("*.example.test")))
        #expect(table.insert(2, for: try ServerNamePattern("www.example.test")))
        #expect(table.insert(3, for: try ServerNamePattern("example.test")))
        #expect(!table.insert(4, for: try ServerNamePattern("WWW.example.test")))
        #expect(!table.insert(4, for: try ServerNamePattern("*.EXAMPLE.test")))
        #expect(table.count == 3)
        #expect(table.value(for: try ServerName("www.example.test")) == 2)
        #expect(table.value(for: try ServerName("other.example.test")) == 1)
        #expect(table.value(for: try ServerName("example.test")) == 3)
        #expect(table.value(for: try ServerName("a.b.example.test")) == nil)
        #expect(table.value(for: try ServerName("test")) == nil)
    }
}
