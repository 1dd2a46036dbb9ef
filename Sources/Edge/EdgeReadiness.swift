import NIOConcurrencyHelpers
import TLSWire

/// Which domains of terminated sites have a certificate at the key holder: what the health check of an edge asks.
public final class EdgeReadiness: Sendable {
    private let missing = NIOLockedValueBox<[String: String]>([:])

    public init() {}

    /// The domains that cannot be served now, each with the reason.
    public var problems: [String: String] { self.missing.withLockedValue { $0 } }

    func expects(_ pattern: ServerNamePattern) {
        self.missing.withLockedValue { $0[pattern.description] = "certificate not fetched yet" }
    }

    func heard(_ pattern: ServerNamePattern, _ news: CertificateKeeper.News) {
        self.missing.withLockedValue {
            switch news {
            case .certificate, .granted: $0[pattern.description] = nil
            case .refused(let why): $0[pattern.description] = why
            }
        }
    }
}
