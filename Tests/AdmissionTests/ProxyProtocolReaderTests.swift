import NIOCore
import Testing

@testable import Admission

@Suite struct ProxyProtocolReaderTests {
    private static let signature = ProxyProtocolReader.signature

    private func read(_ bytes: [UInt8]) throws -> (outcome: ProxyProtocolReader.Outcome?, rest: [UInt8]) {
        var buffer = ByteBuffer(bytes: bytes)
        let outcome = try ProxyProtocolReader.read(&buffer)
        return (outcome, Array(buffer: buffer))
    }

    private func header(_ source: String, _ destination: String) throws -> ProxyProtocolHeader {
        ProxyProtocolHeader(
            source: try SocketAddress(ipAddress: source, port: 50_123),
            destination: try SocketAddress(ipAddress: destination, port: 443))
    }

    @Test(
        arguments: [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2"), ("192.0.2.1", "2001:db8::2")],
        [ProxyProtocolVersion.v1, .v2])
    func readsWhatIsWrittenInAnySplit(addresses: (String, String), version: ProxyProtocolVersion) throws {
        let header = try self.header(addresses.0, addresses.1)
        let bytes = Array(buffer: try #require(header.encoded(version)))
        for length in 0..<bytes.count {
            let part = try self.read(Array(bytes.prefix(length)))
            #expect(part.outcome == nil && part.rest.count == length, "after \(length) bytes")
        }
        let whole = try self.read(bytes + [0x16, 3, 1])
        #expect(whole.outcome == .proxied(header))
        #expect(whole.rest == [0x16, 3, 1])
        #expect(header.source == (try SocketAddress(ipAddress: addresses.0, port: 50_123)))
    }

    @Test(arguments: [
        "PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 nonsense 0 99999999\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 0 65535\r\n", "PROXY TCP6 ::1 2001:DB8::1 1 2\r\n",
    ])
    func textsThatTheGrammarAllows(text: String) throws {
        let result = try self.read(Array(text.utf8) + [7])
        #expect(result.outcome != nil && result.rest == [7])
    }

    @Test(arguments: [
        "PROXY\r\n", "PROXY \r\n", "PROXY TCP4\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "PROXY TCP4 www.a.test 192.0.2.2 1 2\r\n", "PROXY UNKNOWN\0\r\n",
        "GET / HTTP/1.1\r\n", "\r\n\r\nX", "PROXY UNKNOWN " + String(repeating: "a", count: 100),
    ])
    func otherTextsAreRefused(text: String) {
        #expect(throws: ProxyProtocolError.self) { try self.read(Array(text.utf8)) }
    }

    private static func binary(_ command: UInt8, _ family: UInt8, _ length: UInt16, _ content: [UInt8]) -> [UInt8] {
        Self.signature + [command, family, UInt8(length >> 8), UInt8(length & 0xFF)] + content
    }

    private static let addresses: [UInt8] = [192, 0, 2, 1, 192, 0, 2, 2, 0xC3, 0xCB, 0x01, 0xBB]

    @Test func whatFollowsTheAddressesIsSkipped() throws {
        let bytes = Self.binary(0x21, 0x11, 12 + 300, Self.addresses + [UInt8](repeating: 4, count: 300))
        let result = try self.read(bytes + [9])
        #expect(result.outcome == .proxied(try self.header("192.0.2.1", "192.0.2.2")))
        #expect(result.rest == [9])
    }

    @Test func localAndUnknownLeaveTheConnectionItsAddresses() throws {
        #expect(try self.read(Self.binary(0x20, 0x00, 0, [])).outcome == .local)
        #expect(try self.read(Self.binary(0x20, 0x11, 12, Self.addresses)).outcome == .local)
        let unknown = ProxyProtocolReader.Outcome.proxied(ProxyProtocolHeader(source: nil, destination: nil))
        #expect(try self.read(Self.binary(0x21, 0x00, 0, [])).outcome == unknown)
        #expect(try self.read(Self.binary(0x21, 0x31, 216, [UInt8](repeating: 0, count: 216))).outcome == unknown)
        let own = ClientAddress(source: try SocketAddress(ipAddress: "10.0.0.1", port: 9), destination: nil)
        #expect(own.replaced(by: ProxyProtocolHeader(source: nil, destination: nil)) == own)
    }

    @Test(
        arguments: [
            (0x11, 0x11, 12), (0x22, 0x11, 12), (0x31, 0x11, 12), (0x21, 0x12, 12), (0x21, 0x22, 36), (0x21, 0x10, 12),
            (0x21, 0x41, 12), (0x21, 0x11, 11), (0x21, 0x21, 35), (0x21, 0x31, 215), (0x21, 0x11, 4097),
            (0x20, 0, 65535),
        ] as [(UInt8, UInt8, UInt16)])
    func otherValuesAreRefused(command: UInt8, family: UInt8, length: UInt16) {
        // At once, without waiting for what is announced.
        #expect(throws: ProxyProtocolError.self) { try self.read(Self.binary(command, family, length, [])) }
    }

    @Test func versionsMayBeLeftOut() throws {
        let header = try self.header("192.0.2.1", "192.0.2.2")
        for (version, other) in [(ProxyProtocolVersion.v1, ProxyProtocolVersion.v2), (.v2, .v1)] {
            var bytes = try #require(header.encoded(version))
            #expect(throws: ProxyProtocolError.otherVersion) { try ProxyProtocolReader.read(&bytes, versions: [other]) }
        }
    }
}
