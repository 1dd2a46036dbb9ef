import NIOCore
import Testing

@testable import Admission

/// Layouts from "The PROXY protocol", sections 2.1 and 2.2.
@Suite struct ProxyProtocolHeaderTests {
    private func header(_ source: (String, Int)?, _ destination: (String, Int)?) throws -> ProxyProtocolHeader {
        ProxyProtocolHeader(
            source: try source.map { try SocketAddress(ipAddress: $0.0, port: $0.1) },
            destination: try destination.map { try SocketAddress(ipAddress: $0.0, port: $0.1) })
    }

    private func v1(_ header: ProxyProtocolHeader) -> String? {
        header.encoded(.v1).map { String(buffer: $0) }
    }

    private func v2(_ header: ProxyProtocolHeader) -> [UInt8]? {
        header.encoded(.v2).map { Array(buffer: $0) }
    }

    private static let signature: [UInt8] = [
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
    ]

    @Test func ipv4() throws {
        let header = try self.header(("192.168.0.1", 56324), ("192.168.0.11", 443))
        #expect(self.v1(header) == "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n")
        let addresses: [UInt8] = [192, 168, 0, 1, 192, 168, 0, 11, 0xdc, 0x04, 0x01, 0xbb]
        #expect(self.v2(header) == Self.signature + [0x21, 0x11, 0, 12] + addresses)
    }

    @Test func ipv6() throws {
        let header = try self.header(("2001:db8::1", 65535), ("2001:db8::2", 1))
        #expect(self.v1(header) == "PROXY TCP6 2001:db8::1 2001:db8::2 65535 1\r\n")
        let prefix: [UInt8] = [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11)
        let addresses = prefix + [1] + prefix + [2] + [0xff, 0xff, 0x00, 0x01]
        #expect(self.v2(header) == Self.signature + [0x21, 0x21, 0, 36] + addresses)
    }

    @Test func mappedAddressesAreIPv4() throws {
        let header = try self.header(("::ffff:192.0.2.1", 1), ("::ffff:192.0.2.2", 2))
        #expect(self.v1(header) == "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
    }

    @Test func mixedFamiliesAreWrittenAsIPv6() throws {
        let header = try self.header(("192.0.2.1", 1), ("2001:db8::2", 2))
        #expect(self.v1(header) == "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n")
        let v2 = try #require(self.v2(header))
        #expect(Array(v2[12..<16]) == [0x21, 0x21, 0, 36])
        #expect(Array(v2[16..<32]) == [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 192, 0, 2, 1])
    }

    @Test func unknownAddresses() throws {
        let header = try self.header(nil, ("192.0.2.2", 2))
        #expect(self.v1(header) == "PROXY UNKNOWN\r\n")
        #expect(self.v2(header) == Self.signature + [0x21, 0x00, 0, 0])
    }

    @Test func noneHasNoHeader() throws {
        #expect(try self.header(("192.0.2.1", 1), ("192.0.2.2", 2)).encoded(.none) == nil)
    }

    @Test func longestTextFitsTheSpecifiedLimit() throws {
        let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        #expect(try #require(self.v1(try self.header((long, 65535), (long, 65535)))).utf8.count <= 107)
    }
}
