import Admission
import Testing

@Suite struct NetworkTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("0.0.0.0/0", "203.0.113.9", true),
        ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.6", false), ("192.0.2.7/32", "::ffff:192.0.2.7", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true), ("2001:db8::/32", "2001:db9::1", false),
        ("2001:db8::8/125", "2001:db8::f", true), ("2001:db8::8/125", "2001:db8::10", false),
        ("::1", "::1", true), ("::/0", "192.0.2.1", false), ("0.0.0.0/0", "::1", false),
        ("::ffff:10.0.0.0/104", "10.1.2.3", true),
    ])
    func networksContainTheirAddresses(network: String, address: String, expected: Bool) throws {
        #expect(try IPNetwork(parsing: network).contains(try #require(IPAddress(address))) == expected)
    }

    @Test(arguments: [
        "", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/8/8", "www.example.test",
        "2001:db8::/129", "::ffff:10.0.0.0/95", "10/8",
    ])
    func otherTextsAreRefused(text: String) {
        #expect(throws: IPNetwork.ParsingError.self) { try IPNetwork(parsing: text) }
    }

    @Test func bitsBehindThePrefixAreAMistakeWithARemedy() throws {
        let meant = try IPNetwork(parsing: "10.0.0.0/8")
        #expect(throws: IPNetwork.ParsingError.bitsBehindPrefix(meant)) { try IPNetwork(parsing: "10.1.2.3/8") }
        #expect("\(meant)" == "10.0.0.0/8")
    }

    @Test func aClientIsAnIPv4AddressOrHalfAnIPv6Address() throws {
        func network(_ text: String, _ length: Int = 64) throws -> ClientNetwork {
            guard let address = IPAddress(text) else { throw IPNetwork.ParsingError.notAnAddress }
            return ClientNetwork(address, ipv6PrefixLength: length)
        }
        #expect(try network("192.0.2.1") == network("::ffff:192.0.2.1"))
        #expect(try network("192.0.2.1") != network("192.0.2.2"))
        #expect(try network("2001:db8::1") == network("2001:db8::ffff:0:0:1"))
        #expect(try network("2001:db8::1") != network("2001:db8:0:1::1"))
        #expect(try network("2001:db8::1", 48) == network("2001:db8:0:1::1", 48))
        #expect(ClientNetwork(nil as IPAddress?) == ClientNetwork(nil as IPAddress?))
    }
}
