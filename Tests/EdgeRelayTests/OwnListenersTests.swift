import Admission
import NIOCore
import Testing

@testable import EdgeRelay

@Suite struct OwnListenersTests {
    private func contains(
        _ listeners: [String], _ target: String, port: UInt16 = 443, interfaces: [String] = []
    ) throws -> Bool {
        let own = OwnListeners(try listeners.map { try SocketAddress(ipAddress: $0, port: 443) })
        return own.contains(try #require(IPAddress(target)), port: port) {
            Set(interfaces.compactMap { IPAddress($0) })
        }
    }

    @Test func exactListenerMatchesItsAddressAndPort() throws {
        #expect(try self.contains(["192.0.2.1"], "192.0.2.1"))
        #expect(try self.contains(["192.0.2.1"], "::ffff:192.0.2.1"))
        #expect(try self.contains(["192.0.2.1"], "0.0.0.0"))
        #expect(try !self.contains(["192.0.2.1"], "192.0.2.1", port: 8443))
        #expect(try !self.contains(["192.0.2.1"], "192.0.2.2", interfaces: ["192.0.2.2"]))
        #expect(try !self.contains(["127.0.0.1"], "127.0.0.2"))
    }

    @Test(arguments: ["0.0.0.0", "::"])
    func wildcardListenerMatchesEveryInterface(wildcard: String) throws {
        #expect(try self.contains([wildcard], "127.0.0.1"))
        #expect(try self.contains([wildcard], "127.7.7.7"))
        #expect(try self.contains([wildcard], "::1"))
        #expect(try self.contains([wildcard], "0.0.0.0"))
        #expect(try self.contains([wildcard], "::"))
        #expect(try self.contains([wildcard], "192.0.2.7", interfaces: ["192.0.2.7"]))
        #expect(try self.contains([wildcard], "2001:db8::7", interfaces: ["2001:db8::7"]))
        #expect(try !self.contains([wildcard], "192.0.2.8", interfaces: ["192.0.2.7"]))
        #expect(try !self.contains([wildcard], "127.0.0.1", port: 444))
    }
}
