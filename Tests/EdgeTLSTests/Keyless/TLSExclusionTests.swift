import EdgeModel
import NIOCore
import TLSWire
import Testing

/// What `check` says of a site's `tls`.
@Suite struct TLSExclusionTests {
    private static func exclusions(isKeyless: Bool = true, _ adjust: (inout TerminationConfiguration) -> Void)
        -> [String]
    {
        var configuration = TerminationConfiguration(
            keyHolder: "home", origin: OriginConfiguration(scheme: .http, host: "127.0.0.1"))
        adjust(&configuration)
        return configuration.exclusions(isKeyless: isKeyless)
    }

    @Test func byDefaultThereAreNone() {
        #expect(Self.exclusions { _ in } == [])
        #expect(Self.exclusions { $0.groups.reverse() } == [])
    }

    @Test func each() {
        #expect(Self.exclusions { $0.minimumTLSVersion = TLSVersion.tls13 } == ["clients without TLS 1.3"])
        #expect(Self.exclusions { $0.ticketLifetime = .zero } == ["resumption of TLS 1.3 sessions"])
        #expect(
            Self.exclusions { $0.groups = [TLSGroup.x25519MLKEM768, TLSGroup.x25519] }
                == ["TLS 1.3 clients that have no other key exchange than P-256, P-384"])
        #expect(
            Self.exclusions { $0.groups = [TLSGroup.x25519, TLSGroup.secp256r1, TLSGroup.secp384r1] }
                == ["key exchange that a quantum computer cannot undo later"])
        // Groups and tickets are the key holder's there.
        #expect(
            Self.exclusions(isKeyless: false) {
                $0.groups = [TLSGroup.x25519]
                $0.ticketLifetime = .zero
                $0.minimumTLSVersion = TLSVersion.tls13
            } == ["clients without TLS 1.3"])
    }
}
