import Logging
import PeerLink
import PrivateAuthority
import Telemetry
import Testing

@testable import KeyHolder

@Suite struct DescriptorTests {
    private static func configuration() throws -> KeyHolderConfiguration {
        let authority = try FleetAuthority(name: "Test fleet")
        var configuration = KeyHolderConfiguration(
            listen: [PeerAddress(host: "127.0.0.1", port: 0)],
            credentials: try TestHolder.credentials(authority, .keyholder, "home"), sites: [], grants: [],
            audit: .standardOutput)
        configuration.native = NativeConfiguration(listen: [PeerAddress(host: "127.0.0.1", port: 0)])
        return configuration
    }

    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test func enoughDescriptorsChangeNothing() throws {
        var configuration = try Self.configuration()
        configuration.fit(descriptors: 1_000_000, logger: self.logger)
        #expect(configuration.limits == KeyHolderLimits())
        #expect(configuration.native?.limits.connections == NativeLimits().connections)
    }

    @Test func addressesThatAreDialledCount() throws {
        var configuration = try Self.configuration()
        let bare =
            128 + 2 * (KeyHolderLimits().handshakes + KeyHolderLimits().connections) + NativeLimits().connections
        configuration.fit(descriptors: bare, logger: self.logger)
        #expect(configuration.limits == KeyHolderLimits())
        configuration.dial = (1...100).map { PeerAddress(host: "192.0.2.\($0)", port: 1) }
        configuration.fit(descriptors: bare + 399, logger: self.logger)
        let native = try #require(configuration.native?.limits.connections)
        let limits = configuration.limits
        #expect(128 + 2 * (limits.handshakes + limits.connections) + native + 400 <= bare + 399)
    }

    @Test(arguments: [64, 1024, 4096, 20_000])
    func boundsOfOneThatOnlyDialsFitTheDescriptors(descriptors: Int) throws {
        var configuration = try Self.configuration()
        configuration.native = nil
        configuration.dial = [PeerAddress(host: "192.0.2.1", port: 1)]
        configuration.fit(descriptors: descriptors, logger: self.logger)
        let native = try #require(configuration.native)
        let limits = configuration.limits
        #expect(native.listen.isEmpty)
        #expect(2 * (limits.connections + limits.handshakes) + native.limits.connections <= descriptors)
    }

    @Test func oneWithoutNativeClientsHasAllForItsLinks() throws {
        var configuration = try Self.configuration()
        configuration.native = nil
        configuration.fit(
            descriptors: 128 + KeyHolderLimits().handshakes + KeyHolderLimits().connections, logger: self.logger)
        #expect(configuration.native == nil && configuration.limits == KeyHolderLimits())
    }

    @Test(arguments: [64, 1024, 4096, 20_000])
    func boundsFitTheDescriptors(descriptors: Int) throws {
        var configuration = try Self.configuration()
        configuration.fit(descriptors: descriptors, logger: self.logger)
        let native = try #require(configuration.native?.limits.connections)
        let limits = configuration.limits
        #expect(2 * (limits.connections + limits.handshakes) + native <= descriptors)
        #expect(limits.connections >= 1 && native >= 1 && limits.handshakes >= 1)
    }
}
